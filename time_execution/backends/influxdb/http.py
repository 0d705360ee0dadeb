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

from time_execution.backends.influxdb.answer import error_for
from time_execution.exceptions import BackendDenied, BackendError, BackendTimeout, BackendUnavailable
from time_execution.extra import extra
from time_execution.http_answer import is_success

with extra("influxdb"):
    import requests

_NO_CONTENT = 204
_MAX_BODY = 16 * 1024

# The first that fits.
_ERRORS: tuple[tuple[type[Exception], type[BackendError], str], ...] = (
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
        for kind, error, text in _ERRORS:
            if isinstance(exc, kind):
                raise error(text.format(server)) from exc
        raise


def _check(response: requests.Response, *, server: str, timeout: float, **_: Any) -> requests.Response:
    """Return an answer, all of it read; called by requests before it reads any of the body."""
    if response.status_code == _NO_CONTENT:
        return response
    body = _body(response, deadline=time.monotonic() + timeout)
    if not is_success(response.status_code):
        raise error_for(response.status_code, response.headers, body, server=server)
    read = requests.Response()
    read.status_code, read.headers, read.raw = response.status_code, response.headers, io.BytesIO(body)
    return read


def _body(response: requests.Response, *, deadline: float) -> bytes:
    """Return the beginning of an answer's body; a byte at a time, or one that drips in would be waited for for ever."""
    body = bytearray()
    for byte in response.iter_content(1):
        body += byte
        if len(body) >= _MAX_BODY:
            response.close()
            break
        if time.monotonic() > deadline:
            response.close()
            raise requests.exceptions.ReadTimeout
    return bytes(body)
