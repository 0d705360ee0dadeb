"""A record of each call and of each error, in files: `Timer`, `ErrorCatcher`, and both on one function.

Run it as ``python examples/timer_quick_start.py``: records go to the console and to ``logs/`` in the working folder.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from time_execution import flush
from time_execution.timer import ErrorCatcher, Timer, sanitizer

logging.basicConfig(level=logging.INFO)
logger = logging.getLogger("example")


@Timer(max_arg_length=100, sanitize_func=lambda text: text.replace("secret", "*****"))
def add(x: int, y: int) -> int:
    """Work for a while."""
    logger.info("adding")
    time.sleep(0.02)
    return x + y


@ErrorCatcher(sanitize_func=lambda text: text.replace("password", "*****"))
def fail() -> None:
    """Raise something that had better not be read by everybody."""
    logger.info("about to fail")
    raise ValueError("a test error with a secret password!")


@ErrorCatcher(sanitize_func=sanitizer)
@Timer(max_arg_length=100, sanitize_func=sanitizer)
def multiply(a: int, b: int) -> int:
    """Work for a while, or refuse."""
    logger.info("multiplying")
    time.sleep(0.01)
    if a < 0:
        raise ValueError("Invalid value for a!")
    return a * b


def main() -> None:
    print("add:", add(5, 10))
    try:
        fail()
    except ValueError as exc:
        print("caught as expected:", exc)
    print("multiply:", multiply(3, 7))
    try:
        multiply(-1, 7)
    except ValueError as exc:
        print("caught as expected:", exc)

    flush()  # only to read the files at once; otherwise they are complete when the program ends
    for name in ("timing.log", "error.log"):
        for line in Path("logs", name).read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            print(f"{name}: {record['function']}({record['arguments']}) {record.get('outcome') or record['message']}")


if __name__ == "__main__":
    main()
