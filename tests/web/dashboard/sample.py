"""A small database as an application would leave it, and its log: for tests of the dashboard, and to look at.

A shop with three workers. In its last ten minutes `/checkout` takes three times as long as before, the mail server does
not answer, the search is slow, and one worker had to drop metrics. Everything is the same each time, but for the
moment at which it ends.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from tests.web.dashboard.stored import put
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.types import Metric

DAY, HOUR, MINUTE, SECOND = 86_400, 3_600, 60, 1_000_000_000
HOSTS = ("web-1", "web-2")
LOG_NAME = "shop_structured.json"
TROUBLE = 10 * MINUTE
"""How long before the end the trouble began."""


class Route(NamedTuple):
    """A route: how often it is asked for in a minute, how long it takes, how often it fails."""

    method: str
    route: str
    rate: float
    median: float
    failing: float = 0.0


ROUTES = (
    Route("GET", "/", 12, 18),
    Route("GET", "/products", 8, 35),
    Route("GET", "/products/<int:id>", 10, 22),
    Route("GET", "/search", 5, 140, 0.01),
    Route("POST", "/cart", 3, 40),
    Route("DELETE", "/cart/<int:id>", 0.6, 25),
    Route("POST", "/checkout", 8, 180, 0.03),
    Route("GET", "/orders/<uuid:id>", 1.5, 60),
    Route("POST", "/login", 1, 220, 0.002),
    Route("GET", "/account", 1, 45),
    Route("PUT", "/account/address", 0.2, 70, 0.05),
    Route("GET", "(unmatched)", 0.5, 2),
)

MODULES = ("catalogue", "pricing", "checkout", "search", "mail", "storage")
VERBS = ("load", "save", "validate", "render", "refresh")
FUNCTIONS = tuple(f"shop.{module}.{verb}_{module}" for module in MODULES for verb in VERBS)
"""The thirty functions; those of a module that come later are called by those before."""

ERRORS = (
    ("PaymentDeclined", "shop.checkout.validate_checkout", "The card was declined by the bank", "POST", "/checkout"),
    ("TimeoutError", "shop.search.load_search", "The search index did not answer within 2 s", "GET", "/search"),
    ("ValueError", "shop.pricing.save_pricing", "Not a price: '12,5o'", "PUT", "/account/address"),
    ("ConnectionRefusedError", "shop.mail.save_mail", "[Errno 111] Connection refused", "POST", "/checkout"),
)
CHECKS = {"database": "database", "redis": "redis", "search": "http", "mail": "tcp", "disk": "callable"}
GAUGES = {
    "system.cpu_percent": ("%", 35.0, 20.0),
    "system.memory_percent": ("%", 62.0, 4.0),
    "system.disk_percent": ("%", 71.0, 0.5),
    "system.open_files": (None, 240.0, 30.0),
    "system.network_connections": (None, 85.0, 25.0),
    "system.load_1m": (None, 1.4, 0.8),
    "system.load_5m": (None, 1.2, 0.5),
    "system.load_15m": (None, 1.1, 0.3),
}


def build(path: str | Path, *, logs: str | Path | None = None, now: float | None = None, hours: float = 26.0) -> Path:
    """Make a database of some 45 000 metrics, and a log; takes a second or two.

    Args:
        path: The database to make.
        logs: The folder to put the log into; None for no log.
        now: The moment at which all of it ends, in seconds since the epoch; by default the present one.
        hours: How far back it reaches; long ago there is less of it.

    Returns:
        The path of the database.
    """
    path, now = Path(path), time.time() if now is None else now
    dice = random.Random(7)
    made = sorted(_metrics(dice, now, now - hours * HOUR), key=lambda metric: metric["timestamp"])
    with SQLiteBackend(path, rollup_rows=8192) as backend:
        for start in range(0, len(made), 1000):
            backend.write_many(made[start : start + 1000])
    for topic, owner, body in _states(now):
        put(path, topic, owner, body, now=now)
    if logs is not None:
        write_log(Path(logs) / LOG_NAME, now=now)
    return path


def write_log(path: Path, *, now: float, lines: int = 600) -> Path:
    """Make a structured log as the package writes it, two seconds between lines, the last one at `now`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dice = random.Random(11)
    with path.open("w", encoding="utf-8") as file:
        for number in range(lines):
            record = _record(dice, now - 2.0 * (lines - 1 - number), number)
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return path


def _metrics(dice: random.Random, now: float, start: float) -> Iterator[Metric]:
    yield from _functions(dice, now, start)
    yield from _requests(dice, now, start)
    yield from _errors(dice, now, start)
    yield from _samples(dice, now, start)
    yield from _health(dice, now, start)
    yield from _alerts(now)


