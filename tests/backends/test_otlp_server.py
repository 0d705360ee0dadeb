"""What a server answers, and what becomes of the metrics: by the rules of OTLP over HTTP."""

from __future__ import annotations

import contextlib
import gzip
import logging
import socket
import ssl
import struct
import threading
import time

import pytest

pytest.importorskip("opentelemetry.proto.metrics", reason="the extra otlp is not installed")
pytest.importorskip("urllib3", reason="the extra otlp is not installed")

import trustme
from google.protobuf.any_pb2 import Any as AnyMessage
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from tests.backends.otlp_points import decoded, metrics_of, points_of
from tests.fault_server import DRIP, HALF, HANG, RESET, Answer, FaultServer
from tests.faults.harness import DEADLINE, check_conservation
from time_execution.backends.otlp import OTLPBackend
from time_execution.exceptions import (
    BackendDenied,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
    BatchTooLarge,
    ConfigurationError,
)
from time_execution.types import STORED, Metric, Reject

PROTOBUF = {"Content-Type": "application/x-protobuf"}
SECRET = "hunter2"


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server


@pytest.fixture
def answering():
    """Give a function that answers one request with some bytes and an RST; returns the address, and what came."""
    received, threads = [], []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer(data):
            connection, _ = listener.accept()
            with connection:
                received.append(connection.recv(65_536))
                connection.sendall(data)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def start(data):
            threads.append(threading.Thread(target=answer, args=(data,), daemon=True))
            threads[-1].start()
            return f"127.0.0.1:{listener.getsockname()[1]}", received

        yield start
        for thread in threads:
            thread.join(DEADLINE)


def values(*names, kind="value"):
    """Return metrics of these names, each a point of its own."""
    return [Metric({"name": name, "value": number}, kind=kind) for number, name in enumerate(names)]


def partial(rejected, words=""):
    """Return the answer of a server that did not take so many points."""
    response = ExportMetricsServiceResponse()
    response.partial_success.rejected_data_points = rejected
    response.partial_success.error_message = words
    return Answer(200, response.SerializeToString(), PROTOBUF)


def test_a_request_is_what_the_protocol_says(server):
    """A POST to /v1/metrics, packed, with its type and the headers that were given."""
    OTLPBackend(server.url, headers={"api-key": SECRET}).write_many(values("a"))
    (request,) = server.requests
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert (request.method, request.path) == ("POST", "/v1/metrics")
    assert (headers["content-type"], headers["content-encoding"]) == ("application/x-protobuf", "gzip")
    assert headers["api-key"] == SECRET


def test_compression_can_be_switched_off(server):
    """Then the message is sent as it is."""
    OTLPBackend(server.url, compression="none").write_many(values("a"))
    (request,) = server.requests
    assert "Content-Encoding" not in request.headers
    assert points_of(decoded(request.body))


def test_one_connection_serves_many_batches(server):
    """It is opened by the first batch, kept, and opened again after a close."""
    backend = OTLPBackend(server.url)
    assert server.connections == 0
    for _ in range(5):
        backend.write_many(values("a"))
    assert server.connections == 1
    backend.close()
    backend.close()
    backend.write_many(values("a"))
    assert server.connections == 2


# ---- answers that mean: again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "after"),
    [
        (429, BackendThrottled, 7.0),
        (503, BackendThrottled, 7.0),
        (502, BackendUnavailable, None),
        (504, BackendTimeout, None),
        (408, BackendTimeout, None),
        (401, BackendDenied, None),
        (403, BackendDenied, None),
        (404, BackendDenied, None),
        (301, BackendUnavailable, None),
    ],
)
def test_some_answers_mean_again(server, status, error, after):
    """Nothing is given up; a pause that the server asks for is passed on."""
    server.answer(Answer(status, SECRET, {"Retry-After": "7", "Location": "http://example.org"}))
    with pytest.raises(error) as caught:
        OTLPBackend(server.url).write_many(values("a"))
    assert getattr(caught.value, "retry_after", None) == after
    assert SECRET not in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [(HANG, BackendTimeout), (RESET, BackendUnavailable), (HALF, BackendUnavailable), (DRIP, BackendTimeout)],
)
def test_a_connection_that_fails_means_again(server, answer, error):
    """No answer, half of one, or one that never ends: it is over in a bounded time, and the next batch is sent."""
    server.answer(answer, 200)
    backend = OTLPBackend(server.url, timeout=0.3)
    began = time.monotonic()
    with pytest.raises(error):
        backend.write_many(values("a"))
    assert time.monotonic() - began < 5.0
    assert backend.write_many(values("a")) == [STORED]


