"""Labels that a metric names itself become dimensions, as far as CloudWatch takes them."""

from __future__ import annotations

import time

from tests.backends.emf_schema import check
from time_execution.formats.emf import MAX_DIMENSIONS, EmbeddedMetrics
from time_execution.types import STORED, Metric

NOW = time.time_ns() // 1_000_000_000 * 1_000_000_000
LABELS = ("method", "route", "status_code")


def request(labels=LABELS, **fields):
    given = {"name": "http.server.request.duration", "value": 20.0, "timestamp": NOW, "region": "eu"}
    return Metric({**given, "method": "GET", "route": "/users/{id}", "status_code": 200, **fields}, labels=labels)


def documents(*metrics, dimensions=()):
    lines, results, _ = EmbeddedMetrics("Shop", dimensions=dimensions).documents(metrics, now=NOW)
    assert results == [STORED] * len(metrics)
    return [check(line) for line in lines]


def dimensions_of(document):
    (found,) = document["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    return found


def test_labels_are_dimensions():
    """After those that are configured, each once, and texts."""
    (document,) = documents(request(), dimensions=["region", "route"])
    assert dimensions_of(document) == ["region", "route", "method", "status_code"]
    assert (document["status_code"], document["route"]) == ("200", "/users/{id}")


def test_a_metric_without_labels_has_the_document_it_had():
    """Its numbers stay numbers."""
    (document,) = documents(request(labels=()))
    assert (dimensions_of(document), document["status_code"]) == ([], 200)


def test_other_values_have_a_document_of_their_own():
    """Each is a series."""
    first, second = documents(request(), request(), request(status_code=500))
    assert first["http.server.request.duration"] == [20.0, 20.0]
    assert second["status_code"] == "500"


def test_what_cloudwatch_does_not_take_stays_a_field():
    """Names that it refuses, and what comes after the most that it takes."""
    fields = {f"d{number}": "x" for number in range(MAX_DIMENSIONS - 1)}
    (document,) = documents(request(labels=("ö", "method", "route"), ö="x"), dimensions=())
    assert dimensions_of(document) == ["method", "route"]
    assert document["ö"] == "x"
    (document,) = documents(request(**fields), dimensions=list(fields))
    assert dimensions_of(document) == [*fields, "method"]


def test_an_event_is_counted_by_its_labels():
    """Errors by type and place."""
    event = Metric(
        {"name": "error", "type": "E", "place": "shop:3", "timestamp": NOW}, kind="event", labels=("type", "place")
    )
    (document,) = documents(event, event)
    assert dimensions_of(document) == ["type", "place"]
    assert document["error"] == [1, 1]
