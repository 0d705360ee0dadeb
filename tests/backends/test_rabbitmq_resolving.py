"""How `RabbitMQBackend` finds the addresses of its server, also where no thread can be started."""

from __future__ import annotations

import socket
import threading

import pytest

pytest.importorskip("pika", reason="its client is not installed", exc_type=ImportError)

from time_execution.backends.rabbitmq import RabbitMQBackend
from time_execution.exceptions import BackendUnavailable


@pytest.fixture
def port():
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(params=[True, False], ids=["in a thread", "in place"])
def asked(request, monkeypatch):
    """Note who asks for addresses: threads; at the end of a program, Python 3.12 starts none."""
    if not request.param:

        def refuse(self):
            msg = "can't create new thread at interpreter shutdown"
            raise RuntimeError(msg)

        monkeypatch.setattr(threading.Timer, "start", refuse)
    askers, ask = [], socket.getaddrinfo

    def getaddrinfo(*args, **options):
        askers.append(threading.current_thread() is threading.main_thread())
        return ask(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield askers
    assert askers == [not request.param]


def test_an_address_is_found(asked, port):
    """The connection is tried there."""
    with pytest.raises(BackendUnavailable, match="no connection: check that it runs"):
        RabbitMQBackend("localhost", port, timeout=5.0).write("a", value=1)


@pytest.mark.parametrize("asked", [False], indirect=True)
def test_an_address_that_cannot_be_found_is_told(asked, monkeypatch):
    """As it is where a thread has asked."""
    ask = socket.getaddrinfo

    def fail(*args, **options):
        ask("127.0.0.1", 1)
        raise socket.gaierror(-2, "planted")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(BackendUnavailable, match="no connection: check that it runs, and host") as caught:
        RabbitMQBackend("nowhere.example", timeout=5.0).write("a", value=1)
    assert "planted" not in str(caught.value)
