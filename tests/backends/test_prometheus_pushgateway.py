"""Pushing: when, what, and what becomes of a push that fails; against a gateway that fails by script."""

from __future__ import annotations

import base64
import time

import pytest

pytest.importorskip("prometheus_client")

from tests.backends.prometheus_totals import CALLS, samples_in, timing
from tests.fault_server import HANG, RESET, Answer, FaultServer
from tests.faults.harness import quick
from time_execution.backends.prometheus import PrometheusBackend
from time_execution.exceptions import BackendDenied, BackendThrottled, BackendTimeout, BackendUnavailable

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
        with backend._upkeep:
            before = time.monotonic()
            assert backend.flush(0.05) is False
            assert time.monotonic() - before < 2.0
        assert backend.flush(5.0) is True


def test_closing_gives_up_in_time(caplog):
    """A gateway that hangs keeps nobody from ending."""
    with FaultServer(HANG) as server:
        backend = job(server)
        backend.write_many([timing()])
        before = time.monotonic()
        backend.close(0.2)
        assert time.monotonic() - before < 2.0
    assert "did not answer" in caplog.text
