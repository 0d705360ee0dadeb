"""An HTTP server in this process that fails by script, for faults that a real server cannot be made to show.

`FaultServer` speaks HTTP/1.1 with keep-alive. Each request is answered by the next of its answers, then by the last
one for ever; an answer is a status, a callable that gets the `Request` and returns one, or one of the words below.
"""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANG = "hang"
"""Never answer, until the server is closed."""
RESET = "reset"
"""Read the request, then close the connection with RST."""
DROP = "drop"
"""Read the request and count it as applied, then close the connection without a word: the answer is lost."""
DRIP = "drip"
"""Answer a byte at a time for as long as the server is open, and never come to the end."""
HALF = "half"
"""Promise more bytes than are sent, then close the connection."""


@dataclass(frozen=True)
class Answer:
    """A status with headers and a body."""

    status: int = 200
    body: bytes | str | Mapping[str, Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What a client sent, its body unpacked where it came as gzip."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


class FaultServer:
    """Listens on 127.0.0.1 from entering to leaving the ``with`` block.

    Args:
        answers: What to answer, in turn; the last one from then on.
        context: Makes it speak TLS.

    Attributes:
        requests: All requests that were read to their end, in order.
        connections: How many connections were accepted.
    """

    def __init__(self, *answers: Any, context: ssl.SSLContext | None = None) -> None:
        self._answers = list(answers or (200,))
        self.requests: list[Request] = []
        self.connections = 0
        self.changed = threading.Condition()
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self._is_secure = context is not None
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"{'https' if self._is_secure else 'http'}://127.0.0.1:{self.port}"

    def answer(self, *answers: Any) -> None:
        """Answer so from the next request on."""
        with self.changed:
            self._answers = list(answers)

    def wait_for(self, count: int, timeout: float = 10.0) -> None:
        """Wait until so many requests have come.

        Raises:
            AssertionError: When they have not by then.
        """
        with self.changed:
            came = self.changed.wait_for(lambda: len(self.requests) >= count, timeout)
        assert came, f"{len(self.requests)} requests came, not {count}"

    def take(self, request: Request) -> Any:
        """Remember a request and return what to answer."""
        with self.changed:
            self.requests.append(request)
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            self.changed.notify_all()
        return answer(request) if isinstance(answer, Callable) else answer

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    owner: FaultServer

    def process_request(self, request: Any, client_address: Any) -> None:
        self.owner.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are what tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        body = self._body()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = self.server.owner.take(Request(self.command, self.path, dict(self.headers.items()), body))
        if isinstance(answer, str):
            self._fail(answer)
        else:
            self._send(answer if isinstance(answer, Answer) else Answer(answer))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, answer: Answer) -> None:
        body = answer.body
        kind = "text/plain"
        if isinstance(body, Mapping):
            body, kind = json.dumps(body), "application/json"
        data = body.encode() if isinstance(body, str) else body
        self.send_response(answer.status)
        headers = {"Content-Type": kind, **answer.headers, "Content-Length": str(len(data))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and answer.status not in {204, 304}:
            self.wfile.write(data)

    def _fail(self, how: str) -> None:
        if how == HANG:
            self.server.owner.closing.wait(60.0)
            self.close_connection = True
        elif how == DRIP:
            self._drip()
        else:
            if how == HALF:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
            self._hang_up(abruptly=how == RESET)

    def _hang_up(self, *, abruptly: bool) -> None:
        self.wfile.flush()
        if abruptly:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def _drip(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not self.server.owner.closing.wait(0.05):
            self.wfile.write(b" ")
        self.close_connection = True
