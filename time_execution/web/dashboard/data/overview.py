"""Is something wrong right now: one sentence, the figures of the whole, services, what became slow, errors."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from time_execution.backends.sqlite.schema import SECOND
from time_execution.web.dashboard.data import alerts, application, changes, delivery, processes, services, system
from time_execution.web.dashboard.data.errors import groups_in
from time_execution.web.dashboard.data.figures import Points, last_of
from time_execution.web.dashboard.data.page import STEP
from time_execution.web.dashboard.data.query import RANGES, Range
from time_execution.web.dashboard.data.sentence import Facts, sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from time_execution.web.dashboard.data.processes import Told
    from time_execution.web.dashboard.data.query import Query
    from time_execution.web.dashboard.data.store import Store

_LATELY = "lately"
_MOST = 10


def empty(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is shown of a store with nothing in it, or that cannot be read, which is what is wrong then."""
    level = "bad" if state["state"] == "broken" else "ok"
    said: dict[str, Any] = {"level": level, "text": state["message"] or "Nothing has been stored yet.", "more": []}
    return {"sentence": said, "times": [], "tiles": [], "services": [], "slow": [], "errors": []}


def data(store: Store, query: Query) -> dict[str, Any]:
    """Return what is wrong now, and the figures of the whole.

    Returns:
        ``sentence`` (``level``: ``ok``, ``warn`` or ``bad``; ``text``; ``more``: list of sentences), ``times``,
        ``tiles`` (list of ``key``, ``label``, ``unit``, ``last``, ``points``; keys ``request_rate`` /s, ``error_rate``
        %, ``p95`` ms, ``cpu`` %, ``memory`` %, ``health``: how many checks fail), ``services`` (``name``, ``status``,
        ``since``, ``output``), the worst first, ``slow`` (``name``, ``p95``, ``before``: ms, ``calls``; ``method`` and
        ``route`` of a route), ``errors`` (``id``, ``type``, ``place``, ``count``, ``last``), most first.
    """
    with store.look() as look:
        topics = (processes.DELIVERY, processes.HEALTH, processes.PROCESS)
        books, health, alive = (processes.told(look.view, topic, now=query.now) for topic in topics)
        firing = alerts.firing(look.view, store.series(look), alive, now=query.now)
    checks = services.current(health)
    over_time, is_warm = _over_time(store, query, checks)
    found, lately_warm = _lately(store, query)
    facts = Facts(
        now=query.now,
        last=store.state()["last"],
        checks={check["name"]: check["status"] for check in checks},
        firing=firing,
        silent=_silent([*alive, *books, *health], query.now),
        **_losses(store, books, query.now),
        **found,
    )
    return {
        **over_time,
        "sentence": _said(facts, is_known=is_warm and lately_warm),
        "services": [{key: check[key] for key in ("name", "status", "since", "output")} for check in checks],
        "slow": changes.worst(facts.slower, _MOST),
        "errors": _errors(store, query),
        "warming": not (is_warm and lately_warm),
    }


def _said(facts: Facts, *, is_known: bool) -> dict[str, Any]:
    """Return the sentence; that nothing is wrong only when everything is known."""
    said = sentence(facts)
    if said["level"] == "ok" and not is_known:
        return {**said, "text": "The figures are still being read."}
    return said


def _over_time(store: Store, query: Query, checks: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], bool]:
    """Return ``times`` and ``tiles``, and whether all of it was read."""
    with application.course(store, query) as used:
        points = Points(used.window, query.now)
        requests = points.of(application.REQUESTS)
        shares = [None] * len(points.times) if requests is None else points.shares(requests.errors, requests.calls)
        tiles = [
            _tile("request_rate", "Requests", "/s", points.rates(None if requests is None else requests.calls)),
            _tile("error_rate", "Failed requests", "%", shares),
            _tile("p95", "p95 of requests", "ms", points.percentiles(requests)["p95"]),
            {**system.gauge(points, "cpu_percent"), "key": "cpu"},
            {**system.gauge(points, "memory_percent"), "key": "memory"},
            _health(points, checks),
        ]
        return {"times": points.times, "tiles": tiles, STEP: used.window.step}, used.window.is_warm


def _tile(key: str, label: str, unit: str, points: Sequence[float | None]) -> dict[str, Any]:
    return {"key": key, "label": label, "unit": unit, "last": last_of(points), "points": points}


def _health(points: Points, checks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the tile of how many checks fail; its last figure is of now."""
    known = [points.failing(name) for name in points.names(application.check_group(""))]
    together = [
        sum(failing for failing in of_step if failing is not None) if any(f is not None for f in of_step) else None
        for of_step in (zip(*known, strict=True) if known else ([None] for _ in points.times))
    ]
    told = [check["status"] for check in checks if check["status"] != "unknown"]
    last = sum(status != "healthy" for status in told) if told else None
    return {**_tile("health", "Failing checks", "checks", together), "last": last}


def _lately(store: Store, query: Query) -> tuple[dict[str, Any], bool]:
    """Return facts of the last ten minutes against the hours before, and whether all of it was read."""
    of_now = Range.latest(changes.LATELY, query.now, _LATELY)
    of_day = Range.latest(RANGES["24h"], query.now, "24h")
    with store.totals(query, of_now) as lately, store.totals(query, of_day) as day:
        if not (lately.window.is_warm and day.window.is_warm):
            return {}, False
        compared = lately.window, day.window, day.series
        failing = changes.failing(*compared)
        # Where there was nothing before, the first minutes are not spread over ten.
        earliest = min((each.first for each in day.window.series.values()), default=0) / SECOND
        seconds = max(1.0, query.now - max(of_now.start, earliest))
        return {
            "failing": failing,
            "slower": changes.slower(*compared),
            "requests": failing.calls / seconds if failing.calls else None,
            "p95": changes.p95_of_requests(lately.window, day.series),
        }, True


def _losses(store: Store, books: Sequence[Told], now: float) -> dict[str, Any]:
    """Return facts of the delivery of living processes."""
    lost: Counter[str] = Counter()
    names: dict[str, str] = {}
    behind: list[tuple[str, int, float]] = []
    for told in books:
        for place, each in enumerate(delivery.books(told) if told.is_alive else ()):
            queue = f"{told.owner} {place} {told.body.get('started')}"
            names[queue] = each["name"]
            lost[queue] = sum(sum(each[reasons].values()) for reasons in delivery.REASONS)
            if delivery.is_behind(each):
                behind.append((each["name"], each["pending"], each["oldest_age"]))
    new: Counter[str] = Counter()
    for queue, number in store.losses.lately(now, lost).items():
        new[names[queue]] += number
    return {"lost": dict(new), "behind": behind[:_MOST], "lost_before": lost.total() - new.total()}


def _silent(told: Sequence[Told], now: float) -> float | None:
    """Return for how many seconds no process has told of itself; None when one does, or none ever did."""
    if not told or any(each.is_alive for each in told):
        return None
    return now - max(each.updated for each in told)


def _errors(store: Store, query: Query) -> list[dict[str, Any]]:
    with store.totals(query) as used:
        groups = groups_in(used.window, used.series, query.now).values()
    most = sorted(groups, key=lambda group: (-group["count"], group["id"]))[:_MOST]
    return [{key: group[key] for key in ("id", "type", "place", "count", "last")} for group in most]
