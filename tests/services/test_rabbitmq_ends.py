"""`RabbitMQBackend` on a real server, where a connection or a program ends before it has well begun."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("pika", reason="its client is not installed", exc_type=ImportError)

from tests.closed_after import closed_after
from tests.services.brokers import Relay
from tests.services.rabbitmq_queue import Queue
from time_execution.backends.rabbitmq import RabbitMQBackend
from time_execution.exceptions import BackendDenied, BackendUnavailable

PROGRAM = """import sys, threading; from time_execution import settings, write_metric
settings.configure(backends=[sys.argv[1]])
write_metric("a", value=1)
threading.Thread.start = lambda _: exec("raise RuntimeError")  # as at the end of a program with Python 3.12"""
# The methods of AMQP 0-9-1 that answer to a login, and to the name of a virtual host.
TUNE, OPEN_OK = b"\x00\x0a\x00\x1e", b"\x00\x0a\x00\x29"


@pytest.fixture(scope="module")
def port(servers):
    return servers.port("rabbitmq")


def test_a_program_that_ends_at_once_delivers(port):
    """The first batch goes out when no thread can be started any more."""
    with closed_after(lambda: Queue(port)) as make:
        queue = make()
        url = f"rabbitmq://localhost:{port}/?exchange={queue.exchange}&shutdown_timeout=30"
        command = [sys.executable, "-c", PROGRAM, url]
        assert subprocess.check_output(command, stderr=subprocess.STDOUT, timeout=60) == b""
        assert [document["name"] for document in queue.documents()] == ["a"]


@pytest.mark.parametrize(("answer", "told"), [(TUNE, "user and password"), (OPEN_OK, "virtual host /")])
def test_a_connection_cut_while_it_begins_is_no_refusal(port, answer, told):
    """The server may have gone down at that moment: the pause is not the longest."""
    with Relay(port) as relay:
        relay.lose_answer(containing=answer)
        backend = RabbitMQBackend("127.0.0.1", relay.port, exchange="amq.fanout")
        with pytest.raises(BackendUnavailable, match=f"the server went down, or refuses {told}") as caught:
            backend.write("a", value=1)
        assert not isinstance(caught.value, BackendDenied)
        backend.write("b", value=2)
        backend.close()