def _moments(dice: random.Random, now: float, start: float, rate: float) -> Iterator[float]:
    """Give moments, so many a minute in the last hour, a tenth of it before, fewer in the half of a day before."""
    moment = start
    while True:
        recent = 1.0 if moment > now - HOUR else 0.1
        daily = 1.1 + 0.9 * math.sin((moment - now) / DAY * 2 * math.pi)
        moment += dice.expovariate(max(rate * recent * daily, 0.01)) * MINUTE
        if moment >= now:
            return
        yield moment


def _core(name: str, moment: float, value: float | None, dice: random.Random, **fields: Any) -> dict[str, Any]:
    core = {"name": name, "value": value, "hostname": dice.choice(HOSTS), "timestamp": int(moment * SECOND)}
    return {key: each for key, each in core.items() if each is not None} | fields


def _functions(dice: random.Random, now: float, start: float) -> Iterator[Metric]:
    for number, name in enumerate(FUNCTIONS):
        median = 0.05 * 1.35**number
        caller = FUNCTIONS[number - 1] if number % len(VERBS) else None
        for moment in _moments(dice, now, start, 3.0):
            fields: dict[str, Any] = {"root": caller or name, "depth": int(caller is not None)}
            if caller is not None:
                fields["parent"] = caller
            if dice.random() < 0.004:
                fields |= {"error_type": "ValueError", "message": "not a number"}
            yield Metric(_core(name, moment, dice.lognormvariate(math.log(median), 0.6), dice, **fields))


def _requests(dice: random.Random, now: float, start: float) -> Iterator[Metric]:
    for each in ROUTES:
        for moment in _moments(dice, now, start, each.rate):
            slower = 3.0 if each.route == "/checkout" and moment > now - TROUBLE else 1.0
            value = dice.lognormvariate(math.log(each.median * slower), 0.5)
            status = _status(dice, each)
            fields = {"method": each.method, "route": each.route, "status_code": status, "request_id": _request(dice)}
            if status >= 500:
                fields["error_type"] = "TimeoutError"
            core = _core("http.server.request.duration", moment, value, dice, **fields)
            yield Metric(core, labels=("method", "route", "status_code"))


def _status(dice: random.Random, route: Route) -> int:
    if route.route == "(unmatched)":
        return 404
    if dice.random() < route.failing:
        return 500
    if route.route == "/login" and dice.random() < 0.1:
        return 401
    return 302 if route.method == "POST" else 200


def _request(dice: random.Random) -> str:
    return f"{dice.getrandbits(64):016x}"


def _errors(dice: random.Random, now: float, start: float) -> Iterator[Metric]:
    for kind, place, message, method, route in ERRORS:
        traceback = (
            "Traceback (most recent call last):\n"
            f'  File "/srv/shop/{place.split(".")[1]}.py", line 42, in {place.rpartition(".")[2]}\n'
            f"    answer = connection.ask(request)\n{kind}: {message}\n"
        )
        for moment in _moments(dice, now, start, 0.08):
            fields = {"type": kind, "place": place, "message": message, "traceback": traceback, "error_type": kind}
            fields |= {"function": place.rpartition(".")[2], "method": method, "route": route, "level": "ERROR"}
            fields |= {"logger": "shop", "request_id": _request(dice)}
            yield Metric(_core("error", moment, None, dice, **fields), kind="event", labels=("type", "place"))


def _samples(dice: random.Random, now: float, start: float) -> Iterator[Metric]:
    for name, (unit, level, spread) in GAUGES.items():
        value = level
        for moment in _every(now, start, MINUTE):
            value += 0.3 * (level - value) + dice.uniform(-0.4, 0.4) * spread
            fields = _core(name, moment, round(max(0.0, value), 1), dice)
            yield Metric(fields, kind="gauge", unit=unit)


def _health(dice: random.Random, now: float, start: float) -> Iterator[Metric]:
    for service in CHECKS:
        for moment in _every(now, start, 2 * MINUTE):
            status = _health_status(service, moment, now)
            fields = {"service": service, "status": status, "output": _output(service, status)}
            if status == "unhealthy":
                fields["error_type"] = "ConnectionRefusedError"
            taken = 2100.0 if service == "search" and status == "degraded" else dice.uniform(1.0, 9.0)
            core = _core("health.check", moment, taken, dice, **fields)
            yield Metric(core, kind="gauge", unit="ms", labels=("service",))


