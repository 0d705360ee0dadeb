"""Several processes that add to one file: exact totals, whatever happens to any of them."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")

from tests.backends.prometheus_totals import CALLS, DURATION, families, samples, shown, shown_calls, timing
from tests.faults.harness import wait_for
from time_execution.backends.prometheus import PrometheusBackend, shared
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import BackendDenied, BackendUnavailable
from time_execution.types import Metric

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60.0
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kills, forks and locks need POSIX"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]
WRITER = """
    import os, sys, time
    from time_execution.backends.prometheus import PrometheusBackend
    from time_execution.types import Metric

    backend = PrometheusBackend(path=sys.argv[1])

    def timings(count, names=5):
        return [Metric({"name": f"f{n % names}", "value": 1.5, "timestamp": time.time_ns()}) for n in range(count)]

    def level(name, value, kind="gauge", **more):
        backend.write_many([Metric({"name": name, "value": value, **more}, kind=kind)])

    def say(*words):
        print(*words, flush=True)
"""


@pytest.fixture(name="path")
def path_fixture(tmp_path):
    return tmp_path / "metrics.db"


@pytest.fixture(name="backend")
def backend_fixture(path):
    with PrometheusBackend(path=path) as backend:
        yield backend


@pytest.fixture(name="run")
def run_fixture(path):
    """Run code in processes of their own, with a backend on the same file; those left are killed at the end."""
    started = []

    def run(code):
        script = textwrap.dedent(WRITER) + textwrap.dedent(code)
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait(DEADLINE)
        process.stdin.close()
        process.stdout.close()


def kill(process):
    process.kill()
    process.wait(DEADLINE)


def test_eight_processes_add_to_the_same_totals(run, backend):
    """Nothing is lost and nothing is counted twice while all of them write at once."""
    writers = [run("for _ in range(50): backend.write_many(timings(100))") for _ in range(8)]
    assert [writer.wait(DEADLINE) for writer in writers] == [0] * 8
    assert shown_calls(backend) == {f"f{number}": 8000 for number in range(5)}
    assert shown(backend, f"{DURATION}_sum", function="f1") == pytest.approx(12.0)
    assert shown(backend, f"{DURATION}_bucket", function="f1", le="0.0025") == 8000


def test_what_a_killed_process_counted_stays(run, backend):
    """Every batch that was confirmed is in the totals of the others, and no part of another one (kill -9)."""
    confirmed = 0
    for milliseconds in range(1, 11, 2):
        writer = run("while True: backend.write_many(timings(1000, 1000)); say('.')")
        before = confirmed
        while confirmed < before + 10:
            assert writer.stdout.readline()
            confirmed += 1
        time.sleep(milliseconds / 1000)  # so that it dies at different points of its next batch
        writer.send_signal(signal.SIGKILL)
        confirmed += len(writer.stdout.readlines())
        writer.wait(DEADLINE)
    calls = shown_calls(backend)
    assert len(calls) == 1000
    (count,) = set(calls.values())
    assert confirmed <= count <= confirmed + 5  # at most one batch of each was committed and not confirmed
    assert backend.stats()["errors"] == 0


def test_gauges_are_the_sum_of_the_processes_that_live(run, backend):
    """A process that ends takes its gauges with it, whether it is killed or closes (4)."""
    workers = [run(f"level('busy', {busy}); say('ready'); sys.stdin.read()") for busy in (1, 10, 100)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    assert shown(backend, "busy") == 111
    kill(workers[1])
    assert shown(backend, "busy") == 101
    workers[2].stdin.close()
    assert workers[2].wait(DEADLINE) == 0
    assert shown(backend, "busy") == 1
    kill(workers[0])
    assert shown(backend, "busy") is None


def test_a_value_is_the_latest_of_the_processes_that_live(run, backend):
    """A number that each process measures of the same thing must not be added up."""
    first = run("level('load', 1, 'value', timestamp=100); say('ready'); sys.stdin.read()")
    second = run("level('load', 5, 'value', timestamp=50); say('ready'); sys.stdin.read()")
    for worker in (first, second):
        assert worker.stdout.readline() == "ready\n"
    assert shown(backend, "load") == 1
    kill(first)
    assert shown(backend, "load") == 5


def test_series_of_dead_processes_make_room(run, path, monkeypatch):
    """A gauge with a process id in a label leaves nothing behind, however many processes there were."""
    monkeypatch.setattr(shared, "_SWEEP_INTERVAL", 0.0)
    backend = PrometheusBackend(path=path, labels=["pid"])
    for number in range(3):
        worker = run(f"backend = PrometheusBackend(path=sys.argv[1], labels=['pid']); level('rss', 5, pid={number})")
        assert worker.wait(DEADLINE) == 0
        assert shown(backend, "rss", pid=str(number)) is None
        backend.write_many([timing()])  # tidies up
    backend.write_many([timing()])  # learns of it
    assert backend.stats()["series"] == 1
    backend.close()


def test_a_gauge_of_this_process_outlives_its_backend(path):
    """Settings that are made anew do not make it vanish: it is the process that owns it."""
    with PrometheusBackend(path=path) as first:
        first.write_many([Metric({"name": "busy", "value": 3}, kind="gauge")])
    with PrometheusBackend(path=path) as second:
        assert shown(second, "busy") == 3
        second.write_many([Metric({"name": "busy", "value": 4}, kind="gauge")])
        assert shown(second, "busy") == 4


def test_a_batch_that_failed_counts_once_when_it_is_sent_again(backend, path):
    """While another process holds the file, nothing of a batch is added; afterwards it is, and once (D1, D5)."""
    backend._store._timeout = 0.01
    backend.write_many([timing()])
    backend.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(3):
        with pytest.raises(BackendUnavailable, match="locked"):
            backend.write_many([timing(), timing("new")])
    other.execute("ROLLBACK")
    other.close()
    assert backend.write_many([timing(), timing("new")]) is None
    assert shown_calls(backend) == {"f": 2, "new": 1}


def test_behind_a_queue_nothing_is_lost_while_the_file_is_locked(backend, path):
    """Delivery sends again what was refused, and the books balance with the totals."""
    backend._store._timeout = 0.01
    backend.write_many([timing()])
    backend.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    queue = ThreadedBackend(backend, bulk_size=100, bulk_timeout=0.01)
    queue.bulk_write([timing(f"f{number % 3}") for number in range(1000)])
    assert wait_for(queue, lambda: queue.stats()["failures"])
    other.execute("ROLLBACK")
    other.close()
    assert queue.flush(DEADLINE)
    stats = queue.stats()
    queue.close()
    assert (stats["delivered"], stats["pending"]) == (1000, 0)
    assert stats["retries"] >= 1
    assert sum(shown_calls(backend).values()) == 1001


@pytest.mark.parametrize("damage", ["garbage", "half", "middle"])
def test_a_corrupt_file_is_moved_aside_and_the_scrape_goes_well(backend, path, damage):
    """The scrape answers with what there is and the count of errors; the next batch begins a new file (L8)."""
    backend.write_many([timing(f"f{number}") for number in range(1000)])
    backend.close()
    content = path.read_bytes()
    broken = {
        "garbage": b"\xff" * len(content),
        "half": content[: len(content) // 2],
        "middle": content[:4096] + b"\xff" * (len(content) - 4096),
    }[damage]
    path.write_bytes(broken)
    found = samples(backend)
    assert found["timeexecution_store_errors_total", frozenset()] >= 1
    backend.write_many([timing()])
    assert shown_calls(backend) == {"f": 1}
    assert shown(backend, "timeexecution_store_errors_total") >= 1
    assert backend.stats()["errors"] >= 1
    assert len(list(path.parent.glob("metrics.db.corrupt-*"))) >= 1


def test_writers_survive_a_file_that_breaks_under_them(run, backend, path):
    """Several processes find the same file broken; one moves it aside, all go on, with the new file."""
    writers = [
        run("""
            from time_execution.exceptions import BackendUnavailable
            for _ in range(200):
                try:
                    backend.write_many(timings(20))
                except BackendUnavailable:  # as delivery takes it: again later
                    say("again")
                time.sleep(0.002)
        """)
        for _ in range(4)
    ]
    deadline = time.monotonic() + DEADLINE
    while sum(shown_calls(backend).values()) < 500:
        assert time.monotonic() < deadline
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 8000)
    path.with_name("metrics.db-wal").write_bytes(b"\xff" * 100)
    assert [writer.wait(DEADLINE) for writer in writers] == [0] * 4
    assert shown_calls(backend)


@pytest.mark.parametrize("accept", [None, "application/openmetrics-text; version=1.0.0"])
def test_a_file_that_cannot_be_read_leaves_the_rest_of_the_answer(backend, path, accept, caplog):
    """A scrape is never an error: what cannot be shown is counted and logged."""
    backend.write_many([timing()])
    backend.close()
    content = path.read_bytes()
    path.unlink()
    path.mkdir()
    backend.registry.register(_Other())
    body = backend.exposition(accept)[0].decode()
    assert "other_total 1.0" in body
    assert "timeexecution_store_errors_total 1.0" in body
    assert "Prometheus metrics:" in caplog.text
    path.rmdir()
    path.write_bytes(content)
    assert shown_calls(backend) == {"f": 1}


class _Other:
    def collect(self):
        from prometheus_client.core import CounterMetricFamily

        return [CounterMetricFamily("other", "another collector's", value=1)]

    def describe(self):
        return []


def test_another_programs_database_is_left_alone(path):
    """It is refused, and not touched."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (id)")
    connection.close()
    content = path.read_bytes()
    backend = PrometheusBackend(path=path)
    with pytest.raises(BackendDenied, match="another program"):
        backend.write_many([timing()])
    assert path.read_bytes() == content


