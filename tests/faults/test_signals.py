"""SIGTERM, SIGINT and SIGKILL, and handlers that come in anywhere: cases P3 and P9."""

from __future__ import annotations

import signal

import pytest

from tests.faults.children import Child, posix, run, values
from tests.faults.harness import FaultBackend, Gate
from time_execution import settings, time_execution
from time_execution.delivery.spool import Spool

# Not one wait without an end: a signal that comes just before it blocks would not be noticed in it.
WAIT = "while True: time.sleep(0.05)"


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
def test_a_kill_with_a_durable_spool_loses_nothing(tmp_path):
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


@pytest.mark.parametrize("way", ["measured call", "write"])
def test_a_durable_spool_has_each_metric_before_the_caller_goes_on(deliver, tmp_path, way):
    """So that a kill at any later moment loses none, be the worker idle or busy (P3)."""
    gate = Gate()
    delivery = deliver(FaultBackend([gate]), spool=Spool(tmp_path / "spool", durable=True))
    settings.configure(backends=[delivery])
    call = time_execution(lambda: None) if way == "measured call" else lambda: delivery.write("a", value=1)
    for number in range(1, 6):
        call()
        assert len(delivery.channel.store) == number
    gate.wait()
    for number in range(6, 11):
        call()
        assert len(delivery.channel.store) == number
    gate.open.set()


@posix
@pytest.mark.parametrize("how", ["returns", "exits", "raises"])
def test_sigterm_calls_the_handler_that_was_there_before(tmp_path, how):
    """The application's own handler runs first and decides; whatever it does, nothing is lost (P3)."""
    body = {"returns": "pass", "exits": "sys.exit(7)", "raises": "raise KeyError('mine')"}[how]
    outcome, stored = signalled(
        tmp_path,
        "import signal\n"
        # Not by `ack`: the signal may come while that of the main thread is still on its way out of the buffer.
        f"def mine(number, frame):\n    os.write(1, b'mine\\n')\n    {body}\n"
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


SIGNALLED_AT_THE_END = """
import signal

class Signalling(FileSink):
    def write_many(self, metrics):
        assert wait_for(backend, backend.is_closed)  # else none may be left for the signal to meet
        signal.pthread_kill(threading.main_thread().ident, {amid})
        super().write_many(metrics)

backend = ThreadedBackend(Signalling(sink), bulk_size=5{options})

def work():
    settings.configure(backends=[backend])
    for value in range(500):
        write_metric("a", value=value)
"""


@posix
@pytest.mark.parametrize(
    "ending",
    [
        "install_sigterm()\nwork()\n",
        (
            "import multiprocessing\n"
            "def child():\n    install_sigterm()\n    work()\n"
            "process = multiprocessing.get_context('fork').Process(target=child)\n"
            "process.start()\nprocess.join(20)\nassert process.exitcode == 0, process.exitcode\n"
        ),
    ],
    ids=["program", "child of multiprocessing"],
)
def test_sigterm_while_a_process_ends_already_changes_nothing(tmp_path, ending):
    """After `install_sigterm`, signals that come amid the delivery at the end neither cut it short nor show (P3)."""
    outcome, stored = run(tmp_path, SIGNALLED_AT_THE_END.format(amid="signal.SIGTERM", options="") + ending)
    assert (outcome.code, outcome.err) == (0, "")
    assert values(stored) == list(range(500))


@posix
@pytest.mark.parametrize("spooled", [False, True])
def test_sigint_while_a_process_ends_already_ends_the_waiting(tmp_path, spooled):
    """A user who presses Ctrl-C again waits no longer: the rest is in the spool, or told of on stderr (P3)."""
    spool = tmp_path / "spool"
    options = f", shutdown_timeout=60.0, spool={str(spool)!r}" if spooled else ", shutdown_timeout=60.0"
    script = SIGNALLED_AT_THE_END.format(amid="signal.SIGINT); threading.Event().wait(", options=options)
    outcome, stored = run(tmp_path, script + "work()\n")
    assert outcome.code == 0
    lost = 500 - len(stored)
    assert outcome.err == ("" if spooled else f"time_execution: {lost} metrics could not be delivered at exit\n")
    if spooled:
        _, rest = run(
            tmp_path,
            f"""
            backend = ThreadedBackend(type("Signalling", (FileSink,), {{}})(sink), spool={str(spool)!r})
            backend.start_worker()
            backend.write("a", value=500)
            assert wait_for(backend, lambda: backend.stats()["adopted"] and not backend.stats()["pending"])
            """,
        )
        assert set(values(rest)) == set(range(501))


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
        @not_too_deep
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
def test_signals_in_the_midst_of_an_overflow_leave_the_books_right(tmp_path):
    """Nor is the weight of the queue wrong afterwards: it decides what gives way (P9, B1).

    A handler that comes while its own thread moves a batch to the disk finds the spool busy. As many of its metrics as
    were in the batch find room in the queue; how many more come, and make the oldest give way, the disk decides.
    """
    outcome, stored = run(
        tmp_path,
        f"""
        import signal
        bounds = {{"queue_maxsize": 300, "bulk_size": 20, "max_bytes": 30_000}}
        backend = quick(FileSink(sink), **bounds, overflow="spool", spool={str(tmp_path / "spool")!r})
        handled = written = 0
        @not_too_deep
        def handler(number, frame):
            global handled
            handled += 1
            backend.write("signal", value=handled)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
        while handled < 6000:
            backend.write("main", value=written)
            written += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        backend.close(60.0)
        stats = backend.stats()
        check_conservation(stats, offered=written + handled, pending=0)
        assert (stats["rejected"], stats["bytes"]) == ({{}}, 0), stats
        assert stats["dropped"].keys() <= {{"queue_full"}}, stats
        print(stats["delivered"])
        """,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
    assert len({line.id for line in stored}) == len(stored) == int(outcome.out)


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
