"""`InfluxBackend` with protocol 0.8: against a fake server, and against what the official client would send."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timezone
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("time_execution.backends.influxdb.v08", exc_type=ImportError)
from tests.fault_server import DRIP, DROP, HANG, RESET, Answer, FaultServer
from time_execution.backends.influxdb import InfluxBackend
from time_execution.backends.influxdb.v08 import PointEncoder, client_of_08
from time_execution.exceptions import BackendDenied, BackendTimeout, BackendUnavailable
from time_execution.formats.line_protocol import NoPointError
from time_execution.testing import BackendContract
from time_execution.testing.hostile import hostile_values
from time_execution.types import STORED, Metric, Reject

NOW = 1_700_000_000_123_456_789


@pytest.fixture
def server():
    with FaultServer(200) as server:
        yield server


def to(server, **options):
    return InfluxBackend("127.0.0.1", port=server.port, protocol="0.8", **{"timeout": 5.0, **options})


def series(server):
    """Return the series of all requests that wrote some."""
    return [found for request in server.requests if request.path.startswith("/db/") for found in request.json()]


def point(fields, **more):
    return PointEncoder(value_field="value", precision="ms").point(Metric({**fields, **more}), NOW)


class TestInflux08Contract(BackendContract):
    """On a server that keeps what it is sent."""

    secrets = ("hunter2",)

    @pytest.fixture
    def backend(self, server):
        with to(server, username="anna", password="hunter2", precision="us") as backend:
            backend.server_of_test = server
            yield backend

    def read_back(self, backend):
        for found in series(backend.server_of_test):
            for values in found["points"]:
                row = dict(zip(found["columns"], values, strict=True))
                yield {"name": found["name"], "timestamp": row.pop("time") * 1000, **row}


def test_a_batch_is_grouped_by_series_and_columns(server):
    """As the server wants it: name, columns, points, time in milliseconds."""
    with to(server) as backend:
        backend.write_many(
            [
                Metric({"name": "a", "value": 1, "hostname": "h", "timestamp": NOW}),
                Metric({"name": "b", "value": 2, "hostname": "h", "timestamp": NOW}),
                Metric({"name": "a", "value": 3, "hostname": "h", "timestamp": NOW}),
                Metric({"name": "a", "value": 4, "status": "ok", "timestamp": NOW}),
            ]
        )
    milliseconds = NOW // 10**6
    assert series(server) == [
        {
            "name": "a",
            "columns": ["time", "value", "hostname"],
            "points": [[milliseconds, 1.0, "h"], [milliseconds, 3.0, "h"]],
        },
        {"name": "b", "columns": ["time", "value", "hostname"], "points": [[milliseconds, 2.0, "h"]]},
        {"name": "a", "columns": ["time", "value", "status"], "points": [[milliseconds, 4.0, "ok"]]},
    ]


def test_requests_are_those_of_the_official_client(server):
    """Method, path, parameters and body; the credentials alone travel in a header instead of the address."""
    with to(server, username="anna", password="hunter2") as backend:
        backend.bulk_write([{"name": "a é\n", "value": 1.5, "hostname": "h", "timestamp": NOW}] * 2)
    ours = list(server.requests)
    client = client_of_08.InfluxDBClient("127.0.0.1", server.port, "anna", "hunter2", "metrics", retries=1)
    server.answer(201, 200)
    client.create_database("metrics")
    client.write_points(ours[1].json(), time_precision="ms")
    client_of_08.client.session.close()
    theirs = server.requests[len(ours) :]
    for our, their in zip(ours, theirs, strict=True):
        parameters = parse_qs(urlsplit(their.path).query)
        assert (parameters.pop("u"), parameters.pop("p")) == (["anna"], ["hunter2"])
        assert parse_qs(urlsplit(our.path).query) == parameters
        assert urlsplit(our.path).path == urlsplit(their.path).path
        assert (our.method, our.body) == (their.method, their.body)
        assert our.headers["Content-type"] == their.headers["Content-type"]
        assert base64.b64decode(our.headers["Authorization"].removeprefix("Basic ")) == b"anna:hunter2"


@pytest.mark.parametrize("answer", [201, 409, 401, 400])
def test_the_database_is_asked_for_once(server, answer):
    """It may be there already, or not be this user's to create: then writing tells."""
    server.answer(answer, 200)
    with to(server, database="shop") as backend:
        backend.write("a", value=1)
        backend.write("a", value=2)
    assert [urlsplit(request.path).path for request in server.requests] == ["/db", "/db/shop/series", "/db/shop/series"]
    assert server.requests[0].json() == {"name": "shop"}


