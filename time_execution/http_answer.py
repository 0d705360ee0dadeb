"""What the status and the headers of an HTTP answer mean for the metrics that were sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from time_execution.exceptions import (
    BackendDenied,
    BackendError,
    BackendRejected,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
    BatchTooLarge,
)

_FIRST_FAILURE = 400
_FIRST_SERVER_FAILURE = 500
_REQUEST_TIMEOUT = 408
_TOO_LARGE = 413
_TOO_EARLY = 425
_TOO_MANY = 429
_GATEWAY_TIMEOUT = 504
_DENIED: Mapping[int, str] = {
    401: "it refuses the credentials",
    402: "it wants to be paid",
    403: "it does not allow this user to write",
    404: "there is nothing at this address",
    405: "there is nothing to write to at this address",
    407: "a proxy refuses the credentials",
    410: "there is nothing at this address any more",
}
_PATIENT = (_TOO_MANY, 503)


def is_success(status: int) -> bool:
    """Whether a status says that all went well; redirections, which a client has followed by now, do not."""
    return 200 <= status < 300  # noqa: PLR2004 - the class of status codes, RFC 9110 section 15.3


def error_of(status: int, headers: Mapping[str, str], *, server: str, advice: str = "") -> BackendError:
    """Return the error to raise for an answer that is no success.

    Its text never quotes the answer, which may hold the metrics or what the request said.

    Args:
        status: The status code.
        headers: Of the answer; ``Retry-After`` is read, in any case of its letters.
        server: Names the server.
        advice: What to do about a refusal (401, 403, 404), such as which options to check.
    """
    if status in _DENIED:
        return BackendDenied(f"{server} answered {status}: {_DENIED[status]}{f'; {advice}' if advice else ''}")
    said = f"{server} answered {status}"
    if status == _TOO_LARGE:
        return BatchTooLarge(f"{said}: the batch is too large")
    if status in {_REQUEST_TIMEOUT, _GATEWAY_TIMEOUT}:
        return BackendTimeout(said)
    if status in _PATIENT:
        why = "too many requests" if status == _TOO_MANY else "it cannot answer now"
        return BackendThrottled(f"{said}: {why}", retry_after=retry_after(headers))
    if status >= _FIRST_SERVER_FAILURE or status < _FIRST_FAILURE or status == _TOO_EARLY:
        return BackendUnavailable(said)
    return BackendRejected(said)


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Return the pause in seconds that ``Retry-After`` asks for (RFC 9110 section 10.2.3); None when it makes no sense.

    Args:
        headers: Of an answer, in any case of their letters.
        now: The present moment; by default the clock's.

    Example:
        >>> retry_after({"retry-after": "120"}), retry_after({"Retry-After": "soon"})
        (120.0, None)
    """
    text = next((value for key, value in headers.items() if key.lower() == "retry-after"), "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - (now or datetime.now(timezone.utc))).total_seconds())
