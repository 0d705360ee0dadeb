"""The HTTP session under the client of 0.8 and 1.x: it turns answers into our errors before the client sees them.

The client's own exceptions know neither status nor headers of a server's failure, so a pause that the server asks for
would be lost, and it reads the body of an answer for as long as the bytes keep coming.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from time_execution.backends.influxdb.answer import NO_CONTENT, ErrorTable, body_of, error_for, meaning_of
from time_execution.exceptions import BackendDenied, BackendTimeout, BackendUnavailable
from time_execution.extra import extra
from time_execution.http_answer import is_success

with extra("influxdb"):
    import requests

_ERRORS: ErrorTable = (
    (requests.exceptions.SSLError, BackendDenied, "TLS with {} failed; check tls, ca_certs and verify_certs"),
    (
        requests.exceptions.Timeout,
        BackendTimeout,
        "{} did not answer in time; check that it is up, or set a longer timeout",
    ),
    (requests.exceptions.ConnectionError, BackendUnavailable, "{} cannot be reached; check host and port"),
    (requests.exceptions.RequestException, BackendUnavailable, "the exchange with {} failed; check host and port"),
)


def new_session(*, server: str, timeout: float) -> requests.Session:
    """Return a session whose requests raise a `BackendError` for every answer that is no success.

    Args:
        server: Names the server in messages.
        timeout: How long the body of an answer may take, in seconds.
    """
    session = requests.Session()
    session.hooks["response"] = [partial(_check, server=server, timeout=timeout)]
    return session


@contextmanager
def understood(server: str) -> Iterator[None]:
    """Turn what requests raises in this block into our errors."""
    try:
        yield
    except requests.exceptions.RequestException as exc:
        error = meaning_of(exc, _ERRORS, server=server)
        if error is None:
            raise
        raise error from exc


def _check(response: requests.Response, *, server: str, timeout: float, **_: Any) -> requests.Response:
    """Return an answer, all of it read; called by requests before it reads any of the body."""
    if response.status_code == NO_CONTENT:
        return response
    try:
        body = body_of(response.iter_content(1), deadline=time.monotonic() + timeout)
    except TimeoutError as exc:
        raise requests.exceptions.ReadTimeout from exc
    finally:
        # Of an answer read to its end, the connection has gone back to the pool by now.
        response.close()
    if not is_success(response.status_code):
        raise error_for(response.status_code, response.headers, body, server=server)
    read = requests.Response()
    read.status_code, read.headers, read.raw = response.status_code, response.headers, io.BytesIO(body)
    return read
