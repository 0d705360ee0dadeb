"""Children of a fork deliver their own, their parent its own, and nobody hangs: cases P4 and P5."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.faults.children import posix, run, values
from tests.faults.harness import DEADLINE, FaultBackend, check_conservation, quick, wait_for
from tests.faults.spools import run_child
from time_execution.exceptions import BackendUnavailable


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
@pytest.mark.parametrize("first", ["flush(1.0)", "close(1.0)", "stats()", "write('child', value=1)"])
def test_whatever_a_child_without_hooks_does_first_it_sends_nothing_of_its_parents(tmp_path, first):
    """A child that C code forked finds out wherever it comes in; it neither sends nor spools what it inherited (P5)."""
    outcome, stored = run(
        tmp_path,
        f"""
        import ctypes
        backend = ThreadedBackend(FileSink(sink), bulk_timeout=60.0, spool="spool")
        for value in range(10):
            backend.write("parent", value=value)
        for _ in range(5):  # see above
            pid = ctypes.PyDLL(None).fork()
            if pid == 0:
                faulthandler.dump_traceback_later(2.0, exit=True)
                assert backend.{first} is not False
                check_conservation(backend.stats())
                offered = backend.stats()["offered"]
                backend.close(0.5)
                os._exit(10 + offered)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if status >= 10:
                break
        backend.close()
        ack(status)
        heir = quick(FileSink(sink), spool="spool")
        heir.start_worker()
        heir.flush(1.0)
        heir.close()
        """,
    )
    assert outcome.code == 0, outcome
    assert outcome.out == f"{10 + first.startswith('write')}\n", outcome
    assert Counter(line.value for line in stored if line.name == "parent") == dict.fromkeys(map(str, range(10)), 1)


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


def test_a_fork_amid_the_counting_of_a_fault_hangs_no_child(tmp_path):
    """A delivery that no settings know of has its child count faults with a lock of its own (P4)."""
    outcome, stored = run(
        tmp_path,
        """
        from time_execution.guard import faults
        class Failing(FileSink):
            def after_fork(self):
                raise RuntimeError("socket")
        delivery = quick(Failing(sink))
        held, done = threading.Event(), threading.Event()
        def hold():
            with faults._lock:
                held.set()
                done.wait()
        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        pid = os.fork()
        if not pid:
            delivery.write("child", value=1)
            delivery.close()
            os._exit(len(faults.as_dict()["backend"]))
        done.set()
        ack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """,
        limit=10.0,
    )
    assert (outcome.code, outcome.out) == (0, "1\n"), outcome
    assert values(stored) == [1]


@posix
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_does_not_count_what_its_parent_had_taken_from_the_spool(tmp_path):
    """Rows that were on their way to the backend are the parent's, in its memory as on its disk (P5)."""
    backend = FaultBackend(then=BackendUnavailable)
    with quick(backend, spool=tmp_path / "spool", shutdown_timeout=0.1) as delivery:
        for value in range(5):
            delivery.write("parent", value=value)
        assert not delivery.flush(DEADLINE)
        assert wait_for(delivery, lambda: delivery.channel.spool_flight)

        def child(send):
            stats = delivery.stats()
            send(stats["spooled"], stats["in_flight"], stats["pending"])
            backend._then = None
            delivery.write("child", value=5)
            assert delivery.flush(DEADLINE)
            send(*backend.values())

        assert run_child(child) == [0, 0, 0, 5]
        check_conservation(delivery.stats(), offered=5, pending=5)


@posix
def test_a_child_that_a_backend_forks_and_lets_go_on_counts_nothing(tmp_path):
    """It comes back from the backend in the parent's worker, with a batch that is not its own (P5)."""
    outcome, stored = run(
        tmp_path,
        """
        class Forking(FileSink):
            child = None
            def write_many(self, metrics):
                if self.child is None:
                    self.child = os.fork()
                if self.child:
                    super().write_many(metrics)
        backend = quick(Forking(sink), bulk_timeout=60.0)
        parent, settle = os.getpid(), backend._worker._settle
        def settle_and_look(*given):
            settle(*given)
            if os.getpid() != parent:
                stats = backend.stats()
                os._exit(stats["delivered"] + stats["pending"] + stats["offered"])
        backend._worker._settle = settle_and_look
        for value in range(10):
            backend.write("a", value=value)
        assert backend.flush(10.0)
        ack(os.waitstatus_to_exitcode(os.waitpid(backend.backend.child, 0)[1]))
        """,
    )
    assert (outcome.code, outcome.out) == (0, "0\n"), outcome
    assert values(stored) == list(range(10))
