"""Delivery under what runs an application in processes of its own, multiprocessing and gunicorn: case P5."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from tests.faults.children import posix, run, stored_in, values

METHODS = ["fork", "spawn", "forkserver"] if sys.platform != "win32" else ["spawn"]


@pytest.mark.parametrize("method", METHODS)
def test_children_of_multiprocessing_deliver_what_they_measured(tmp_path, method):
    """Under each start method, with `Process` and with a pool, children that simply return lose nothing (P5)."""
    outcome, stored = run(
        tmp_path,
        f"""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        settings.configure(backends=[ThreadedBackend(FileSink(sink), bulk_timeout=60.0)])
        @time_execution(name="measured")
        def work(value):
            write_metric("child", value=value)
            return value
        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            write_metric("parent", value=1)
            children = [context.Process(target=work, args=(value,)) for value in range(3)]
            for child in children:
                child.start()
            for child in children:
                child.join()
                assert child.exitcode == 0
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                assert list(pool.map(work, range(3, 13))) == list(range(3, 13))
        """,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
    assert values(line for line in stored if line.name == "child") == list(range(13))
    counts = Counter(line.name for line in stored)
    assert counts == {"child": 13, "measured": 13, "parent": 1}
    assert len({line.id for line in stored}) == 27


@posix
def test_children_of_children_of_multiprocessing_deliver_what_they_measured(tmp_path):
    """Each process of a family ends by itself; none relies on what another one registered (P5)."""
    outcome, stored = run(
        tmp_path,
        """
        import multiprocessing
        context = multiprocessing.get_context("fork")
        backend = ThreadedBackend(FileSink(sink), bulk_timeout=60.0)
        def work(generation):
            backend.write("family", value=generation)
            if generation:
                child = context.Process(target=work, args=(generation - 1,))
                child.start()
                child.join()
                assert child.exitcode == 0
        work(3)
        """,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
    assert values(stored) == [0, 1, 2, 3]
    assert len({line.pid for line in stored}) == 4


@posix
def test_children_of_multiprocessing_end_in_time_with_a_backend_that_hangs(tmp_path):
    """A multiprocessing child waits shutdown_timeout for a backend that hangs, and says what it lost (P5, I4)."""
    outcome, _ = run(
        tmp_path,
        """
        import multiprocessing
        def work():
            backend.write("child", value=1)
        backend = ThreadedBackend(HungSink(), shutdown_timeout=0.3)
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join(10)
        assert child.exitcode == 0
        """,
    )
    assert outcome.code == 0, outcome
    assert outcome.err.splitlines() == ["time_execution: 1 metric could not be delivered at exit"]


@posix
@pytest.mark.parametrize(
    ("worker", "options"),
    [
        ("sync", ["--workers", "2", "--max-requests", "5"]),
        ("gevent", ["--workers", "1"]),  # a second, told to end before it has begun, would never end by itself
    ],
    ids=["sync", "gevent"],
)
def test_workers_of_gunicorn_deliver_what_they_measured(tmp_path, worker, options):
    """Under ``gunicorn --preload``, each process delivers its own; also where threads are gevent's (P5)."""
    pytest.importorskip("gunicorn")
    if worker == "gevent":
        pytest.importorskip("gevent")
    (tmp_path / "app.py").write_text(
        f"""
import os
from tests.faults.harness import FileSink, ThreadedBackend
from time_execution import settings, time_execution, write_metric
settings.configure(backends=[ThreadedBackend(FileSink({str(tmp_path / "web.txt")!r}), bulk_timeout=60.0)])
for value in range(10):
    write_metric("preloaded", value=value)
@time_execution(name="request")
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
    )
    outcome, _ = run(
        tmp_path,
        f"""
        import signal, subprocess, urllib.request, socket
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen([sys.executable, "-m", "gunicorn", "--preload", "--worker-class", {worker!r},
            *{options!r}, "--bind", f"127.0.0.1:{{port}}", "--log-level", "warning", "app:app"])
        answered, deadline = 0, time.monotonic() + 15
        while answered < 30 and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{{port}}/", timeout=5) as answer:
                    answered += answer.read() == b"ok"
            except OSError:
                time.sleep(0.05)
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
        print(answered)
        """,
    )
    assert outcome.code == 0, outcome
    counts = Counter(line.name for line in stored_in(tmp_path / "web.txt"))
    assert counts == {"preloaded": 10, "request": int(outcome.out)} == {"preloaded": 10, "request": 30}


@posix
def test_children_of_celerys_pool_deliver_what_they_measured(tmp_path):
    """One that has had its share of tasks leaves past all that runs at the end of a process; nothing is lost (P5)."""
    pytest.importorskip("celery")
    for folder in ("queue", "control"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tasks.py").write_text(
        f"""
from celery import Celery
from tests.faults.harness import FileSink, ThreadedBackend
from time_execution import settings, time_execution
settings.configure(backends=[ThreadedBackend(FileSink({str(tmp_path / "tasks.txt")!r}), bulk_timeout=60.0)])
app = Celery("tasks", broker="filesystem://")
folders = dict.fromkeys(("data_folder_in", "data_folder_out"), {str(tmp_path / "queue")!r})
app.conf.broker_transport_options = folders | {{"control_folder": {str(tmp_path / "control")!r}}}
@app.task
@time_execution(name="task")
def work(value):
    with open({str(tmp_path / "done.txt")!r}, "a") as done:
        done.write("x")
"""
    )
    outcome, _ = run(
        tmp_path,
        f"""
        import signal, subprocess
        from pathlib import Path
        from tasks import work
        for value in range(20):
            work.delay(value)
        worker = subprocess.Popen([sys.executable, "-m", "celery", "-A", "tasks", "worker", "--concurrency", "2",
            "--max-tasks-per-child", "5", "--without-gossip", "--without-mingle", "--loglevel", "ERROR"])
        done, deadline = Path({str(tmp_path / "done.txt")!r}), time.monotonic() + 30
        while not (done.exists() and done.stat().st_size == 20) and time.monotonic() < deadline:
            time.sleep(0.05)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
        """,
        limit=60.0,
    )
    assert outcome.code == 0, outcome
    assert Counter(line.name for line in stored_in(tmp_path / "tasks.txt")) == {"task": 20}


def test_an_interpreter_that_has_no_daemons_loses_nothing_uncounted(tmp_path):
    """In an isolated subinterpreter no worker can run: the call notices nothing, and what is lost is said."""
    pytest.importorskip("_interpreters", reason="from Python 3.13 on")
    outcome, stored = run(
        tmp_path,
        """
        import _interpreters
        print(_interpreters.exec(_interpreters.create("isolated"), f'''if True:
            from tests.faults.harness import *
            from time_execution import *
            backend = ThreadedBackend(FileSink({sink!r}))
            settings.configure(backends=[backend])
            @time_execution
            def work():
                return 42
            assert work() == 42
            assert backend.flush(0.1) is False
            assert backend.stats()["pending"] == 1
        '''))
        """,
    )
    assert (outcome.code, outcome.out.split(), stored) == (0, ["None"], []), outcome
