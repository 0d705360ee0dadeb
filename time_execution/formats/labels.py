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
_NAMES = frozenset((str,))
# No value of one of these equals one of another, and none runs code of its own when it is hashed or compared.
_PLAIN = frozenset((str, int, type(None)))


def given_labels(metric: Metric) -> tuple[str, ...]:
    """Return ``labels`` as it was set; anybody may set it, so what is no tuple of names counts as none."""
    labels: Any = metric.labels
    return labels if type(labels) is tuple and _NAMES.issuperset(map(type, labels)) else ()


def own_labels(metric: Metric) -> tuple[str, ...]:
    """Return the names of a metric's own labels, in their order, each once; core fields do not count.

    Example:
        >>> from time_execution.types import Metric
        >>> own_labels(Metric({"route": "/", "name": "a"}, labels=("route", "name", "route"))), own_labels(Metric())
        (('route',), ())
    """
    labels = given_labels(metric)
    return _checked(labels) if labels else ()


def plain_values(metric: Metric, fields: tuple[str, ...]) -> tuple[str | int | None, ...] | None:
    """Return the values of some fields, None for one that is missing; or None unless all are texts, integers or None.

    Equal ones are the same ones, so that what a store makes of them can be kept by them.

    Example:
        >>> from time_execution.types import Metric
        >>> plain_values(Metric({"route": "/", "status": 200}), ("route", "status", "user"))
        ('/', 200, None)
        >>> plain_values(Metric({"route": "/", "status": True}), ("route", "status")) is None
        True
    """
    values = tuple(map(metric.get, fields))
    return values if _PLAIN.issuperset(map(type, values)) else None


@lru_cache(maxsize=1024)
def _checked(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(label for label in dict.fromkeys(labels) if label not in _CORE)[:MAX_LABELS]
