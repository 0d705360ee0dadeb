"""`InfluxBackend` with protocol 2.x: what it sends, and what it makes of answers."""

from __future__ import annotations

import logging
import ssl
import subprocess
import sys
import traceback
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("time_execution.backends.influxdb.v2", exc_type=ImportError)
from tests.backends.influxdb_lines import read_points
from tests.fault_server import DRIP, DROP, HALF, HANG, RESET, Answer, FaultServer
from tests.forked import ends_well_in_a_child, needs_fork
from time_execution.backends.influxdb import InfluxBackend
from time_execution.config.build import resolve_backend
from time_execution.exceptions import (
    BackendDenied,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
    BatchTooLarge,
)
from time_execution.testing import BackendContract
from time_execution.types import STORED, Metric, Reject

NOW = 1_700_000_000_000_000_001


@pytest.fixture
def server():
    with FaultServer(204) as server:
        yield server


def to(server, **options):
    options = {"timeout": 5.0, "org": "acme", "bucket": "metrics", "token": "hunter2", **options}
    return InfluxBackend(protocol="2.x", url=server.url, **options)


def batch(count):
    return [Metric({"name": "a", "value": float(number), "timestamp": NOW + number}) for number in range(count)]


class TestInflux2Contract(BackendContract):
    """On a server that keeps what it is sent."""

    secrets = ("hunter2",)

    @pytest.fixture
    def backend(self, server):
        with to(server) as backend:
            backend.server_of_test = server
            yield backend

    def read_back(self, backend):
        for request in backend.server_of_test.requests:
            for name, tags, fields, timestamp in read_points(request.body):
                yield {"name": name, "timestamp": timestamp, **tags, **fields}


def test_a_batch_is_one_request(server):
    """To the bucket of the organization, with the token and the precision."""
    with to(server, precision="us", tags=["area"]) as backend:
        assert (
            backend.write_many([Metric({"name": "a", "value": 1, "area": "eu", "timestamp": NOW})] * 2) == [STORED] * 2
        )
    (request,) = server.requests
    assert (request.method, urlsplit(request.path).path) == ("POST", "/api/v2/write")
    assert parse_qs(urlsplit(request.path).query) == {"org": ["acme"], "bucket": ["metrics"], "precision": ["us"]}
    assert request.headers["Authorization"] == "Token hunter2"
    assert request.headers["Content-Type"].startswith("text/plain")
    microseconds = NOW // 1000
    expected = [("a", {"area": "eu"}, {"value": 1.0}, microseconds + number) for number in range(2)]
    assert read_points(request.body) == expected


def test_requests_can_be_compressed(server):
    """With gzip."""
    with to(server, gzip=True) as backend:
        backend.write("a", value=1)
    assert server.requests[0].headers["Content-Encoding"] == "gzip"
    assert read_points(server.requests[0].body)[0].name == "a"


def test_a_newline_in_a_text_makes_no_line(server):
    """VictoriaMetrics splits lines before it looks for quotes, and would drop the point without a word."""
    with to(server) as backend:
        backend.bulk_write([{"name": "a\nb", "value": 1, "text": "one\ntwo"}] * 2)
    assert len(server.requests[0].body.splitlines()) == 2


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (401, BackendDenied, "check token, org and bucket"),
        (403, BackendDenied, "check token, org and bucket"),
        (404, BackendDenied, "check url, org, bucket and protocol"),
        (413, BatchTooLarge, "too large"),
        (500, BackendUnavailable, "answered 500"),
        (504, BackendTimeout, "answered 504"),
        (RESET, BackendUnavailable, "the exchange with"),
        (DROP, BackendUnavailable, "the exchange with"),
        (HALF, BackendUnavailable, "InfluxDB"),
        (200, BackendUnavailable, "is no InfluxDB"),
        (Answer(200, "<html>"), BackendUnavailable, "is no InfluxDB"),
        (HANG, BackendTimeout, "did not answer in time"),
        (DRIP, BackendTimeout, "did not answer in time"),
    ],
)
def test_what_a_server_does_is_understood(server, answer, error, text):
    """Each failure is one of our errors, in our words."""
    server.answer(answer)
    with to(server, timeout=0.3) as backend, pytest.raises(error, match=text):
        backend.write("a", value=1)