def test_an_address_where_nobody_listens_is_named(server):
    """The error says where it was looked for, and shows no secret of the address."""
    url = server.url.replace("//", f"//user:{SECRET}@")
    server.__exit__()
    with pytest.raises(BackendUnavailable, match=f"nothing answers at {server.url}; is the collector") as caught:
        OTLPBackend(f"{url}?key={SECRET}").write_many(values("a"))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("answer", [200, 404, RESET])
@pytest.mark.parametrize("path", [f"/v1/metrics?key={SECRET}", f"/otlp/{SECRET}/v1/metrics"])
def test_no_log_shows_a_path_or_a_query(server, caplog, wake_loggers, answer, path):
    """They may hold a key, and urllib3 writes addresses down at level DEBUG; the usual one it may."""
    wake_loggers("urllib3", "urllib3.connectionpool")
    server.answer(answer)
    with caplog.at_level(logging.DEBUG), contextlib.suppress(BackendUnavailable):
        OTLPBackend(f"{server.url}{path}").write_many(values("a"))
    assert server.requests[-1].path == path
    assert SECRET not in caplog.text
    with caplog.at_level(logging.DEBUG), contextlib.suppress(BackendUnavailable):
        OTLPBackend(server.url).write_many(values("a"))
    assert answer == RESET or "POST /v1/metrics" in caplog.text


def test_a_header_of_the_user_replaces_that_of_the_address(answering):
    """In whatever case it is written; two of one name are refused, or worse, by some servers."""
    place, received = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    headers = {"authorization": "Bearer 5", "content-type": "text/plain"}
    OTLPBackend(f"http://user:other@{place}", headers=headers).write_many(values("a"))
    lines = received[0].partition(b"\r\n\r\n")[0].decode().splitlines()
    found = [line.lower() for line in lines if line.lower().startswith(("authorization", "content-type"))]
    assert sorted(found) == ["authorization: bearer 5", "content-type: application/x-protobuf"]


def test_a_server_that_wants_tls_is_no_refusal_of_the_metrics(server):
    """It answers 400 in plain HTTP: nothing is dropped for that, and the error says what to write."""
    said = {"Content-Type": "text/plain; charset=utf-8"}
    server.answer(Answer(400, "Client sent an HTTP request to an HTTPS server.\n", said))
    with pytest.raises(BackendDenied, match="wants TLS; write https://"):
        OTLPBackend(server.url).write_many(values("a"))


def test_a_status_counts_though_the_connection_breaks_after_it(answering):
    """A server that refuses a large request may close before it has read it: the batch is divided all the same."""
    place, _ = answering(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 100\r\n\r\n{")
    with pytest.raises(BatchTooLarge):
        OTLPBackend(place).write_many(values("a", "b"))


def test_a_host_without_an_address_means_again():
    """A name that nobody knows is no reason to give up: name servers fail, too."""
    with pytest.raises(BackendUnavailable, match=r"nothing answers at http://no-such-host\.invalid:4318"):
        OTLPBackend("no-such-host.invalid").write_many(values("a"))


def test_a_web_page_is_no_collector(server):
    """A portal that answers 200 to everything has stored nothing."""
    server.answer(Answer(200, "<html>", {"Content-Type": "text/html; charset=utf-8"}))
    with pytest.raises(BackendDenied, match="web page"):
        OTLPBackend(server.url).write_many(values("a"))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200),
        Answer(204),
        Answer(200, "ok"),
        Answer(200, "{}", {"Content-Type": "application/json"}),
        Answer(200, "[", {"Content-Type": "application/json"}),
        Answer(200, b"\xff\xff", PROTOBUF),
    ],
)
def test_a_success_is_one_whatever_it_says(server, answer):
    """Servers answer in other forms than we asked for; sending what they took again would count it twice."""
    server.answer(answer)
    assert OTLPBackend(server.url).write_many(values("a")) == [STORED]


# ---- answers that mean: never ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 413, 415, 500, 501])
def test_a_refused_batch_is_divided(server, status):
    """One metric may be to blame, or the size; a smaller batch is another request."""
    server.answer(status)
    with pytest.raises(BatchTooLarge, match=str(status)):
        OTLPBackend(server.url).write_many(values("a", "b"))