def test_the_database_is_not_asked_for_against_ones_will(server):
    """With create_database=False."""
    with to(server, create_database=False) as backend:
        backend.write("a", value=1)
    assert len(server.requests) == 1


def test_an_outage_while_the_database_is_asked_for_asks_again(server):
    """Before anything is written."""
    server.answer(503, 201, 200)
    with to(server) as backend:
        with pytest.raises(BackendUnavailable):
            backend.write("a", value=1)
        backend.write("a", value=1)
    assert [urlsplit(request.path).path for request in server.requests] == ["/db", "/db", "/db/metrics/series"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [(401, BackendDenied), (500, BackendUnavailable), (RESET, BackendUnavailable), (DROP, BackendUnavailable),
     (HANG, BackendTimeout), (DRIP, BackendTimeout)],
)  # fmt: skip
def test_what_a_server_does_is_understood(server, answer, error):
    """As with later versions."""
    server.answer(answer)
    with to(server, timeout=0.3, create_database=False) as backend, pytest.raises(error):
        backend.write("a", value=1)


def test_only_points_that_are_refused_are_rejected(server):
    """The batch is halved until they are found."""

    def answer(request):
        bad = any(3.0 in values for found in request.json() for values in found["points"])
        return Answer(400, "invalid point") if bad else 200

    server.answer(answer)
    with to(server, create_database=False) as backend:
        results = backend.write_many([Metric({"name": "a", "value": float(number)}) for number in range(8)])
    assert results == [STORED] * 3 + [Reject(detail="invalid point")] + [STORED] * 4


def test_values_keep_their_types():
    """Text, integers, floats and truth values; lists and dicts as JSON, moments as text; what is none is left out."""
    fields = {
        "value": 3, "text": 'a"\n', "n": 5, "x": 0.5, "yes": True, "none": None, "nan": float("nan"),
        "list": [1, "a"], "day": datetime(2024, 2, 29, tzinfo=timezone.utc), "big": 2**64,
    }  # fmt: skip
    found = point({"name": "a", "timestamp": NOW, **fields})
    assert found.name == "a"
    assert dict(zip(found.columns, found.values, strict=True)) == {
        "time": NOW // 10**6, "value": 3.0, "text": 'a"\n', "n": 5, "x": 0.5, "yes": True,
        "list": '[1,"a"]', "day": "2024-02-29T00:00:00.000000Z", "big": 2.0**64,
    }  # fmt: skip
    assert type(dict(zip(found.columns, found.values, strict=True))["value"]) is float


def test_columns_of_the_server_are_stepped_aside_for():
    """A field named time is another column."""
    found = point({"name": "a", "value": 1, "time": "x", "time_": "y", "timestamp": NOW})
    assert found.columns == ("time", "value", "time_", "time__")


@pytest.mark.parametrize("fields", [{"value": "fast"}, {"value": None}, {"value": float("nan")}, {}])
def test_a_metric_without_a_number_or_field_is_no_point(fields):
    """It could not be read as one."""
    with pytest.raises(NoPointError):
        point({"name": "a", "timestamp": NOW}, **fields)


@pytest.mark.parametrize("kind", hostile_values())
def test_hostile_values_are_strict_json(kind):
    """No token that is none, and no code of the value."""
    found = point({"name": "a", "value": 1}, field=hostile_values()[kind])
    assert json.loads(json.dumps(found, allow_nan=False))[0] == "a"
