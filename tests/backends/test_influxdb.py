"""`InfluxBackend`: its options, and what it makes of the answers of a server of InfluxDB 1.x."""

from __future__ import annotations

import base64
import logging
import ssl
import threading
import time
import traceback
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.backends.influxdb_lines import read_points
from tests.fault_server import DRIP, DROP, HALF, HANG, RESET, Answer, FaultServer
from tests.forked import ends_well_in_a_child, needs_fork
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import (
    BackendDenied,
    BackendRejected,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
    BatchTooLarge,
)
from time_execution.types import STORED, Metric, Reject, Retry

pytest.importorskip("time_execution.backends.influxdb.v1", exc_type=ImportError)
from time_execution.backends.influxdb import InfluxBackend, portion
from time_execution.backends.influxdb.portion import MAX_LINES

NOW = 1_700_000_000_000_000_001
MISSING = Answer(404, {"error": 'database not found: "metrics"'})
CREATED = Answer(200, {"results": [{"statement_id": 0}]})


@pytest.fixture
def server():
    with FaultServer(204) as server:
        yield server


@pytest.fixture
def backend(server):
    with to(server) as backend:
        yield backend


def to(server, **options):
    return InfluxBackend("127.0.0.1", port=server.port, **{"timeout": 5.0, **options})


def metric(number=0, **fields):
    return Metric({"name": "shop.pay", "value": 1.5, "timestamp": NOW + number, **fields}, id=f"0f-{number}")


def batch(count, **fields):
    return [metric(number, **fields) for number in range(count)]


def query(request):
    return {key: value for key, (value,) in parse_qs(urlsplit(request.path).query).items()}


def refuse(bad, *, dropped=True):
    """Answer as InfluxDB does to a request with some points that it does not take."""

    def answer(request):
        points = read_points(request.body)
        count = sum(map(bad, points))
        said = f"partial write: field type conflict: input field is type string dropped={count * dropped}"
        return Answer(400, {"error": said}) if count else 204

    return answer


# ---- requests ------------------------------------------------------------------------------------------------------


def test_a_batch_is_one_request(server, backend):
    """Lines for the database, with the precision said; every metric is stored."""
    assert backend.write_many(batch(3, hostname="web-1")) == [STORED] * 3
    (request,) = server.requests
    assert (request.method, urlsplit(request.path).path) == ("POST", "/write")
    assert query(request) == {"db": "metrics", "precision": "n"}
    assert read_points(request.body) == [
        ("shop.pay", {"hostname": "web-1"}, {"value": 1.5}, NOW + number) for number in range(3)
    ]


def test_the_options_of_a_write_are_sent(server):
    """Database, login, precision, retention policy, consistency and compression."""
    options = {"precision": "us", "retention_policy": "a week", "consistency": "quorum", "gzip": True}
    with to(server, database="a b", username="anna", password="hunter2", tags=("area",), **options) as backend:
        backend.write("a", value=1, area="eu")
    (request,) = server.requests
    assert query(request) == {"db": "a b", "precision": "u", "rp": "a week", "consistency": "quorum"}
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"anna:hunter2"
    assert request.headers["Content-Encoding"] == "gzip"
    (point,) = read_points(request.body)
    assert point.tags == {"area": "eu"}
    assert abs(point.timestamp * 1000 - time.time_ns()) < 60e9


def test_large_batches_are_sent_in_portions(server, backend):
    """No request has more than 5 000 lines, and none is missing."""
    assert backend.write_many(batch(2 * MAX_LINES + 1)) == [STORED] * (2 * MAX_LINES + 1)
    bodies = [read_points(request.body) for request in server.requests]
    assert [len(points) for points in bodies] == [MAX_LINES, MAX_LINES, 1]
    assert len({point.timestamp for points in bodies for point in points}) == 2 * MAX_LINES + 1


