"""What becomes of one request: its metric, its ids, its error."""

from __future__ import annotations

import contextvars
import re
import threading
import time
from typing import Any, cast

import pytest

from tests.patience import least_time, on_this_python
from time_execution import settings, time_execution
from time_execution.backends.memory import MemoryBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import ConfigurationError
from time_execution.hooks import get_request_id, reset_request_id, set_request_id, trace_hook
from time_execution.monitor.requests import LABELS, UNMATCHED, RequestTracker
from time_execution.types import Metric

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.fixture
def store():
    """Configure a direct backend that keeps metrics."""
    backend = MemoryBackend()
    settings.configure(backends=[backend])
    return backend


def serve(tracker, *, route="/users/<id>", status=200, error=None, method="GET", **given):
    """Begin and end a request."""
    scope = tracker.begin(method, **given)
    scope.enter()
    scope.route, scope.status = route, status
    scope.finish(error)
    scope.leave()
    return scope


def trace_of_context():
    return trace_hook(response=None, exception=None, metric={}, func=None, func_args=(), func_kwargs={})


class Keeping:
    """A direct backend that keeps the metrics themselves."""

    def __init__(self):
        self.kept = []

    def write_many(self, metrics):
        self.kept += metrics


def test_metric_of_a_request(store):
    """It has the fields that the design names, and no others where nothing else is known."""
    serve(RequestTracker(), request_id="a-1")
    (metric,) = store.metrics
    assert metric["name"] == "http.server.request.duration"
    assert metric["value"] >= 0
    assert metric.keys() == {
        *("name", "value", "hostname", "timestamp", "method", "route", "status_code", "request_id"),
    }
    assert [metric[field] for field in ("method", "route", "status_code", "request_id")] == [
        *("GET", "/users/<id>", 200, "a-1"),
    ]


@pytest.mark.parametrize("queued", [False, True])
def test_metric_says_what_it_is(queued):
    """Whether it was made on the spot or by a worker, it is a timing whose labels are known."""
    kept = Keeping()
    backend = ThreadedBackend(kept) if queued else kept
    settings.configure(backends=[backend])
    serve(RequestTracker(), status=503, traceparent=f"00-{TRACE}-{SPAN}-01")
    if queued:
        assert backend.flush(10)
    (metric,) = kept.kept
    assert isinstance(metric, Metric)
    assert (metric.kind, metric.labels) == ("timing", LABELS)
    assert (metric["trace_id"], metric["span_id"], metric["error_type"]) == (TRACE, SPAN, "503")


def test_each_of_several_queues_gets_its_own(deliver):
    """Two queues each make a metric, which no other changes."""
    stores = [MemoryBackend(), MemoryBackend()]
    settings.configure(backends=[deliver(store) for store in stores])
    serve(RequestTracker(), request_id="a-1")
    assert all(backend.flush(10) for backend in settings.backends)
    assert [store.metrics[0]["request_id"] for store in stores] == ["a-1", "a-1"]


def test_first_byte_and_end_may_come_before_the_finish(store):
    """The time to the first part of a body is told; and what comes after the last byte is not counted."""
    scope = RequestTracker().begin("GET")
    scope.first_byte, scope.ended = scope.started + 2_000_000, scope.started + 5_000_000
    scope.finish()
    assert (store.metrics[0]["first_byte_ms"], store.metrics[0]["value"]) == (2.0, 5.0)


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (404, None, None),
        (500, None, "500"),
        (503, ValueError(), "ValueError"),
        (200, KeyError(), "KeyError"),
        (0, RuntimeError(), "RuntimeError"),
        (0, None, None),
    ],
)
def test_what_counts_as_failed(store, status, error, told):
    """A status of 500 and above does, and an exception does, whatever was sent."""
    serve(RequestTracker(), status=status, error=error)
    metric = next(metric for metric in store.metrics if metric["name"] != "error")
    assert metric.get("error_type") == told


@pytest.mark.parametrize(("error", "status"), [(RuntimeError(), 500), (None, 499)])
def test_request_that_was_not_answered(store, error, status):
    """It has the status that the client was about to get, or the one that says it had gone."""
    serve(RequestTracker(), status=0, error=error)
    assert store.metrics[-1]["status_code"] == status


def test_route_and_method_that_nobody_knows(store):
    """Neither a path nor a made-up method makes a series of its own."""
    tracker = RequestTracker()
    serve(tracker, route=UNMATCHED, method="BREW")
    assert (store.metrics[0]["route"], store.metrics[0]["method"]) == ("(unmatched)", "_OTHER")


