"""What to do when metrics are not delivered: one sentence for each reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BY_REASON: Mapping[str, str] = {
    "queue_full": (
        "More metrics came than the backend took: see what keeps it, raise queue_maxsize, "
        "or give the queue a spool, which keeps them on the disk meanwhile."
    ),
    "expired": (
        "The backend was away for longer than metrics are kept: raise max_age, or give the queue a spool, "
        "which keeps them longer."
    ),
    "shutdown": (
        "The process ended before everything was sent: raise shutdown_timeout, or give the queue a spool, "
        "which the next process sends."
    ),
    "spool_full": "The spool has reached its max_bytes: raise it, or see why the backend takes so little.",
    "spool_corrupt": "A file of the spool was damaged; what could be read was kept. Check the disk that it is on.",
    "purged": "Somebody emptied the spool by hand; there is nothing to do.",
    "too_large": "A single metric weighed more than max_bytes: store less in it, or raise max_bytes.",
    "after_close": "Metrics were written after the backend was closed: call shutdown() when all else has ended.",
    "reentrant": (
        "The backend wrote metrics of its own while it was sending, and these are not taken, "
        "or it would feed itself; measure it elsewhere if they matter."
    ),
}
"""Reason for which metrics were dropped or not taken -> what to do."""

_REFUSED = (
    "The backend refused metrics for good as {reason}: set dead_letters to keep them, "
    "look at what they hold, and send them again with `time-execution spool replay`."
)

_BY_ERROR: tuple[tuple[str, str], ...] = (
    (
        r"connection refused|errno 111|actively refused",
        "Nothing listens at the backend's address: start it, or correct host and port.",
    ),
    (
        r"name or service not known|getaddrinfo|nodename nor servname|name resolution|unknown host",
        "The backend's host name is not known: correct it, or the name server.",
    ),
    (
        r"certificate|ssl|tls",
        "The connection is not trusted: give the backend the right certificate authority, or correct the host name.",
    ),
    (
        r"no space left|disk is full|database or disk is full|quota|errno 28",
        "The disk is full: free some room, or shorten the retention.",
    ),
    (r"read-?only|permission|errno 13", "The file may not be written: correct its owner or its mode."),
    (r"locked", "Another program holds the database for too long: end it, or raise busy_timeout."),
    (
        r"BackendDenied|unauthori[sz]ed|forbidden|\b401\b|\b403\b|authentication|access denied",
        "The backend refuses these credentials, or what they ask for: correct them, or grant the right to write.",
    ),
    (
        r"BackendThrottled|\b429\b|too many requests",
        "The backend asks for a pause: send fewer metrics (sample, aggregate), or raise its limits.",
    ),
    (
        r"BatchTooLarge|\b413\b|too large",
        "Batches are too large for the backend and are sent in parts: lower bulk_size, or raise its limit.",
    ),
    (
        r"BackendTimeout|timed? ?out",
        "The backend does not answer in time: see whether it is overloaded, or raise its timeout.",
    ),
    (r"unreachable|no route|errno 113|errno 101", "There is no way to the backend's host: see the network."),
    (
        r"reset|broken pipe|closed|\b50[234]\b",
        "The backend ends connections: see its own log, or what stands before it.",
    ),
    (r"BackendRejected|\b400\b", _REFUSED.format(reason="wrong")),
)
_UNKNOWN = "See the backend's own log, and the application's, where the first of these errors is told."


def remedy(
    *, last_error: str | None, dropped: Mapping[str, int], rejected: Mapping[str, int], is_behind: bool
) -> str | None:
    """Return what to do about a delivery, in one sentence; None when nothing is wrong.

    What the backend said last counts first while metrics wait, since that is what keeps them; else the reason for
    which most were lost. Pure: the same for the same.

    Args:
        last_error: What the backend said last, with the name of the exception before it.
        dropped: Reason -> how many were given up.
        rejected: Reason -> how many were not taken.
        is_behind: Whether metrics wait for longer than they should.

    Example:
        >>> remedy(last_error=None, dropped={"purged": 3}, rejected={}, is_behind=False)
        'Somebody emptied the spool by hand; there is nothing to do.'
    """
    lost = {reason: number for reason, number in [*rejected.items(), *dropped.items()] if number > 0}
    if last_error and is_behind:
        return _of_error(last_error)
    if not lost:
        return None
    reason = max(sorted(lost), key=lost.__getitem__)
    return BY_REASON.get(reason) or _of_error(reason, otherwise=_REFUSED.format(reason=_shown(reason)))


def _of_error(text: str, otherwise: str = _UNKNOWN) -> str:
    for pattern, sentence in _BY_ERROR:
        if re.search(pattern, text[:1000], re.IGNORECASE):
            return sentence
    return otherwise


def _shown(reason: str) -> str:
    return f"“{reason[:60]}”"
