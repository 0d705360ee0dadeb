"""How requests are measured under one version of the settings: to which queues or backends their metrics go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.plan import Plan, Target
from time_execution.types import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from time_execution.delivery.channel import Channel
    from time_execution.plan import Span
    from time_execution.settings import Snapshot

REQUEST_DURATION = "http.server.request.duration"
"""The name of a request's metric, as OpenTelemetry has it; its value is in ms, as all timings are."""

LABELS = ("method", "route", "status_code")
"""The fields that tell the series of requests apart."""

_NO_CHANNELS: tuple[Channel, ...] = ()


class RequestPlan(Plan):
    """How requests are measured under one snapshot. Immutable and thread-safe.

    Attributes:
        queues: The queues that each take a draft, when nobody else has to see a request and none is passed over.
    """

    __slots__ = ("queues",)

    def __init__(self, target: RequestTarget, snapshot: Snapshot) -> None:
        super().__init__(target, snapshot)
        self.queues = _NO_CHANNELS if self.partial or self.eager else self._sinks.channels

    def put(self, item: Any) -> None:
        """Queue the draft of a request, where no hook and no direct backend has to see it."""
        for channel in self._sinks.channels:
            channel.put(item)

    def metric(self, started: int, ended: int, wall_offset: int) -> Metric:
        """Return the metric of a request without its own fields; see `types.Draft`."""
        metric = super().metric(started, ended, wall_offset)
        metric.labels = LABELS
        return metric

    def _eager_metric(self, span: Span, fields: dict[str, Any] | None) -> dict[str, Any]:
        return Metric(super()._eager_metric(span, fields), labels=LABELS)


class RequestTarget(Target):
    """The requests of an application, as a thing that is measured.

    Args:
        hooks: What runs for each of them; hooks of the settings are for calls.
    """

    plan_type: ClassVar[type[Plan]] = RequestPlan
    plan: RequestPlan
    __slots__ = ()

    def __init__(self, hooks: Sequence[Callable[..., Any]] = ()) -> None:
        super().__init__(None, REQUEST_DURATION, extra_hooks=hooks, disable_default_hooks=True)

    def plan_now(self) -> RequestPlan:
        """Return the plan for the settings in force in this context."""
        plan: Any = self.refresh()
        return plan  # type: ignore[no-any-return]