def test_one_connection_serves_many_batches(server, backend):
    """It is kept open, and made with the first metric, not before."""
    assert server.connections == 0
    for _ in range(3):
        backend.write("a", value=1)
    assert server.connections == 1


def test_points_of_one_moment_are_moved_apart_and_stay_where_they_are(server, backend):
    """Also across batches; a batch that is sent again, or divided, writes the same points."""
    same = [Metric({"name": "a", "value": float(number), "timestamp": NOW}, id=f"0f-{number}") for number in range(4)]
    backend.write_many(same[:2])
    backend.write_many(same[2:])
    backend.write_many(same)
    backend.write_many(same[3:])
    sent = [{point.fields["value"]: point.timestamp for point in read_points(each.body)} for each in server.requests]
    expected = {float(number): NOW + number for number in range(4)}
    assert {**sent[0], **sent[1]} == sent[2] == expected
    assert sent[3] == {3.0: NOW + 3}


def test_closing_is_not_for_ever(server, backend):
    """A metric after the end opens a connection again; closing twice does nothing."""
    backend.write("a", value=1)
    backend.close()
    backend.close()
    backend.write("a", value=1)
    assert server.connections == 2


@needs_fork
def test_a_forked_child_has_a_connection_of_its_own(server, backend):
    """Without a word from anybody, it does not touch the parent's, which goes on."""
    backend.write("parent", value=1)

    def write():
        backend.write("child", value=2)
        backend.close()

    assert ends_well_in_a_child(write)
    backend.write("parent", value=3)
    assert [read_points(request.body)[0].name for request in server.requests] == ["parent", "child", "parent"]
    assert server.connections == 2


# ---- points that are refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropped", [True, False])
@pytest.mark.parametrize("bad", [{0}, {499}, {7, 8, 300}, set()])
def test_only_points_that_are_refused_are_rejected(server, backend, bad, dropped):
    """The batch is halved until they are found; every other one is stored, in its place."""
    server.answer(refuse(lambda point: point.timestamp - NOW in bad, dropped=dropped))
    results = backend.write_many(batch(500))
    assert [number for number, result in enumerate(results) if isinstance(result, Reject)] == sorted(bad)
    assert all(result is STORED for number, result in enumerate(results) if number not in bad)
    said = {result.detail for number, result in enumerate(results) if number in bad}
    assert all(text.startswith("partial write: field type conflict") for text in said)
    assert len(server.requests) <= 1 + 2 * 9 * len(bad)


def test_a_batch_that_is_dropped_as_a_whole_is_not_looked_through(server, backend):
    """The server says how many it dropped: when that is all of them, one request is enough."""
    server.answer(Answer(400, {"error": "partial write: points beyond retention policy dropped=100"}))
    results = backend.write_many(batch(100))
    assert results == [Reject(detail="partial write: points beyond retention policy dropped=100")] * 100
    assert len(server.requests) == 1


def test_looking_for_bad_points_comes_to_an_end(server, backend, monkeypatch):
    """After so many requests, what is left waits for its next turn."""
    monkeypatch.setattr(portion, "_MOST_ATTEMPTS", 20)
    server.answer(refuse(lambda point: point.timestamp % 2, dropped=False))
    results = backend.write_many(batch(64))
    kinds = [type(result) for result in results]
    first = kinds.index(Retry)
    assert len(server.requests) == 20
    assert first > 5
    assert set(kinds[first:]) == {Retry}
    assert [kind is Reject for kind in kinds[:first]] == [number % 2 == 0 for number in range(first)]


def test_what_the_server_says_is_cut(server, backend):
    """A line that it cannot read is quoted at any length."""
    server.answer(Answer(400, {"error": "unable to parse " + "x" * 5000}))
    (result,) = backend.write_many(batch(1))
    assert len(result.detail) == 500


