"""A delivery behind another, as an aggregate backend has it: flush, close and the end of the process go through all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from tests.faults.harness import DEADLINE, OUTAGE, FaultBackend, Gate, quick, wait_for
from time_execution import flush, settings, shutdown, stats, time_execution
from time_execution.backends.aggregate import AggregateBackend
from time_execution.backends.base import BaseMetricsBackend

PROGRAM = """
import sys
from time_execution import settings, time_execution

settings.configure(backends=[%s])

@time_execution(name="work")
def work():
    pass

for _ in range(1000):
    work()
"""


def run(spec, folder):
    """Run a program that measures 1 000 calls and ends, in a folder; return what it said."""
    command = [sys.executable, "-c", PROGRAM % spec]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)


@pytest.mark.parametrize(
    "spec",
    [
        "{'class': 'aggregate', 'backend': 'sqlite:///metrics.db'}",
        "{'class': 'aggregate', 'backend': 'sqlite:///metrics.db', 'threaded': False}",
        "{'class': 'aggregate', 'backend': {'class': 'sqlite', 'path': 'metrics.db', 'threaded': False}}",
        "'aggregate://?backend=aggregate%3A%2F%2F%3Fbackend%3Dsqlite%253A%252F%252F%252Fmetrics.db'",
    ],
)
def test_the_end_of_the_process_sends_the_interval_at_hand(spec, tmp_path):
    """Each delivery is closed by the one before it, when that has nothing more to send."""
    done = run(spec, tmp_path)
    assert done.stderr == ""
    with sqlite3.connect(tmp_path / "metrics.db") as connection:
        rows = connection.execute("SELECT name, json_extract(fields, '$.count') FROM metrics").fetchall()
    connection.close()
    assert [name for name, _ in rows] == ["work"]
    assert sum(count for _, count in rows) in {1, 1000}  # of a summary of summaries, there is one


def test_the_end_of_the_process_says_what_was_lost(tmp_path):
    """A summary that nobody takes is counted as one metric, within the time that all together have."""
    pytest.importorskip("opentelemetry.proto.metrics", reason="the extra otlp is not installed")
    began = time.monotonic()
    done = run("{'class': 'aggregate', 'backend': 'otlp://127.0.0.1:9'}", tmp_path)
    assert done.stderr.endswith("\ntime_execution: 1 metric could not be delivered at exit\n")
    assert time.monotonic() - began < 10


def test_the_end_of_the_process_spools_what_is_left(tmp_path):
    """With a spool behind the aggregate, the summary is on the disk when the process is gone."""
    pytest.importorskip("opentelemetry.proto.metrics", reason="the extra otlp is not installed")
    done = run("{'class': 'aggregate', 'backend': 'otlp://127.0.0.1:9?spool=spool'}", tmp_path)
    assert "could not be delivered" not in done.stderr
    (file,) = (tmp_path / "spool").glob("*.db")
    with sqlite3.connect(file) as connection:
        (body,) = connection.execute("SELECT CAST(body AS TEXT) FROM q").fetchone()
    connection.close()
    assert '"count":1000' in body


def test_flush_goes_through_all():
    """Queue, interval, inner queue: when it returns, the summary is stored."""
    inner = FaultBackend()
    settings.configure(backends=[quick(AggregateBackend(quick(inner)))])
    time_execution(name="a")(lambda: None)()
    assert flush(DEADLINE)
    assert [metric["count"] for metric in inner.stored] == [1]


def test_flush_tells_that_something_is_left():
    """The inner backend is down: within the time given, the answer is no."""
    delivery = quick(AggregateBackend(quick(FaultBackend(then=OUTAGE))))
    delivery.write("a", value=1)
    assert not delivery.flush(0.3)
    delivery.close(0.1)
    assert delivery.undelivered() == 1


def test_what_a_close_still_waits_for_counts_as_undelivered():
    """The delivery behind is given less time than the one in front, but on a busy machine not by much."""
    gate = Gate()
    inner = quick(FaultBackend([gate]))
    for value in range(3):
        inner.write("a", value=value)
    gate.wait()
    assert inner.undelivered() == 0
    closing = threading.Thread(target=inner.close, args=(DEADLINE,))
    closing.start()
    assert wait_for(inner, inner.is_closed)
    assert inner.undelivered() == 3
    gate.open.set()
    closing.join(DEADLINE)
    assert inner.undelivered() == 0


class Moody(BaseMetricsBackend):
    """A backend that cannot be flushed."""

    def write(self, name, **data):
        pass

    def flush(self):  # type: ignore[override]
        raise OSError("no")


def test_a_backend_that_cannot_be_flushed_is_a_no():
    """What it raises reaches nobody; nor does it matter that it takes no time-out."""
    delivery = quick(Moody())
    delivery.write("a", value=1)
    assert not delivery.flush(DEADLINE)
    delivery.close()


def test_shutdown_goes_through_all():
    """And tells of all in the statistics, each inside the one before it."""
    inner = FaultBackend()
    settings.configure(backends=[quick(AggregateBackend(quick(inner)))])
    time_execution(name="a")(lambda: None)()
    shutdown(DEADLINE)
    assert [metric["count"] for metric in inner.stored] == [1]
    (outer,) = stats()["backends"].values()
    assert (outer["delivered"], outer["backend"]["aggregated"], outer["backend"]["backend"]["delivered"]) == (1, 1, 1)
