"""What the dashboard's data costs: every page over every range, on a large database, while two processes write to it.

Run as ``python -m tests.bench.dashboard [--rows N | --store FILE] [--rate N] [--rounds N]``. A store that is named is
copied first. Pages are asked for in turns, as by several people who watch, each no sooner than its last answer has
expired; the time is that of the answer and its JSON. What the first answer took, and how long until it was whole,
stands beside it. A figure includes whatever else the machine does, so the processor's time stands beside it, too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench import large_store
from tests.bench.measure import Table
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.types import Metric
from time_execution.web.dashboard.data import PAGES, Query, Store

GOAL = 0.100
RANGES = ("5m", "1h", "24h", "7d")
WRITERS = 2
BATCH = 500
_LONGEST_WAIT = 60.0
# An answer is given again for a second.
_LEAST_INTERVAL = 1.2
# Hours follow minutes by ten of these.
_FILLED = 1_200
_MOST_TURNS = 50


class Question(NamedTuple):
    """A page with its parameters."""

    page: str
    range: str
    parameters: dict[str, str]


class Answered(NamedTuple):
    """How long an answer took, all in all and of this thread's processor time, and whether all of it was known."""

    seconds: float
    cpu: float
    is_whole: bool
    length: int


def questions(path: Path) -> list[Question]:
    """Return every page over every range; the function and the route are those that are called most."""
    name, route = _busiest(path, "family IS NULL AND kind = 'timing'"), _busiest(path, "family LIKE 'http.%'")
    labels = json.loads(route[1])
    own = {
        "function": {"name": name[0]},
        "request": {"method": labels["method"], "route": labels["route"]},
    }
    pages = [page for page in PAGES if page != "logs"]
    return [Question(page, label, own.get(page, {})) for label in RANGES for page in pages]


def _busiest(path: Path, condition: str) -> tuple[str, str]:
    query = f"""SELECT name, labels FROM names JOIN rollup ON name_id = names.id AND width = 86400
    WHERE {condition} GROUP BY names.id ORDER BY sum(calls) DESC LIMIT 1"""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchone()


