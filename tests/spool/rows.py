"""Rows for the tests of the spool, and what is seen of them in a store and on the disk."""

from __future__ import annotations

import shutil

from time_execution.types import Metric

ROW = 300  # what a metric of these tests weighs at the most, in bytes


def metric(number, **fields):
    return Metric({"name": "pkg.function", "value": 1.5, **fields}, id=f"0123456789abcdef-{number}")


def metrics(*numbers):
    return [metric(number) for number in numbers]


def ids(rows):
    return [int(row.id.partition("-")[2]) for row in rows]


def waiting(store):
    """Return the numbers of all that waits, in order, without taking it out."""
    numbers, after = [], None
    while page := store.peek(7, after=after):
        numbers += ids(row for _, row in page)
        after = page[-1][0]
    return numbers


def files(folder, suffix="*.db"):
    return sorted(folder.glob(suffix))


def abandon(store):
    """Leave a store as a killed process would: its files as they are, its lock free. Needs a copy of the folder."""
    copy = store._folder.with_name(f"{store._folder.name}-killed")
    shutil.copytree(store._folder, copy, ignore=shutil.ignore_patterns("*-shm"))
    return copy
