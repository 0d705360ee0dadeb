"""Processes that end, fork and are killed, threads that die, code that comes in from odd places: cases P1 to P9."""

from __future__ import annotations

import asyncio
import builtins
import os
import signal
import sys
import threading
import time
from collections import Counter
from typing import Any

import pytest

from tests.faults.harness import (
    DEADLINE,
    Child,
    FaultBackend,
    Gate,
    check_conservation,
    in_threads,
    quick,
    run,
    stored_in,
    wait_for,
)
from time_execution import settings, time_execution, write_metric
from time_execution.delivery.retry import Backoff

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks and signals need POSIX")

MARGIN = 0.5
"""What I4 allows beyond shutdown_timeout, in seconds."""
BUSY = 1.5
"""What a machine that runs other tests may add to the end of an interpreter, in seconds."""


def values(stored):
    return sorted(int(line.value) for line in stored)


# ---- P1, P2: the end of the process ----------------------------------------------------------------------------------


def test_a_process_that_ends_delivers_all_without_being_asked(tmp_path):
    """1000 metrics in the queue of a process that simply ends are stored, within a second, without a word (P1)."""
    child = Child(
        tmp_path,
        """
        backend = ThreadedBackend(FileSink(sink), bulk_timeout=60.0)
        settings.configure(backends=[backend])
        for value in range(1000):
            write_metric("a", value=value)
        ack("end")
        """,
    )
    ended = child.wait_for("end")
    outcome = child.finish()
    assert (outcome.code, outcome.err) == (0, "")
    assert values(child.stored()) == list(range(1000))
    assert child.began + outcome.seconds - ended < 1.0 + BUSY


@pytest.mark.parametrize(
    "end", ["sys.exit(3)", "raise ValueError('the end')", "threading.Thread(target=sys.exit).start()"]
)
def test_however_the_main_thread_ends_all_is_delivered(tmp_path, end):
    """`sys.exit`, an exception nobody catches, and `sys.exit` in a thread lose nothing (P1, P3)."""
    outcome, stored = run(
        tmp_path,
        f"""
        settings.configure(backends=[ThreadedBackend(FileSink(sink), bulk_timeout=60.0)])
        for value in range(500):
            write_metric("a", value=value)
        {end}
        """,
    )
    assert values(stored) == list(range(500))
    assert "time_execution" not in outcome.err
    assert outcome.code == {"s": 3, "r": 1, "t": 0}[end[0]]


@pytest.mark.parametrize("overflow", ["drop_oldest", "block"])
@pytest.mark.parametrize("used", [True, False], ids=["in flight", "only queued"])
def test_a_backend_that_hangs_does_not_keep_the_process_from_ending(tmp_path, overflow, used):
    """The process ends within shutdown_timeout + 0.5 s, and says once how many metrics it could not deliver (P2)."""
    child = Child(
        tmp_path,
        f"""
        backend = ThreadedBackend(HungSink(), shutdown_timeout=0.5, bulk_timeout={0.01 if used else 60.0},
                                  overflow={overflow!r})
        settings.configure(backends=[backend])
        for value in range(100):
            write_metric("a", value=value)
        if {used}:
            assert wait_for(backend, lambda: backend.stats()["in_flight"])
        ack("end")
        """,
    )
    ended = child.wait_for("end")
    outcome = child.finish()
    assert outcome.code == 0
    assert outcome.err.splitlines() == ["time_execution: 100 metrics could not be delivered at exit"]
    assert child.began + outcome.seconds - ended < 0.5 + MARGIN + BUSY


def test_two_backends_that_hang_share_the_time_there_is(tmp_path):
    """Five deliveries that hang take one shutdown_timeout together, not one each (I4)."""
    child = Child(
        tmp_path,
        """
        settings.configure(backends=[ThreadedBackend(HungSink(), shutdown_timeout=1.0) for _ in range(5)])
        write_metric("a", value=1)
        ack("end")
        """,
    )
    ended = child.wait_for("end")
    outcome = child.finish()
    assert "5 metrics" in outcome.err
    assert child.began + outcome.seconds - ended < 1.0 + MARGIN + BUSY


def test_what_a_hung_backend_leaves_goes_to_the_spool_and_to_the_next_process(tmp_path):
    """With a spool nothing is lost at the end, nothing is said, and the next process delivers it all (P2)."""
    script = f"""
        backend = ThreadedBackend({{}}, spool={str(tmp_path / "spool")!r}, shutdown_timeout=0.5, bulk_timeout=0.01)
        settings.configure(backends=[backend])
        """
    script_one = script.replace("{}", "type('Sink', (HungSink,), {})()")
    outcome, _ = run(tmp_path, script_one + "for value in range(100): write_metric('a', value=value)\n")
    assert (outcome.code, outcome.err) == (0, "")
    script_two = script.replace("{}", "type('Sink', (FileSink,), {})(sink)")
    outcome, stored = run(tmp_path, script_two + "write_metric('a', value=100)\n")
    assert (outcome.code, outcome.err) == (0, "")
    assert values(stored) == list(range(101))


def test_a_slow_backend_gets_what_time_there_is(tmp_path):
    """At 0.1 s a batch the process ends in time, and delivered + lost is what was offered (P2)."""
    child = Child(
        tmp_path,
        """
        backend = ThreadedBackend(FileSink(sink, delay=0.1), shutdown_timeout=0.75, bulk_size=10)
        settings.configure(backends=[backend])
        for value in range(1000):
            write_metric("a", value=value)
        ack("end")
        """,
    )
    ended = child.wait_for("end")
    outcome = child.finish()
    lost = int(outcome.err.split()[1])
    # The batch in the backend's hands at the end may be stored and is counted as lost all the same.
    assert 1000 <= len(child.stored()) + lost <= 1010
    assert len(child.stored()) >= 20
    assert child.began + outcome.seconds - ended < 0.75 + MARGIN + BUSY