@pytest.mark.parametrize("given", ["a" * 128, "req-1.2_3:/+=@~,"])
def test_valid_id_of_a_client_is_taken_over(given):
    """What is short and plain goes into logs and headers as it came."""
    assert RequestTracker().begin("GET", request_id=given).request_id == given


@pytest.mark.parametrize("given", [None, "", "a" * 129, "a b", "a\nb", "ä", "<script>"])
def test_any_other_id_is_replaced(given):
    """What could forge a line or a header never gets that far."""
    assert re.fullmatch("[0-9a-f]{32}", RequestTracker().begin("GET", request_id=given).request_id)


def test_ids_of_clients_may_be_distrusted():
    """A public server need not let strangers choose its ids."""
    assert RequestTracker(trust_request_id=False).begin("GET", request_id="mine").request_id != "mine"


def test_made_ids_differ():
    """No two requests of a process share one."""
    tracker = RequestTracker()
    assert len({tracker.begin("GET").request_id for _ in range(10_000)}) == 10_000


def test_trace_of_a_header(store):
    """The trace that a client sent is that of the request, and of what runs for it."""
    scope = RequestTracker().begin("GET", traceparent=f"00-{TRACE}-{SPAN}-01")
    scope.enter()
    inside = trace_of_context()
    scope.leave()
    scope.finish()
    assert inside == {"trace_id": TRACE, "span_id": SPAN}
    assert trace_of_context() is None
    assert store.metrics[0]["trace_id"] == TRACE


@pytest.mark.parametrize("header", ["", "00-abc-def-01", f"ff-{TRACE}-{SPAN}-01"])
def test_malformed_trace_is_none(header):
    """What does not follow the standard is passed over."""
    assert RequestTracker().begin("GET", traceparent=header).trace is None


def test_context_has_the_request_while_it_is_served():
    """What runs between entering and leaving sees the id; before and after there is none, or the one before."""
    tracker = RequestTracker()
    token = set_request_id("outside")
    scope = tracker.begin("GET", request_id="inside")
    scope.enter()
    assert get_request_id() == "inside"
    scope.leave()
    assert get_request_id() == "outside"
    reset_request_id(token)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_requests_that_overlap_in_one_context_leave_nothing(order):
    """A client for tests reads bodies late: whichever is left first, the context has no request in the end."""
    tracker = RequestTracker()
    scopes = [tracker.begin("GET", request_id=f"r{n}", traceparent=f"00-{TRACE}-{SPAN}-01") for n in range(2)]
    for scope in scopes:
        scope.enter()
    first, second = (scopes[n] for n in order)
    first.leave()
    assert get_request_id() == ("r0" if order == (1, 0) else "r1")
    second.leave()
    assert (get_request_id(), trace_of_context()) == (None, None)


def test_request_left_elsewhere_is_passed_over():
    """One that ends in another context, and so cannot tidy up, shows in no later request, and is not kept by it."""
    tracker = RequestTracker()
    gone = tracker.begin("GET", request_id="gone", traceparent=f"00-{TRACE}-{SPAN}-01")
    gone.enter()
    contextvars.Context().run(gone.leave)
    later = tracker.begin("GET", request_id="later")
    later.enter()
    assert trace_of_context() is None
    assert later._outer is None
    later.leave()
    assert get_request_id() is None


def test_finish_counts_once(store):
    """However often a request ends, there is one metric."""
    tracker = RequestTracker()
    scope = serve(tracker)
    scope.finish(ValueError())
    assert len(store.metrics) == tracker.statistics.routes()[0]["count"] == 1


def test_what_is_not_counted_is_nowhere(store):
    """Our own pages neither make metrics nor change the figures."""
    tracker = RequestTracker()
    scope = tracker.begin("GET")
    scope.is_counted = False
    scope.finish()
    assert (store.metrics, tracker.statistics.routes()) == ([], [])


def test_switched_off_tracker_still_gives_ids(store):
    """Without measuring, a request has its id all the same."""
    tracker = RequestTracker(enabled=False)
    scope = tracker.begin("GET", request_id="a-1")
    scope.enter()
    assert get_request_id() == "a-1"
    scope.finish()
    scope.leave()
    assert (store.metrics, tracker.statistics.routes()) == ([], [])


@pytest.mark.parametrize("change", [{"enabled": False}, {"sample_rate": 0.0}, {"exclude": ["http.*"]}])
def test_settings_hold_for_the_metric_only(store, change):
    """The figures of a process are those of all its requests, whatever becomes of the metrics."""
    settings.configure(**change)
    tracker = RequestTracker()
    serve(tracker)
    assert (len(store.metrics), tracker.statistics.routes()[0]["count"]) == (0, 1)


