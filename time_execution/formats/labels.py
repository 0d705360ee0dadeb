"""Which fields tell series of one name apart: the labels that a metric brings itself.

Nothing here runs code of the values.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from time_execution.types import HOSTNAME, NAME, ORIGIN, TIMESTAMP, VALUE

if TYPE_CHECKING:
    from time_execution.types import Metric

MAX_LABELS = 16
"""So many labels of a metric count; more would make a series of nearly each metric."""

# A store has its own place for these.
_CORE = frozenset((NAME, VALUE, HOSTNAME, TIMESTAMP, ORIGIN))


def given_labels(metric: Metric) -> tuple[str, ...]:
    """Return ``labels`` as it was set; anybody may set it, so what is no tuple of names counts as none."""
    labels: Any = metric.labels
    return labels if type(labels) is tuple and all(type(label) is str for label in labels) else ()


def own_labels(metric: Metric) -> tuple[str, ...]:
    """Return the names of a metric's own labels, in their order, each once; core fields do not count.

    Example:
        >>> from time_execution.types import Metric
        >>> own_labels(Metric({"route": "/", "name": "a"}, labels=("route", "name", "route"))), own_labels(Metric())
        (('route',), ())
    """
    labels = given_labels(metric)
    return _checked(labels) if labels else ()


@lru_cache(maxsize=1024)
def _checked(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(label for label in dict.fromkeys(labels) if label not in _CORE)[:MAX_LABELS]
