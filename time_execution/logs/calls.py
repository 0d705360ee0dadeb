"""What `log_function_call` does around a call: it takes the arguments down, and writes a line when the call ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.formats.argument_text import argument_text
from time_execution.guard import Failed, Step, Untouched
from time_execution.hooks.arguments import ARGUMENTS, Parameters
from time_execution.hooks.exception import ERROR_TYPE, qualified_name
from time_execution.logs.line import Origin, is_enabled, origin_of, write
from time_execution.plan import Plan, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from time_execution.hooks.chain import Call, Started
    from time_execution.plan import Span
    from time_execution.settings import Snapshot

CALL, RETURNED, DURATION_MS = "call", "returned", "duration_ms"
UNKNOWN = "?"
"""Stands for arguments or a result that could not be told, which is counted."""


class CallPlan(Plan):
    """How calls are logged, which no settings change."""

    __slots__ = ("_target",)

    def __init__(self, target: CallTarget, snapshot: Snapshot) -> None:
        super().__init__(target, snapshot)
        self._target = target
        self.partial = True  # so that `is_wanted` is asked of each call
        self.telling = self.version = 0  # no call takes a shorter way

    def is_wanted(self, *, awaits: bool = False) -> bool:  # noqa: ARG002 - nothing is measured
        """Whether anybody would see the line."""
        return is_enabled(self._target.level)

    def begin(self, call: Call) -> Started | None:
        """Take the arguments down as they are now."""
        begun: Any = _ARGUMENTS.attempt(self._target, call)
        return begun  # type: ignore[no-any-return]  # what a plan returns here, it alone looks at

    def finish(
        self,
        started: Started | None,
        span: Span,
        call: Call,  # noqa: ARG002 - its arguments may have changed
        *,
        response: Any = None,
        exception: BaseException | None = None,
        fields: dict[str, Any] | None = None,  # noqa: ARG002 - those of blocks
    ) -> None:
        """Write the line of a call that just ended; an exception is left as it was."""
        with Untouched(exception):
            self._target.log(started, span, response, exception)

    async def finish_async(
        self,
        started: Started | None,
        span: Span,
        call: Call,
        *,
        response: Any = None,
        exception: BaseException | None = None,
        fields: dict[str, Any] | None = None,
    ) -> None:
        """Do the same."""
        self.finish(started, span, call, response=response, exception=exception, fields=fields)


class CallTarget(Target):
    """A callable whose calls are logged.

    Args:
        func: What is called.
        name: What lines call it.
        level: Of the lines.
        max_length: Of the text of each argument, and of the result.
    """

    plan_type: ClassVar[type[Plan]] = CallPlan
    __slots__ = ("_origin", "_parameters", "level", "max_length")

    def __init__(self, func: Any, name: str, level: int, max_length: int) -> None:
        self.level = level
        self.max_length = max_length
        self._parameters: tuple[Any, Parameters] | None = None
        self._origin: tuple[Any, Origin] | None = None
        super().__init__(func, name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what was asked for."""
        return _restored, (self.name, self.level, self.max_length), (None, {"func": self.func})

    def hooks(self, values: Any) -> tuple[Callable[..., Any], ...]:  # noqa: ARG002 - nothing is measured
        """Return none."""
        return ()

    def mark(self, wrapper: Any) -> None:
        """Write nothing on the wrapper: it has no series."""

    def origin(self) -> Origin:
        """Return where the function is defined; never raises."""
        known = self._origin
        if known is None or known[0] is not self.func:
            known = self._origin = (self.func, origin_of(self.func))
        return known[1]

    def arguments(self, call: Call) -> str:
        """Return the arguments of a call as one text, without secrets."""
        func, args, kwargs = call
        known = self._parameters
        if known is None or known[0] is not func:
            known = self._parameters = (func, Parameters(func))
        return argument_text(known[1].bind(args, kwargs), max_length=self.max_length)

    def result(self, value: Any) -> str:
        """Return a result as a text; where the function's name tells that it is a secret, a mask."""
        key = self.name.rpartition(".")[2]
        return argument_text({key: value}, max_length=self.max_length)[len(key) + 1 :]

    def log(self, arguments: Any, span: Span, response: Any, exception: BaseException | None) -> None:
        """Write the line of a call; never raises."""
        shown = UNKNOWN if arguments is None or isinstance(arguments, Failed) else arguments
        took = (span[1] - span[0]) / 1_000_000
        fields: dict[str, Any] = {CALL: self.name, ARGUMENTS: shown, DURATION_MS: took}
        origin = self.origin()
        if exception is None:
            found = _RESULT.attempt(self, response)
            fields[RETURNED] = UNKNOWN if isinstance(found, Failed) else found
            write(self.level, origin, _RETURNED, self.name, shown, fields[RETURNED], took, fields=fields)
        else:
            fields[ERROR_TYPE] = qualified_name(type(exception))
            write(self.level, origin, _RAISED, self.name, shown, fields[ERROR_TYPE], took, fields=fields)


def _restored(name: str, level: int, max_length: int) -> CallTarget:
    return CallTarget(None, name, level, max_length)


_RETURNED = "%s(%s) returned %s in %.3f ms"
_RAISED = "%s(%s) raised %s after %.3f ms"
_ARGUMENTS = Step(CallTarget.arguments, kind="hook", label="log_function_call", raises=False)
_RESULT = Step(CallTarget.result, kind="hook", label="log_function_call", raises=False)