def test_files_are_for_their_owner_only_and_links_are_not_followed(tmp_path):
    """Whatever the umask says (S11)."""
    before = os.umask(0)
    try:
        path = tmp_path / "new" / "metrics.db"
        with PrometheusBackend(path=path) as backend:
            backend.write_many([timing(), Metric({"name": "busy", "value": 3}, kind="gauge")])
            modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert {"metrics.db", "metrics.db-owners"} <= set(modes)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    later = PrometheusBackend(path=tmp_path / "link.db")
    (tmp_path / "link.db").symlink_to(path)
    with pytest.raises(BackendDenied, match="symbolic link"):
        later.write_many([timing()])


def test_a_file_that_is_removed_is_begun_anew(backend, path):
    """What is added to a removed file would be seen by nobody."""
    backend.write_many([timing(), Metric({"name": "busy", "value": 3}, kind="gauge")])
    for found in path.parent.iterdir():
        found.unlink()
    backend.write_many([timing("g"), Metric({"name": "busy", "value": 4}, kind="gauge")])
    with PrometheusBackend(path=path) as other:
        assert shown_calls(other) == {"g": 1}
        assert shown(other, "busy") == 4


def test_exemplars_and_labels_come_back_from_the_file(path):
    """All that memory keeps is kept by the file."""
    with PrometheusBackend(path=path, labels=["route"]) as backend:
        backend.write_many([timing(trace_id="t", span_id="s", route='/a"\\\n')])
        backend.write_many([timing(route='/a"\\\n')])
    with PrometheusBackend(path=path, labels=["other"]) as backend:
        backend.write_many([timing(other="x")])
        assert shown(backend, CALLS, function="f", outcome="ok", other="", route='/a"\\\n') == 2
        assert shown(backend, CALLS, function="f", outcome="ok", other="x", route="") == 1
        found = [sample.exemplar for sample in families(backend)[DURATION].samples if sample.exemplar]
        assert [exemplar.labels for exemplar in found] == [{"trace_id": "t", "span_id": "s"}]