def test_a_metric_without_a_field_is_rejected_and_its_neighbours_stored(server, backend):
    """Without asking the server, for reasons of ours."""
    results = backend.write_many([metric(0), metric(1, value="fast"), metric(2, value=None), metric(3)])
    assert [type(result) for result in results] == [type(STORED), Reject, Reject, type(STORED)]
    assert [result.reason for result in results[1:3]] == ["no number", "no number"]
    assert [point.timestamp - NOW for point in read_points(server.requests[0].body)] == [0, 3]
    assert [type(result) for result in backend.write_many([metric(value="fast")])] == [Reject]
    assert len(server.requests) == 1


def test_a_rejection_reaches_who_writes_directly(server, backend):
    """With the words of the server; the others of the batch were tried."""
    server.answer(refuse(lambda point: point.fields["value"] == 2))
    with pytest.raises(BackendRejected, match="field type conflict"):
        backend.bulk_write([{"name": "a", "value": value} for value in (1, 2, 3)])
    assert any([point.fields["value"] for point in read_points(request.body)] == [3] for request in server.requests)


# ---- the database --------------------------------------------------------------------------------------------------


def test_a_missing_database_is_created_once(server, backend):
    """Asked for when the server says that it is missing, then the batch is written again."""
    server.answer(MISSING, CREATED, 204)
    assert backend.write_many(batch(2)) == [STORED, STORED]
    backend.write("a", value=1)
    paths = [urlsplit(request.path).path for request in server.requests]
    assert paths == ["/write", "/query", "/write", "/write"]
    assert query(server.requests[1])["q"] == 'CREATE DATABASE "metrics"'
    assert server.requests[0].body == server.requests[2].body


def test_a_database_that_stays_missing_is_a_refusal(server, backend):
    """Not a loop."""
    server.answer(MISSING, CREATED, MISSING)
    with pytest.raises(BackendDenied, match="no such database"):
        backend.write("a", value=1)
    assert len(server.requests) == 3


def test_a_database_is_not_created_against_ones_will(server):
    """With create_database=False the batch waits for somebody to create it."""
    server.answer(MISSING)
    with to(server, create_database=False) as backend, pytest.raises(BackendDenied, match="create it there"):
        backend.write("a", value=1)
    assert len(server.requests) == 1


def test_who_may_not_create_the_database_is_told(server, backend):
    """The advice names the cause, which a bare 403 would not."""
    server.answer(MISSING, Answer(403, {"error": "requires admin privilege"}))
    with pytest.raises(BackendDenied, match="this user may not create it"):
        backend.write("a", value=1)


def test_a_user_who_may_only_write_is_never_told_about_creating(server, backend):
    """Nothing but writes is sent while the database is there."""
    for _ in range(3):
        backend.write("a", value=1)
    assert {urlsplit(request.path).path for request in server.requests} == {"/write"}


# ---- answers and silence -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (401, BackendDenied, "refuses the credentials; check username and password"),
        (403, BackendDenied, "does not allow this user to write; GRANT it"),
        (404, BackendDenied, "nothing at this address; check host, port and protocol"),
        (413, BatchTooLarge, "too large"),
        (429, BackendThrottled, "too many requests"),
        (503, BackendThrottled, "cannot answer now"),
        (500, BackendUnavailable, "answered 500"),
        (Answer(500, {"error": "retention policy not found: x"}), BackendDenied, "no such retention policy"),
        (504, BackendTimeout, "answered 504"),
        (200, BackendUnavailable, "is no InfluxDB"),
        (Answer(200, "<html>"), BackendUnavailable, "is no InfluxDB"),
        (RESET, BackendUnavailable, "cannot be reached"),
        (DROP, BackendUnavailable, "cannot be reached"),
        (HANG, BackendTimeout, "did not answer in time; check"),
        (DRIP, BackendTimeout, "did not answer in time"),
        (HALF, BackendUnavailable, "InfluxDB"),
    ],
)
def test_what_a_server_does_is_understood(server, answer, error, text):
    """Each failure is one of our errors, in our words, and the batch as a whole waits or goes."""
    server.answer(answer)
    with to(server, timeout=0.3) as backend, pytest.raises(error, match=text) as caught:
        backend.write_many(batch(3))
    assert isinstance(caught.value, BackendRejected) == (error is BatchTooLarge)
    assert "shop.pay" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 503])