def ask(store: Store, question: Question) -> Answered:
    """Ask for a page as the web server does, and encode what comes."""
    started, cpu = time.perf_counter(), time.thread_time()
    answer = PAGES[question.page](store, Query.parse({"range": question.range, **question.parameters}))
    text = json.dumps(answer, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    seconds, cpu = time.perf_counter() - started, time.thread_time() - cpu
    return Answered(seconds, cpu, not answer.get("warming"), len(text))


def write(path: Path, number: int, rate: int, stop: Any, longest: Any) -> None:
    """Store so many metrics a second until told to stop; keep the longest time that a batch took."""
    traffic = large_store.Traffic(functions=1000, routes=60, seed=100 + number)
    made = [metric for metric in traffic.minute(0, 20_000) if "service" not in metric]
    began, stored = time.monotonic(), 0
    with SQLiteBackend(path, retention=None, minute_retention=None, hour_retention=None) as backend:
        while not stop.is_set():
            start = stored % (len(made) - BATCH)
            now = time.time_ns()
            batch = [metric.copy() for metric in made[start : start + BATCH]]
            for metric in batch:
                metric["timestamp"] = now
            before = time.perf_counter()
            backend.write_many(batch)
            longest.value = max(longest.value, time.perf_counter() - before)
            stored += BATCH
            stop.wait(max(0.0, began + stored / rate - time.monotonic()))


def settle(path: Path) -> None:
    """Let hours and days be filled, which they are not where a week was stored within minutes."""
    levels = "SELECT max(start) - (SELECT filled_until FROM levels WHERE width = 3600) FROM rollup WHERE width = 60"
    options: dict[str, Any] = {"retention": None, "minute_retention": None, "hour_retention": None}
    with SQLiteBackend(path, rollup_rows=1 << 20, rollup_interval=0.0, **options) as backend:
        for _ in range(_MOST_TURNS):
            backend.write_many([Metric({"name": "settled", "value": 1.0, "timestamp": time.time_ns()})])
            with closing(sqlite3.connect(path)) as connection:
                if connection.execute(levels).fetchone()[0] <= _FILLED:
                    return


@contextmanager
def writers(path: Path, rate: int) -> Iterator[Any]:
    """Let two processes write for as long as the block lasts; yields what holds the longest time of a batch."""
    context = multiprocessing.get_context("spawn")
    stop, longest = context.Event(), context.Value("d", 0.0)
    processes = [
        context.Process(target=write, args=(path, number, rate // WRITERS, stop, longest)) for number in range(WRITERS)
    ]
    for process in processes:
        process.start()
    try:
        yield longest
    finally:
        stop.set()
        for process in processes:
            process.join()


def until_whole(store: Store, question: Question) -> tuple[float, float]:
    """Return how long the first answer takes, and when there is one that is whole, in seconds from the beginning."""
    began = time.perf_counter()
    first = ask(store, question)
    answer = first
    while not answer.is_whole and time.perf_counter() - began < _LONGEST_WAIT:
        time.sleep(0.05)
        store.answers.after_fork()
        answer = ask(store, question)
    return first.seconds, time.perf_counter() - began


def measured(store: Store, path: Path, asked: Sequence[Question], rounds: int) -> tuple[dict[str, Any], int]:
    """Return page -> its answers, and how long the write-ahead log was at most, in bytes."""
    found: defaultdict[str, list[Answered]] = defaultdict(list)
    log = Path(f"{path}-wal")
    longest = 0
    for _ in range(rounds):
        began = time.monotonic()
        for question in asked:
            found[question.page].append(ask(store, question))
            longest = max(longest, log.stat().st_size if log.exists() else 0)
            time.sleep(_LEAST_INTERVAL / len(asked))
        time.sleep(max(0.0, began + _LEAST_INTERVAL - time.monotonic()))
    return dict(found), longest


def dashboard_table(
    folder: Path, rows: int, *, rounds: int = 10, rate: int = 4_000, store: Path | None = None
) -> Table:
    """Measure all pages on a database of so many rows, or on a copy of another one; the last line is of the writers."""
    path = folder / "dashboard.db"
    if store is None:
        large_store.build(path, rows)
    else:
        shutil.copy(store, path)
    settle(path)
    answers, first, log, waited = _watched(path, rate=rate, rounds=rounds)
    head = ("p50, ms", "p95, ms", "most, ms", "p95 of CPU, ms", "first, ms", "whole after, s", "JSON, KB")
    table = Table("dashboard", "Page, all ranges", *head)
    for page, each in answers.items():
        seconds = sorted(answer.seconds for answer in each)
        cpu = sorted(answer.cpu for answer in each)
        begun, whole = (max(times) for times in zip(*first[page], strict=True))
        figures = (statistics.median(seconds), _p95(seconds), seconds[-1], _p95(cpu), begun)
        cells = [f"{number * 1e3:.0f}" for number in figures]
        table.add(page, *cells, f"{whole:.1f}", f"{max(answer.length for answer in each) / 1e3:.0f}")
    table.add(
        f"storing {BATCH}, {WRITERS} processes", "", "", f"{waited * 1e3:.0f}", "", "", "", f"log: {log / 1e3:,.0f}"
    )
    return table


def _watched(path: Path, *, rate: int, rounds: int) -> tuple[dict[str, Any], dict[str, Any], int, float]:
    """Return page -> answers, page -> its first answers, the longest the log was, and the longest a batch took."""
    store = Store(path)
    with writers(path, rate) as longest_write:
        time.sleep(2.0)
        asked = questions(path)
        first: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for question in asked:
            first[question.page].append(until_whole(store, question))
        answers, log = measured(store, path, asked, rounds)
        waited = longest_write.value
    store.close()
    return answers, dict(first), log, waited


def _p95(ascending: Sequence[float]) -> float:
    return ascending[min(len(ascending) - 1, int(0.95 * len(ascending)))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="metrics in the database")
    parser.add_argument("--store", type=Path, help="a database to copy instead of making one")
    parser.add_argument("--rate", type=int, default=4_000, help="metrics a second, of both writers together")
    parser.add_argument("--rounds", type=int, default=10, help="how often each page is asked for each range")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = dashboard_table(
            Path(folder), options.rows, rounds=options.rounds, rate=options.rate, store=options.store
        )
    print(table.render())
    print(f"Goal: p95 within {GOAL * 1e3:.0f} ms, while {options.rate:,} metrics a second are stored.")


if __name__ == "__main__":
    main()
