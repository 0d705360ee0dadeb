"""An application's log: lines in files and on the console, calls, errors with what they are about, and no forged line.

Run it as ``python examples/logs_quick_start.py``: lines go to the console and to ``logs/`` in the working folder.
"""

from __future__ import annotations

import json

from time_execution import flush
from time_execution.logs import (
    ErrorCapture,
    configure,
    current_options,
    get_logger,
    handle_errors,
    log_function_call,
    logger,
)

log = get_logger("orders")


@log_function_call(level=logger.DEBUG)
def total(prices: list[float], *, token: str) -> float:
    """Add up."""
    return sum(prices)


@handle_errors(reraise=False, fallback_value=0.0)
def share(amount: float, people: int) -> float:
    """Divide, or return nothing."""
    return amount / people


def pay(user_id: int, amount: float) -> None:
    """Fail in a way that is logged with what it is about, and goes no further."""
    with ErrorCapture(component="payment", user_id=user_id, reraise=False, amount=amount):
        raise ConnectionError("the bank does not answer, password=hunter2")


def main() -> None:
    configure(app_name="shop", log_level="DEBUG")
    log.info("a customer says: %s", "hello\n2025-05-10 CRITICAL forged", extra={"customer": 42})
    amount = total([19.5, 0.5], token="hunter2")
    share(amount, 0)
    pay(42, amount)

    flush()  # only to read the file at once; otherwise it is complete when the program ends
    path = current_options().file("_structured.json")
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        about = {name: record[name] for name in ("customer", "component", "user_id", "amount") if name in record}
        print("read:", record["level"], record["logger"], record["message"].partition("\n")[0], about)
    assert "hunter2" not in path.read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
