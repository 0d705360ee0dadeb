"""Builds a large metrics database, as a busy application with several processes leaves one, through `SQLiteBackend`.

Run as ``python -m tests.bench.large_store PATH [--rows N]``. Seven tenths of the rows are from the last 24 hours, the
others from the six days before, in the order of time, with a wave a day: calls of 1 000 functions, a few of which are
called most, requests of 60 routes with three statuses each, errors with their events, and each minute the gauges of the
system and the checks of services. The same seed and end make the same rows.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from time_execution.backends.sqlite import SQLiteBackend
from time_execution.types import Metric

BATCH = 2_000
MINUTE = 60_000_000_000
DAYS = 7
RECENT_SHARE = 0.7
HOSTS = ("web-1.example", "web-2.example", "worker-1.example")
REQUEST = "http.server.request.duration"
REQUEST_LABELS = ("method", "route", "status_code")
STATUSES = {200: 0.96, 404: 0.03, 500: 0.01}
ERRORS = ("ValueError", "TimeoutError", "KeyError", "sqlalchemy.exc.OperationalError", "shop.errors.PaymentRefused")
SERVICES = ("database", "redis", "payments", "search")
GAUGES = {"cpu_percent": "%", "memory_percent": "%", "disk_percent": "%", "open_files": None, "load_1m": None}
REQUEST_SHARE = 0.25
FAILURE_SHARE = 0.004


class Source:
    """One function or one route with a status: what its metrics have in common.

    Args:
        fields: The fields that all of them have.
        labels: The names of those that are labels.
        median: Milliseconds.
        failures: The share of calls that fail.
    """

    def __init__(self, fields: dict[str, Any], labels: tuple[str, ...], *, median: float, failures: float) -> None:
        self.fields = fields
        self.labels = labels
        self.median = median
        self.failures = failures


class Traffic:
    """Makes the metrics of one minute after the other.

    Args:
        functions: How many functions there are.
        routes: How many routes.
        seed: Decides everything.
    """

    def __init__(self, *, functions: int, routes: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._spread = [self._random.lognormvariate(0, 0.8) for _ in range(8192)]
        sources = [(self._function(number), 1 / (number + 3)) for number in range(functions)]
        total = sum(weight for _, weight in sources) or 1.0
        share = REQUEST_SHARE / (1 - REQUEST_SHARE) * total / sum(1 / (number + 2) for number in range(routes))
        sources += [
            (self._route(number, status), share / (number + 2) * part)
            for number in range(routes)
            for status, part in STATUSES.items()
        ]
        self._sources = [source for source, _ in sources]
        self._weights = list(accumulate(weight for _, weight in sources))
        self._places = [f"shop.services.module_{number % 12}.save:{40 + number}" for number in range(25)]
        self._count = 0

    def _function(self, number: int) -> Source:
        fields = {"name": f"shop.services.module_{number % 12}.Service{number % 40}.function_{number}"}
        if number % 5 == 0:
            fields["origin"] = "shop"
        median = self._random.lognormvariate(0.5, 1.8)
        return Source(fields, (), median=median, failures=FAILURE_SHARE if number % 9 == 0 else 0.0)

    def _route(self, number: int, status: int) -> Source:
        method = ("GET", "GET", "GET", "POST", "PUT")[number % 5]
        fields = {"name": REQUEST, "method": method, "route": f"/api/v1/part_{number}/<int:id>", "status_code": status}
        median = self._random.lognormvariate(3, 1) * (0.2 if status != 200 else 1.0)
        return Source(fields, REQUEST_LABELS, median=median, failures=float(status >= 500))

    def minute(self, start: int, rows: int) -> Iterator[Metric]:
        """Give the metrics of a minute, in the order of time; so many, besides those that each minute has.

        Args:
            start: When it begins, in nanoseconds since the epoch.
            rows: How many calls and requests, with the events of those that fail.
        """
        yield from self._levels(start)
        chance, spread = self._random.random, self._spread
        step = MINUTE // max(1, rows)
        for place, source in enumerate(self._random.choices(self._sources, cum_weights=self._weights, k=rows)):
            moment = start + place * step
            self._count = number = self._count + 1
            metric = Metric(
                {
                    **source.fields,
                    "value": source.median * spread[int(chance() * 8192)],
                    "hostname": HOSTS[number % 3],
                    "timestamp": moment,
                }
            )
            if source.labels:
                metric.labels = source.labels
                metric["request_id"] = f"{number:016x}"
            if source.failures and chance() < source.failures:
                yield self._fail(metric, source)
            yield metric

    def _fail(self, metric: Metric, source: Source) -> Metric:
        """Let a metric tell of a failure; returns the event that goes with it."""
        place = int(self._random.random() ** 2 * len(self._places))
        kind = ERRORS[place % len(ERRORS)]
        metric["error_type"] = kind
        fields = {
            "name": "error",
            "type": kind,
            "place": self._places[place],
            "error_type": kind,
            "message": f"item {self._random.randrange(10_000)} could not be saved",
            "traceback": f'Traceback:\n  File "shop.py", line {40 + place}, in save\n{kind}',
            "function": source.fields["name"],
            "level": "ERROR",
            "logger": "shop",
            "hostname": metric["hostname"],
            "timestamp": metric["timestamp"],
        }
        fields |= {field: metric[field] for field in ("route", "method", "request_id") if field in metric}
        return Metric(fields, kind="event", labels=("type", "place"))

    def _levels(self, start: int) -> Iterator[Metric]:
        """Give what each process tells of the system and of services each minute."""
        for place, hostname in enumerate(HOSTS):
            core = {"hostname": hostname, "timestamp": start + place}
            for name, unit in GAUGES.items():
                wave = 40 + 25 * math.sin(start / MINUTE / 120 + place) + 5 * self._random.random()
                yield Metric({"name": f"system.{name}", "value": round(wave, 2), **core}, kind="gauge", unit=unit)
            for service in SERVICES:
                failed = service == "search" and start // (90 * MINUTE) % 11 == 0
                fields: dict[str, Any] = {
                    "name": "health.check",
                    "service": service,
                    "status": "unhealthy" if failed else "healthy",
                }
                fields |= {"value": 1.5 + 3 * self._random.random(), "output": "refused" if failed else "", **core}
                if failed:
                    fields["error_type"] = "ConnectionRefusedError"
                yield Metric(fields, kind="gauge", unit="ms", labels=("service",))


def shares(end: int, days: int) -> list[tuple[int, float]]:
    """Return each minute's beginning with its share of all rows: most in the last day, more by day than by night."""
    minutes = days * 1440
    first = end // MINUTE * MINUTE - (minutes - 1) * MINUTE
    found = []
    for number in range(minutes):
        start = first + number * MINUTE
        is_recent = number >= minutes - 1440
        level = RECENT_SHARE if is_recent else (1 - RECENT_SHARE) / (days - 1)
        found.append((start, level * (1 + 0.6 * math.sin(start / MINUTE / 1440 * math.tau))))
    total = sum(share for _, share in found)
    return [(start, share / total) for start, share in found]


