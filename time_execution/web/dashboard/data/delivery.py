"""Whether the figures can be trusted: what became of the metrics of each process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from time_execution.web.dashboard.data import processes
from time_execution.web.dashboard.data.remedy import remedy

if TYPE_CHECKING:
    from time_execution.web.dashboard.data.processes import Told
    from time_execution.web.dashboard.data.query import Query
    from time_execution.web.dashboard.data.store import Store

EMPTY: dict[str, Any] = {"processes": [], "totals": {}}

NUMBERS = (
    "offered",
    "accepted",
    "delivered",
    "retried",
    "pending",
    "in_flight",
    "spooled",
    "dead_letters",
    "worker_restarts",
)
REASONS = ("rejected", "dropped")
_MOST_BACKENDS = 50
_MOST_TEXT = 500
# A queue sends what it has after a second or so.
_BEHIND = 30.0


def data(store: Store, query: Query) -> dict[str, Any]:
    """Return the books of each process's queues, as each last told them.

    Returns:
        ``processes`` (list of ``owner``, ``hostname``, ``pid``, ``app``, ``alive``, ``updated``, ``backends`` (list of
        ``name``, ``offered``, ``accepted``, ``delivered``, ``retried``, ``pending``, ``in_flight``, ``spooled``,
        ``dead_letters``, ``rejected`` and ``dropped`` (reason -> metrics), ``oldest_age`` (s), ``last_error``,
        ``remedy`` (a sentence, or None), ``worker_restarts``)), ``totals`` (the same numbers of all together).
    """
    with store.look() as look:
        found = processes.told(look.view, processes.DELIVERY, now=query.now)
    shown = [_process(told) for told in found]
    return {"processes": shown, "totals": totals([each for told in shown for each in told["backends"]])}


def books(told: Told) -> list[dict[str, Any]]:
    """Return what a process told of each of its backends, with a remedy where something is wrong."""
    backends = told.body.get("backends")
    if not isinstance(backends, list):
        return []
    return [_books(each) for each in backends[:_MOST_BACKENDS] if isinstance(each, Mapping)]


def is_behind(books: Mapping[str, Any]) -> bool:
    """Whether metrics of a backend wait for longer than they should."""
    return bool(books["pending"]) and (books["oldest_age"] or 0.0) > _BEHIND


def totals(backends: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the numbers of backends together, the oldest age, and how many need something to be done."""
    reasons = {
        key: dict(sum((Counter(each[key]) for each in backends), Counter[str]()).most_common()) for key in REASONS
    }
    numbers = {key: sum(each[key] for each in backends) for key in NUMBERS}
    ages = [each["oldest_age"] for each in backends if each["oldest_age"] is not None]
    troubled = sum(each["remedy"] is not None for each in backends)
    return {**numbers, **reasons, "oldest_age": max(ages, default=None), "troubled": troubled}


def _process(told: Told) -> dict[str, Any]:
    return {
        "owner": told.owner,
        "hostname": str(told.body.get("hostname", "")),
        "pid": told.body.get("pid"),
        "app": str(told.body.get("app", "")),
        "alive": told.is_alive,
        "updated": told.updated,
        "backends": books(told),
    }


def _books(told: Mapping[str, Any]) -> dict[str, Any]:
    age, last_error = told.get("oldest_age"), told.get("last_error")
    found: dict[str, Any] = {
        "name": str(told.get("name", "")),
        **{key: processes.number(told, key) for key in NUMBERS},
        **{key: processes.counts(told, key) for key in REASONS},
        "oldest_age": float(age) if isinstance(age, (int, float)) else None,
        "last_error": None if last_error is None else str(last_error)[:_MOST_TEXT],
    }
    found["remedy"] = remedy(
        last_error=found["last_error"],
        dropped=found["dropped"],
        rejected=found["rejected"],
        is_behind=is_behind(found),
    )
    return found