def test_share_of_requests(deliver):
    """With a queue and a sample rate, some are handed over, and say how many they stand for."""
    kept = MemoryBackend()
    backend = deliver(kept)
    settings.configure(backends=[backend], sample_rate=0.5)
    tracker = RequestTracker()
    for _ in range(400):
        serve(tracker)
    assert backend.flush(10)
    assert 100 < len(kept.metrics) < 300
    assert {metric["sample_rate"] for metric in kept.metrics} == {0.5}
    assert tracker.statistics.routes()[0]["count"] == 400


def test_hooks_run_for_the_share_that_is_measured(store):
    """A generator hook is not started for a request that is not."""
    started = []

    def around(*, func, func_args, func_kwargs):
        started.append(1)
        yield

    settings.configure(sample_rate=0.0)
    serve(RequestTracker(hooks=[around]))
    assert (started, store.metrics) == ([], [])


def test_settings_may_change_at_any_time(store):
    """A request goes where the settings say when it ends."""
    tracker = RequestTracker()
    serve(tracker)
    later = MemoryBackend()
    settings.configure(backends=[later], origin="shop")
    serve(tracker)
    assert (len(store.metrics), later.metrics[0]["origin"]) == (1, "shop")
    inner = MemoryBackend()
    with settings(backends=[inner]):
        serve(tracker)
    assert (len(inner.metrics), len(later.metrics)) == (1, 1)


def test_hooks_of_the_settings_are_not_run(store):
    """They are for calls."""
    settings.configure(hooks=[lambda **_: {"of": "settings"}])
    serve(RequestTracker())
    assert "of" not in store.metrics[0]


def test_hooks_of_the_tracker_are_run(store):
    """They see the status as the response, and the exception; generators run around the request."""
    seen = []

    def around(*, func, func_args, func_kwargs):
        seen.append("before")
        response, exception, metric = yield
        return {"around": (response, type(exception).__name__, metric["route"])}

    def plain(*, response, exception, metric, func, func_args, func_kwargs):
        return {"asked": (func.__name__, *func_args)}

    tracker = RequestTracker(hooks=[around, plain])
    scope = tracker.begin("POST", request_id="a-1")
    assert seen == ["before"]
    scope.status, scope.route = 500, "/x"
    error = ValueError()
    scope.finish(error)
    metric = next(metric for metric in store.metrics if metric["name"] != "error")
    assert metric["around"] == [500, "ValueError", "/x"]
    assert metric["asked"] == ["http_request", "POST", "a-1"]
    assert error.__context__ is None


def test_hook_that_raises_is_isolated(store):
    """A request ends as if there was no such hook."""

    def broken(**_):
        raise RuntimeError

    serve(RequestTracker(hooks=[broken]))
    assert store.metrics[0]["hook_error"] == "RuntimeError"


def test_wrong_hook_is_refused():
    """A mistake is told when the tracker is made."""
    with pytest.raises(ConfigurationError, match=r"hooks\[0\]"):
        RequestTracker(hooks=[cast("Any", lambda: None)])


def test_failing_backend_is_isolated():
    """Whatever a backend raises, the request does not see it."""

    class Broken:
        def write_many(self, metrics):
            raise RuntimeError

    settings.configure(backends=[Broken()])
    tracker = RequestTracker()
    assert serve(tracker).has_ended


def test_calls_of_a_request_tell_its_id(store):
    """With the hook for it, what is measured for a request says so."""
    from time_execution.hooks import request_id_hook

    settings.configure(hooks=[request_id_hook])
    scope = RequestTracker().begin("GET", request_id="a-1")
    scope.enter()
    time_execution(len)("abc")
    scope.finish()
    scope.leave()
    assert [metric["request_id"] for metric in store.metrics] == ["a-1", "a-1"]


def test_many_threads_are_counted_exactly(store):
    """No request is lost or counted twice, however many threads there are, while somebody reads the figures."""
    tracker = RequestTracker()
    settings.configure(backends=[])

    def work(number):
        for _ in range(500):
            serve(tracker, route=f"/{number % 3}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(9)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        tracker.statistics.routes()
    for thread in threads:
        thread.join()
    assert {row["route"]: row["count"] for row in tracker.statistics.routes()} == {"/0": 1500, "/1": 1500, "/2": 1500}


@pytest.mark.serial
def test_request_keeps_its_bound(deliver):
    """What a request costs its thread, with a queue behind it, is some microseconds."""
    settings.configure(backends=[deliver(MemoryBackend(), queue_maxsize=100_000)])
    tracker = RequestTracker()

    def cost():
        started = time.thread_time_ns()
        for _ in range(1000):
            serve(tracker)
        return (time.thread_time_ns() - started) / 1_000_000

    bound = on_this_python(12.0)
    assert least_time(cost, bound) < bound