def states(backend: SQLiteBackend) -> None:
    """Store the latest words of the processes."""
    stats: dict[str, Any] = {
        "offered": 10_000,
        "accepted": 9_990,
        "delivered": 9_900,
        "retried": 2,
        "pending": 90,
        "in_flight": 0,
    }
    stats |= {"spooled": 0, "dead_letters": 1, "rejected": {}, "dropped": {"full": 10}, "worker_restarts": 0}
    checks = {service: {"status": "healthy", "duration_ms": 2.0, "critical": True} for service in SERVICES}
    for number, hostname in enumerate(HOSTS):
        owner = f"{hostname}:{4000 + number}"
        who = {"hostname": hostname, "pid": 4000 + number, "app": "shop", "started": time.time() - 3600.0}
        backend.put_state("delivery", owner, {**who, "backends": [{"name": "SQLiteBackend", **stats}]})
        backend.put_state("health", owner, {"status": "healthy", "checks": checks})
        backend.put_state("process", owner, {"versions": {"python": "3.12"}, "uptime": 3600.0, **who})


def build(
    path: Path, rows: int, *, functions: int = 1000, routes: int = 60, days: int = DAYS, seed: int = 7, end: int = 0
) -> int:
    """Make the database; returns how many metrics it holds, some more than were asked for.

    Args:
        path: Where no file is yet.
        rows: Calls and requests.
        functions: How many functions.
        routes: How many routes.
        days: Of how many days, the last of which is the busiest.
        seed: Decides everything but the moments.
        end: The last minute, in nanoseconds since the epoch; 0 for now.
    """
    traffic = Traffic(functions=functions, routes=routes, seed=seed)
    stored, owed = 0, 0.0
    batch: list[Metric] = []
    with SQLiteBackend(path, retention=None, minute_retention=None, hour_retention=None) as backend:
        for start, share in shares(end or time.time_ns(), days):
            owed += rows * share
            count = int(owed + 1e-6)  # or the last row may be lost to what sums of floats are off by
            owed -= count
            batch.extend(traffic.minute(start, count))
            while len(batch) >= BATCH:
                backend.write_many(batch[:BATCH])
                del batch[:BATCH]
                stored += BATCH
        backend.write_many(batch)
        states(backend)
    return stored + len(batch)


def main() -> None:
    """Build it, and say what was built."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--functions", type=int, default=1_000)
    parser.add_argument("--routes", type=int, default=60)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    if options.path.exists():
        parser.error(f"{options.path} is there already")
    began = time.perf_counter()
    sizes = {name: getattr(options, name) for name in ("functions", "routes", "days", "seed")}
    rows = build(options.path, options.rows, **sizes)
    took = time.perf_counter() - began
    print(f"{rows:,} metrics, {options.path.stat().st_size / 1e6:,.0f} MB, {took:.0f} s")


if __name__ == "__main__":
    main()
