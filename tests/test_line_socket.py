"""Sockets for lines that nobody answers: every protocol, what refuses them, and what a broken one costs."""

from __future__ import annotations

import errno
import socket
import threading
import time
from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.forked import ends_well_in_a_child, needs_fork
from tests.line_servers import DEADLINE, LineServer, free_port, reset
from time_execution import line_socket as subject
from time_execution.exceptions import (
    BackendDenied,
    BackendTimeout,
    BackendUnavailable,
    BatchTooLarge,
    ConfigurationError,
)
from time_execution.line_socket import LineSocket, Place, packed, place_of

PROTOCOLS = ["udp", "tcp", "unix", "unixstream"]
STREAMS = ["tcp", "unixstream"]


def make(server, **options):
    place = Place(server.protocol, "127.0.0.1", getattr(server, "port", 0), str(server.path or ""))
    return LineSocket(place, label="test", **options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s"


@pytest.fixture
def serve(path):
    """Make a server of any protocol."""

    def serve(protocol, **options):
        return LineServer(protocol, path=path if protocol.startswith("unix") else None, **options)

    return serve


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("confirm", [True, False])
def test_what_is_sent_arrives(serve, protocol, confirm):
    """Each packet is there once it is sent, or soon after, in order."""
    with serve(protocol) as server, closing(make(server, confirm=confirm)) as sender:
        for number in range(3):
            sender.send(b"line %d\n" % number)
        sender.close()
        server.wait_for(lambda server: b"line 2" in b"".join(server.received))
        assert server.lines == ["line 0", "line 1", "line 2"]


@pytest.mark.parametrize("protocol", STREAMS)
def test_a_confirmed_stream_was_read_when_send_returns(serve, protocol):
    """Nothing need be waited for: the server has all of it, megabytes included."""
    data = b"x" * 99 + b"\n"
    with serve(protocol) as server, closing(make(server)) as sender:
        sender.send(data * 30_000)
        assert [len(data) for data in server.received] == [3_000_000]


@pytest.mark.parametrize("protocol", STREAMS)
def test_an_unconfirmed_stream_stays_open(serve, protocol):
    """One connection serves for all packets."""
    with serve(protocol) as server:
        with closing(make(server, confirm=False)) as sender:
            for _ in range(5):
                sender.send(b"line\n")
        server.wait_for(lambda server: server.received == [b"line\n" * 5])
        assert server.connections == 1


@pytest.mark.parametrize("protocol", STREAMS)
def test_an_unconfirmed_stream_that_the_server_closed_is_opened_again(serve, protocol):
    """A server that was restarted between two batches loses neither."""

    def close_after_a_line(connection):
        with connection:
            data = b""
            while not data.endswith(b"\n"):
                data += connection.recv(100)
            connection.shutdown(socket.SHUT_RDWR)
        server.keep(data)

    with serve(protocol, serve=close_after_a_line) as server, closing(make(server, confirm=False)) as sender:
        for number in range(3):
            sender.send(b"line %d\n" % number)
            server.wait_for(lambda server, number=number: len(server.received) > number)
        assert server.lines == ["line 0", "line 1", "line 2"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_is_not_there_is_unavailable_until_it_comes(serve, protocol, path):
    """Also of a single datagram over UDP it is known at once that nobody on this machine took it."""
    port = free_port()
    is_unix = protocol.startswith("unix")
    place = Place(protocol, path=str(path)) if is_unix else Place(protocol, "127.0.0.1", port)
    sender = LineSocket(place, label="test", timeout=5)
    with pytest.raises(BackendUnavailable, match=rf"test at {protocol}://.*: (nobody listens|there is no such socket)"):
        sender.send(b"lost\n")
    with serve(protocol, port=port) as server, closing(sender):
        sender.send(b"kept\n")
        server.wait_for(lambda server: server.received == [b"kept\n"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_comes_back_is_found_again(serve, protocol, path):
    """What fails while it is away is told, and the next packet arrives."""
    with serve(protocol) as server:
        sender = make(server, confirm=False, timeout=5)
        sender.send(b"before\n")
        server.wait_for(lambda server: server.connections or server.received)
    path.unlink(missing_ok=True)
    with pytest.raises(BackendUnavailable):
        _send_until_it_fails(sender)
    with serve(protocol, port=server.port) as again, closing(sender):
        sender.send(b"after\n")
        sender.close()
        again.wait_for(lambda server: b"after\n" in server.received)


def _send_until_it_fails(sender):
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        sender.send(b"meanwhile\n")


@pytest.mark.parametrize("protocol", STREAMS)
def test_a_connection_that_breaks_is_unavailable(serve, protocol):
    """A server that is killed in the middle has stored nothing, as far as anybody knows; the error says what to do."""
    told = pytest.raises(BackendUnavailable, match="it broke the connection: see its log, or mend the address")
    with serve(protocol, serve=reset) as server, closing(make(server)) as sender, told:
        sender.send(b"x" * 5_000_000)


@pytest.mark.parametrize("protocol", STREAMS)
@pytest.mark.parametrize("size", [10, 20_000_000])
def test_a_server_that_hangs_times_out(serve, protocol, size):
    """Whether it does not read or does not close, the wait ends; the message says what to do about the latter."""
    held = []
    with serve(protocol, serve=held.append) as server:
        sender = make(server, timeout=0.2)
        started = time.monotonic()
        with pytest.raises(BackendTimeout, match=r"in 0\.2 s; if it never closes a connection, set confirm=False"):
            sender.send(b"x" * size)
        assert time.monotonic() - started < DEADLINE / 2
        for connection in held:
            connection.close()


def test_a_server_that_drips_times_out(serve):
    """A byte now and then does not make the wait any longer."""

    def drip(connection):
        with connection:
            while not server.closing.wait(0.02):
                try:
                    connection.send(b"x")
                except OSError:
                    return

    with serve("tcp", serve=drip) as server, pytest.raises(BackendTimeout):
        make(server, timeout=0.3).send(b"line\n")


def test_a_full_socket_for_datagrams_times_out(path):
    """A receiver that does not read stops the sender for the time-out only, and loses nothing silently."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        sender = LineSocket(Place("unix", path=str(path)), label="test", timeout=0.1)
        sent = 0
        with pytest.raises(BackendTimeout, match=r"did not take everything in 0\.1 s$"):
            while sent < 100_000:
                sender.send(b"x")
                sent += 1
        receiver.setblocking(False)
        assert [receiver.recv(10) for _ in range(sent)] == [b"x"] * sent


@pytest.mark.parametrize(("protocol", "size"), [("udp", 65_508), ("unix", 10_000_000)])
def test_a_datagram_that_is_too_large_says_so_and_harms_nothing(serve, protocol, size):
    """The socket goes on with the next one."""
    with serve(protocol) as server, closing(make(server)) as sender:
        sender.send(b"before")
        with pytest.raises(BatchTooLarge, match="larger than the system sends"):
            sender.send(b"x" * size)
        sender.send(b"after")
        assert server.settled_lines() == ["before", "after"]


@pytest.mark.parametrize(("wrong", "right"), [("unix", "unixstream"), ("unixstream", "unix")])
def test_the_other_kind_of_unix_socket_is_told(serve, wrong, right):
    """The message names the other protocol."""
    with serve(right) as server, pytest.raises(BackendDenied, match="try protocol 'unix' or 'unixstream'"):
        LineSocket(Place(wrong, path=str(server.path)), label="test").send(b"x")


@pytest.mark.parametrize(
    ("failure", "expected", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), BackendDenied, "no permission"),
        (OSError(errno.ENOBUFS, "No buffer space available"), BackendUnavailable, "no room"),
        (BlockingIOError(errno.EAGAIN, "again"), BackendUnavailable, "takes no more just now"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), BackendUnavailable, "No route to host"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), BackendUnavailable, "cannot be looked up"),
        (OSError("odd"), BackendUnavailable, "OSError"),
    ],
    ids=str,
)
def test_failures_become_ours(monkeypatch, failure, expected, words):
    """The class says whether to try again soon, the text what happened and where."""

    def fail(*_args, **_kwargs):
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(expected, match=rf"^test at udp://nowhere:8125: .*{words}") as caught:
        LineSocket(Place("udp", "nowhere", 8125), label="test").send(b"x")
    assert caught.value.__cause__ is failure


def test_a_host_is_looked_up_once_and_again_after_a_while(serve, monkeypatch):
    """Not for each packet; and a host that moved is found without a failure to tell of it."""
    looked = []
    found = socket.getaddrinfo

    def look(*args, **kwargs):
        looked.append(args)
        return found(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    with serve("udp") as server, closing(make(server)) as sender:
        for _ in range(3):
            sender.send(b"x")
        assert len(looked) == 1
        monkeypatch.setattr(subject, "_LOOK_UP_AGAIN", 0.0)
        sender.close()
        sender.send(b"x")
        sender.send(b"x")
        assert len(looked) == 3


def test_ipv4_comes_first_and_the_next_address_after_a_failure(serve, monkeypatch):
    """A name with addresses of both families reaches a server that listens on either."""
    with serve("udp", family=socket.AF_INET6) as server:
        both = [
            (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", server.port, 0, 0)),
            (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", server.port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: list(both))
        sender = LineSocket(Place("udp", "both", server.port), label="test")
        with pytest.raises(BackendUnavailable, match="nobody listens"):
            sender.send(b"to IPv4")
        sender.send(b"to IPv6")
        server.wait_for(lambda server: server.received == [b"to IPv6"])
        sender.close()


def test_ipv6_addresses_are_taken_and_shown_in_brackets(serve):
    """As URLs have them."""
    with serve("udp", family=socket.AF_INET6) as server:
        place = Place("udp", "::1", server.port)
        with closing(LineSocket(place, label="test")) as sender:
            sender.send(b"x")
        server.wait_for(lambda server: server.received == [b"x"])
    assert str(place) == f"udp://[::1]:{server.port}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("confirm", [True, False])
def test_threads_do_not_mix_their_lines(serve, protocol, confirm):
    """Used directly by several threads, each packet arrives whole."""
    with serve(protocol) as server, closing(make(server, confirm=confirm)) as sender:

        def run(label):
            for number in range(20):
                sender.send(f"{label}-{number:02d}-{'x' * 500}\n".encode())

        threads = [threading.Thread(target=run, args=(label,)) for label in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        sender.close()
        expected = sorted(f"{label}-{number:02d}-{'x' * 500}" for label in "abcd" for number in range(20))
        server.wait_for(lambda server: len(b"".join(server.received)) >= sum(len(line) + 1 for line in expected))
        assert sorted(server.lines) == expected


@needs_fork
@pytest.mark.parametrize("is_told", [True, False])
def test_a_child_has_its_own_connection_and_the_parent_keeps_its_own(serve, is_told):
    """Told of the fork or not; also when another thread of the parent holds the lock while it forks."""
    with serve("tcp") as server, closing(make(server, confirm=False)) as sender:
        sender.send(b"parent\n")

        def send():
            if is_told:
                sender.after_fork()
            sender.send(b"child\n")
            sender.close()

        with sender._lock:
            assert ends_well_in_a_child(send)
        sender.send(b"parent\n")
        sender.close()
        server.wait_for(lambda server: sorted(server.received) == [b"child\n", b"parent\nparent\n"])


@given(st.lists(st.binary(max_size=30)), st.integers(1, 100))
def test_packing_keeps_all_lines_in_order_within_the_bound(lines, max_bytes):
    """No packet with two lines is longer than asked for, and none could have taken the next one's first line."""
    groups = list(packed(lines, max_bytes))
    assert [line for group in groups for line in group] == lines
    assert all(len(group) == 1 or len(b"\n".join(group)) <= max_bytes for group in groups)
    for group, following in pairwise(groups):
        assert len(b"\n".join([*group, following[0]])) > max_bytes


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "udp://localhost:8125"),
        ({"protocol": "tcp"}, "tcp://localhost:8125"),
        ({"path": "/run/s"}, "unix:///run/s"),
        ({"path": "/run/s", "protocol": "unixstream"}, "unixstream:///run/s"),
    ],
)
def test_places_of_arguments(arguments, expected):
    """A path alone means a Unix socket for datagrams."""
    assert str(place_of(**{"protocol": None, "host": "localhost", "port": 8125, "path": None, **arguments})) == expected


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"protocol": "http"}, "protocol"),
        ({"protocol": 1}, "protocol"),
        ({"protocol": "unix"}, "path"),
        ({"protocol": "udp", "path": "/run/s"}, "path"),
        ({"path": ""}, "path"),
        ({"path": 3}, "path"),
        ({"path": "/run/" + "x" * 200}, "path"),
        ({"path": "/run/\ud800"}, "path"),
        ({"host": "exa..mple"}, "host"),
        ({"host": "x" * 64}, "host"),
        ({"host": "a\0b"}, "host"),
        ({"host": ""}, "host"),
        ({"host": "a,b"}, "host"),
        ({"host": ["a"]}, "host"),
        ({"host": "anna:hunter2@a"}, "host"),
        ({"port": 0}, "port"),
        ({"port": 70_000}, "port"),
        ({"port": "8125"}, "port"),
        ({"port": True}, "port"),
    ],
)
def test_wrong_places_are_refused(arguments, named):
    """Case B9: the error names the key, and shows no value."""
    with pytest.raises(ConfigurationError, match=rf"^{named}\b") as caught:
        place_of(**{"protocol": None, "host": "localhost", "port": 8125, "path": None, **arguments})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, None, "1", True, float("nan"), float("inf"), 1e300])
def test_wrong_timeouts_are_refused(timeout):
    """Case B9: no wait is endless."""
    with pytest.raises(ConfigurationError, match="timeout must be a number of seconds above 0"):
        LineSocket(Place("udp", "localhost", 8125), label="test", timeout=timeout)
