"""What the OTLP backend bounds: how much of an answer it reads and keeps, and that nobody is asked for a password."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import subprocess
import sys
import threading

import pytest

pytest.importorskip("opentelemetry.proto.metrics", reason="the extra otlp is not installed")
pytest.importorskip("urllib3", reason="the extra otlp is not installed")

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from tests.fault_server import Answer, FaultServer
from tests.line_servers import DEADLINE
from time_execution.backends.otlp import OTLPBackend
from time_execution.types import Metric

METRICS = [Metric({"name": "a", "value": 1.0})]


def test_words_of_a_server_are_cut():
    """A page of an error is no reason to fill a log: 300 characters are kept, of a warning as of a refusal."""
    partial = ExportMetricsServiceResponse()
    partial.partial_success.rejected_data_points, partial.partial_success.error_message = 1, "y" * 301
    kind = {"Content-Type": "application/x-protobuf"}
    with FaultServer(
        Answer(400, "x" * 301), Answer(200, partial.SerializeToString(), kind), Answer(400, "z" * 300)
    ) as server:
        backend = OTLPBackend(server.url)
        refused, partly, whole = (backend.write_many(METRICS)[0].detail for _ in range(3))
    assert refused == f"the OTLP server answered 400: {'x' * 300}\u2026"
    assert partly == f"1 of 1 points refused: {'y' * 300}\u2026"
    assert whole.endswith(": " + "z" * 300)


def test_no_answer_is_read_for_ever():
    """What comes after 64 KiB is not waited for: the server never ends its answer, and the request is over."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def serve():
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 65_536)
                done.wait(DEADLINE)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        backend = OTLPBackend(f"127.0.0.1:{listener.getsockname()[1]}", timeout=5.0)
        (refused,) = backend.write_many(METRICS)
        done.set()
        thread.join(DEADLINE)
    assert refused.reason == "refused"


def test_a_key_that_wants_a_password_is_refused(tmp_path):
    """Nobody is asked for it at the terminal, where a service would wait for ever."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (tmp_path / "key.pem").write_bytes(key.private_bytes(*pem, serialization.BestAvailableEncryption(b"hunter2")))
    trustme.CA().issue_cert("client.example").cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    program = (
        "from time_execution.backends.otlp import OTLPBackend\n"
        f"OTLPBackend('https://127.0.0.1', client_cert={str(tmp_path / 'client.pem')!r},"
        f" client_key={str(tmp_path / 'key.pem')!r})"
    )
    leader, terminal = pty.openpty()
    try:
        ended = subprocess.run(
            [sys.executable, "-c", program], stdin=terminal, capture_output=True, text=True, timeout=15,
            start_new_session=True, check=False,
        )  # fmt: skip
    finally:
        os.close(leader)
        os.close(terminal)
    assert "client_cert must be a file of certificates" in ended.stderr
