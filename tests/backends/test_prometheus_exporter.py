"""The HTTP exporter: where it listens, whom it answers, and which of several processes does."""

from __future__ import annotations

import errno
import os
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")

from tests.backends.prometheus_totals import CALLS, samples_in, shown, shown_calls, timing
from tests.faults.harness import quick, wait_for
from time_execution.backends.prometheus import PrometheusBackend, delivery_stats, exporter
from time_execution.types import Metric

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 30.0
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(name="port")
def port_fixture():
    return free_port()


@pytest.fixture(name="make")
def make_fixture(port):
    """Make backends that serve at the same port, and are closed at the end."""
    made = []

    def make(**options):
        made.append(PrometheusBackend(port=port, **options))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


def get(port, *, token=None, accept=None):
    given = {"Authorization": token and f"Bearer {token}", "Accept": accept}
    headers = {name: value for name, value in given.items() if value}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]


def calls_at(port):
    """Return the calls of ``f`` that are served; None when nobody serves."""
    try:
        text, _ = get(port)
    except OSError:
        return None
    return samples_in(text).get((CALLS, frozenset({"function": "f", "outcome": "ok"}.items())), 0)


def eventually(condition):
    """Wait until something holds that another process or thread brings about."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


def test_it_serves_from_the_first_metric_on(make, port):
    """Nothing listens before; afterwards every path is answered, in the format asked for."""
    backend = make()
    with pytest.raises(urllib.error.URLError):
        get(port)
    backend.write_many([timing()])
    _, kind = get(port)
    assert calls_at(port) == 1
    assert (kind, backend.stats()["serving"]) == ("text/plain; version=0.0.4; charset=utf-8", True)
    assert get(port, accept="application/openmetrics-text;version=1.0.0")[0].endswith("# EOF\n")


def test_it_listens_on_this_machine_only(make, port):
    """Unless told otherwise, nobody else can connect (S13)."""
    backend = make()
    assert backend.serve()
    assert backend._exporter._server.server_address == ("127.0.0.1", port)


def test_the_host_is_never_looked_up(make, monkeypatch):
    """A name server that is away would hold the worker up."""

    def look_up(*_):
        raise AssertionError("looked up")

    monkeypatch.setattr(socket, "getfqdn", look_up)
    monkeypatch.setattr(socket, "gethostbyaddr", look_up)
    assert make().serve()


@pytest.mark.parametrize("token", [None, "hunter3", "hunter22", "Hunter2"])
def test_whoever_has_no_token_is_refused(make, port, token):
    """The answer is 401 without a metric; with the token all is as before."""
    backend = make(exporter_token="hunter2")
    backend.write_many([timing()])
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(port, token=token)
    with caught.value as answer:
        assert (answer.code, b"function" in answer.read()) == (401, False)
    assert "function_calls_total" in get(port, token="hunter2")[0]


def test_closing_frees_the_port_and_a_later_batch_serves_again(make, port):
    """Closing is not for ever."""
    backend = make()
    for count in (1, 2):
        backend.write_many([timing()])
        assert calls_at(port) == count
        backend.close()
        backend.close()
        assert calls_at(port) is None
        eventually(lambda: not [thread for thread in threading.enumerate() if thread.name == exporter.THREAD_NAME])


def test_a_taken_port_stops_nothing_and_says_what_to_do(make, caplog):
    """Metrics are added up all the same; without a file to share, that they are missing elsewhere is logged."""
    first, second = make(), make()
    assert first.serve()
    second.write_many([timing()])
    assert not second.stats()["serving"]
    assert "another process does" in caplog.text
    assert "path" in caplog.text


def test_an_address_that_is_not_ours_is_logged(port, caplog):
    """The line says what is wrong, and which options to check."""
    backend = PrometheusBackend(port=port, address="192.0.2.1")
    assert not backend.serve()
    assert "check port and address" in caplog.text


def test_a_host_name_that_makes_no_sense_counts_nothing_twice(port, caplog):
    """The codec for host names raises what is no OSError; the batch is in the totals all the same, and confirmed."""
    backend = PrometheusBackend(port=port, address="exa..mple")
    assert backend.write_many([timing()] * 3) is None
    assert shown_calls(backend) == {"f": 3}
    assert "the address is no host's name; check port and address" in caplog.text


def test_where_no_thread_can_be_started_the_port_stays_free(make, port, monkeypatch, caplog):
    """At its end the interpreter starts none; a port that answered nobody would make scrapes and closing hang."""
    backend = make()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_thread)
        assert backend.write_many([timing()] * 3) is None
    assert (shown_calls(backend), backend.stats()["serving"]) == ({"f": 3}, False)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
    assert "no thread can be started" in caplog.text
    assert "check port and address" not in caplog.text
    backend.close()
    assert backend.serve()
    assert calls_at(port) == 3


def _no_thread(_):
    raise RuntimeError("can't start new thread")


def test_what_is_raised_after_a_batch_was_added_sends_it_again_never(make, monkeypatch):
    """Delivery takes what a backend raises for a batch that is not stored."""
    backend = make()
    monkeypatch.setattr(backend, "idle", lambda: _no_thread(None))
    assert backend.write_many([timing()] * 3) is None
    assert shown_calls(backend) == {"f": 3}


def test_slow_clients_do_not_keep_others_waiting(make, port):
    """Each request has a thread of its own, and a time limit (S12)."""
    make().write_many([timing()])
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
        assert calls_at(port) == 1
    assert exporter._Handler.timeout == 10.0


def test_the_idle_worker_takes_over_a_port_that_becomes_free(make, port, tmp_path, monkeypatch, caplog):
    """Without another metric: the worker of a queue asks from time to time."""
    monkeypatch.setattr(exporter, "_RETRY_INTERVAL", 0.0)
    first, second = (make(path=tmp_path / "metrics.db") for _ in range(2))
    first.write_many([timing()])
    queue = quick(second)
    try:
        queue.bulk_write([timing()])
        assert queue.flush(DEADLINE)
        assert not second.stats()["serving"]
        first.close()
        assert wait_for(queue, lambda: second.stats()["serving"])
        assert calls_at(port) == 2
    finally:
        queue.close()
    assert "cannot serve" not in caplog.text


@posix
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_does_not_keep_its_parents_port(make, port, tmp_path):
    """A fork copies the socket; a child that kept it would let scrapes hang when the parent has ended."""
    backend = make(path=tmp_path / "metrics.db")
    backend.write_many([timing()])
    (read, write), (readied, ready) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(write)
            os.close(ready)
            os.read(read, 1)
        finally:
            os._exit(0)
    os.close(read)
    os.close(ready)
    os.read(readied, 1)  # until the child runs, and has closed what it does not keep
    os.close(readied)
    assert calls_at(port) == 1
    backend.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
    os.close(write)
    os.waitpid(child, 0)


WORKER = """
    import sys, time
    from time_execution.backends.prometheus import PrometheusBackend
    from time_execution.types import Metric

    backend = PrometheusBackend(path=sys.argv[1], port=int(sys.argv[2]))
    for line in sys.stdin:
        backend.write_many([Metric({"name": "f", "value": 1.0})] * int(line))
        print(backend.serve(), flush=True)
