"""What `Timer` and `ErrorCatcher` have in common: how a call that is recorded comes to the fields of its record."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.plan import Plan, Target
from time_execution.timer.callee import Callee

if TYPE_CHECKING:
    from time_execution.hooks.chain import Call
    from time_execution.settings import Snapshot


class RecordedPlan(Plan):
    """How a call is recorded under one snapshot of the settings."""

    __slots__ = ("_target",)

    def __init__(self, target: RecordedTarget, snapshot: Snapshot) -> None:
        super().__init__(target, snapshot)
        self._target = target
        self.eager = self._tells = True
        self.telling = self.version = 0  # no call takes a shorter way

    @abstractmethod
    def own_fields(self, started: Any, call: Call, exception: BaseException | None) -> dict[str, Any] | None:
        """Return the fields of the record of a call that just ended; None when there is nothing to record.

        Args:
            started: What `begin` returned.
            call: The function and its arguments.
            exception: What it raised.
        """


class RecordedTarget(Target):
    """A callable whose calls are recorded.

    Args:
        func: What is called; None for a stretch of code.
        name: The name of its series.
        source: The `Timer` or the `ErrorCatcher` that it was decorated with.

    Attributes:
        trace: What the wrapper gets, so that the other decorator around it sees that there is somebody to share an id.
    """

    trace: ClassVar[str]
    __slots__ = ("_callee", "source")

    def __init__(self, func: Any, name: str, source: Any) -> None:
        self.source = source
        self._callee: Callee | None = None
        super().__init__(func, name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what was asked for; the files are opened anew by the process that loads it."""
        return type(self), (None, self.name, self.source), (None, {"func": self.func})

    def mark(self, wrapper: Any) -> None:
        """Leave the trace besides what every wrapper gets."""
        super().mark(wrapper)
        setattr(wrapper, self.trace, True)
        self._callee = Callee(self.func)  # looked at now, and not amid a call: it may be anything

    def callee(self, func: Any) -> Callee:
        """Return what is known of the function."""
        callee = self._callee
        if callee is None or callee.func is not func:
            callee = Callee(func)
            if func is self.func:  # and no stretch of code, each of which has an object of its own
                self._callee = callee
        return callee
