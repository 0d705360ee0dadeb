"""Labels that a metric names itself become tags of DogStatsD; plain StatsD has none."""

from __future__ import annotations

from tests.line_servers import LineServer
from time_execution.backends.statsd import StatsDBackend
from time_execution.formats.statsd import LineFormat
from time_execution.types import STORED, Metric

LABELS = ("method", "route", "status_code")
NAME = "http.server.request.duration"


def request(labels=LABELS, **fields):
    given = {"name": NAME, "value": 20.0, "method": "GET", "route": "/users/{id}", "status_code": 200, "region": "eu"}
    return Metric({**given, **fields}, labels=labels)


def test_labels_are_tags():
    """After those that are configured, each once, before the constant ones."""
    line = LineFormat("dogstatsd", tags=["region", "route"], constant_tags=["env:prod"]).line(request())
    assert line == f"{NAME}:20.0|ms|#region:eu,route:/users/{{id}},method:GET,status_code:200,env:prod"


def test_a_metric_without_labels_has_the_line_it_had():
    """Other fields are left out."""
    assert LineFormat("dogstatsd").line(request(labels=())) == f"{NAME}:20.0|ms"


def test_plain_statsd_has_no_tags():
    """A line would be refused."""
    assert LineFormat("statsd").line(request()) == f"{NAME}:20.0|ms"


def test_an_event_has_its_labels():
    """Beside its fields, which are its text."""
    event = Metric({"name": "error", "type": "E", "place": "shop.py:3"}, kind="event", labels=("type", "place"))
    assert LineFormat("dogstatsd").line(event).endswith("|#type:E,place:shop.py:3")


def test_names_that_no_tag_may_have_are_mended():
    """Nobody configured them, so nobody can be told to rename them."""
    line = LineFormat("dogstatsd").line(request(labels=("a:b", "c d"), **{"a:b": "1", "c d": "2|3"}))
    assert line.endswith("|#a_b:1,c_d:2_3")


def test_they_reach_the_server():
    """In a packet like any other."""
    with LineServer("udp") as server, StatsDBackend(**server.place, dialect="dogstatsd") as backend:
        assert list(backend.write_many([request()])) == [STORED]
        assert server.settled_lines() == [f"{NAME}:20.0|ms|#method:GET,route:/users/{{id}},status_code:200"]
