"""The exception hook: a type always, a message only when asked for, and no code of the exception's."""

from __future__ import annotations

import asyncio

import pytest

from time_execution import time_execution
from time_execution.formats.redaction import Redactor
from time_execution.hooks import ExceptionHook, exception_hook


class NotFound(LookupError):
    pass


class Sly(Exception):
    def __str__(self) -> str:
        raise AssertionError

    __repr__ = __str__


class SlyValue:
    def __repr__(self) -> str:
        raise AssertionError

    __str__ = __repr__


def test_success_adds_nothing(outcome) -> None:
    """A call that returned has no error fields."""
    assert exception_hook(**outcome("fine")) is None


@pytest.mark.parametrize(
    ("exception", "name"),
    [
        (ValueError("password=x"), "ValueError"),
        (NotFound(), f"{__name__}.NotFound"),
        (asyncio.CancelledError(), "asyncio.exceptions.CancelledError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_type_alone_by_default(outcome, exception, name) -> None:
    """The type's qualified name is there, built-in ones without module, and no message."""
    assert exception_hook(**outcome(exception=exception)) == {"error_type": name}


def test_metric_of_a_failed_call_counts_as_an_error(measured) -> None:
    """The field is one that stores and reports count errors by, and the exception passes."""
    from time_execution.formats.outcome import has_failed

    metrics = measured(exception_hook)

    @time_execution
    def fail(kind):
        if kind:
            raise kind

    with pytest.raises(NotFound):
        fail(NotFound)
    fail(None)
    assert [has_failed(metric) for metric in metrics] == [True, False]


def test_ignored_exceptions_are_no_errors(outcome) -> None:
    """A class of exceptions that is part of the game, and its subclasses, get no field."""
    hook = ExceptionHook(ignore=(LookupError,))
    assert hook(**outcome(exception=NotFound())) is None
    assert hook(**outcome(exception=KeyError())) is None
    assert hook(**outcome(exception=OSError())) == {"error_type": "OSError"}


def test_message_is_redacted_and_cut(outcome) -> None:
    """The message loses its secrets first and its length then."""
    hook = ExceptionHook(message=True, max_length=30)
    fields = hook(**outcome(exception=ValueError(f"token=abc for {'x' * 100}")))
    assert fields is not None
    assert fields["error_message"] == f"token=*** for {'x' * 16}…[cut, 114 characters]"
    own = ExceptionHook(message=True, redactor=Redactor(patterns=["ACME"]))
    assert own(**outcome(exception=ValueError("at ACME"))) == {"error_type": "ValueError", "error_message": "at ***"}


@pytest.mark.parametrize(
    ("exception", "message"),
    [
        (ValueError(), ""),
        (KeyError("k"), "'k'"),
        (FileNotFoundError(2, "No such file", "a.txt"), "[Errno 2] No such file: 'a.txt'"),
        (ValueError("a", 1), "('a', 1)"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "'utf-8' codec can't decode byte 0xff in position 0: bad"),
        (Sly("a", 1), "a, 1"),
        (ValueError(SlyValue()), f"<{__name__}.SlyValue>"),
        (KeyError(SlyValue()), f"<{__name__}.SlyValue>"),
    ],
)
def test_message_runs_no_code_of_the_exception(outcome, exception, message) -> None:
    """Built-in exceptions of plain values say what `str` says; for others their arguments speak."""
    fields = ExceptionHook(message=True)(**outcome(exception=exception))
    assert fields is not None
    assert fields["error_message"] == message


def test_type_is_told_without_asking_the_metaclass():
    """What a class says of itself may be code of its own, and is not run."""

    class Meta(type):
        def __getattribute__(cls, name):
            if name in {"__module__", "__qualname__", "__name__"}:
                raise AssertionError(name)
            return super().__getattribute__(name)

    class Odd(Exception, metaclass=Meta):
        __module__ = 5  # type: ignore[assignment]

    hook = ExceptionHook()
    told = hook(response=None, exception=Odd(), metric={}, func=len, func_args=(), func_kwargs={})
    assert told == {"error_type": "?.test_type_is_told_without_asking_the_metaclass.<locals>.Odd"}
