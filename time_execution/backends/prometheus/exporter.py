"""The HTTP exporter: serves one address from whichever of several processes gets hold of it first."""

from __future__ import annotations

import errno
import hmac
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

THREAD_NAME = "TimeExecutionPrometheus"
_RETRY_INTERVAL = 1.0
_SLOWEST_REQUEST = 10.0


class Exporter:
    """Serves an application at an address while this process lives; not thread-safe, but for `stop`.

    Args:
        app: Makes the WSGI application when serving begins.
        address: The host name or IP address to listen on.
        port: The port.
        token: Requests without it, as a bearer token, are refused; None serves everybody.

    Attributes:
        trouble: Why the last attempt to listen failed; None when it did not.
    """

    def __init__(self, app: Callable[[], WSGIApplication], *, address: str, port: int, token: str | None) -> None:
        self._app = app
        self._place = (address, port)
        self._token = token
        self._server: WSGIServer | None = None
        self._next_try = 0.0
        self.trouble: OSError | None = None

    def __bool__(self) -> bool:
        """Whether this process serves."""
        return self._server is not None

    def start(self) -> bool:
        """Try to serve, once a second at most, unless this process does already; returns whether it does."""
        if self._server is None and time.monotonic() >= self._next_try:
            self._next_try = time.monotonic() + _RETRY_INTERVAL
            try:
                self._listen()
            except UnicodeError:  # of the codec for host names
                self.trouble = OSError(errno.EINVAL, "the address is no host's name")
            except OSError as exc:
                self.trouble = exc
        return self._server is not None

    def _listen(self) -> None:
        app = self._app() if self._token is None else _guarded(self._app(), self._token)
        host, port = self._place
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        server_class = type("_ServerOfFamily", (_Server,), {"address_family": family})
        server: WSGIServer = make_server(host, port, app, server_class, _Handler)
        try:
            threading.Thread(target=server.serve_forever, args=(0.1,), name=THREAD_NAME, daemon=True).start()
        except RuntimeError as exc:  # there are too many, or the interpreter ends
            server.server_close()
            raise OSError(errno.EAGAIN, "no thread can be started") from exc
        self._server, self.trouble = server, None

    def stop(self) -> None:
        """Stop serving; idempotent."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        self._next_try = 0.0

    def after_fork(self) -> None:
        """Let go of the parent's listening socket in a child, which would keep the address from the others."""
        server, self._server = self._server, None
        if server is not None:
            server.socket.close()
        self._next_try = 0.0


class _Server(ThreadingMixIn, WSGIServer):
    """One daemon thread a request."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere it would take the address from another program

    def server_bind(self) -> None:
        """Bind without asking for the host's name: a name server that is away would hold us up."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


class _Handler(WSGIRequestHandler):
    """Answers without a line for each request."""

    timeout = _SLOWEST_REQUEST

    def address_string(self) -> str:
        return str(self.client_address[0])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called
        pass


def _guarded(app: WSGIApplication, token: str) -> WSGIApplication:
    """Return an application that answers whoever has the token, and nobody else."""
    expected = f"Bearer {token}".encode()

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        given = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace")
        if hmac.compare_digest(given, expected):
            return app(environ, start_response)
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("WWW-Authenticate", "Bearer")]
        start_response("401 Unauthorized", headers)
        return [b"a bearer token is needed\n"]

    return answer
