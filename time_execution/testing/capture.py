"""`capture_metrics`: what code measures, in the hands of the test that runs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, overload

from time_execution.backends.memory import MemoryBackend
from time_execution.settings import settings
from time_execution.types import NAME, VALUE, Metric


class CapturedMetrics(Sequence[Metric]):
    """The metrics captured so far, in the order they were written; grows while the block is open.

    Args:
        metrics: What to show; not copied.
        value_field: The field that holds a timing's duration.
    """

    def __init__(self, metrics: list[Metric], *, value_field: str = VALUE) -> None:
        self._metrics = metrics
        self._value_field = value_field

    @overload
    def __getitem__(self, index: int) -> Metric: ...

    @overload
    def __getitem__(self, index: slice) -> list[Metric]: ...

    def __getitem__(self, index: int | slice) -> Metric | list[Metric]:
        """Return a metric, or a list of some."""
        return self._metrics[index]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._metrics)

    def __eq__(self, other: object) -> bool:
        """Compare with another capture or with a list of dicts."""
        return self._metrics == (other._metrics if isinstance(other, CapturedMetrics) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Show the metrics."""
        return f"{type(self).__name__}({self._metrics!r})"

    @property
    def names(self) -> list[Any]:
        """The name of each metric."""
        return [metric.get(NAME) for metric in self._metrics]

    @property
    def values(self) -> list[Any]:
        """The number of each metric: a timing's duration in ms, or what was written by hand."""
        return [metric.get(self._value_field, metric.get(VALUE)) for metric in self._metrics]

    def named(self, name: str) -> CapturedMetrics:
        """Return the metrics of a name, or of all names that match a pattern such as ``"shop.*"``."""
        found = [metric for metric in self._metrics if _matches(str(metric.get(NAME)), name)]
        return CapturedMetrics(found, value_field=self._value_field)

    def one(self, name: str) -> Metric:
        """Return the only metric of a name or pattern.

        Raises:
            AssertionError: When there is none or more than one; the message says what there is.
        """
        found = self.named(name)
        assert len(found) == 1, f"expected one metric named {name!r}, found {len(found)}; captured: {self.names}"
        return found[0]

    def clear(self) -> None:
        """Forget what was captured so far."""
        self._metrics.clear()


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


@contextmanager
def capture_metrics(**changes: Any) -> Iterator[CapturedMetrics]:
    """Collect the metrics written in a block, instead of sending them to the configured backends.

    Holds in this thread and in the asyncio tasks it starts; other threads go on as configured. To collect from all of
    them, call ``settings.configure(backends=[MemoryBackend()])``.

    Args:
        **changes: Further settings for the block, such as ``hooks=[...]`` or ``raise_errors=True``.

    Example:
        >>> from time_execution import write_metric
        >>> with capture_metrics() as captured:
        ...     write_metric("shop.orders", value=3)
        >>> captured.one("shop.*")["value"]
        3
    """
    memory = MemoryBackend()
    with settings(backends=[memory], **changes):
        yield CapturedMetrics(memory.metrics, value_field=settings.duration_field)
