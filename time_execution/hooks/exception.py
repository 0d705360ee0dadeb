"""What a measured call raised."""

from __future__ import annotations

from collections.abc import Callable
from types import WrapperDescriptorType
from typing import TYPE_CHECKING, Any

from time_execution.config import expect, expect_length
from time_execution.formats.redaction import REDACTOR
from time_execution.formats.snapshot import snapshot

if TYPE_CHECKING:
    from time_execution.formats.redaction import Redactor

ERROR_TYPE = "error_type"
ERROR_MESSAGE = "error_message"

_module_of: Callable[[type], Any] = vars(type)["__module__"].__get__
_name_of: Callable[[type], str] = vars(type)["__qualname__"].__get__
_SAFE_IN_TEXT = frozenset({str, int, float, bool, bytes, type(None)})


class ExceptionHook:
    """Adds ``error_type`` to the metric of a call that raised: the exception's qualified name, builtins without module.

    Reports count a metric with that field as an error. Thread-safe.

    Args:
        message: Also add ``error_message``, redacted. It is made from the exception's arguments where its class has a
            ``__str__`` of its own, which is never called.
        max_length: Cut the message to so many characters.
        ignore: Exception classes that are no errors here, such as one for "not found"; they get no field.
        redactor: Takes secrets out of the message.

    Raises:
        ConfigurationError: When ``max_length`` is no positive number, or ``ignore`` no tuple of exception classes.

    Example:
        >>> hook = ExceptionHook(message=True)
        >>> error = ValueError("no such user: password=hunter2")
        >>> hook(response=None, exception=error, metric={}, func=len, func_args=(), func_kwargs={})
        {'error_type': 'ValueError', 'error_message': 'no such user: password=***'}
    """

    def __init__(
        self,
        *,
        message: bool = False,
        max_length: int = 500,
        ignore: tuple[type[BaseException], ...] = (),
        redactor: Redactor = REDACTOR,
    ) -> None:
        expect_length(max_length, where="ExceptionHook: max_length")
        wanted, is_right = "a tuple of exception classes", _are_exceptions(ignore)
        expect(wanted, ignore, where="ExceptionHook: ignore", is_right=is_right)
        self.message = message
        self.max_length = max_length
        self.ignore = ignore
        self.redactor = redactor

    def __call__(  # noqa: D102 - described by the class
        self, *, response: Any, exception: Any, metric: dict[str, Any], func: Any, func_args: Any, func_kwargs: Any
    ) -> dict[str, Any] | None:
        if exception is None or isinstance(exception, self.ignore):
            return None
        fields = {ERROR_TYPE: qualified_name(type(exception))}
        if self.message:
            fields[ERROR_MESSAGE] = self.redactor.redact_text(message_of(exception), max_text=self.max_length)
        return fields


def _are_exceptions(kinds: Any) -> bool:
    return isinstance(kinds, tuple) and all(
        isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds
    )


def qualified_name(kind: type) -> str:
    """Return ``module.Class``, or ``Class`` for what is built in; runs no code of the class or of its metaclass."""
    module = _module_of(kind)
    if type(module) is not str:
        module = "?"
    return _name_of(kind) if module == "builtins" else f"{module}.{_name_of(kind)}"


def message_of(exception: BaseException) -> str:
    """Return an exception's text without running anybody's code: of its arguments, where `str` would run some."""
    arguments = BaseException.args.__get__(exception)  # type: ignore[attr-defined]  # a getter of C, past any override
    is_builtin = isinstance(type(exception).__str__, WrapperDescriptorType)
    if is_builtin and all(type(argument) in _SAFE_IN_TEXT for argument in arguments):
        return str(exception)
    return ", ".join(str(argument) for argument in snapshot(arguments))


exception_hook = ExceptionHook()
"""The hook with its defaults: the type only, since a message may hold anything."""
