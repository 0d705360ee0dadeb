"""The server that fails by script does fail as its script says."""

from __future__ import annotations

import gzip
import http.client
import socket
import ssl

import pytest

from tests.fault_server import DRIP, DROP, HALF, HANG, RESET, Answer, FaultServer


def ask(server, *, timeout=5.0, body=b"{}", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request("POST", "/a?b=1", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def test_answers_come_in_turn_and_the_last_for_ever():
    """A script is worked through; what was asked is remembered."""
    with FaultServer(503, Answer(201, {"a": 1}, {"Retry-After": "3"})) as server:
        assert ask(server)[0] == 503
        for _ in range(2):
            status, body, headers = ask(server)
            assert (status, body, headers["Retry-After"]) == (201, b'{"a": 1}', "3")
        assert [(request.method, request.path, request.json()) for request in server.requests] == [
            ("POST", "/a?b=1", {})
        ] * 3


def test_an_answer_may_look_at_the_request():
    """A callable gets the request; gzip is unpacked for it."""
    with FaultServer(lambda request: Answer(200, request.body)) as server:
        assert ask(server, body=gzip.compress(b"packed"), **{"Content-Encoding": "gzip"})[1] == b"packed"
        assert ask(server, body=iter([b"ab", b"c"]))[1] == b"abc"


@pytest.mark.parametrize("word", [HANG, DRIP])
def test_a_server_that_hangs_lets_the_client_time_out(word):
    """Neither silence nor a trickle comes to an end by itself."""
    with FaultServer(word) as server, pytest.raises((TimeoutError, socket.timeout)):
        _, _, _ = ask(server, timeout=0.2) if word == HANG else (_read_for_a_while(server), None, None)


def _read_for_a_while(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5.0)
    connection.request("POST", "/")
    answer = connection.getresponse()
    assert len(answer.read(3)) == 3
    connection.close()
    raise TimeoutError


@pytest.mark.parametrize(
    ("word", "error"),
    [(RESET, ConnectionResetError), (DROP, http.client.RemoteDisconnected), (HALF, http.client.IncompleteRead)],
)
def test_a_connection_that_breaks_shows_how(word, error):
    """The request was read all the same, so it may have been applied."""
    with FaultServer(word, 200) as server:
        with pytest.raises(error):
            ask(server)
        server.wait_for(1)
        assert ask(server)[0] == 200


def test_it_speaks_tls():
    """With a context, clients that trust its authority get through, and others do not."""
    authority = pytest.importorskip("trustme").CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with FaultServer(context=context) as server:
        assert server.url.startswith("https://")
        for known, works in ((trusting, True), (ssl.create_default_context(), False)):
            connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5.0, context=known)
            if works:
                connection.request("GET", "/")
                assert connection.getresponse().status == 200
            else:
                with pytest.raises(ssl.SSLError):
                    connection.request("GET", "/")
            connection.close()
