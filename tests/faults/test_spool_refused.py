"""A disk that refuses while memory has room, case D15: nothing is given up because the spool cannot take it."""

from __future__ import annotations

import pytest

from tests.faults.harness import FaultBackend, check_conservation, quick, wait_for
from time_execution.delivery.spool import Spool
from time_execution.exceptions import BackendUnavailable


class Server:
    """A step that is down until it is not."""

    def __init__(self, backend):
        self.backend = backend
        self.is_up = False

    def __call__(self, metrics):
        if not self.is_up:
            raise BackendUnavailable("down")
        self.backend.keep(metrics)


@pytest.fixture
def backend():
    """Return a backend whose server is down."""
    backend = FaultBackend()
    backend._then = backend.server = Server(backend)
    return backend


@pytest.fixture
def refused(backend, tmp_path):
    """Return a function that makes a delivery whose spool finds a file where its folder should be."""
    path = tmp_path / "spool"

    def make(*, durable=False, **options):
        delivery = quick(backend, spool=Spool(path, durable=durable), **options)
        path.write_text("in the way")
        return delivery

    make.path = path
    return make


def _write(delivery, count):
    for value in range(count):
        delivery.write("kept", value=value)


def test_a_flush_keeps_in_memory_what_the_disk_refuses(backend, refused):
    """It says False, and all is delivered once the server is back (D15)."""
    with refused() as delivery:
        _write(delivery, 5)
        assert not delivery.flush(0.3)
        check_conservation(delivery.stats(), offered=5, pending=5)
        assert delivery.stats()["dropped"] == {}
        backend.server.is_up = True
        assert delivery.flush(10.0)
    assert backend.values() == list(range(5))


def test_an_overflow_that_the_disk_refuses_costs_one_metric_at_a_time(backend, refused):
    """The oldest that is not in flight gives way to each new one, not a whole batch for one place."""
    with refused(overflow="spool", queue_maxsize=100, bulk_size=10) as delivery:
        _write(delivery, 150)
        stats = delivery.stats()
        check_conservation(stats, offered=150, pending=100)
        assert stats["dropped"] == {"queue_full": 50}


@pytest.mark.parametrize("refuses", [False, True], ids=["stores", "refuses"])
def test_what_comes_amid_an_overflow_is_counted(backend, tmp_path, refuses):
    """As the metrics of a signal handler, which finds the spool busy; the oldest give way to them."""
    with quick(backend, overflow="spool", queue_maxsize=100, bulk_size=10, spool=tmp_path / "spool") as delivery:
        _write(delivery, 90)
        assert wait_for(delivery, lambda: delivery.stats()["failures"] > 0)
        store = delivery.channel.store
        append = store.append

        def interrupted(metrics):
            store.append = append
            with store._entered():
                _write(delivery, 35)
            return 0 if refuses else append(metrics)

        store.append = interrupted
        _write(delivery, 11)
        stats = delivery.stats()
        check_conservation(stats, offered=90 + 11 + 35, pending=100 + (0 if refuses else 10))
        assert stats["dropped"] == {"queue_full": 36 if refuses else 26}


def test_a_durable_spool_that_the_disk_refuses_falls_back_to_memory(backend, refused):
    """What could not be written through waits in the queue, and is delivered."""
    backend.server.is_up = True
    with refused(durable=True) as delivery:
        _write(delivery, 5)
        assert delivery.flush(10.0)
        assert delivery.stats()["dropped"] == {}
    assert backend.values() == list(range(5))


def test_what_neither_server_nor_disk_took_is_counted_when_the_delivery_ends(backend, refused):
    """As lost with the process; nothing else could be done."""
    delivery = refused(shutdown_timeout=0.1)
    _write(delivery, 5)
    delivery.close()
    check_conservation(delivery.stats(), offered=5, pending=0)
    assert delivery.stats()["dropped"] == {"shutdown": 5}


def test_what_was_refused_moves_to_the_disk_once_that_is_mended(backend, refused):
    """A store asks its disk again after a pause; the next flush parks what waits."""
    with refused() as delivery:
        _write(delivery, 5)
        assert not delivery.flush(0.3)
        assert wait_for(delivery, lambda: delivery.channel.store.degraded)
        refused.path.unlink()
        delivery.channel.store._file._blocked_until = 0.0
        delivery.flush(0.3)
        assert wait_for(delivery, lambda: len(delivery.channel.store) == 5)
        check_conservation(delivery.stats(), offered=5, pending=5)


def test_the_metrics_of_a_mended_overflow_keep_their_order(backend):
    """What was put back into the queue after a refusal leaves it in the order it came."""
    delivery = quick(backend, queue_maxsize=50, bulk_size=10)
    channel = delivery.channel
    with channel.lock:
        _write(delivery, 30)
        assert not channel._spool_oldest()
    backend.server.is_up = True
    assert delivery.flush(10.0)
    delivery.close()
    assert backend.values() == list(range(30))
