"""What a profiled function is measured by: the plan that stands around each call of it.

It is wrapped as `@time_execution` wraps, by `time_execution.wrapper`; this module says what happens before and after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.guard import Untouched
from time_execution.naming import named_part
from time_execution.pipeline import IN_HOOKS, inside_task, this_thread
from time_execution.plan import Plan, Target
from time_execution.profiler._instrument import ERROR_RAISED
from time_execution.profiler._steps import yields
from time_execution.profiler.tree import MOST_RECORDS, MethodTreeNode
from time_execution.settings import live

if TYPE_CHECKING:
    from collections.abc import Callable

    from time_execution.hooks.chain import Call
    from time_execution.plan import Span
    from time_execution.profiler._mode import Mode
    from time_execution.profiler.publisher import Profiler
    from time_execution.settings import Snapshot

_NO_VERSION = 0
_HUNDREDTH = 10_000  # of a millisecond, in nanoseconds


class SitePlan(Plan):
    """How a profiled function is measured under one snapshot of the settings. Thread-safe.

    What the profiler itself is set to is asked for at each call, so it may change at any time.
    """

    __slots__ = ("_has_backends", "_is_enabled", "_profiler", "_site")

    def __init__(self, target: Site, snapshot: Snapshot) -> None:
        super().__init__(target, snapshot)
        self._site = target
        self._profiler = target.profiler
        self._is_enabled = snapshot.values.enabled
        self._has_backends = bool(snapshot.values.backends)
        # No call takes a shorter way: each is asked about, and each is a part of a tree.
        self.version = self.telling = _NO_VERSION
        self.partial = self.eager = True

    def is_wanted(self, *, awaits: bool = False) -> bool:
        """Whether this call is measured: there is something to do and somebody to tell, and it is not one of ours."""
        mode = self._profiler.mode
        if not (mode.hands_over or (mode.measures and self._has_backends)) or not self._is_enabled:
            return False
        if this_thread.place.within or (awaits and inside_task.get()):
            return not self.is_reentrant(awaits=awaits)
        return True

    def begin(self, call: Call) -> Any:
        """Make the call the innermost one, and tell callbacks and generator hooks."""
        site, mode = self._site, self._profiler.mode
        node = MethodTreeNode(self._profiler, site)
        try:
            if mode.before is not None or mode.before_root is not None:
                self._call_back(node, mode.before_root, mode.before, site.subject, *call[1:])
            if self._has_backends and mode.time is not None:
                plan = self._profiler.series(node.context).refresh()
                if plan.is_wanted():
                    node.series = plan, plan.begin((site.subject, *call[1:]))
        except BaseException:  # what passes every guard, such as an interrupt: there will be no call to end
            node.end()
            raise
        return node

    def finish(
        self,
        started: Any,
        span: Span,
        call: Call,
        *,
        response: Any = None,
        exception: BaseException | None = None,
        fields: dict[str, Any] | None = None,  # noqa: ARG002 - the signature of every plan
    ) -> None:
        """Record the call that just ended, tell callbacks, handlers and backends, and leave it."""
        node: MethodTreeNode = started
        root, profiler = node.root or node, self._profiler
        mode = profiler.mode
        kept = None
        if not node.is_inner:
            node.enter()
        if exception is not None:
            node.failed, kept = True, Untouched(exception)
        try:
            if mode.time_record is not None:
                record = mode.time_record.copy()
                record["item"], record["method"] = root.site.owner, node.context
                record["labels"] = {ERROR_RAISED: node.failed} if mode.error_raised_label else {}
                record["value"] = ("observe", (span[1] - span[0] + _HUNDREDTH // 2) // _HUNDREDTH / 100)
                node.add(mode.time, record)
            if node.series is not None:
                plan, hooks = node.series
                plan.finish(hooks, span, (self._site.subject, *call[1:]), response=response, exception=exception)
            if mode.watches:
                self._tell(node, mode, response, call)
        finally:
            node.end()
            if not root.is_open or len(root.entries) >= MOST_RECORDS:
                profiler.mode.publish(node.take())
            if kept is not None:
                kept.__exit__()

    async def finish_async(
        self,
        started: Any,
        span: Span,
        call: Call,
        *,
        response: Any = None,
        exception: BaseException | None = None,
        fields: dict[str, Any] | None = None,  # noqa: ARG002 - the signature of every plan
    ) -> None:
        """Do what `finish` does, awaiting asynchronous hooks."""
        node: MethodTreeNode = started
        series, node.series = node.series, None
        if series is None:
            self.finish(node, span, call, response=response, exception=exception)
            return
        plan, hooks = series
        whole = (self._site.subject, *call[1:])
        try:
            await plan.finish_async(hooks, span, whole, response=response, exception=exception)
        finally:
            self.finish(node, span, call, response=response, exception=exception)

    def _tell(self, node: MethodTreeNode, mode: Mode, response: Any, call: Call) -> None:
        """Tell callbacks, and measure the response of a root."""
        if mode.after is not None:
            self._call_back(node, None, mode.after, response, *call[1:])
        if node.root is None:
            if mode.size is not None and not node.failed and self._site.responds:
                mode.size.rec(response)
            if mode.after_root is not None:
                self._call_back(node, mode.after_root, None, response, *call[1:])

    @staticmethod
    def _call_back(  # noqa: PLR0917 - as a call has them
        node: MethodTreeNode, of_root: Any, of_any: Any, subject: Any, args: Any, kwargs: Any
    ) -> None:
        """Call the callback of roots, if it is for one, and that of all calls."""
        place = this_thread.place
        before, place.within = place.within, IN_HOOKS
        try:
            if of_root is not None and node.root is None:
                of_root.attempt(subject, args, kwargs)
            if of_any is not None:
                of_any.attempt(subject, args, kwargs)
        finally:
            place.within = before


class Site(Target):
    """A profiled function.

    Args:
        subject: The function.
        profiler: Whose it is.

    Attributes:
        owner: The class that defines it; for a function, its module.
        label: Its own name.
        responds: Whether it returns something to be measured; a generator yields instead.
    """

    plan_type: ClassVar[type[Plan]] = SitePlan
    __slots__ = ("label", "owner", "profiler", "responds", "subject")

    def __init__(self, subject: Any, profiler: Profiler) -> None:
        self.subject = subject
        self.profiler = profiler
        self.owner, self.label = owner_and_name(subject)
        self.responds = not yields(subject)
        super().__init__(subject, f"{self.owner}:{self.label}")

    def refresh(self) -> Plan:
        """Return the plan for the settings in force in this context."""
        plan = self.plan
        return plan if plan.serial == live.version else super().refresh()

    def mark(self, wrapper: Any) -> None:
        """Leave on the wrapper what another decorator may have written on the function."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle whose function it is; how it is measured is up to the process that loads it."""
        state = {"func": self.func, "subject": self.subject, "responds": self.responds}
        return _restore, (self.owner, self.label, self.profiler), (None, state)


def _restore(owner: str, label: str, profiler: Profiler) -> Site:
    site = Site.__new__(Site)
    site.owner, site.label, site.profiler, site.subject, site.responds = owner, label, profiler, None, True
    Target.__init__(site, None, f"{owner}:{label}")
    return site


def owner_and_name(func: Callable[..., Any]) -> tuple[str, str]:
    """Return the class that defines a function, or the last part of its module's name; and the function's name.

    Example:
        >>> owner_and_name(str.upper), owner_and_name(len)
        (('str', 'upper'), ('builtins', 'len'))
    """
    part = named_part(func)
    path, _, name = str(part.__qualname__).rpartition("<locals>.")[2].rpartition(".")
    return (path or str(getattr(part, "__module__", None) or "")).rpartition(".")[2], name