@pytest.mark.parametrize(("status", "reason"), [(400, "refused"), (413, "too_large"), (500, "refused")])
def test_a_refused_metric_is_rejected_with_what_the_server_said(server, status, reason):
    """Its words, a google.rpc.Status or plain text, are kept beside the dead letter."""
    said = AnyMessage(
        value=b"name is invalid"
    ).SerializeToString()  # the field of a Status' message has the same number
    server.answer(Answer(status, b"\x08\x03" + said, PROTOBUF), Answer(status, "no such tenant"))
    backend = OTLPBackend(server.url)
    first, second = (backend.write_many(values("a"))[0] for _ in range(2))
    assert first == Reject(reason, f"the OTLP server answered {status}: name is invalid")
    assert second == Reject(reason, f"the OTLP server answered {status}: no such tenant")


def test_only_the_metric_to_blame_is_dropped(server, deliver):
    """Behind a queue, the halves of a refused batch are sent until the bad one is alone; all others arrive once."""

    def answer(request):
        return 400 if any(found["name"] == "bad" for found in metrics_of(points_of(decoded(request.body)))) else 200

    server.answer(answer)
    delivery = deliver(OTLPBackend(server.url), bulk_size=64, bulk_timeout=60.0)
    for number in range(64):
        delivery.write("bad" if number == 37 else f"m{number}", value=number)
    assert delivery.flush(DEADLINE)
    stats = delivery.stats()
    check_conservation(stats, offered=64, pending=0)
    assert (stats["delivered"], stats["dropped"]) == (63, {"refused": 1})


def test_points_that_were_not_taken_are_rejected_in_number(server):
    """Which ones a server does not say: as many as it refused are counted, with its words."""
    server.answer(partial(2, "duplicate sample"))
    results = OTLPBackend(server.url).write_many(values("a", "b", "c"))
    refused = [result for result in results if isinstance(result, Reject)]
    assert refused == [Reject("partial_success", "2 of 3 points refused: duplicate sample")] * 2
    assert results.count(STORED) == 1


def test_refused_points_count_as_the_largest(server):
    """Of points that sum metrics up, the largest are counted: none is called stored that is not."""
    server.answer(partial(1))
    calls = [Metric({"name": name, "value": 1.0}) for name in "abbbc"]
    results = OTLPBackend(server.url, temporality="delta").write_many(calls)
    assert [isinstance(result, Reject) for result in results] == [False, True, True, True, False]


def test_warnings_of_the_server_are_counted(server):
    """An answer may say something and refuse nothing."""
    server.answer(partial(0, "please send less"))
    backend = OTLPBackend(server.url)
    assert backend.write_many(values("a")) == [STORED]
    assert backend.stats()["warnings"] == 1


# ---- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def secure(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    with FaultServer(context=context) as server:
        yield server


def test_a_trusted_certificate_opens_the_door(secure, authority, tmp_path):
    """With the authority's file, and a certificate of our own where the server wants one."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    own = str(tmp_path / "client.pem")
    with OTLPBackend(secure.url, ca_certs=str(tmp_path / "ca.pem"), client_cert=own) as backend:
        assert backend.write_many(values("a")) == [STORED]
    bare = secure.url.removeprefix("https://")
    with OTLPBackend(bare, ca_certs=str(tmp_path / "ca.pem")) as backend:
        assert backend.write_many(values("a")) == [STORED]


def test_an_unknown_certificate_is_not_trusted(secure):
    """Nothing is sent to whom it does not concern, and the error says which option to look at."""
    with pytest.raises(BackendDenied, match="not trusted; check ca_certs"):
        OTLPBackend(secure.url).write_many(values("a"))
    assert secure.requests == []


def test_a_server_without_tls_is_told_so(server):
    """An address of the wrong scheme fails in a way that says so."""
    with pytest.raises(BackendUnavailable, match=r"no TLS with https://.*; check its scheme"):
        OTLPBackend(server.url.replace("http:", "https:")).write_many(values("a"))


@pytest.mark.parametrize("name", ["ca_certs", "client_cert"])
def test_files_that_hold_no_certificate_are_refused(tmp_path, name):
    """Missing or wrong, the option is named when the backend is made."""
    (tmp_path / "file").write_text(SECRET)
    for path in ("missing", "file"):
        with pytest.raises(ConfigurationError, match=f"^{name} must be a file of certificates: ") as caught:
            OTLPBackend("https://127.0.0.1", **{name: str(tmp_path / path)})
        assert SECRET not in str(caught.value)


def test_packed_requests_are_smaller(server):
    """What is sent is gzip, as its header says."""
    raw = []
    server.answer(lambda request: (raw.append(request), 200)[1])
    OTLPBackend(server.url).write_many(values(*map(str, range(200))))
    assert int(raw[0].headers["Content-Length"]) < len(raw[0].body) / 3
    assert gzip.compress(raw[0].body)[:2] == b"\x1f\x8b"
