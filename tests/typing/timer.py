"""`Timer` and `ErrorCatcher` as their users type them: checked by mypy --strict, never run."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from time_execution.timer import ErrorCatcher, Timer, sanitizer

if TYPE_CHECKING:
    from typing_extensions import assert_type


@Timer()
def timed(a: int, b: str = "", *, c: bytes) -> list[str]:
    return [b] * a


@ErrorCatcher(sanitize_func=sanitizer)
@Timer(max_arg_length=100, sanitize_func=lambda text: text.upper(), results_format="parquet", log_dir=Path("logs"))
async def both(a: int) -> str:
    return str(a)


@Timer(track_resources=False, results_format=None, name="series", gzip_backups=True)
def generator(a: int) -> Generator[int, str, bytes]:
    sent = yield a
    return sent.encode()


@ErrorCatcher(error_log_file="errors.log", max_bytes=1000, backup_count=2, max_arg_length=None)
class Thing:
    def __init__(self, a: int) -> None:
        self.a = a

    @Timer()
    def method(self, b: str) -> str:
        return b

    @property
    @ErrorCatcher()
    def value(self) -> int:
        return self.a


async def calls() -> None:
    assert_type(timed(1, "b", c=b""), list[str])
    pending = both(1)
    assert_type(await assert_type(pending, Coroutine[Any, Any, str]), str)
    assert_type(generator(1), Generator[int, str, bytes])
    assert_type(Thing(1), Thing)
    assert_type(Thing(1).method("b"), str)
    assert_type(Thing(1).value, int)
    assert_type(sanitizer("x"), str)

    timed("1", c=b"")  # type: ignore[arg-type]
    timed(1)  # type: ignore[call-arg]
    await both("1")  # type: ignore[arg-type]
    Thing("1")  # type: ignore[arg-type]
    Thing(1).method(1)  # type: ignore[arg-type]


def stopwatch() -> None:
    timer = Timer(name="nightly")
    timer.start()
    timer.stop()
    with timer as entered:
        assert_type(entered, Timer)

    Timer(results_format="xlsx")  # type: ignore[arg-type]
    Timer(sanitize_func=len)  # type: ignore[arg-type]
    Timer(log_folder="logs")  # type: ignore[call-arg]
    ErrorCatcher(track_resources=False)  # type: ignore[call-arg]
