"""A process that ends, however it does, delivers what it can and is not held up: cases P1 and P2, invariant I4."""

from __future__ import annotations

import pytest

from tests.faults.children import BUSY, MARGIN, Child, Stored, run, values


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
    outcome, took = child.end()
    assert (outcome.code, outcome.err) == (0, "")
    assert values(child.stored()) == list(range(1000))
    assert took < 1.0 + BUSY


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
        backend = ThreadedBackend(HungSink(), shutdown_timeout=0.3, bulk_timeout={0.01 if used else 60.0},
                                  overflow={overflow!r})
        settings.configure(backends=[backend])
        for value in range(100):
            write_metric("a", value=value)
        if {used}:
            assert wait_for(backend, lambda: backend.stats()["in_flight"])
        ack("end")
        """,
    )
    outcome, took = child.end()
    assert outcome.code == 0
    assert outcome.err.splitlines() == ["time_execution: 100 metrics could not be delivered at exit"]
    assert took < 0.3 + MARGIN + BUSY


def test_two_backends_that_hang_share_the_time_there_is(tmp_path):
    """Ten deliveries that hang take one shutdown_timeout together, not one each (I4)."""
    child = Child(
        tmp_path,
        """
        settings.configure(backends=[ThreadedBackend(HungSink(), shutdown_timeout=0.5) for _ in range(10)])
        write_metric("a", value=1)
        ack("end")
        """,
    )
    outcome, took = child.end()
    assert "10 metrics" in outcome.err
    assert took < 0.5 + MARGIN + BUSY


def test_what_a_hung_backend_leaves_goes_to_the_spool_and_to_the_next_process(tmp_path):
    """With a spool nothing is lost at the end, nothing is said, and the next process delivers it all (P2)."""
    stored: list[Stored] = []
    # Both sinks go by one name, by which the second process knows what the first has left it.
    for base, arguments, patience, numbers in ("HungSink", "", 0.3, range(100)), ("FileSink", "sink", 5.0, [100]):
        outcome, stored = run(
            tmp_path,
            f"""
            class Sink({base}):
                pass
            backend = ThreadedBackend(
                Sink({arguments}), spool={str(tmp_path / "spool")!r}, shutdown_timeout={patience}, bulk_timeout=0.01)
            settings.configure(backends=[backend])
            for value in {numbers}:
                write_metric("a", value=value)
            """,
        )
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
    outcome, took = child.end()
    lost = int(outcome.err.split()[1])
    # The batch in the backend's hands at the end may be stored and is counted as lost all the same.
    assert 1000 <= len(child.stored()) + lost <= 1010
    assert len(child.stored()) >= 20
    assert took < 0.75 + MARGIN + BUSY


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


@pytest.mark.parametrize(
    "connect",
    ["client.connect()", "delivery.write('a', value=100); delivery.flush(5.0)"],
    ids=["before the first metric", "with the first batch"],
)
def test_a_client_that_connects_late_is_still_open_when_the_rest_is_sent(tmp_path, connect):
    """What registers its end after the delivery was made ends after the delivery all the same (P1)."""
    outcome, stored = run(
        tmp_path,
        f"""
        import atexit
        class Client(FileSink):
            is_open = None
            def connect(self):
                self.is_open = True
                atexit.register(self.shut)
            def shut(self):
                self.is_open = False
            def write_many(self, metrics):
                if self.is_open is None:
                    self.connect()
                if not self.is_open:
                    raise ConnectionError("closed")
                super().write_many(metrics)
        client = Client(sink)
        delivery = ThreadedBackend(client, bulk_timeout=60.0)
        {connect}
        for value in range(100):
            delivery.write("a", value=value)
        """,
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert set(values(stored)) >= set(range(100))


def test_what_an_earlier_close_gave_up_is_not_told_at_the_end(tmp_path):
    """Whoever closes a delivery himself can ask it; the last word of a process is about what was still open (P2)."""
    outcome, _ = run(
        tmp_path,
        """
        delivery = quick(HungSink())
        delivery.write("a", value=1)
        delivery.close(0.1)
        assert delivery.undelivered() == 1
        """,
    )
    assert (outcome.code, outcome.err) == (0, "")


def test_a_first_metric_amid_the_end_does_not_cancel_the_end_of_others(tmp_path):
    """A worker that starts while ``atexit`` functions run leaves the list of them as it is (P1)."""
    outcome, stored = run(
        tmp_path,
        """
        import atexit
        early = ThreadedBackend(FileSink(sink), bulk_timeout=60.0)
        late = quick(FaultBackend())
        for value in range(10):
            early.write("early", value=value)
        atexit.register(late.write, "late", value=1)
        """,
    )
    assert outcome.code == 0, outcome.err
    assert values(stored) == list(range(10))
