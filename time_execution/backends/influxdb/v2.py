"""Line protocol to the API of InfluxDB 2.x, which 3.x and VictoriaMetrics have too, by its own client."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from time_execution.backends.influxdb.answer import NO_CONTENT, ErrorTable, body_of, error_for, meaning_of
from time_execution.exceptions import BackendDenied, BackendTimeout, BackendUnavailable
from time_execution.extra import extra
from time_execution.http_answer import is_success

if TYPE_CHECKING:
    from time_execution.backends.influxdb.options import Options

with extra("influxdb2"):
    import urllib3
    from influxdb_client.client.influxdb_client import InfluxDBClient
    from influxdb_client.client.write_api import SYNCHRONOUS
    from influxdb_client.rest import ApiException

# Of a connection that is refused, urllib3 1.x says that it timed out.
_ERRORS: ErrorTable = (
    (urllib3.exceptions.NewConnectionError, BackendUnavailable, "{} cannot be reached; check host and port, or url"),
    (
        urllib3.exceptions.TimeoutError,
        BackendTimeout,
        "{} did not answer in time; check that it is up, or set a longer timeout",
    ),
    (urllib3.exceptions.HTTPError, BackendUnavailable, "the exchange with {} failed; check host and port, or url"),
)


class Connection:
    """One client; several threads may send at once."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._client: Any = InfluxDBClient(
            options.url or "",
            token=options.token or "",
            org=options.org or "",
            timeout=max(1, round(options.timeout * 1000)),
            enable_gzip=options.gzip,
            verify_ssl=options.verify_certs,
            ssl_ca_cert=options.ca_certs,
        )
        rest_client: Any = self._client.api_client.rest_client
        rest_client.pool_manager = _InTime(rest_client.pool_manager, server=options.server, timeout=options.timeout)
        self._write: Any = self._client.write_api(write_options=SYNCHRONOUS).write

    def send(self, lines: Sequence[str]) -> None:
        """Write lines; returns when they are stored.

        Raises:
            BackendError: When some of them, or all, are not stored.
        """
        with _understood(self._options.server):
            body = "\n".join(lines).encode()
            self._write(self._options.target, record=body, write_precision=self._options.precision)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class _InTime:
    """Stands before the client's connections: an answer that drips in is not waited for, as the client would, for ever.

    Nor does the client see a failure: it would log the server's words, which quote points, by functions that set the
    program's logging up.

    Args:
        pool: The connections.
        server: Names the server in messages.
        timeout: How long the body of an answer may take, in seconds.
    """

    def __init__(self, pool: urllib3.PoolManager, *, server: str, timeout: float) -> None:
        self._pool = pool
        self._server = server
        self._timeout = timeout
        self.clear = pool.clear

    def request(self, method: str, url: str, **options: Any) -> urllib3.HTTPResponse:
        """Return the answer that InfluxDB gives to a write that it has stored.

        Raises:
            BackendError: For any other answer.
        """
        response: Any = self._pool.request(method, url, **{**options, "preload_content": False})
        try:
            body = body_of(response.stream(1), deadline=time.monotonic() + self._timeout)
        except TimeoutError as exc:
            raise urllib3.exceptions.TimeoutError from exc
        finally:
            # Of an answer read to its end, the connection has gone back to the pool by now.
            response.close()
        if not is_success(response.status):
            raise error_for(response.status, response.headers, body, server=self._server, by_token=True)
        if response.status != NO_CONTENT:
            raise BackendUnavailable(f"what answers at {self._server} is no InfluxDB; check host and port, or url")
        return urllib3.HTTPResponse(io.BytesIO(body), response.headers, response.status, reason=response.reason)


@contextmanager
def _understood(server: str) -> Iterator[None]:
    try:
        yield
    except ApiException as exc:  # of all that can happen here, it makes one of this only
        raise BackendDenied(f"TLS with {server} failed; check url, tls, ca_certs and verify_certs") from exc
    except urllib3.exceptions.HTTPError as exc:
        error = meaning_of(exc, _ERRORS, server=server)
        if error is None:
            raise
        raise error from exc