def test_a_backend_that_cannot_be_closed_costs_the_others_nothing(tmp_path):
    """A `close` that raises is told in the log, and every other delivery is finished (P2, D11)."""
    outcome, stored = run(
        tmp_path,
        """
        class Sticky(FaultBackend):
            def close(self, timeout=None):
                raise RuntimeError("cannot close")
        bad = [quick(Sticky()) for _ in range(5)]
        good = quick(FileSink(sink, delay=0.01), bulk_size=10, bulk_timeout=60.0, shutdown_timeout=5.0)
        worse = [quick(Sticky()) for _ in range(5)]
        for backend in bad[:2] + worse[:2]:
            backend.write("a", value=1)
        for value in range(200):
            good.write("a", value=value)
        """,
    )
    assert outcome.code == 0
    assert values(stored) == list(range(200))
    assert "Traceback" not in outcome.err


def test_a_close_that_hangs_does_not_keep_the_process_from_ending(tmp_path):
    """A backend whose own `close` never returns is left behind, used or not (I4)."""
    outcome, _ = run(
        tmp_path,
        """
        class Stuck(FaultBackend):
            def close(self, timeout=None):
                threading.Event().wait()
        used, unused = quick(Stuck(), shutdown_timeout=0.3), quick(Stuck(), shutdown_timeout=0.3)
        used.write("a", value=1)
        """,
        limit=8.0,
    )
    assert outcome.code == 0, outcome.err