def test_the_pause_that_a_server_asks_for_is_passed_on(server, backend, status):
    """Seconds of Retry-After."""
    server.answer(Answer(status, "", {"Retry-After": "7"}))
    with pytest.raises(BackendThrottled) as caught:
        backend.write("a", value=1)
    assert caught.value.retry_after == 7.0


def test_a_failure_after_the_first_portion_keeps_what_is_stored(server, backend):
    """The rest is to be sent again, after the pause that the server asks for."""
    server.answer(204, Answer(503, "", {"Retry-After": "7"}))
    results = backend.write_many(batch(MAX_LINES + 2))
    assert results == [STORED] * MAX_LINES + [Retry("BackendThrottled", 7.0)] * 2


def test_a_lost_answer_makes_no_second_point(server):
    """The server stores and hangs up: what is sent again has the same names, tags and timestamps."""
    server.answer(DROP, 204)
    metrics = [{"name": "a", "value": 1.0, "timestamp": NOW} for _ in range(50)]
    with ThreadedBackend(to(server), bulk_size=50, bulk_timeout=60.0, retry=Backoff(base=0.01)) as queue:
        queue.bulk_write(metrics)
        assert queue.flush(10.0)
        stats = queue.stats()
    first, second = (read_points(request.body) for request in server.requests)
    assert first == second
    assert len({point.timestamp for point in first}) == 50
    assert (stats["delivered"], stats["retried"]) == (50, 50)


def test_a_port_where_nobody_listens_is_an_outage():
    """To be tried again, with a word on what to check."""
    with FaultServer() as server:
        port = server.port
    with (
        InfluxBackend("127.0.0.1", port=port) as backend,
        pytest.raises(BackendUnavailable, match="check host and port"),
    ):
        backend.write("a", value=1)


def test_a_certificate_nobody_vouches_for_is_a_refusal(tmp_path):
    """With ca_certs that vouch for it, or without verification, metrics arrive."""
    trustme = pytest.importorskip("trustme")
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with FaultServer(204, context=context) as server:
        with to(server, tls=True) as backend, pytest.raises(BackendDenied, match="check tls, ca_certs"):
            backend.write("a", value=1)
        with to(server, tls=True, ca_certs=tmp_path / "ca.pem") as backend:
            backend.write("a", value=1)
        assert len(server.requests) == 1


def test_several_threads_may_write(server, backend):
    """Each has a connection for as long as it needs one; nothing is mixed up."""

    def write(label):
        for number in range(20):
            backend.write(label, value=number)

    threads = [threading.Thread(target=write, args=(label,)) for label in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    points = [point for request in server.requests for point in read_points(request.body)]
    assert sorted((point.name, point.fields["value"]) for point in points) == [
        (label, float(number)) for label in "abcd" for number in range(20)
    ]


# ---- secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [401, RESET, HANG, Answer(400, {"error": "unable to parse 'a token=hunter2'"})])
def test_no_secret_shows_in_errors_and_logs(server, caplog, answer):
    """Neither the password nor what the server quotes: not in text, cause or traceback, nor in what is logged."""
    caplog.set_level(logging.DEBUG)
    server.answer(answer)
    with to(server, username="anna", password="hunter2", timeout=0.3) as backend:
        assert "hunter2" not in repr(backend)
        assert "hunter2" not in repr(vars(backend))
        try:
            assert isinstance(backend.write_many(batch(1))[0], Reject)
        except BackendUnavailable as exc:
            shown = "".join(traceback.format_exception(exc))
            assert "hunter2" not in shown
            assert "aHVudGVyMg" not in shown
    assert "hunter2" not in caplog.text