def _health_status(service: str, moment: float, now: float) -> str:
    if service == "mail" and moment > now - TROUBLE:
        return "unhealthy"
    return "degraded" if service == "search" and moment > now - TROUBLE / 2 else "healthy"


def _output(service: str, status: str) -> str:
    return {"healthy": "", "degraded": "answers after 2.1 s", "unhealthy": f"{service}:25 refused the connection"}[
        status
    ]


def _alerts(now: float) -> Iterator[Metric]:
    told = (
        ("cpu_percent", "warning", "firing", now - 3 * HOUR, 86.0, 80.0),
        ("cpu_percent", "warning", "resolved", now - 2 * HOUR, 64.0, 80.0),
        ("request_p95", "warning", "firing", now - 5 * MINUTE, 640.0, 500.0),
    )
    for metric, level, state, moment, observed, threshold in told:
        fields = {"metric": metric, "level": level, "state": state, "observed": observed, "threshold": threshold}
        fields |= {"name": "alert", "timestamp": int(moment * SECOND), "hostname": HOSTS[0]}
        fields["message"] = f"{metric} is {'above' if state == 'firing' else 'below'} {threshold:g}"
        yield Metric(fields, kind="event", labels=("metric", "level", "state"))


def _every(now: float, start: float, seconds: float) -> Iterator[float]:
    return (now - 1.0 - number * seconds for number in range(int((now - start) / seconds)))


def _states(now: float) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for number, host in enumerate((*HOSTS, HOSTS[0])):
        owner = f"{host}:{4100 + number}"
        started = now - DAY + 60 * number
        common = {"hostname": host, "pid": 4100 + number, "app": "shop", "started": started}
        yield "delivery", owner, {**common, "backends": [_books(number), _books(number, "ElasticsearchBackend")]}
        yield "health", owner, _report(now)
        versions = {"python": "3.11.4", "time_execution": "10.0.0", "flask": "3.1.0"}
        yield "process", owner, {**common, "versions": versions, "uptime": now - started}


def _books(number: int, name: str = "SQLiteBackend") -> dict[str, Any]:
    delivered = 240_000 + 1000 * number
    in_trouble = number == 1 and name != "SQLiteBackend"
    dropped = {"queue_full": 1240} if in_trouble else {}
    pending = 9_800 if in_trouble else 12 * number
    accepted = delivered + sum(dropped.values()) + pending
    return {
        "name": name,
        "offered": accepted + (3 if in_trouble else 0),
        "accepted": accepted,
        "delivered": delivered,
        "retried": 4_000 if in_trouble else 0,
        "pending": pending,
        "in_flight": 500 if in_trouble else 0,
        "spooled": 0,
        "dead_letters": 7 if in_trouble else 0,
        "rejected": {"after_close": 3} if in_trouble else {},
        "dropped": dropped,
        "oldest_age": 312.5 if in_trouble else 0.4,
        "last_error": "BackendUnavailable: Connection refused" if in_trouble else None,
        "worker_restarts": 0,
    }


def _report(now: float) -> dict[str, Any]:
    checks = {}
    for name, kind in CHECKS.items():
        status = _health_status(name, now, now)
        since = now - {"mail": TROUBLE, "search": TROUBLE / 2}.get(name, DAY)
        checks[name] = {
            "status": status,
            "since": _iso(since),
            "time": _iso(now - 20),
            "duration_ms": 2100.0 if status == "degraded" else 4.2,
            "failures": 5 if status == "unhealthy" else 0,
            "output": _output(name, status),
            "critical": name != "mail",
            "type": kind,
        }
    return {"status": "degraded", "time": _iso(now - 20), "checks": checks}


def _iso(moment: float) -> str:
    text = datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _record(dice: random.Random, moment: float, number: int) -> dict[str, Any]:
    kind, place, message, _, _ = dice.choice(ERRORS)
    level = dice.choices(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), (10, 70, 12, 7, 1))[0]
    record: dict[str, Any] = {"timestamp": _iso(moment), "level": level, "logger": "shop"}
    record["message"] = message if level in {"ERROR", "CRITICAL"} else f"Order {1000 + number} was looked at"
    record |= {"module": place.split(".")[1], "function": place.rpartition(".")[2], "line": 42}
    record |= {"process_id": 4100, "thread_id": 140_000, "environment": "production"}
    if level == "ERROR":
        frames = ["Traceback (most recent call last):", '  File "/srv/shop/search.py", line 42, in load_search']
        record["exception"] = {"type": kind, "message": message, "traceback": [*frames, f"{kind}: {message}"]}
    record |= {"request_id": _request(dice), "user_id": str(dice.randrange(1, 500))}
    return record
