"""What the answers of an InfluxDB server mean, whichever client brought them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence

from time_execution.exceptions import BackendDenied, BackendError, BackendRejected
from time_execution.http_answer import error_of

NO_CONTENT = 204
"""The status of a write that InfluxDB has stored."""

_BAD_REQUEST = 400
_NOT_FOUND = 404
_UNPROCESSABLE = 422
_MAX_SAID = 500
_MAX_BODY = 16 * 1024
_DROPPED = re.compile(r"\bdropped=(\d+)")
# What to do about a refusal: of a login, of a token.
_ADVICE: Mapping[int, tuple[str, str]] = {
    401: ("check username and password", "check token, org and bucket"),
    403: ("GRANT it WRITE on the database", "check token, org and bucket"),
}
_ANY_ADVICE = ("check host, port and protocol", "check url, org, bucket and protocol")


ErrorTable = Sequence[tuple[type[Exception], type[BackendError], str]]
"""What a client's exceptions mean, the first that fits: our class, and a text with a place for the server."""


class RefusedError(BackendRejected):
    """The server does not take some of the points, or all of them.

    Args:
        message: For a log line: holds nothing of what the server said, for that quotes the points.
        said: What the server said, for the dead letters.
    """

    def __init__(self, message: str, *, said: str) -> None:
        super().__init__(message)
        self.said = said[:_MAX_SAID]
        found = _DROPPED.search(said)
        self.dropped = int(found[1]) if found else 0
        """How many points the server says it dropped; 0 also where it does not say."""


class DatabaseMissingError(BackendDenied):
    """There is no such database."""


def error_for(
    status: int, headers: Mapping[str, str], body: bytes, *, server: str, by_token: bool = False
) -> BackendError:
    """Return the error to raise for an answer that is no success.

    Args:
        status: The status code.
        headers: Of the answer.
        body: What of its text was read; never quoted in the message.
        server: Names the server.
        by_token: Whether a token shows that we may write, and not a login.
    """
    said = _said(body)
    if "retention policy not found" in said:
        return BackendDenied(f"{server} has no such retention policy; create it there, or leave retention_policy out")
    if status == _NOT_FOUND and "database not found" in said:
        return DatabaseMissingError(f"{server} has no such database, and it was not created; create it there")
    if status in {_BAD_REQUEST, _UNPROCESSABLE}:
        return RefusedError(f"{server} answered {status}: it does not take some of the metrics", said=said)
    return error_of(status, headers, server=server, advice=_ADVICE.get(status, _ANY_ADVICE)[by_token])


def meaning_of(exc: Exception, table: ErrorTable, *, server: str) -> BackendError | None:
    """Return what a client's exception means; None if the table does not know it."""
    return next((error(text.format(server)) for kind, error, text in table if isinstance(exc, kind)), None)


def body_of(chunks: Iterable[bytes], *, deadline: float) -> bytes:
    """Return the beginning of an answer's body, at most 16 KiB.

    Args:
        chunks: Its bytes one by one, or one that drips in would be waited for for ever.
        deadline: When to give up, by the monotonic clock.

    Raises:
        TimeoutError: When it is not all there by then.
    """
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) >= _MAX_BODY:
            break
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)


def _said(body: bytes) -> str:
    """Return the text of an error: 1.x says it under ``error``, 2.x under ``message``, 0.8 without JSON."""
    text = body.decode("utf-8", "replace").strip()
    try:
        found = json.loads(text)
    except ValueError:
        return text
    if isinstance(found, dict):
        said = found.get("error") or found.get("message")
        return said if isinstance(said, str) else text
    return text
