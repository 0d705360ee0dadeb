"""One request and its answer over HTTP, by urllib3; what a message says is no concern of this module.

Which answers mean *send it again* is the specification's, "OTLP/HTTP Response": 429, 502, 503 and 504. We go on asking
after 401, 403 and 404, too, though seldom: the metrics are not to blame for them.
"""

from __future__ import annotations

import gzip
import logging
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from time_execution.exceptions import BackendDenied, BackendError, BackendTimeout, BackendUnavailable
from time_execution.extra import extra
from time_execution.http_answer import error_of, is_success

if TYPE_CHECKING:
    from time_execution.backends.otlp.options import Compression, Endpoint

with extra("otlp"):
    import urllib3
    from urllib3 import exceptions as failures

_MOST_BYTES = 64 * 1024
# Level 6 takes three times as long and saves a tenth.
_GZIP_LEVEL = 1
_FIRST_SERVER_FAILURE = 500
_RETRYABLE = frozenset({502, 503, 504})
_SERVER = "the OTLP server"
_ADVICE = "check endpoint and headers"
_BAD_REQUEST = 400

# Whether this thread sends what urllib3 would show in its lines for debugging: path and query, which may hold a key.
_hushed = threading.local()
logging.getLogger("urllib3.connectionpool").addFilter(lambda _: not getattr(_hushed, "now", False))


class Answer(NamedTuple):
    """What a server said.

    Attributes:
        status: The status code.
        kind: The media type of the body, in lower case; empty where none is named.
        body: The first 64 KiB.
    """

    status: int
    kind: str
    body: bytes


class Transport:
    """Sends messages to one address; connects with the first. Not thread-safe.

    Args:
        endpoint: Where to.
        headers: Sent with each request.
        timeout: The longest wait for a connection and for each read of the answer, in seconds.
        compression: How messages are packed.
        context: For TLS; None without it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        headers: dict[str, str],
        *,
        timeout: float,
        compression: Compression,
        context: ssl.SSLContext | None,
    ) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._compression = compression
        self._context = context
        packed = {"Content-Encoding": "gzip"} if compression == "gzip" else {}
        own = {"Content-Type": "application/x-protobuf", "User-Agent": "timeexecution-otlp", **packed}
        self._headers = urllib3.HTTPHeaderDict(endpoint.login)
        for given in (headers, own):  # one of each name, in whatever case it is written
            self._headers.update(given)
        self._pool: urllib3.PoolManager | None = None

    def post(self, message: bytes) -> Answer:
        """Send a message and return the answer: a success, or a refusal of this very message.

        Blocks up to the time-out for the connection, and for each read of the answer: longer where a server sends its
        header a byte at a time.

        Raises:
            BackendError: When there is no answer, or one that is not about the message.
        """
        body = gzip.compress(message, _GZIP_LEVEL, mtime=0) if self._compression == "gzip" else message
        if self._pool is None:
            self._pool = urllib3.PoolManager(
                num_pools=1, timeout=urllib3.Timeout(total=self._timeout), retries=False, ssl_context=self._context
            )
        deadline = time.monotonic() + 2 * self._timeout
        try:
            with _hush(self._endpoint):
                response = self._pool.request(
                    "POST", self._endpoint.url, body=body, headers=self._headers, preload_content=False, redirect=False
                )
            try:
                answer = Answer(response.status, _kind_of(response), _read(response, deadline))
            finally:
                # Of an answer read to its end, the connection has gone back to the pool by now.
                response.close()
        except (failures.HTTPError, OSError) as exc:
            raise self._error_of(exc) from exc
        if self._wants_tls(answer):
            raise BackendDenied(f"{self._endpoint.shown} is a server that wants TLS; write https://, or set tls=true")
        if is_success(answer.status):
            if answer.kind == "text/html":
                raise BackendDenied(f"{_SERVER} answered with a web page, so it is none; {_ADVICE}")
            return answer
        if _is_refusal(answer.status):
            return answer
        raise error_of(answer.status, response.headers, server=_SERVER, advice=_ADVICE)

    def close(self) -> None:
        """Close the connection; idempotent. The next message opens another."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.clear()

    def forget(self) -> None:
        """Leave the connection to the parent process."""
        self._pool = None

    def _wants_tls(self, answer: Answer) -> bool:
        """Whether a server that speaks TLS says that we do not; each of them in words of its own."""
        is_plain = self._context is None and answer.kind not in {"application/x-protobuf", "application/json"}
        return is_plain and answer.status == _BAD_REQUEST and b"https" in answer.body.lower()

    def _error_of(self, exc: Exception) -> BackendError:
        """Return what a failure to get an answer means."""
        where = self._endpoint.shown
        reason = exc.reason if isinstance(exc, failures.MaxRetryError) else exc
        if isinstance(reason, failures.SSLError) and isinstance(reason.args[0], ssl.SSLCertVerificationError):
            return BackendDenied(f"the certificate of {where} is not trusted; check ca_certs")
        if isinstance(reason, failures.SSLError):
            return BackendUnavailable(f"no TLS with {where}; check its scheme, client_cert and client_key")
        if isinstance(reason, (failures.NameResolutionError, failures.NewConnectionError)):
            return BackendUnavailable(f"nothing answers at {where}; is the collector running?")
        if isinstance(reason, (failures.TimeoutError, TimeoutError)):
            return BackendTimeout(f"no answer from {where} in {self._timeout:g} s")
        hint = "; if it speaks TLS, write https://" if self._context is None else ""
        return BackendUnavailable(f"the connection to {where} broke off{hint}")


@contextmanager
def _hush(endpoint: Endpoint) -> Iterator[None]:
    """Keep urllib3 from logging an address with a query, or with a path of its own."""
    _hushed.now = not endpoint.is_usual
    try:
        yield
    finally:
        _hushed.now = False


def _kind_of(response: urllib3.BaseHTTPResponse) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _read(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """Return the beginning of a body; a server that sends it a byte at a time does not hold us up for ever.

    One that refuses a request before it has read it may break off, and its status says enough: the body is empty then.
    """
    body = b""
    while len(body) < _MOST_BYTES:
        try:
            chunk = response.read1(_MOST_BYTES)
        except (failures.ProtocolError, ConnectionError):
            if is_success(response.status) or response.status == _BAD_REQUEST:
                raise
            break
        if not chunk:
            break
        body += chunk
        if time.monotonic() > deadline:
            raise TimeoutError
    return body


def _is_refusal(status: int) -> bool:
    """Whether a status speaks of the message, which the specification says must not be sent again as it is."""
    if status >= _FIRST_SERVER_FAILURE:
        return status not in _RETRYABLE
    return status in {400, 413, 414, 415, 422, 431}