def test_a_client_that_closes_itself_at_exit_is_still_open_when_the_rest_is_sent(tmp_path):
    """What a backend registered with `atexit`, as Kafka's producer does, runs after its last batch (P1)."""
    outcome, stored = run(
        tmp_path,
        """
        import atexit
        class Client(FileSink):
            def __init__(self, path):
                super().__init__(path)
                self.is_open = True
                atexit.register(self.shut)
            def shut(self):
                self.is_open = False
            def write_many(self, metrics):
                if not self.is_open:
                    raise ConnectionError("closed")
                super().write_many(metrics)
        first = quick(FaultBackend())
        second = ThreadedBackend(Client, [sink], bulk_timeout=60.0)
        for value in range(100):
            second.write("a", value=value)
        """,
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert values(stored) == list(range(100))


# ---- P3: signals -----------------------------------------------------------------------------------------------------

WAIT = "threading.Event().wait()"


def signalled(folder, script, number=signal.SIGTERM):
    child = Child(folder, script)
    child.wait_for("ready")
    child.process.send_signal(number)
    outcome = child.finish()
    return outcome, child.stored()


PRODUCE = """
settings.configure(backends=[ThreadedBackend(FileSink(sink), bulk_timeout=60.0)])
for value in range(500):
    write_metric("a", value=value)
"""


@posix
def test_sigterm_with_our_handler_delivers_all(tmp_path):
    """After `install_sigterm`, SIGTERM ends the process with status 143 and everything delivered (P3)."""
    outcome, stored = signalled(tmp_path, PRODUCE + f"install_sigterm()\nack('ready')\n{WAIT}\n")
    assert outcome.code == 143
    assert outcome.err == ""
    assert values(stored) == list(range(500))


@posix
def test_sigterm_without_a_handler_loses_the_queue_only(tmp_path):
    """Without a handler SIGTERM kills at once: what was delivered is there, the rest is the documented loss (P3)."""
    outcome, stored = signalled(
        tmp_path, PRODUCE + f"assert flush(10)\nwrite_metric('a', value=500)\nack('ready')\n{WAIT}\n"
    )
    assert outcome.code == -signal.SIGTERM
    assert values(stored) == list(range(500))


@posix
@pytest.mark.parametrize("overflow", ["durable", "overflow"])
def test_a_kill_with_a_durable_spool_loses_nothing(tmp_path, overflow):
    """With `Spool(durable=True)` even SIGKILL loses nothing that was written: the next process sends it (P3)."""
    spool = f"""
        from time_execution.delivery.spool import Spool
        spool = Spool({str(tmp_path / "spool")!r}, durable=True)
        """
    child = Child(
        tmp_path,
        spool
        + f"""
        settings.configure(backends=[ThreadedBackend(type('Sink', (HungSink,), {{}})(), spool=spool)])
        for value in range(50):
            write_metric("a", value=value)
        ack('ready')
        {WAIT}
        """,
    )
    child.wait_for("ready")
    child.process.send_signal(signal.SIGKILL)
    assert child.finish().code == -signal.SIGKILL
    outcome, stored = run(
        tmp_path,
        spool
        + """
        backend = ThreadedBackend(type('Sink', (FileSink,), {})(sink), spool=spool)
        backend.start_worker()
        backend.write("a", value=50)
        assert wait_for(backend, lambda: backend.stats()["delivered"] == 51), backend.stats()
        check_conservation(backend.stats(), pending=0)
        """,
    )
    assert outcome.code == 0, outcome.err
    assert sorted(set(values(stored))) == list(range(51))


@posix
@pytest.mark.parametrize("how", ["returns", "exits", "raises"])
def test_sigterm_calls_the_handler_that_was_there_before(tmp_path, how):
    """The application's own handler runs first and decides; whatever it does, nothing is lost (P3)."""
    body = {"returns": "pass", "exits": "sys.exit(7)", "raises": "raise KeyError('mine')"}[how]
    outcome, stored = signalled(
        tmp_path,
        "import signal\n"
        f"def mine(number, frame):\n    ack('mine')\n    {body}\n"
        "signal.signal(signal.SIGTERM, mine)\n"
        + PRODUCE
        + f"install_sigterm()\ninstall_sigterm()\nack('ready')\n{WAIT}\n",
    )
    assert outcome.code == {"returns": 143, "exits": 7, "raises": 1}[how]
    assert outcome.out.split().count("mine") == 1
    assert values(stored) == list(range(500))


@posix
def test_sigterm_that_is_ignored_stays_ignored(tmp_path):
    """A process that ignores SIGTERM goes on after `install_sigterm` (P3)."""
    outcome, stored = run(
        tmp_path,
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ninstall_sigterm()\n"
        + PRODUCE
        + "os.kill(os.getpid(), signal.SIGTERM)\nack('still here')\n",
    )
    assert outcome.code == 0
    assert values(stored) == list(range(500))


@posix
def test_sigint_delivers_all(tmp_path):
    """Ctrl-C ends the process with everything delivered (P3)."""
    outcome, stored = signalled(tmp_path, PRODUCE + f"ack('ready')\n{WAIT}\n", signal.SIGINT)
    assert "KeyboardInterrupt" in outcome.err
    assert "time_execution" not in outcome.err
    assert values(stored) == list(range(500))


@posix
def test_signals_in_the_midst_of_writing_lose_nothing_and_hang_nowhere(tmp_path):
    """Handlers that write, flush and ask for stats while their thread is inside the delivery do no harm (P9, P10)."""
    outcome, stored = run(
        tmp_path,
        """
        import signal
        backend = quick(FileSink(sink), queue_maxsize=1_000_000, bulk_size=50)
        settings.configure(backends=[backend])
        handled = 0
        def handler(number, frame):
            global handled
            handled += 1
            write_metric("signal", value=handled)
            check_conservation(backend.stats())
            if handled % 20 == 0:
                assert backend.flush(10.0) in (True, False)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.002)
        written = 0
        while handled < 300:
            write_metric("main", value=written)
            written += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert backend.flush(10.0)
        stats = backend.stats()
        check_conservation(stats, offered=written + handled, pending=0)
        assert stats["delivered"] == written + handled, stats
        print(written + handled)
        """,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
    assert len(stored) == int(outcome.out)
    assert len({line.id for line in stored}) == len(stored)


@posix
@pytest.mark.parametrize("what", ["flush", "close"])
def test_flush_and_close_in_a_signal_handler_come_back(tmp_path, what):
    """A handler that flushes or closes interrupts the main thread anywhere, also inside `write`; no deadlock (P9)."""
    outcome, _ = run(
        tmp_path,
        f"""
        import signal
        results = []
        def handler(number, frame):
            results.append(backend.{what}(2.0))
        signal.signal(signal.SIGALRM, handler)
        for _ in range(200):
            backend = quick(FaultBackend(), bulk_size=5)
            results.clear()
            signal.setitimer(signal.ITIMER_REAL, 0.0005)
            offered = 0
            while not results:
                backend.write("a", value=offered)
                offered += 1
            backend.close(2.0)
            check_conservation(backend.stats(), offered=offered, pending=0)
        """,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome


# ---- P4, P5: forks ---------------------------------------------------------------------------------------------------


@posix
def test_a_child_forked_while_threads_hold_the_lock_delivers_its_own(tmp_path):
    """Of 200 children forked while 4 threads are inside the delivery, each delivers its 20, once, none hangs (P4)."""
    outcome, stored = run(
        tmp_path,
        """
        backend = quick(FileSink(sink), queue_maxsize=100_000, bulk_size=50)
        settings.configure(backends=[backend])
        stop = threading.Event()
        counts = [0] * 4
        def hold(index):
            while not stop.is_set():
                with backend.channel.lock:
                    backend.stats()
                write_metric("parent", value=counts[index])
                counts[index] += 1
                time.sleep(0.0002)
        threads = [threading.Thread(target=hold, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for fork in range(200):
            pid = os.fork()
            if pid == 0:
                faulthandler.dump_traceback_later(5.0, exit=True)
                for value in range(20):
                    write_metric("child", value=fork * 20 + value)
                done = backend.flush(5.0)
                stats = backend.stats()
                check_conservation(stats, offered=20, pending=0)
                os._exit(0 if done and stats["delivered"] == 20 else 1)
            assert os.waitpid(pid, 0)[1] == 0, fork
        stop.set()
        for thread in threads:
            thread.join()
        backend.close(10.0)
        check_conservation(backend.stats(), offered=sum(counts), pending=0)
        print(sum(counts))
        """,
        limit=60.0,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
    children = [line for line in stored if line.name == "child"]
    assert values(children) == list(range(4000))
    parents = [line for line in stored if line.name == "parent"]
    assert len(parents) == int(outcome.out)
    assert len({line.pid for line in parents}) == 1
    assert len({line.id for line in stored}) == len(stored)


@posix
@pytest.mark.parametrize("with_spool", [False, True], ids=["memory", "spool"])
def test_what_the_parent_queued_is_sent_by_the_parent_alone(tmp_path, with_spool):
    """A child inherits no metric; its counters start at zero; both end the ordinary way (P5)."""
    spool = f", spool={str(tmp_path / 'spool')!r}" if with_spool else ""
    outcome, stored = run(
        tmp_path,
        f"""
        backend = ThreadedBackend(FileSink(sink), bulk_timeout=60.0{spool})
        settings.configure(backends=[backend])
        measured = time_execution(lambda: None, name="measured")
        for value in range(100):
            write_metric("parent", value=value)
            measured()
        pid = os.fork()
        if pid == 0:
            check_conservation(backend.stats(), offered=0, pending=0)
            for value in range(50):
                write_metric("child", value=value)
                measured()
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
    counts = Counter(line.name for line in stored)
    assert counts == {"parent": 100, "child": 50, "measured": 150}
    assert len({line.id for line in stored}) == 300
    assert len({line.pid for line in stored if line.name == "parent"}) == 1


@posix
def test_a_fork_in_the_worker_itself_does_no_harm(tmp_path):
    """A backend that forks, in the middle of a batch, leaves the parent's books and the child's alone (P5)."""
    outcome, stored = run(
        tmp_path,
        """
        class Forking(FileSink):
            def write_many(self, metrics):
                pid = os.fork()
                if pid == 0:
                    backend.write("child", value=1)
                    stats = backend.stats()
                    check_conservation(stats, offered=1)
                    os._exit(0 if stats["rejected"] == {} else 1)
                assert os.waitpid(pid, 0)[1] == 0
                super().write_many(metrics)
        backend = quick(Forking(sink))
        for value in range(10):
            backend.write("a", value=value)
        assert backend.flush(10.0)
        check_conservation(backend.stats(), offered=10, pending=0)
        assert backend.stats()["worker_restarts"] == 0
        """,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
    assert values(stored) == list(range(10))


@posix
def test_a_fork_that_runs_no_hooks_is_noticed(tmp_path):
    """A child that C code forked, without Python's fork hooks, delivers its own and nothing of its parent's (P5)."""
    outcome, stored = run(
        tmp_path,
        """
        import ctypes
        backend = ThreadedBackend(FileSink(sink), bulk_timeout=60.0)
        settings.configure(backends=[backend])
        measured = time_execution(lambda: None, name="measured")
        for value in range(10):
            write_metric("parent", value=value)
            measured()
        # Without the hooks the interpreter's own locks may hang in the child, through no fault of ours: some tries.
        for _ in range(5):
            pid = ctypes.PyDLL(None).fork()
            if pid == 0:
                faulthandler.dump_traceback_later(2.0, exit=True)
                measured()
                for value in range(20):
                    write_metric("child", value=value)
                os._exit(0 if backend.flush(5.0) else 1)
            if os.waitpid(pid, 0)[1] == 0:
                break
        print(pid)
        """,
    )
    assert outcome.code == 0, outcome
    child = [line.name for line in stored if line.pid == int(outcome.out)]
    # What measured calls append before anything looks at the process is lost with what the child inherited.
    assert Counter(child) - Counter(measured=1) == Counter(child=20)
    assert Counter(line.name for line in stored if line.name == "parent") == {"parent": 10}


@posix
def test_a_backend_that_fails_after_a_fork_keeps_no_other_from_its_new_start(tmp_path):
    """An `after_fork` that raises is isolated: every other delivery works in the child (P5, I2)."""
    outcome, stored = run(
        tmp_path,
        """
        class Breaking(FaultBackend):
            def after_fork(self):
                raise RuntimeError("cannot")
        bad = [quick(Breaking()) for _ in range(5)]
        good = [quick(FileSink(sink)) for _ in range(5)]
        bad += [quick(Breaking()) for _ in range(5)]
        for backend in good + bad:
            backend.write("parent", value=0)
            assert backend.flush(10)
        pid = os.fork()
        if pid == 0:
            faulthandler.dump_traceback_later(5.0, exit=True)
            for backend in good + bad:
                backend.write("child", value=1)
                check_conservation(backend.stats(), offered=1)
                if not backend.flush(2.0):
                    os._exit(1)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """,
    )
    assert outcome.code == 0, outcome
    assert Counter(line.name for line in stored) == {"parent": 5, "child": 5}


@posix
def test_a_child_that_ends_at_once_costs_its_own_metrics_only(tmp_path):
    """`os._exit` in a child loses what the child did not flush, and nothing of the parent's (P5)."""
    outcome, stored = run(
        tmp_path,
        """
        backend = ThreadedBackend(FileSink(sink), bulk_timeout=60.0)
        settings.configure(backends=[backend])
        write_metric("parent", value=1)
        for flushed in (True, False):
            pid = os.fork()
            if pid == 0:
                write_metric("child", value=int(flushed))
                if flushed:
                    assert flush(5.0)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        """,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
    assert sorted((line.name, line.value) for line in stored) == [("child", "1"), ("parent", "1")]


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
    assert outcome.err.splitlines() == ["time_execution: 1 metrics could not be delivered at exit"]


@posix
def test_workers_of_gunicorn_deliver_what_they_measured(tmp_path):
    """Under ``gunicorn --preload``, each process delivers what it measured itself (P5)."""
    pytest.importorskip("gunicorn")
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
        """
        import signal, subprocess, urllib.request, socket
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen([sys.executable, "-m", "gunicorn", "--preload", "--workers", "2",
            "--max-requests", "5",
            "--bind", f"127.0.0.1:{port}", "--log-level", "warning", "app:app"])
        answered, deadline = 0, time.monotonic() + 15
        while answered < 30 and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
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


# ---- P6, P7: threads -------------------------------------------------------------------------------------------------


def test_a_delivery_outlives_the_thread_that_made_it():
    """A delivery built, and first used, in a thread that ends at once works for all others (P6)."""
    store = FaultBackend()
    made = in_threads(1, lambda _: quick(store))[0]
    in_threads(1, lambda _: made.write("a", value=0))
    for value in range(1, 3000):
        made.write("a", value=value)
    assert made.flush(DEADLINE)
    assert store.values() == list(range(3000))
    made.close()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_worker_that_is_killed_is_replaced(error):
    """What no backend may raise ends the thread; its batch is kept, a new thread sends it, the books are right (P7)."""
    store = FaultBackend([error])
    delivery = quick(store, bulk_size=5)
    for value in range(5):
        delivery.write("a", value=value)
    assert wait_for(delivery, lambda: store.attempts)
    for value in range(5, 10):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    stats = delivery.stats()
    check_conservation(stats, offered=10, pending=0)
    assert stats["worker_restarts"] == 1
    assert stats["retried"] == 5
    assert store.values() == list(range(10))
    assert len(store.threads) <= 2
    delivery.close()


@pytest.mark.parametrize("wait", ["flush", "close"])
def test_who_waits_for_a_worker_that_dies_gets_a_new_one(wait):
    """`flush` and `close` come to their end although the worker is killed and nobody writes any more (P7)."""
    store = FaultBackend([SystemExit, SystemExit])
    delivery = quick(store, bulk_timeout=60.0, shutdown_timeout=DEADLINE)
    for value in range(5):
        delivery.write("a", value=value)
    if wait == "flush":
        assert delivery.flush(DEADLINE)
    delivery.close()
    stats = delivery.stats()
    check_conservation(stats, offered=5, pending=0)
    assert (stats["delivered"], stats["worker_restarts"]) == (5, 2)


def test_a_worker_that_is_killed_each_time_is_not_replaced_at_once():
    """A backend that kills every worker is asked again with growing pauses, not with each metric (P7, D10)."""
    store = FaultBackend(then=SystemExit)
    delivery = quick(store, retry=Backoff(base=60.0, cap=60.0, jitter=lambda _, high: high), shutdown_timeout=0.1)
    delivery.write("a", value=0)
    assert wait_for(delivery, lambda: store.attempts)
    for value in range(1, 200):
        delivery.write("a", value=value)
        wait_for(delivery, lambda: False, timeout=0.0005)
    assert len(store.attempts) <= 2
    check_conservation(delivery.stats(), offered=200, pending=200)
    delivery.close()


def test_a_worker_gives_way_to_a_fresh_one_after_so_many_metrics():
    """With worker_limit, new threads take over, one at a time, and nothing is lost or counted as a death."""
    active, most = [], []

    def send(metrics):
        active.append(1)
        most.append(len(active))
        store.keep(metrics)
        active.pop()

    store = FaultBackend(then=send)
    delivery = quick(store, bulk_size=10, worker_limit=20)
    names = set()
    for value in range(500):
        delivery.write("a", value=value)
        names |= {thread.name for thread in threading.enumerate()}
    assert delivery.flush(DEADLINE)
    assert store.values() == list(range(500))
    assert max(most) == 1
    assert delivery.stats()["worker_restarts"] == 0
    assert "TimeExecutionThread" in names
    delivery.close()
    assert store.closed == 1


# ---- P8: before the beginning and after the end ----------------------------------------------------------------------


def test_writes_after_close_are_counted_and_harmless():
    """After `close`, writes and measured calls are rejected and counted; nothing raises (P8)."""
    store = FaultBackend()
    delivery = quick(store)
    measured = time_execution(lambda: 42)
    with settings(backends=[delivery]):
        assert measured() == 42
        delivery.close()
        assert measured() == 42
        delivery.write("a", value=1)
        delivery.start_worker()
    stats = delivery.stats()
    check_conservation(stats, offered=3, pending=0)
    assert stats["delivered"] == 1
    assert stats["rejected"] == {"after_close": 2}
    assert delivery._worker.thread is None


LATE = """
import atexit, builtins, functools, logging, sys, threading

class Late:
    def __init__(self, label):
        self.label = label
    def __del__(self):
        self.measured()
        self.hooked()
        self.write_metric(self.label, value=1)

def keep(late=Late("default")):
    pass

class Holder:
    late = Late("class")

late = Late("module")
cycle = [Late("cycle")]
cycle.append(cycle)
for module in (sys, builtins, functools, logging, threading):  # these outlive all others
    module.late = Late(module.__name__)

from time_execution import time_execution, write_metric

@time_execution(name="measured")
def measured():
    pass

@time_execution(name="hooked", extra_hooks=[lambda **_: {"hook": 1}])
def hooked():
    pass

Late.measured, Late.hooked, Late.write_metric = staticmethod(measured), staticmethod(hooked), staticmethod(write_metric)
"""


@pytest.mark.parametrize("setting", ["unused", "used", "direct", "late", "busy"])
def test_metrics_written_while_the_interpreter_ends_do_no_harm(tmp_path, setting):
    """`atexit` functions, finalizers and threads may measure to the last: no exception, no word on stderr (P8)."""
    (tmp_path / "late.py").write_text(LATE)
    outcome, stored = run(
        tmp_path,
        f"""
        sys.path.insert(0, {str(tmp_path)!r})
        import late, atexit
        setting = {setting!r}
        sink = FileSink(sink)
        settings.configure(backends=[sink if setting == "direct" else ThreadedBackend(sink, bulk_timeout=60.0)])
        if setting != "unused":
            for value in range(100):
                write_metric("a", value=value)
        mine = late.Late("main")
        if setting == "late":
            atexit.register(late.measured)
            atexit.register(late.hooked)
        if setting == "busy":
            def go_on():
                while True:
                    late.measured()
            for _ in range(3):
                threading.Thread(target=go_on, daemon=True).start()
        """,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
    if setting not in {"unused", "busy"}:  # threads that never rest fill the queue, and the oldest give way
        assert values(line for line in stored if line.name == "a") == list(range(100))


@pytest.mark.parametrize("flush", ["backend.flush()", "pass"], ids=["flush", "no flush"])
def test_a_process_whose_first_metric_is_its_last_word_ends_at_once(tmp_path, flush):
    """A metric first written in an `atexit` function is delivered or counted, and holds nothing up (P8)."""
    child = Child(
        tmp_path,
        f"""
        import atexit
        backend = ThreadedBackend(FileSink(sink), bulk_timeout=60.0, shutdown_timeout=5.0)
        def last_word():
            backend.write("a", value=1)
            {flush}
        atexit.register(last_word)
        ack("end")
        """,
    )
    ended = child.wait_for("end")
    outcome = child.finish()
    assert outcome.code == 0
    assert "Traceback" not in outcome.err
    assert values(child.stored()) == [1] or outcome.err == "time_execution: 1 metrics could not be delivered at exit\n"
    assert child.began + outcome.seconds - ended < 1.0 + BUSY


def test_an_end_without_stderr_is_quiet(tmp_path):
    """A daemon that closed its standard streams ends in good order although there is something to say (P8)."""
    for close in ("sys.stderr = None", "sys.stderr.close()", "os.close(2)"):
        outcome, _ = run(
            tmp_path,
            f"""
            backend = ThreadedBackend(HungSink(), shutdown_timeout=0.1)
            backend.write("a", value=1)
            {close}
            """,
        )
        assert outcome.code == 0
        assert "Traceback" not in outcome.err


# ---- P9: waiting, from everywhere ------------------------------------------------------------------------------------


@pytest.mark.parametrize("iteration", range(20))
def test_sixteen_threads_flush_and_close_at_once(iteration):
    """`flush` and `close` from 16 threads together return soon, and the backend is closed once (P9)."""
    store = FaultBackend()
    deliveries = [quick(store) for _ in range(10)]
    for delivery in deliveries:
        for value in range(50):
            delivery.write("a", value=value)

    def wait(thread):
        for delivery in deliveries:
            if (thread + iteration) % 2:
                assert isinstance(delivery.flush(5.0), bool)
            else:
                delivery.close(5.0)
                delivery.close(5.0)

    in_threads(16, wait, timeout=5.0)
    for delivery in deliveries:
        check_conservation(delivery.stats(), offered=50, pending=0)
        assert delivery.stats()["delivered"] == 50
    assert store.closed == 10


@pytest.mark.parametrize("hung", [False, True], ids=["idle", "hung"])
def test_a_second_close_returns_at_once(hung):
    """However the first `close` ended, the second takes less than 10 ms (P9)."""
    gate = Gate()
    delivery = quick(FaultBackend([gate] if hung else []), shutdown_timeout=0.2)
    delivery.write("a", value=1)
    if hung:
        gate.wait()
    delivery.close()
    times = []
    for _ in range(5):
        began = time.monotonic()
        delivery.close()
        times.append(time.monotonic() - began)
    assert sorted(times)[2] < 0.010
    gate.open.set()
    if delivery._worker.thread:
        delivery._worker.thread.join(DEADLINE)


def test_flush_and_close_from_the_worker_return_at_once():
    """A backend that flushes and closes its own delivery gets False and goes on (P9)."""
    results: list[Any] = []

    def reenter(metrics):
        store.keep(metrics)
        began = time.monotonic()
        results.append(delivery.flush(5.0))
        delivery.close(5.0)
        results.append(time.monotonic() - began)

    store = FaultBackend(then=reenter)
    delivery = quick(store)
    delivery.write("a", value=1)
    assert wait_for(delivery, lambda: len(results) == 2)
    assert results[0] is False
    assert results[1] < 1.0
    thread = delivery._worker.thread
    if thread is not None:
        thread.join(DEADLINE)
    check_conservation(delivery.stats(), offered=1, pending=0)
    assert store.closed == 1


@pytest.mark.parametrize("with_spool", [False, True], ids=["memory", "spool"])
def test_flush_after_close_returns_at_once(tmp_path, with_spool):
    """After a `close` that could not deliver all, `flush` without a time-out comes back (P9)."""
    gate = Gate()
    options = {"spool": tmp_path / "spool"} if with_spool else {}
    delivery = quick(FaultBackend([gate]), shutdown_timeout=0.1, **options)
    delivery.write("a", value=1)
    gate.wait()
    delivery.close()
    assert in_threads(1, lambda _: delivery.flush(), timeout=3.0) == [not with_spool]
    check_conservation(delivery.stats(), offered=1, pending=int(with_spool))
    gate.open.set()
    thread = delivery._worker.thread
    if thread is not None:
        thread.join(DEADLINE)


def test_close_while_another_flushes_without_a_time_out_ends_both(tmp_path):
    """A `flush` that would wait for ever ends when another thread closes the delivery into its spool (P9)."""
    gate = Gate()
    delivery = quick(FaultBackend([gate]), shutdown_timeout=0.1, spool=tmp_path / "spool")
    delivery.write("a", value=1)
    gate.wait()
    results = []
    flusher = threading.Thread(target=lambda: results.append(delivery.flush()), daemon=True)
    flusher.start()
    assert wait_for(delivery, lambda: delivery.channel.flush_target)
    delivery.close()
    flusher.join(3.0)
    gate.open.set()
    assert results == [False]


class SlowExit:
    """A lock whose holder, once armed, is held up as it leaves until the worker has ended."""

    def __init__(self, lock):
        self._lock = lock
        self.thread = None

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *exc):
        self._lock.__exit__(*exc)
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join(DEADLINE)


def test_the_backend_is_closed_once_when_the_worker_is_quicker_than_close():
    """A worker that ends between two steps of `close` has closed the backend: it is not closed again (P9)."""
    store = FaultBackend()
    delivery: Any = quick(store)
    delivery.write("a", value=1)
    assert delivery.flush(DEADLINE)
    lock = delivery.channel.lock = SlowExit(delivery.channel.lock)
    stop = delivery._worker.stop

    def arm():
        lock.thread = delivery._worker.thread
        stop()

    delivery._worker.stop = arm
    delivery.close()
    assert store.closed == 1


def test_a_worker_that_hands_over_does_not_close_under_its_successor():
    """A worker that leaves at its limit while `close` begins leaves the backend to the one that took over (P9)."""
    store = FaultBackend()
    delivery: Any = quick(store, worker_limit=1, bulk_size=1)
    channel, worker = delivery.channel, delivery._worker
    leave_lock = channel.lock
    closers = []
    delivery._worker._close_backend = lambda: closers.append(threading.current_thread())
    gate = Gate(store.keep)
    store._script += [store.keep, gate]

    class CloseAtExit:
        """Stops the worker at the very moment at which the old thread has started a new one."""

        def __enter__(self):
            return leave_lock.__enter__()

        def __exit__(self, *exc):
            handed_over = worker.thread is not None and worker.thread is not threading.current_thread()
            leave_lock.__exit__(*exc)
            if handed_over and threading.current_thread().name == "TimeExecutionThread" and not old:
                old.append(threading.current_thread())
                gate.wait()
                with leave_lock:
                    channel.close()
                    worker.stop()

    old: list[threading.Thread] = []
    with channel.lock:
        delivery.write("a", value=0)
        delivery.write("a", value=1)
        channel.lock = CloseAtExit()
    gate.wait()
    old[0].join(DEADLINE) if old else None
    assert closers == []
    new = worker.thread
    gate.open.set()
    new.join(DEADLINE)
    assert closers == [new]
    channel.lock = leave_lock
    delivery.close(0.0)


# ---- P10: code that comes in from within -----------------------------------------------------------------------------


def test_finalizers_that_write_while_the_lock_is_held_do_no_harm(tmp_path):
    """A collection that runs in the midst of the delivery, on any thread, may write: nothing is lost (P10)."""
    outcome, _ = run(
        tmp_path,
        """
        import gc
        backend = quick(FaultBackend(), queue_maxsize=100, bulk_size=10)
        settings.configure(backends=[backend])
        written = [0, 0]
        lock = threading.Lock()
        class Late:
            def __init__(self):
                self.me = self
            def __del__(self):
                written[1] += 1
                write_metric("late", value=1)
        @time_execution
        def measured():
            Late()
        gc.set_threshold(7, 2, 2)
        for value in range(3000):
            measured()
            write_metric("a", value=value)
            if value % 10 == 0:
                check_conservation(backend.stats())
        gc.set_threshold(100_000)
        gc.collect()
        backend.flush(10.0)
        stats = backend.stats()
        check_conservation(stats, offered=6000 + written[1], pending=0)
        assert written[1] == 3000, written
        backend.close()
        """,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome


def test_a_finalizer_in_the_midst_of_stats_does_not_spoil_them():
    """What a finalizer drops while `stats` reads is in the numbers or it is not, never half (P10, I1)."""
    gate = Gate()
    delivery = quick(FaultBackend([gate]), queue_maxsize=3, bulk_size=1)
    delivery.write("a", value=0)
    gate.wait()
    for value in range(1, 3):
        delivery.write("a", value=value)
    ledger = delivery.channel.ledger

    def trace(frame, event, argument):
        if event == "return" and frame.f_code.co_name in {"_spool_losses", "spool_losses", "_oldest_age", "bytes"}:
            sys.setprofile(None)
            delivery.write("late", value=9)

    sys.setprofile(trace)
    try:
        stats = delivery.stats()
    finally:
        sys.setprofile(None)
    assert ledger.dropped
    check_conservation(stats)
    gate.open.set()
    delivery.close(0.0)


def test_backends_and_hooks_may_call_what_is_measured(tmp_path):
    """A backend, queued or direct, and a hook that call measured functions come to an end (P10)."""

    @time_execution(name="inner")
    def inner():
        return 1

    def hook(**_):
        inner()
        return {"hook": True}

    class Measuring(FaultBackend):
        def write_many(self, metrics):
            inner()
            return super().write_many(metrics)

    @time_execution(name="outer", extra_hooks=[hook])
    def outer():
        return 42

    queued, direct = Measuring(), Measuring()
    delivery = quick(queued)
    with settings(backends=[delivery, direct]):
        assert [outer() for _ in range(50)] == [42] * 50
        assert delivery.flush(DEADLINE)
    stats = delivery.stats()
    check_conservation(stats, pending=0)
    assert sum(metric["name"] == "outer" for metric in queued.stored) == 50
    assert sum(metric["name"] == "outer" for metric in direct.stored) == 50
    assert len(queued.stored) <= 200
    delivery.close()


def test_a_log_handler_that_is_itself_measured_comes_to_an_end():
    """A handler that measures and writes as it logs our trouble neither recurses nor hangs (P10)."""
    import logging

    emitted = []

    class Handler(logging.Handler):
        @time_execution(name="emit")
        def emit(self, record):
            emitted.append(record.getMessage())
            write_metric("logged", value=1)

    delivery = quick(FaultBackend([OSError] * 5))
    settings.configure(backends=[delivery])
    handler = Handler()
    logger = logging.getLogger("time_execution")
    logger.addHandler(handler)
    try:
        for value in range(10):
            write_metric("a", value=value)
        assert delivery.flush(DEADLINE)
    finally:
        logger.removeHandler(handler)
    stats = delivery.stats()
    check_conservation(stats, pending=0)
    assert len(emitted) == 1
    assert stats["rejected"] == {"reentrant": 2}


# ---- P11: asyncio ----------------------------------------------------------------------------------------------------


def collected(body):
    """Run a coroutine function with a delivery in force; returns its result and the names stored."""
    store = FaultBackend()
    delivery = quick(store)
    with settings(backends=[delivery]):
        result = asyncio.run(body())
        assert delivery.flush(DEADLINE)
    check_conservation(delivery.stats(), pending=0)
    delivery.close()
    return result, [metric["name"] for metric in store.stored]


def test_a_cancelled_coroutine_stays_cancelled_and_is_measured():
    """CancelledError passes through the decorator, the task counts as cancelled, the metric is written (P11)."""

    async def body():
        @time_execution(name="waits")
        async def waits():
            await asyncio.sleep(60)

        task = asyncio.ensure_future(waits())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert collected(body) == (True, ["waits"])


def test_asynchronous_generators_are_measured_to_their_end():
    """Exhausted, left early and closed, an asynchronous generator makes one metric each time (P11)."""

    async def body():
        @time_execution(name="numbers")
        async def numbers():
            for number in range(3):
                yield number

        full = [number async for number in numbers()]
        generator = numbers()
        async for _ in generator:
            break
        await generator.aclose()
        numbers()
        return full

    assert collected(body) == ([0, 1, 2], ["numbers"] * 2)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups are new in Python 3.11")
def test_an_exception_group_passes_as_it_is():
    """The very group that a coroutine raised arrives at its caller (P11)."""
    kind: Any = vars(builtins)["ExceptionGroup"]
    group = kind("both", [ValueError(1), KeyError(2)])

    async def body():
        @time_execution(name="raises")
        async def raises():
            raise group

        with pytest.raises(kind) as raised:
            await raises()
        return raised.value is group

    assert collected(body) == (True, ["raises"])


@pytest.mark.serial
def test_the_event_loop_is_never_held_up():
    """While the backend hangs and the queue overflows, the loop is blocked for less than 5 ms at a time (P11)."""
    gate = Gate()
    delivery = quick(FaultBackend([gate]), queue_maxsize=1000)
    settings.configure(backends=[delivery])

    @time_execution
    async def measured():
        return None

    async def body():
        times = []
        for _ in range(300):
            began = time.perf_counter()
            for _ in range(20):
                await measured()
            await asyncio.sleep(0)
            times.append(time.perf_counter() - began)
        return sorted(times)

    times = asyncio.run(body())
    stats = delivery.stats()
    gate.open.set()
    delivery.close()
    assert times[-4] < 0.005  # the rest is the machine's
    check_conservation(stats, offered=6000)


# ---- P12: in the long run --------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("with_spool", [False, True], ids=["memory", "spool"])
def test_a_thousand_deliveries_leave_nothing_behind(tmp_path, with_spool):
    """After 1000 deliveries were made, used and closed, threads, descriptors and the tracked are as before (P12)."""
    options = f"spool={str(tmp_path / 'spool')!r}" if with_spool else ""
    count = 100 if with_spool else 1000
    outcome, _ = run(
        tmp_path,
        f"""
        import gc
        from time_execution.delivery import lifecycle
        def one():
            with quick(FaultBackend(), {options}) as backend:
                backend.write("a", value=1)
            check_conservation(backend.stats(), offered=1, pending=0)
            assert backend.stats()["delivered"] == 1
        one()
        gc.collect()
        before = threading.active_count(), len(os.listdir("/proc/self/fd")), len(lifecycle._tracked)
        for _ in range({count}):
            one()
        gc.collect()
        after = threading.active_count(), len(os.listdir("/proc/self/fd")), len(lifecycle._tracked)
        assert after == before, (before, after)
        """,
        limit=40.0,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome


@posix
@pytest.mark.slow
@pytest.mark.timeout(700)
def test_ten_million_events_leave_the_memory_as_it_was(tmp_path):
    """Through 10^7 measured calls the resident memory does not grow, and every one is accounted for (P12)."""
    outcome, _ = run(
        tmp_path,
        """
        import resource
        class Null:
            def write_many(self, metrics):
                return None
        backend = ThreadedBackend(Null(), overflow="block", block_timeout=10.0)
        settings.configure(backends=[backend])
        @time_execution
        def measured():
            pass
        sizes = []
        for round in range(20):
            for _ in range(500_000):
                measured()
            assert backend.flush(60.0)
            sizes.append(int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize())
            check_conservation(backend.stats(), pending=0)
        check_conservation(backend.stats(), offered=10_000_000, pending=0)
        assert backend.stats()["delivered"] == 10_000_000, backend.stats()
        assert sizes[-1] - sizes[4] < 4 << 20, sizes
        """,
        limit=600.0,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
