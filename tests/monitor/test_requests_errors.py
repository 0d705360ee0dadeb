"""Exceptions of requests: told once, and left as they were."""

from __future__ import annotations

import gc
import weakref

import pytest

from time_execution import logs, settings
from time_execution.backends.memory import MemoryBackend
from time_execution.monitor.requests import RequestTracker


@pytest.fixture
def store():
    """Configure a direct backend that keeps metrics."""
    backend = MemoryBackend()
    settings.configure(backends=[backend])
    return backend


@pytest.fixture
def scope():
    """Begin a request, and leave it in the end."""
    scope = RequestTracker().begin("GET", request_id="a-1")
    scope.route = "/users/<id>"
    scope.enter()
    yield scope
    scope.leave()


def raised(error):
    """Return an exception that was raised."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def events(store):
    return [metric for metric in store.metrics if metric["name"] == "error"]


def test_exception_becomes_an_event(store, scope):
    """It says in which request it happened."""
    error = raised(ValueError("no such user: password=hunter2"))
    scope.fail(error)
    (event,) = events(store)
    expected = {"type": "ValueError", "method": "GET", "route": "/users/<id>", "request_id": "a-1", "level": "ERROR"}
    assert {key: event[key] for key in expected} == expected
    assert "hunter2" not in str(event)


def test_exception_is_told_once(store, scope):
    """However many layers pass it on, and also where the application tells it itself."""
    error = raised(ValueError("x"))
    logs.record_error(error)
    scope.fail(error)
    scope.finish(error)
    assert len(events(store)) == 1


def test_each_of_several_exceptions_is_told(store, scope):
    """What fails while a failure is answered is another one; the request failed with the first."""
    scope.fail(raised(ValueError("first")))
    scope.fail(raised(KeyError("second")))
    scope.finish()
    assert [event["type"] for event in events(store)] == ["ValueError", "KeyError"]
    assert store.metrics[-1]["error_type"] == "ValueError"


def test_interrupt_is_no_error_of_the_application(store, scope):
    """It ends the request, and is told to nobody."""
    scope.finish(raised(KeyboardInterrupt()))
    assert events(store) == []
    assert store.metrics[-1]["error_type"] == "KeyboardInterrupt"


def test_what_fails_after_the_end_changes_no_metric(deliver):
    """A background task's failure is told; the request is over, though its metric is still to be made."""
    store = MemoryBackend()
    queue = deliver(store, bulk_timeout=60.0)
    settings.configure(backends=[queue])
    tracker = RequestTracker()
    scope = tracker.begin("GET")
    scope.enter()
    scope.status = 200
    scope.finish()
    scope.fail(raised(ValueError("late")))
    scope.leave()
    assert queue.flush(10)
    assert [metric.get("error_type") for metric in store.metrics] == [None, "ValueError"]
    assert tracker.statistics.routes()[0]["errors"] == 0


def test_errors_are_told_where_requests_are_not_measured(store):
    """Switching the figures off does not hide failures."""
    scope = RequestTracker(enabled=False).begin("GET")
    scope.enter()
    scope.fail(raised(ValueError("x")))
    scope.finish()
    scope.leave()
    assert len(events(store)) == 1


def test_exception_stays_as_it_was(store, scope):
    """Neither an attribute nor its context or traceback is changed."""
    error = raised(ValueError("x"))
    before = (vars(error).copy(), error.__context__, error.__cause__, error.__traceback__)
    scope.fail(error)
    scope.finish(error)
    assert (vars(error), error.__context__, error.__cause__, error.__traceback__) == before


def test_exception_is_not_kept(store):
    """Once the request is left, nothing holds its exceptions."""

    class Mine(Exception):
        pass

    scope = RequestTracker().begin("GET")
    scope.enter()
    error = raised(Mine())
    gone = weakref.ref(error)
    scope.finish(error)
    scope.leave()
    del error
    gc.collect()
    assert gone() is None
