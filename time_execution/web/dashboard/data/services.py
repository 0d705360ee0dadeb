"""How the services are that the application needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from time_execution.web.dashboard.data import application, processes
from time_execution.web.dashboard.data.figures import Points
from time_execution.web.dashboard.data.page import STEP
from time_execution.web.dashboard.data.processes import Told, seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from time_execution.web.dashboard.data.course import Course
    from time_execution.web.dashboard.data.query import Query
    from time_execution.web.dashboard.data.store import Store

EMPTY: dict[str, Any] = {"checks": [], "by_process": {}}

STATUSES = ("unhealthy", "degraded", "unknown", "healthy")
"""What a check can be, the worst first; unknown when no process tells any more."""

_MOST_PIECES = 60
_MOST_CHECKS = 200
_MOST_TEXT = 500


def data(store: Store, query: Query) -> dict[str, Any]:
    """Return health checks as each process last told them, with their history.

    Returns:
        ``checks`` (list of ``name``, ``type``, ``status`` (the worst that a living process tells; ``unknown`` when
        none does), ``since``, ``time``, ``duration_ms``, ``failures``, ``output``, ``critical``, ``uptime`` (0 to 1, of
        the checks in the range; None without any), ``history`` (list of ``from``, ``to``, ``ok``, ``failed``)), the
        worst first, ``by_process`` (owner -> ``updated``, ``alive``, ``status``, ``checks`` (name -> status)).
    """
    with store.look() as look:
        told = processes.told(look.view, processes.HEALTH, now=query.now)
    with application.course(store, query) as used:
        points, window = Points(used.window, query.now), used.window
        prefix = application.check_group("")
        known = {name.removeprefix(prefix) for name in window.groups if name.startswith(prefix)}
        checks = [
            {**check, **_history(window, points, check["name"], query.range.end)} for check in current(told, known)
        ]
        return {
            "checks": checks,
            "by_process": {each.owner: _process(each) for each in told},
            STEP: window.step,
            "warming": not window.is_warm,
        }


def current(told: Iterable[Told], known: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return how each check is now, the worst first.

    Args:
        told: What processes told, the latest first.
        known: Checks to show even if no process tells of them any more.
    """
    found: dict[str, dict[str, Any]] = {}
    for each in told:
        for name, check in _checks(each).items():
            shown = _check(name, check, is_alive=each.is_alive)
            # What a process told that has ended counts only where no living one tells.
            if name not in found or (each.is_alive and _rank(shown) < _rank(found[name])):
                found[name] = shown
    for name in known:
        found.setdefault(name, _check(name, {}, is_alive=False))
    return sorted(found.values(), key=lambda check: (_rank(check), check["name"]))[:_MOST_CHECKS]


def _rank(check: Mapping[str, Any]) -> int:
    return STATUSES.index(check["status"])


def _checks(told: Told) -> dict[str, Mapping[str, Any]]:
    checks = told.body.get("checks")
    if not isinstance(checks, Mapping):
        return {}
    return {str(name): check for name, check in checks.items() if isinstance(check, Mapping)}


def _check(name: str, told: Mapping[str, Any], *, is_alive: bool) -> dict[str, Any]:
    status = told.get("status")
    duration = told.get("duration_ms")
    return {
        "name": name,
        "type": str(told.get("type", "")),
        "status": status if is_alive and status in STATUSES else "unknown",
        "since": seconds_of(told["since"]) if told.get("since") is not None else None,
        "time": seconds_of(told["time"]) if told.get("time") is not None else None,
        "duration_ms": float(duration) if isinstance(duration, (int, float)) else None,
        "failures": processes.number(told, "failures"),
        "output": str(told.get("output") or "")[:_MOST_TEXT],
        "critical": bool(told.get("critical", True)),
    }


def _history(window: Course, points: Points, name: str, end: float) -> dict[str, Any]:
    """Return ``uptime`` and ``history`` of a check."""
    group = window.groups.get(application.check_group(name))
    count = len(points.times)
    if group is None or not count:
        return {"uptime": None, "history": []}
    together = -(-count // _MOST_PIECES)
    history = []
    for start in range(0, count, together):
        until = min(start + together, count)
        calls, failed = sum(group.calls[start:until]), sum(group.errors[start:until])
        last = points.times[until] if until < count else end
        history.append({"from": points.times[start], "to": last, "ok": int(calls - failed), "failed": int(failed)})
    calls, failed = sum(group.calls[:count]), sum(group.errors[:count])
    return {"uptime": round(1.0 - failed / calls, 5) if calls else None, "history": history}


def _process(told: Told) -> dict[str, Any]:
    status = told.body.get("status")
    return {
        "updated": told.updated,
        "alive": told.is_alive,
        "status": str(status) if status in STATUSES else "unknown",
        "checks": {name: str(check.get("status", "unknown")) for name, check in _checks(told).items()},
    }
