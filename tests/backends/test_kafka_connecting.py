"""How `KafkaBackend` comes to a producer, and to a thread for it: without a broker."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading

import pytest

pytest.importorskip("time_execution.backends.kafka", reason="its client is not installed", exc_type=ImportError)

from tests.closed_after import closed_after

from time_execution.backends.kafka import KafkaBackend, producer  # isort: skip - before the client itself
from kafka import KafkaProducer

from time_execution.backends.kafka.spare import SpareThread
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import BackendDenied, BackendUnavailable

needs_version_3 = pytest.mark.skipif(
    "bootstrap_timeout_ms" not in KafkaProducer.DEFAULT_CONFIG, reason="version 2 of the client raises what it meets"
)


class Sender(threading.Thread):
    """A thread of a producer's that says when it runs, and runs until its end is forced."""

    def __init__(self):
        super().__init__(daemon=True)
        self.runs, self.ends = threading.Event(), threading.Event()

    def run(self):
        self.runs.set()
        self.ends.wait()

    def force_close(self):
        self.ends.set()


@pytest.fixture
def no_thread_starts(monkeypatch):
    """Let a producer be made but for its thread, as at the end of a program with Python 3.12."""

    def make(self, **_):
        self._sender = Sender()
        msg = "can't create new thread at interpreter shutdown"
        raise RuntimeError(msg)

    monkeypatch.setattr(KafkaProducer, "__init__", make)


def spares():
    return [thread for thread in threading.enumerate() if thread.name == "time-execution-kafka"]


def test_a_producer_without_a_thread_takes_the_spare_one(no_thread_starts):
    """It is the sender's to whoever waits for it, and ends with it."""
    made = producer.Producer(spare=SpareThread())
    assert made._sender.runs.wait(10)
    assert made._sender.is_alive()
    made._sender.force_close()
    made._sender.join(10)
    assert not made._sender.is_alive()


def test_without_a_spare_thread_it_is_told_what_to_do(no_thread_starts):
    """Written directly as late as that, metrics cannot be delivered."""
    with pytest.raises(BackendUnavailable, match=r"starts none at its end: call time_execution\.shutdown\(\) before"):
        KafkaBackend("h").write("a", value=1)


def test_the_spare_thread_is_there_before_the_first_batch(no_thread_starts):
    """It starts with the worker, and the producer that the batch makes gets it."""
    with closed_after(lambda: KafkaBackend("h")) as make:
        kafka = make()
        kafka.start_worker()
        kafka.start_worker()
        assert len(spares()) == 1
        made = kafka._producer()
        assert made._sender.runs.wait(10)
        kafka._made = None
        made._sender.force_close()
        made._sender.join(10)
        assert spares() == []


def test_the_spare_thread_ends_where_it_is_not_wanted(monkeypatch):
    """A producer that has its own thread leaves none behind, nor does a backend that is closed."""
    monkeypatch.setattr(producer, "Producer", lambda **_: object())
    used, unused = KafkaBackend("h"), KafkaBackend("h")
    for backend, release in ((used, used._producer), (unused, unused.close)):
        backend.start_worker()
        (spare,) = spares()
        release()
        spare.join(10)
        assert spares() == []


def test_a_worker_asks_for_the_spare_thread():
    """Nobody else knows when the program has begun to measure."""
    kafka = KafkaBackend("h")
    with ThreadedBackend(kafka, shutdown_timeout=10) as delivery:
        delivery.start_worker()
        (spare,) = spares()
    spare.join(10)
    assert not spare.is_alive()


def test_a_given_client_needs_no_spare_thread():
    """It has its own."""
    KafkaBackend(client=object()).start_worker()
    assert spares() == []


@needs_version_3
@pytest.mark.parametrize("level", [logging.NOTSET, logging.CRITICAL])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_broker_that_hangs_up_is_told_whatever_is_logged(monkeypatch, level):
    """A program that wants no lines of the client's hears why nothing is stored all the same."""
    monkeypatch.setattr(logging.getLogger("kafka"), "level", level)
    logging.getLogger("kafka").manager._clear_cache()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            while True:
                try:
                    client = server.accept()[0]
                except OSError:
                    return
                with client, contextlib.suppress(OSError):
                    client.recv(65536)  # else it is a reset, and no end

        threading.Thread(target=hang_up, daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(BackendDenied, match="the broker hangs up: check security_protocol"):
            KafkaBackend(address, timeout=0.5).write("a", value=1)
        server.shutdown(socket.SHUT_RDWR)
