"""Pushing: when, what, and what becomes of a push that fails; against a gateway that fails by script."""

from __future__ import annotations

import base64
import signal
import threading
import time

import pytest

pytest.importorskip("prometheus_client")

from tests.backends.prometheus_totals import CALLS, samples_in, shown, timing
from tests.fault_server import HANG, RESET, Answer, FaultServer
from tests.faults.harness import quick
from time_execution.backends.prometheus import PrometheusBackend
from time_execution.exceptions import (
    BackendDenied,
    BackendRejected,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
)

CALL = (CALLS, frozenset({"function": "f", "outcome": "ok"}.items()))


def job(server, **options):
    return PrometheusBackend(pushgateway=server.url, job="nightly", instance="web-1", **({"timeout": 5.0} | options))


def pushed(request):
    return samples_in(request.body.decode())[CALL]


def test_flush_pushes_the_totals_under_job_and_instance():
    """One PUT replaces the group; flushing again without news pushes nothing."""
    with FaultServer() as server, job(server) as backend:
        backend.write_many([timing()] * 3)
        assert server.requests == []
        assert backend.flush() is True
        assert backend.flush() is True
        (request,) = server.requests
        assert (request.method, request.path) == ("PUT", "/metrics/job/nightly/instance/web-1")
        assert pushed(request) == 3


def test_closing_pushes_what_is_new():
    """A job that ends is shown with all it did."""
    with FaultServer() as server:
        backend = job(server)
        backend.write_many([timing()])
        backend.close()
        backend.close()
        assert [pushed(request) for request in server.requests] == [1]


def test_behind_a_queue_the_end_of_the_process_pushes(deliver):
    """The worker closes the backend, and that pushes."""
    with FaultServer() as server:
        queue = deliver(job(server))
        queue.bulk_write([timing()] * 7)
        queue.close(5.0)
        assert pushed(server.requests[-1]) == 7


def test_pushes_keep_their_distance(monkeypatch):
    """Batches in between are pushed together, by the next batch or the idle worker."""
    now = time.monotonic()
    with FaultServer() as server, job(server, push_interval=10.0) as backend:
        for seconds in (1.0, 11.0, 12.0, 20.0, 22.0):
            monkeypatch.setattr(time, "monotonic", lambda moment=now + seconds: moment)
            backend.write_many([timing()])
        monkeypatch.setattr(time, "monotonic", lambda: now + 40.0)
        backend.idle()
        monkeypatch.undo()
        assert [pushed(request) for request in server.requests] == [2, 5]


def test_the_login_goes_with_it_and_shows_nowhere():
    """Whether it stands in the URL or in options."""
    expected = base64.b64encode(b"anna:s@fe").decode()
    with FaultServer() as server:
        inside = server.url.replace("//", "//anna:s%40fe@")
        for options in ({"pushgateway": inside}, {"pushgateway": server.url, "username": "anna", "password": "s@fe"}):
            backend = PrometheusBackend(**options)
            backend.push()
            assert server.requests[-1].headers["Authorization"] == f"Basic {expected}"
            assert "s@fe" not in server.requests[-1].path + repr(backend)
            assert "s%40fe" not in server.requests[-1].path + repr(backend)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (500, BackendUnavailable),
        (Answer(503, headers={"Retry-After": "7"}), BackendThrottled),
        (400, BackendRejected),
        (401, BackendDenied),
        (404, BackendDenied),
        (RESET, BackendUnavailable),
        (HANG, BackendTimeout),
    ],
    ids=str,
)
def test_a_push_that_fails_says_how(answer, error, caplog):
    """The caller of `push` gets the error; flush says no; the log has one line without a secret."""
    with FaultServer(answer) as server:
        backend = PrometheusBackend(pushgateway=server.url, username="anna", password="hunter2", timeout=0.2)
        backend.write_many([timing()])
        with pytest.raises(error) as caught:
            backend.push()
        assert type(caught.value) is error
        assert backend.flush() is False
        assert backend.stats()["push_failures"] == 2
        assert caplog.text.count("were not pushed") == 1
        assert "the next push tries them again" in caplog.text  # and no word that it will succeed
        assert "hunter2" not in caplog.text + str(caught.value)
        server.answer(200)
        assert backend.flush() is True
        assert pushed(server.requests[-1]) == 1
        backend.close()


