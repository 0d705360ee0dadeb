"""`time_execution.logs` as its users type it: checked by mypy --strict, never run."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from time_execution.logs import (
    ContextFilter,
    ErrorCapture,
    add_db_handler,
    attach,
    configure,
    current_options,
    error_scope,
    get_logger,
    handle_errors,
    in_context,
    log_function_call,
    logger,
    notice_backends,
    record_error,
)

if TYPE_CHECKING:
    from typing_extensions import assert_type

    from time_execution.backends.threaded import ThreadedBackend


@log_function_call(level=logger.DEBUG)
def calculate(x: int, y: int) -> float:
    return x / y


@log_function_call
async def fetch(url: str) -> bytes:
    return url.encode()


@handle_errors(reraise=False, fallback_value=0)
def divide(x: int, y: int) -> float:
    return x / y


@handle_errors
def generator(a: int) -> Generator[int, str, bytes]:
    sent = yield a
    return sent.encode()


@handle_errors(False, fallback_function=lambda a: a)
async def items(a: int) -> AsyncGenerator[int, None]:
    yield a


@ErrorCapture("jobs", reraise=False, queue="low")
async def job(a: int) -> str:
    return str(a)


@handle_errors()
class Thing:
    def __init__(self, a: int) -> None:
        self.a = a

    @log_function_call("INFO", max_length=10)
    def method(self, b: str) -> str:
        return b

    @property
    @handle_errors(reraise=False)
    def value(self) -> int:
        return self.a


async def calls() -> None:
    assert_type(calculate(1, 2), float)
    assert_type(await assert_type(fetch("x"), Coroutine[Any, Any, bytes]), bytes)
    assert_type(divide(1, 2), float)
    assert_type(generator(1), Generator[int, str, bytes])
    assert_type(items(1), AsyncGenerator[int, None])
    assert_type(await job(1), str)
    assert_type(Thing(1), Thing)
    assert_type(Thing(1).method("b"), str)
    assert_type(Thing(1).value, int)
    async with ErrorCapture(component="c", user_id=5) as capture:
        assert_type(capture.failed, bool)

    calculate("1", 2)  # type: ignore[arg-type]
    divide(1)  # type: ignore[call-arg]
    await fetch(1)  # type: ignore[arg-type]
    Thing("1")  # type: ignore[arg-type]
    log_function_call(level=1.5)  # type: ignore[call-overload]
    handle_errors(reraise="no")  # type: ignore[call-overload]


def block(error: ValueError) -> int:
    with ErrorCapture("c", reraise=False, order=7):
        raise error
    return 5


def loggers() -> None:
    logger.info("text %s", 5, extra={"user_id": 7})
    logger.log(logger.CRITICAL, "text")
    child: logging.Logger = get_logger("billing")
    child.setLevel("DEBUG")
    attach(child, level="INFO")
    attach("werkzeug")
    configure(log_level="DEBUG", app_name="shop")
    assert_type(current_options().app_name, str)
    assert_type(notice_backends(), list[ThreadedBackend])
    add_db_handler("sqlite:///errors.db", table="errors")
    with error_scope():
        assert_type(record_error(ValueError(), route="/"), bool)

    logging.StreamHandler().addFilter(ContextFilter())
    assert_type(in_context(calculate)(1, 2), float)

    in_context(calculate)("1")  # type: ignore[arg-type, call-arg]
    logger.no_such_method()  # type: ignore[attr-defined]
    record_error("text")  # type: ignore[arg-type]
    get_logger(5)  # type: ignore[arg-type]