"""


@posix
def test_when_the_process_that_serves_is_killed_another_one_does(tmp_path, port):
    """Whoever serves shows the totals of all, those of the dead among them (3)."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WORKER), str(tmp_path / "metrics.db"), str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for _ in range(3)
    ]  # fmt: skip

    def write(worker, count):
        worker.stdin.write(f"{count}\n")
        worker.stdin.flush()
        return worker.stdout.readline() == "True\n"

    try:
        assert [write(worker, 10) for worker in workers] == [True, False, False]
        assert calls_at(port) == 30
        workers[0].kill()
        workers[0].wait(DEADLINE)
        eventually(lambda: any(write(worker, 1) for worker in workers[1:]))
        total = calls_at(port)
        assert total > 30
        assert calls_at(port) == total
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(DEADLINE)
            worker.stdin.close()
            worker.stdout.close()


def test_what_delivery_counts_is_served_too(port, make, tmp_path):
    """Self-metrics add up over processes as any counter does, and levels are those of the living."""
    state = {"backends": {"b": {"offered": 5, "delivered": 3, "pending": 2, "dropped": {"full": 1}, "retries": 4}}}
    backend = make(path=tmp_path / "metrics.db", self_metrics=lambda: state)
    backend.write_many([timing()])
    found = samples_in(get(port)[0])
    label = frozenset({("backend", "b")})
    expected = {"records_total": 5, "delivered_total": 3, "queue_length": 2, "export_failures_total": 4}
    assert {name: found[f"timeexecution_{name}", label] for name in expected} == expected
    assert found["timeexecution_dropped_total", label | {("reason", "full")}] == 1


