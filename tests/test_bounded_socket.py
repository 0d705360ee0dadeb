"""Sockets that wait for an answer as a whole."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import contextmanager

import pytest

pytest.importorskip("trustme", reason="makes certificates")

import trustme

from tests.patience import least
from time_execution.bounded_socket import BoundedSocket, tls_context
from time_execution.exceptions import ConfigurationError


@contextmanager
def connected():
    """Give both ends of a connection, ours bounded."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0.5)
    bounded = BoundedSocket.of(ours)
    try:
        yield bounded, theirs
    finally:
        bounded.close()
        theirs.close()


def read_all(sock):
    with sock.makefile("rb") as file:
        return file.read()


def test_an_answer_is_read_as_from_any_socket():
    """Whatever pieces it comes in."""
    with connected() as (ours, theirs):
        theirs.sendall(b"first ")
        theirs.sendall(b"second")
        theirs.shutdown(socket.SHUT_WR)
        assert read_all(ours) == b"first second"
        assert ours.gettimeout() == 0.5


def test_an_answer_that_drips_is_given_up_when_the_time_is_over():
    """All reads together take no longer than the time-out."""

    def drip(theirs, over):
        while not over.wait(0.05):
            try:
                theirs.sendall(b" ")
            except OSError:
                return

    def wait():
        with connected() as (ours, theirs):
            over = threading.Event()
            thread = threading.Thread(target=drip, args=(theirs, over), daemon=True)
            thread.start()
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                read_all(ours)
            took = time.monotonic() - began
            over.set()
            thread.join(5)
            assert took > 0.4
            return took

    assert least(wait, 2.0) < 2.0


def test_each_answer_has_its_own_time():
    """After `renew`, time and bytes are counted anew."""
    with connected() as (ours, theirs):
        for _ in range(3):
            ours._until = time.monotonic() - 1  # as if the time of the last answer were over
            ours._room = 0
            ours.renew()
            theirs.sendall(b"x")
            buffer = bytearray(1)
            assert ours.recv_into(buffer) == 1


def test_an_answer_without_end_is_given_up():
    """However fast it comes: it would fill the memory."""

    def pour(theirs):
        try:
            while True:
                theirs.sendall(b"x" * 65_536)
        except OSError:
            pass

    with connected() as (ours, theirs):
        ours.settimeout(20)
        thread = threading.Thread(target=pour, args=(theirs,), daemon=True)
        thread.start()
        with pytest.raises(ConnectionError, match="no end"):
            read_all(ours)
        thread.join(5)
        assert not thread.is_alive()


def test_without_a_time_out_it_reads_as_any_socket():
    """As its maker wanted it."""
    with connected() as (ours, theirs):
        ours.settimeout(None)
        theirs.sendall(b"x")
        assert ours.recv_into(bytearray(1)) == 1
        assert ours.gettimeout() is None


def test_tls_is_spoken_by_such_sockets_and_certificates_are_checked(tmp_path):
    """By those of the system, or of the file."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)

    def speak(theirs):
        with server_side.wrap_socket(theirs, server_side=True) as secured:
            secured.sendall(b"hello")

    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    thread = threading.Thread(target=speak, args=(theirs,), daemon=True)
    thread.start()
    context = tls_context(tmp_path / "ca.pem")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    with context.wrap_socket(ours, server_hostname="localhost") as secured:
        secured.renew()
        assert read_all(secured) == b"hello"
    thread.join(5)


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_what_is_no_file_of_certificates_is_refused(tmp_path, content):
    """The error names the argument."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="ca_certs"):
        tls_context(path)
