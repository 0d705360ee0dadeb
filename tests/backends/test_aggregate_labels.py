"""Labels that a metric names itself tell summaries apart, and are the summaries' own."""

from __future__ import annotations

from time_execution.backends.aggregate import OVERFLOW, AggregateBackend
from time_execution.backends.memory import MemoryBackend
from time_execution.types import Metric

LABELS = ("method", "route", "status_code")


def request(value=10.0, route="/", status=200, labels=LABELS, **fields):
    given = {"name": "http", "value": value, "method": "GET", "route": route, "status_code": status, "request_id": "r"}
    return Metric({**given, **fields}, labels=labels)


def summaries(*metrics, **options):
    store = MemoryBackend()
    with AggregateBackend(store, percentiles=(), **options) as backend:
        backend.write_many(metrics)
    return store.metrics


def test_each_combination_of_values_has_a_summary():
    """With its labels, so that the next store tells them apart as well."""
    found = summaries(request(), request(20.0), request(status=500, error_type="E"), request(route="/b"))
    assert [(each["route"], each["status_code"], each["count"]) for each in found] == [
        ("/", 200, 2),
        ("/", 500, 1),
        ("/b", 200, 1),
    ]
    assert {each.labels for each in found} == {LABELS}
    assert (found[0]["value"], found[1]["errors"], "request_id" in found[0]) == (15.0, 1, False)


def test_those_without_labels_have_one_of_their_own():
    """Whatever fields they have."""
    found = summaries(request(), request(labels=()), request(labels=()))
    assert [(each.labels, each["count"], "route" in each) for each in found] == [(LABELS, 1, True), ((), 2, False)]


def test_configured_fields_count_as_well():
    """Each once; what a summary has of its own is no label."""
    (found,) = summaries(request(region="eu", count=7, labels=("route", "count")), by=("region", "route"))
    assert (found["region"], found["route"], found["count"]) == ("eu", "/", 1)
    assert found.labels == ("route",)


def test_what_there_is_no_room_for_has_no_labels():
    """All of it counts together."""
    found = summaries(*(request(route=f"/{number}") for number in range(5)), max_series=2)
    assert [(each["name"], each["count"], each.labels) for each in found] == [
        ("http", 1, LABELS),
        ("http", 1, LABELS),
        (OVERFLOW, 3, ()),
    ]