def test_an_unreachable_gateway_holds_no_batch_back(caplog):
    """Metrics are added up, and pushed once it is there; nothing counts twice (D1)."""
    with FaultServer() as server:
        url = server.url
        backend = PrometheusBackend(pushgateway=url, push_interval=0.001, timeout=1.0)
        server.answer(RESET)
        queue = quick(backend)
        for _ in range(20):
            queue.bulk_write([timing()] * 10)
            assert queue.flush(10.0) is False  # added up, and not pushed
        assert queue.stats()["delivered"] == 200
        assert queue.stats()["retries"] == 0
        assert queue.stats()["backend"]["push_failures"] >= 1
        server.answer(200)
        assert queue.flush(10.0) is True
        queue.close(5.0)
        assert pushed(server.requests[-1]) == 200
    assert "cannot be reached" in caplog.text


def test_flush_waits_for_no_push_of_another_thread_beyond_its_time():
    """The worker may be pushing to a gateway that hangs."""
    with FaultServer() as server:
        backend = job(server)
        backend.write_many([timing()])
        begun, over = threading.Event(), threading.Event()

        def keep():
            with backend._upkeep.take():
                begun.set()
                over.wait(10.0)

        thread = threading.Thread(target=keep)
        thread.start()
        assert begun.wait(10.0)
        before = time.monotonic()
        assert backend.flush(0.05) is False
        assert time.monotonic() - before < 2.0
        over.set()
        assert backend.flush(5.0) is True
        thread.join(10.0)


def test_closing_gives_up_in_time(caplog):
    """A gateway that hangs keeps nobody from ending."""
    with FaultServer(HANG) as server:
        backend = job(server)
        backend.write_many([timing()])
        before = time.monotonic()
        backend.close(0.2)
        assert time.monotonic() - before < 2.0
    assert "did not answer" in caplog.text


class _Meddling:
    """Another collector of the same registry, which does something of its own while it is read."""

    def __init__(self, meddle):
        self._meddle = meddle

    def collect(self):
        self._meddle()
        return []

    def describe(self):
        return []


def _fail():
    raise ValueError("odd")


def test_another_collector_that_raises_counts_nothing_twice(caplog):
    """A batch that is in the totals is confirmed, whatever becomes of the push that follows it."""
    with FaultServer() as server:
        backend = job(server, push_interval=0.000001)
        other = _Meddling(_fail)
        backend.registry.register(other)
        assert backend.write_many([timing()] * 3) is None
        assert backend.flush() is False
        with pytest.raises(BackendUnavailable, match="a collector in the registry raised ValueError"):
            backend.push()
        assert backend.stats()["push_failures"] == 3
        backend.registry.unregister(other)
        assert shown(backend, CALLS, function="f", outcome="ok") == 3
    assert "raised ValueError" in caplog.text


def test_a_gateway_whose_name_makes_no_sense_counts_nothing_twice():
    """The codec for host names raises what is no OSError."""
    backend = PrometheusBackend(pushgateway="http://exa..mple:9091", push_interval=0.000001)
    assert backend.write_many([timing()]) is None
    assert backend.flush() is False
    with pytest.raises(BackendUnavailable, match="check pushgateway"):
        backend.push()
    assert shown(backend, CALLS, function="f", outcome="ok") == 1


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs POSIX signals")
def test_a_signal_handler_that_flushes_in_the_middle_of_a_push_does_not_wait_for_itself():
    """It is told that it cannot be, at once; the push goes on."""
    answers = []

    def meddle(*_):
        answers.extend([backend.flush(), backend.serve()])
        with pytest.raises(BackendUnavailable, match="from within a push"):
            backend.push()
        backend.idle()

    before = signal.signal(signal.SIGUSR1, meddle)
    try:
        with FaultServer() as server, job(server) as backend:
            backend.registry.register(_Meddling(lambda: signal.raise_signal(signal.SIGUSR1)))
            backend.write_many([timing()])
            assert backend.flush() is True
            assert [pushed(request) for request in server.requests] == [1]
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert answers == [False, False]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs POSIX signals")
def test_an_alarm_in_the_middle_of_a_push_passes_and_what_is_new_is_pushed_later():
    """What the application's own handler raises is no failure of a collector; the push is one that failed."""

    class AlarmError(Exception):
        """Raised by the handler."""

    def ring(*_):
        raise AlarmError

    before = signal.signal(signal.SIGUSR1, ring)
    try:
        with FaultServer() as server, job(server) as backend:
            other = _Meddling(lambda: signal.raise_signal(signal.SIGUSR1))
            backend.registry.register(other)
            backend.write_many([timing()])
            with pytest.raises(AlarmError):
                backend.flush()
            assert backend.stats()["push_failures"] == 1
            backend.registry.unregister(other)
            assert backend.flush() is True
            assert [pushed(request) for request in server.requests] == [1]
    finally:
        signal.signal(signal.SIGUSR1, before)
