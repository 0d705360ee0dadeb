"""What each process told last of itself: its delivery, its health, what it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from time_execution.backends.sqlite.schema import SECOND
from time_execution.report.live import states_in

if TYPE_CHECKING:
    from time_execution.report._view import View

DELIVERY, HEALTH, PROCESS = "delivery", "health", "process"

# They tell every ten seconds.
_ALIVE = 35.0
# Processes that ended leave their last word, for as long as single metrics are kept.
_MOST = 200


class Told(NamedTuple):
    """The last word of a process on a topic.

    Attributes:
        owner: Which process: ``hostname:pid``.
        updated: When it told, in seconds since the epoch.
        is_alive: Whether that is so short ago that it still runs.
        body: What it told.
    """

    owner: str
    updated: float
    is_alive: bool
    body: Mapping[str, Any]


def told(view: View, topic: str, *, now: float) -> list[Told]:
    """Return the last words on a topic, those of living processes first, the latest first.

    Args:
        view: The database.
        topic: `DELIVERY`, `HEALTH` or `PROCESS`.
        now: The present moment, in seconds since the epoch.
    """
    found = [
        Told(state.owner, state.timestamp / SECOND, now - state.timestamp / SECOND <= _ALIVE, state.body)
        for state in states_in(view, topic)
    ]
    return sorted(found, key=lambda each: (not each.is_alive, -each.updated, each.owner))[:_MOST]


def seconds_of(text: object) -> float | None:
    """Return a moment, ISO 8601 or seconds since the epoch, in these seconds; None when it is neither.

    Example:
        >>> seconds_of("1970-01-01T00:01:00.500Z"), seconds_of(5), seconds_of("soon")
        (60.5, 5.0, None)
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text)
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def number(body: Mapping[str, Any], key: str) -> int:
    """Return a count that a body holds; 0 where it holds none."""
    value = body.get(key)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0


def counts(body: Mapping[str, Any], key: str) -> dict[str, int]:
    """Return counts by reason that a body holds; none where it holds none."""
    value = body.get(key)
    return {str(reason): number(value, reason) for reason in value} if isinstance(value, Mapping) else {}
