"""Files of lines on disks that fill up, and that others rename or remove: case L3."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import threading
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="it is not installed")


from tests.backends.line_files import lines_of, names_in
from tests.faults.children import posix
from tests.faults.disks import fill, small_disk
from tests.faults.harness import check_conservation, quick, wait_for
from time_execution import settings, time_execution
from time_execution.backends.files import CSVBackend, JSONLinesBackend, ParquetBackend, open_rows
from time_execution.delivery.retry import Backoff

pytestmark = posix


@pytest.fixture
def disk(tmp_path):
    """A disk of 256 KiB."""
    with small_disk(tmp_path / "disk") as folder:
        yield folder


@pytest.mark.parametrize("options", [{}, {"max_bytes": 4000}, {"max_bytes": 4000, "gzip_backups": True}])
def test_an_application_goes_on_while_the_disk_is_full(disk, options):
    """Calls return what they return, nothing is doubled, and with room again all that waited is written (L3)."""
    path = disk / "metrics.jsonl"
    files = {"backup_count": 1000} if "max_bytes" in options else {}
    backend = JSONLinesBackend(path, **options, **files)
    delivery = quick(backend, bulk_size=20)
    settings.configure(backends=[delivery])
    calls = itertools.count()

    @time_execution(name="work")
    def work():
        return next(calls)

    assert [work() for _ in range(100)] == list(range(100))
    assert delivery.flush(10)
    filler = fill(disk)
    # A page of the file may have room left, which is used up first.
    while not delivery.stats()["retried"]:
        work()
        delivery.flush(0.02)
    before = lines_of(path)
    assert [work() for _ in range(50)]
    assert not delivery.flush(0.2)
    assert lines_of(path)[: len(before)] == before
    filler.unlink()
    assert delivery.flush(10)
    delivery.close()
    stats = delivery.stats()
    made = next(calls)
    check_conservation(stats, offered=made, pending=0)
    assert stats["delivered"] == made == len([json.loads(line) for line in lines_of(path)])
    assert not stats["dropped"]


def test_what_a_full_disk_costs_is_counted(disk):
    """Who never gets room again loses what came since, to the line, and knows how many (L3)."""
    path = disk / "metrics.csv"
    backend = CSVBackend(path, ["name", "value"])
    delivery = quick(backend, bulk_size=10, queue_maxsize=100, shutdown_timeout=0.2)
    for number in range(50):
        delivery.write(f"before-{number}", value=number)
    assert delivery.flush(10)
    fill(disk)
    numbers = itertools.count()
    while not delivery.stats()["retried"]:  # a page of the file may have room left, which is used up first
        delivery.write(f"after-{next(numbers)}", value=1)
        delivery.flush(0.02)
    for _ in range(1000):
        delivery.write(f"after-{next(numbers)}", value=1)
    delivery.close(0.2)
    stats, offered = delivery.stats(), 50 + next(numbers)
    check_conservation(stats, offered=offered, pending=0)
    written = path.read_text().splitlines()[1:]
    assert len(written) == stats["delivered"] == len(set(written))
    assert sum(stats["dropped"].values()) == offered - len(written) >= 1000


def test_a_parquet_file_survives_a_full_disk(disk):
    """The journal takes whole batches or none; merging that finds no room leaves all as it was, and is made up (L3)."""
    path = disk / "metrics.parquet"
    backend = ParquetBackend(path)
    stored = []
    for number in range(20):
        backend.bulk_write(
            [{"name": f"{number}-{row}", "value": row, "noise": os.urandom(16).hex()} for row in range(20)]
        )
        stored += [f"{number}-{row}" for row in range(20)]
    assert backend.flush()
    backend.write("waiting", value=1)
    stored.append("waiting")
    filler = fill(disk)
    assert backend.flush() is False
    assert sorted(file.name for file in disk.iterdir()) == ["filler", "metrics.parquet", "metrics.parquet.merging"]
    delivery = quick(backend, bulk_size=10)
    for number in range(50):
        delivery.write(f"late-{number}", value=number)
        stored.append(f"late-{number}")
    assert not delivery.flush(0.2)
    with open_rows(path) as rows:
        counts = Counter(row["name"] for row in rows)
    assert set(counts.values()) == {1}
    assert set(stored[:401]) <= set(counts) <= set(stored)
    filler.unlink()
    assert delivery.flush(10)
    delivery.close()
    assert backend.flush()
    assert backend.stats()["merge_failures"] > 0
    with open_rows(path) as rows:
        assert Counter(row["name"] for row in rows) == Counter(stored)
    assert [file.name for file in disk.iterdir()] == ["metrics.parquet"]


@pytest.mark.parametrize("way", ["rename", "copy and truncate", "remove"])
def test_what_logrotate_does_doubles_nothing(tmp_path, way):
    """Whatever becomes of the file at any moment, each line is in one file; of copies the loss is logrotate's (L3)."""
    path = tmp_path / "logs" / "metrics.jsonl"
    delivery = quick(JSONLinesBackend(path), bulk_size=7)
    done = threading.Event()
    number = 0

    def write():
        nonlocal number
        while not done.is_set():
            delivery.write(f"{number}", value=1)
            number += 1
            if number % 500 == 0:
                assert delivery.flush(10)

    thread = threading.Thread(target=write)
    thread.start()
    kept = []
    for turn in range(60):
        assert wait_for(delivery, lambda: path.exists() and path.stat().st_size)
        if way == "remove":
            path.unlink()
        elif way == "rename":
            kept.append(path.rename(tmp_path / f"old-{turn}"))
        else:
            kept.append(Path(shutil.copy(path, tmp_path / f"old-{turn}")))
            os.truncate(path, 0)
    done.set()
    thread.join(10)
    assert delivery.flush(10)
    delivery.close()
    check_conservation(delivery.stats(), offered=number, pending=0)
    assert delivery.stats()["delivered"] == number
    counts = Counter(name for file in [*kept, path] if file.exists() for name in names_of(file))
    assert set(counts.values()) <= {1}
    if way == "rename":
        assert len(counts) == number


def names_of(file):
    """Return the names in one file; a copy may end amid a line."""
    lines = file.read_bytes().splitlines(keepends=True)
    return [json.loads(line)["name"] for line in lines if line.endswith(b"\n")]


def test_a_clock_that_jumps_turns_nothing_over(tmp_path, monkeypatch):
    """Files turn over by their size alone, so no change of the clock makes a storm of them (L3)."""
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path, max_bytes=10_000)
    for hours in (0, -1, 24, -24, 0):
        with monkeypatch.context() as patched:
            patched.setattr("time.time_ns", lambda hours=hours: (1_790_000_000 + 3600 * hours) * 10**9)
            backend.write("a", value=hours)
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]
    assert len(names_in(path)) == 5


def test_a_delivery_gives_up_on_a_disk_that_stays_full(disk):
    """What has waited for longer than the retries last is dropped and counted, and the application never hears (L3)."""
    backend = JSONLinesBackend(disk / "metrics.jsonl")
    fill(disk)
    delivery = quick(backend, retry=Backoff(base=0.001, cap=0.01, max_age=0.05))
    for number in range(20):
        delivery.write(f"{number}", value=1)
    assert delivery.flush(10)
    delivery.close()
    check_conservation(delivery.stats(), offered=20, pending=0)
    assert sum(delivery.stats()["dropped"].values()) == 20 - len(names_in(disk / "metrics.jsonl"))