@pytest.mark.parametrize("status", [429, 503])
def test_the_pause_that_a_server_asks_for_is_passed_on(server, status):
    """Seconds of Retry-After; the client itself waits for nothing."""
    server.answer(Answer(status, "", {"Retry-After": "7"}))
    with to(server) as backend, pytest.raises(BackendThrottled) as caught:
        backend.write("a", value=1)
    assert caught.value.retry_after == 7.0
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        Answer(400, {"code": "invalid", "message": "unable to parse 'a': missing fields"}),
        Answer(422, {"code": "unprocessable entity", "message": "partial write: field type conflict dropped=1"}),
    ],
)
def test_only_points_that_are_refused_are_rejected(server, refusal):
    """With the words of the server."""
    server.answer(lambda request: refusal if any(p.fields["value"] == 5 for p in read_points(request.body)) else 204)
    with to(server) as backend:
        results = backend.write_many(batch(8))
    assert results == [STORED] * 5 + [Reject(detail=refusal.body["message"])] + [STORED] * 2


def test_a_port_where_nobody_listens_is_an_outage():
    """Told as what it is, also by versions of urllib3 that count it among the time-outs."""
    with FaultServer() as server:
        url = server.url
    with (
        InfluxBackend(protocol="2.x", url=url) as backend,
        pytest.raises(BackendUnavailable, match="cannot be reached") as caught,
    ):
        backend.write("a", value=1)
    assert not isinstance(caught.value, BackendTimeout)


def test_a_certificate_nobody_vouches_for_is_a_refusal(tmp_path):
    """With ca_certs that vouch for it, metrics arrive."""
    trustme = pytest.importorskip("trustme")
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with FaultServer(204, context=context) as server:
        with to(server) as backend, pytest.raises(BackendDenied, match="TLS with"):
            backend.write("a", value=1)
        with to(server, ca_certs=tmp_path / "ca.pem") as backend:
            backend.write("a", value=1)
        assert len(server.requests) == 1


def test_a_failure_leaves_the_program_s_logging_alone(server):
    """The client would log the server's words, which quote points, and set the root logger up in doing so."""
    server.answer(Answer(404, "hunter2 is no JSON"))
    program = f"""
import logging
from time_execution.backends.influxdb import InfluxBackend
from time_execution.exceptions import BackendDenied
try:
    InfluxBackend(protocol="2.x", url={server.url!r}).write("a", value=1)
except BackendDenied as exc:
    print(logging.root.handlers, exc.__cause__, exc.__context__)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[] None None\n", "")


@pytest.mark.parametrize("answer", [401, RESET, HANG])
def test_no_secret_shows_in_errors_and_logs(server, caplog, answer):
    """The token is neither in text, cause or traceback, nor in what is logged."""
    caplog.set_level(logging.DEBUG)
    server.answer(answer)
    with to(server, timeout=0.3) as backend, pytest.raises(BackendUnavailable) as caught:
        backend.write("a", value=1)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value)) + repr(backend) + caplog.text


@needs_fork
def test_a_forked_child_has_a_connection_of_its_own(server):
    """Without a word from anybody, it does not touch the parent's, which goes on."""
    with to(server) as backend:
        backend.write("parent", value=1)

        def write():
            backend.write("child", value=2)
            backend.close()

        assert ends_well_in_a_child(write)
        backend.write("parent", value=3)
    assert [read_points(request.body)[0].name for request in server.requests] == ["parent", "child", "parent"]
    assert server.connections == 2


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, "server='InfluxDB at localhost:8086', target='metrics'"),
        ({"host": "a", "bucket": "b", "tls": True}, "server='InfluxDB at a:8086', target='b'"),
        ({"url": "https://cloud.example/", "bucket": "b"}, "server='InfluxDB at cloud.example:443', target='b'"),
    ],
)
def test_its_repr_says_where_metrics_go(options, shown):
    """The server and the bucket."""
    assert repr(InfluxBackend(protocol="2.x", token="hunter2", **options)) == f"InfluxBackend(protocol='2.x', {shown})"


def test_a_url_configures_it(server, tmp_path):
    """The bucket from the path or the option, the token from a file."""
    (tmp_path / "token").write_text("hunter2\n")
    more = f"protocol=2.x&org=o&token_file={tmp_path}/token"
    for url in (f"influxdb://127.0.0.1:{server.port}?bucket=b&{more}", f"influxdb://127.0.0.1:{server.port}/b?{more}"):
        queue = resolve_backend(url, index=0)
        try:
            queue.write("a", value=1)
            assert queue.flush(10.0)
        finally:
            queue.close()
        request = server.requests[-1]
        assert parse_qs(urlsplit(request.path).query) == {"org": ["o"], "bucket": ["b"], "precision": ["ns"]}
        assert request.headers["Authorization"] == "Token hunter2"
