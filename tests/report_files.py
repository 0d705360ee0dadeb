"""Files as `Timer`, `ErrorCatcher` and backends write them, made by hand so that tests know every byte."""

from __future__ import annotations

import csv
import gzip
import json
import tempfile
from datetime import datetime, timedelta, timezone

import pytest

from time_execution import report

NOON = datetime(2024, 5, 1, 12, 0, tzinfo=timezone.utc)
TIMING = (
    *("call_id", "function", "started", "ended", "wall_ms"),
    *("cpu_ms", "memory_change_bytes", "rss_bytes", "arguments", "outcome"),
)


@pytest.fixture(name="temporary", autouse=True)
def temporary_fixture(tmp_path_factory, monkeypatch):
    """Let temporary files go to a folder of the test's, which must be empty at the end."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def text_of(moment):
    """Return a moment as files have it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def timing(number=0, wall=2.0, *, name="shop.save", **changes):
    """Return a record of `Timer`."""
    ended = NOON + timedelta(seconds=number)
    record = {
        "call_id": f"id-{number}",
        "function": name,
        "started": text_of(ended - timedelta(milliseconds=wall)),
        "ended": text_of(ended),
        "wall_ms": wall,
        "cpu_ms": wall / 2,
        "memory_change_bytes": 4096,
        "rss_bytes": 50_000_000 + number,
        "arguments": f"order={number}",
        "outcome": "ok",
    }
    assert tuple(record) == TIMING
    return record | changes


def failure(number=0, *, name="shop.save", **changes):
    """Return a record of `ErrorCatcher`."""
    return {
        "call_id": f"id-{number}",
        "function": name,
        "time": text_of(NOON + timedelta(seconds=number)),
        "type": "ValueError",
        "message": f"no order {number}",
        "traceback": "Traceback (most recent call last):\n  ...\nValueError: no order\n",
        "arguments": f"order={number}",
    } | changes


def document(number=0, value=2.0, *, name="shop.save", **fields):
    """Return a metric as `JSONLinesBackend` writes it."""
    moment = text_of(NOON + timedelta(seconds=number))
    return {"name": name, "value": value, "hostname": "web1", "timestamp": moment, **fields}


def lines(path, *records):
    """Write JSON lines, compressed where the name says so; text is written as it is."""
    text = "".join(each if isinstance(each, str) else json.dumps(each) + "\n" for each in records)
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8", newline="") as file:
        file.write(text)
    return path


def table(path, *records, columns=TIMING):
    """Write CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([[record.get(column) for column in columns] for record in records])
    return path


def told(*paths, **options):
    """Return what a report of files says: ``{name: (calls, errors, total)}``."""
    with report.opened(*paths, **options) as found:
        return {row.name: (row.calls, row.errors, row.total) for row in report.read(found.database)}