def test_delivery_is_told_of_by_what_has_changed(monkeypatch):
    """A second look adds the difference; a backend of the same name that begins anew adds all that it has."""
    monkeypatch.setattr(delivery_stats, "_INTERVAL", 0.0)
    counted = {"offered": 5}
    backend = PrometheusBackend(self_metrics=lambda: {"backends": {"b": counted}, "errors": {"hook": {"h: E": 2}}})
    for offered in (5, 8, 8, 2):
        counted["offered"] = offered
        backend.idle()
    text = backend.exposition()[0].decode()
    assert 'timeexecution_records_total{backend="b"} 10.0' in text
    assert 'timeexecution_errors_total{kind="hook"} 2.0' in text


def test_nothing_waits_for_a_backend_that_is_gone(monkeypatch):
    """Its levels fall to 0 with the next look, and its counters stay."""
    monkeypatch.setattr(delivery_stats, "_INTERVAL", 0.0)
    state = {"old": {"offered": 5, "pending": 4, "spooled": 3}, "new": {"pending": 1}}
    backend = PrometheusBackend(self_metrics=lambda: {"backends": state})
    backend.idle()
    del state["old"]
    for _ in range(2):
        backend.idle()
        found = {name: shown(backend, f"timeexecution_{name}", backend="old") for name in ("queue_length", "spooled")}
        assert found == {"queue_length": 0, "spooled": 0}
    assert shown(backend, "timeexecution_records_total", backend="old") == 5
    state["old"] = {"offered": 2, "pending": 2}
    backend.idle()
    assert shown(backend, "timeexecution_queue_length", backend="old") == 2
    assert shown(backend, "timeexecution_records_total", backend="old") == 7


def test_what_cannot_be_told_now_is_told_with_the_next_look(tmp_path, monkeypatch):
    """While another process holds the file, what delivery counts is not lost, and afterwards not there twice."""
    monkeypatch.setattr(delivery_stats, "_INTERVAL", 0.0)
    counted = {"offered": 5}
    path = tmp_path / "metrics.db"
    with PrometheusBackend(path=path, self_metrics=lambda: {"backends": {"b": counted}}, timeout=0.01) as backend:
        backend.idle()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for counted["offered"] in (7, 9):
            backend.idle()
        other.execute("ROLLBACK")
        other.close()
        assert shown(backend, "timeexecution_records_total", backend="b") == 5
        for _ in range(2):
            backend.idle()
            assert shown(backend, "timeexecution_records_total", backend="b") == 9


def test_stats_that_fail_stop_nothing():
    """What is asked for is somebody else's code."""

    def fail():
        raise ValueError("odd")

    backend = PrometheusBackend(self_metrics=fail)
    assert backend.write_many([timing(), Metric({"name": "level", "value": 1}, kind="gauge")]) is None
    assert b"level 1.0" in backend.exposition()[0]
