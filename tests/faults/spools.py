"""Spools to be killed and damaged, children of a fork that say how far they are, and rows that tell their number."""

from __future__ import annotations

import os
import select
import signal
import struct
import time

import pytest

from time_execution.delivery.spool import Spool
from time_execution.types import Metric

DEADLINE = 30.0
ROWS = 60
"""How many rows `whole` and `logged` hold."""


def metric(number):
    return Metric({"name": "pkg.function", "value": number, "text": "x" * (number % 200)}, id=f"id-{number}")


def number_of(row):
    number = row["value"]
    assert row == metric(number)
    assert row.id == f"id-{number}"
    return number


def open_store(folder, **options):
    return Spool(folder, **options).open("backend")


def drain(store, limit=100):
    """Take everything out, as a delivery would."""
    found: list[int] = []
    for _ in range(100_000):
        page = store.peek(limit)
        if not page:
            return found
        found += [number_of(row) for _, row in page]
        assert store.delete([key for key, _ in page]) == len(page)
    pytest.fail("the spool never came to an end")


def in_child(work):
    """Run a function in a forked child, which gets a function that sends numbers; return its pid and what to read."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    code = 1
    try:
        os.close(reader)
        work(lambda *numbers: os.write(writer, struct.pack(f"{len(numbers)}q", *numbers)))
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def received(reader):
    """Return all numbers that a child sent, once it has ended."""
    data = b""
    while True:
        ready, _, _ = select.select([reader], [], [], DEADLINE)
        assert ready, "the child neither sent anything nor ended"
        chunk = os.read(reader, 1 << 16)
        if not chunk:
            break
        data += chunk
    os.close(reader)
    return [number for (number,) in struct.iter_unpack("q", data[: len(data) // 8 * 8])]


def ended(pid):
    """Wait for a child and return its exit code."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pytest.fail("the child hung")


def run_child(work):
    """Run a function in a forked child to its end and return the numbers it sent."""
    pid, reader = in_child(work)
    numbers = received(reader)
    assert ended(pid) == 0
    return numbers


def kill_after(pid, reader, delay):
    """Kill a child some time after it sent its first number, which it leaves to be read."""
    assert select.select([reader], [], [], DEADLINE)[0]
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
