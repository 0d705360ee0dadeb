"""Labels that a metric names itself become tags, and nothing else changes."""

from __future__ import annotations

import pytest
from hypothesis import given

from tests import strategies
from tests.backends.influxdb_lines import read_points
from time_execution.formats.line_protocol import LineEncoder, NoPointError
from time_execution.types import Metric

NOW = 1_700_000_000_000_000_001
LABELS = ("method", "route", "status_code")


def request(route="/users/{id}", status=200, labels=LABELS, **fields):
    core = {"name": "http.server.request.duration", "value": 20.0, "hostname": "web-1", "timestamp": NOW}
    return Metric(
        {**core, "method": "GET", "route": route, "status_code": status, "request_id": "r", **fields}, labels=labels
    )


def points(*metrics, **options):
    """Return the points of metrics, made by one encoder."""
    encoder = LineEncoder(**options)
    return [read_points(encoder.line(metric, NOW))[0] for metric in metrics]


def test_labels_are_tags():
    """As text, the first time and when the series was met before; other fields stay fields."""
    for point in points(request(), request()):
        assert point.tags == {"hostname": "web-1", "method": "GET", "route": "/users/{id}", "status_code": "200"}
        assert point.fields == {"value": 20.0, "request_id": "r"}
        assert point.timestamp == NOW


def test_a_metric_without_labels_has_the_line_it_had():
    """Also between others of the same fields."""
    labelled, plain, again = points(request(), request(labels=()), request(), tags=["method"])
    assert plain.tags == {"hostname": "web-1", "method": "GET"}
    assert plain.fields == {"value": 20.0, "route": "/users/{id}", "status_code": 200.0, "request_id": "r"}
    assert labelled == again


def test_configured_tags_are_there_as_well():
    """Each once."""
    (point,) = points(request(region="eu"), tags=["region", "route"])
    assert point.tags.keys() == {"hostname", "method", "region", "route", "status_code"}


@pytest.mark.parametrize("route", [None, ""])
def test_a_label_without_a_value_is_no_tag(route):
    """InfluxDB takes none."""
    (point,) = points(request(route=route))
    assert "route" not in point.tags | point.fields


def test_the_number_is_no_tag():
    """Whatever the metric says."""
    (point,) = points(request(labels=("duration",), duration=7.0), value_field="duration")
    assert (point.fields["duration"], point.tags) == (7.0, {"hostname": "web-1"})


def test_labels_that_leave_no_room_are_fields():
    """A server takes 64 KiB of names and values of tags."""
    long = {"x" * 10_000 + str(number): "v" for number in range(8)}
    (point,) = points(request(labels=tuple(long), **long))
    assert point.tags == {"hostname": "web-1"}
    assert len(point.fields) >= 8


def test_many_sets_of_labels_take_bounded_memory():
    """Each set has an encoder; they are made anew when they are too many."""
    encoder = LineEncoder()
    for number in range(250):
        line = encoder.line(request(labels=(f"l{number}",), **{f"l{number}": "v"}), NOW)
        assert f",l{number}=v" in line
    assert len(encoder._labelled) <= 100


@given(strategies.metrics())
def test_any_labels_make_a_line(metric):
    """Whatever they are called."""
    encoder = LineEncoder()
    for _ in range(2):
        try:
            line = encoder.line(metric, NOW)
        except NoPointError:
            continue
        assert len(read_points(line)) == 1
