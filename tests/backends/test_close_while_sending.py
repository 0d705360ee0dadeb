"""Closing a backend while another of its threads waits for a server: it takes no longer than it was told to."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import pytest

from tests.fault_server import HANG, FaultServer
from tests.line_servers import DEADLINE, LineServer
from time_execution.backends.emf import EMFBackend
from time_execution.backends.statsd import StatsDBackend
from time_execution.exceptions import BackendUnavailable
from time_execution.types import STORED, Metric


@contextmanager
def hanging_lines():
    """Give an address that takes what is sent and says nothing before the end of the block, and a wait for it."""
    held = []
    with LineServer("tcp", serve=held.append) as server:
        try:
            yield server.port, lambda: server.wait_for(lambda server: server.connections)
        finally:
            for connection in held:
                connection.close()


@contextmanager
def hanging_http():
    """Give the same for a server of HTTP."""
    with FaultServer(HANG) as server:
        yield server.port, lambda: server.wait_for(1)


def statsd(port):
    return StatsDBackend("127.0.0.1", port, protocol="tcp", timeout=3.0)


def emf(port):
    return EMFBackend(agent=f"tcp://127.0.0.1:{port}", timeout=3.0)


def otlp(port):
    pytest.importorskip("opentelemetry.proto.metrics", reason="the extra otlp is not installed")
    pytest.importorskip("urllib3", reason="the extra otlp is not installed")
    from time_execution.backends.otlp import OTLPBackend

    return OTLPBackend(f"127.0.0.1:{port}", timeout=3.0)


@pytest.mark.parametrize(("make", "hanging"), [(statsd, hanging_lines), (emf, hanging_lines), (otlp, hanging_http)])
def test_a_close_waits_for_another_thread_no_longer_than_it_is_told(make, hanging):
    """The connection stays that thread's, which learns what became of its batch."""
    results = []

    def send():
        try:
            results.extend(backend.write_many([Metric({"name": "a", "value": 1.0})]))
        except BackendUnavailable as exc:
            results.append(exc)

    sender = threading.Thread(target=send)
    with hanging() as (port, wait_until_it_has_come):
        backend = make(port)
        sender.start()
        wait_until_it_has_come()
        began = time.monotonic()
        backend.close(0.05)
        assert time.monotonic() - began < 2.0
        assert sender.is_alive()
    sender.join(DEADLINE)
    assert results == [STORED] or isinstance(results[0], BackendUnavailable)
    backend.close()