def test_buckets_may_change_between_two_releases(path):
    """Processes of both add to one file; the buckets of both are shown, and the counts still rise."""
    with PrometheusBackend(path=path, buckets=[0.1, 1.0]) as backend:
        backend.write_many([timing(value=400.0)])
    with PrometheusBackend(path=path, buckets=[0.5]) as backend:
        backend.write_many([timing(value=400.0)])
        bounds = [
            (sample.labels["le"], sample.value)
            for sample in families(backend)[DURATION].samples
            if sample.name == f"{DURATION}_bucket"
        ]
    assert bounds == [("0.5", 1), ("1.0", 2), ("+Inf", 2)]


def exit_code_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_children_forked_amid_batches_add_to_the_same_totals(backend):
    """SQLite's locks are never copied held, and no child uses its parent's connection (P4)."""
    stop = threading.Event()
    written = []

    def write():
        while not stop.is_set():
            backend.write_many([timing("parent")] * 20)
            written.append(20)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(40):
            child = os.fork()
            if not child:
                status = 1
                try:
                    backend.write_many([timing("child")])
                    status = 0
                finally:
                    os._exit(status)
            assert exit_code_of(child) == 0
    finally:
        stop.set()
        thread.join(DEADLINE)
    assert shown_calls(backend) == {"parent": sum(written), "child": 40}


def test_without_a_file_a_child_begins_at_zero_and_says_so(caplog):
    """What the parent added up is the parent's to show; that each process shows its own is logged once (3)."""
    backend = PrometheusBackend()
    backend.write_many([timing("parent")])
    child = os.fork()
    if not child:
        status = 1
        try:
            backend.write_many([timing("child")])
            status = 0 if shown_calls(backend) == {"child": 1} and "give path" in caplog.text else 2
        finally:
            os._exit(status)
    assert exit_code_of(child) == 0
    assert shown_calls(backend) == {"parent": 1}
    assert "give path" not in caplog.text
