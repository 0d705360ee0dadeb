"""What an error of a backend means, and how long to wait before the next attempt."""

from __future__ import annotations

import errno
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

from time_execution.exceptions import (
    BackendDenied,
    BackendError,
    BackendRejected,
    BackendThrottled,
    BackendUnavailable,
    BatchTooLarge,
    ConfigurationError,
)
from time_execution.formats.redaction import Redactor

MAX_AGE = 300.0
MAX_AGE_WITH_SPOOL = 3600.0
_LONGEST = 86_400.0
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}

_redactor = Redactor(max_text=200)


class Verdict(Enum):
    """What to do with the metrics that an exception speaks for, as log lines say it."""

    RETRY = "they stay queued and are sent again"
    REJECT = "they are refused for good and dropped"
    SPLIT = "sending smaller batches"


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception of a backend, understood.

    Attributes:
        verdict: What to do with the metrics.
        reason: The exception's class name; what is counted.
        text: The class name, and of the exception's own words those that are safe to show.
        after: The least pause in seconds that the server asked for, or None.
        denied: Whether asking again soon is pointless, so that the longest pause applies at once.
        is_lasting: Whether waiting a moment is pointless, so that nobody who ends waits: refused, or no room on a disk.
        is_obscure: Whether it may be the fault of a single metric as well as of the backend.
    """

    verdict: Verdict
    reason: str
    text: str
    after: float | None = None
    denied: bool = False
    is_lasting: bool = False
    is_obscure: bool = False


def understand(exc: BaseException) -> Failure:
    """Return what an exception means; an unknown one means *try again*, so that nothing is given up by mistake."""
    reason, text = type(exc).__name__, _text_of(exc)
    if isinstance(exc, BatchTooLarge):
        return Failure(Verdict.SPLIT, reason, text)
    if isinstance(exc, BackendRejected):
        return Failure(Verdict.REJECT, reason, text)
    if isinstance(exc, BackendThrottled):
        return Failure(Verdict.RETRY, reason, text, after=seconds_of(exc.retry_after))
    is_obscure = not isinstance(exc, (BackendUnavailable, OSError))  # else a plain outage
    denied = isinstance(exc, BackendDenied)
    is_lasting = denied or any(getattr(each, "errno", None) in _NO_ROOM for each in (exc, exc.__cause__))
    return Failure(Verdict.RETRY, reason, text, denied=denied, is_lasting=is_lasting, is_obscure=is_obscure)


@lru_cache(maxsize=256)
def redacted(text: str) -> str:
    """Return a backend's words without what looks like a secret, and cut; they are few, and said again and again."""
    return _redactor.redact_text(text)


def _text_of(exc: BaseException) -> str:
    """Return the class name, and the text of an error whose words are our own or the operating system's.

    A client's text may hold an address with its password, or the very metrics; ours is written with that in mind and
    redacted all the same, since backends of others may use our classes.
    """
    name = type(exc).__name__
    said = exc.args[:1] if isinstance(exc, BackendError) else (exc.strerror,) if isinstance(exc, OSError) else ()
    return f"{name}: {redacted(said[0])}" if said and isinstance(said[0], str) and said[0] else name


def seconds_of(value: object) -> float | None:
    """Return a pause that a server asked for when it makes sense: a number above 0; else None."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        return float(min(value, _LONGEST))
    return None


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: a pause drawn evenly from 0 to ``min(cap, base * 2 ** (failures - 1))``.

    Full jitter spreads many clients best after an outage that hit them all at once; see Marc Brooker, "Exponential
    Backoff And Jitter", AWS Architecture Blog, 2015.

    Attributes:
        base: The bound of the first pause, in seconds.
        cap: No pause is longer, in seconds, whatever the server asks for.
        max_age: Metrics older than this, in seconds, are given up when an attempt fails; None keeps them for ever.
        jitter: Draws the pause between two bounds; replaced in tests. Not from the generator that a program may have
            seeded for itself, and not the same in forked workers.
    """

    base: float = 0.5
    cap: float = 30.0
    max_age: float | None = MAX_AGE
    jitter: Callable[[float, float], float] = field(default=random.SystemRandom().uniform, repr=False)

    def __post_init__(self) -> None:
        """Refuse bounds that could not be kept."""
        for key in ("base", "cap", "max_age"):
            seconds = getattr(self, key)
            if (seconds_of(seconds) is None or seconds == math.inf) and not (key == "max_age" and seconds is None):
                shown = seconds if isinstance(seconds, (int, float)) else type(seconds).__name__
                raise ConfigurationError(f"retry: {key} must be a number of seconds above 0, got {shown}")
        if self.base > self.cap:
            raise ConfigurationError(f"retry: base ({self.base} s) must be at most cap ({self.cap} s)")

    def pause(self, failures: int, *, after: float | None = None, denied: bool = False) -> float:
        """Return the seconds to wait after so many failures in a row.

        Args:
            failures: 1 after the first failure.
            after: What the server asked for; respected up to `cap`, ignored when it makes no sense.
            denied: Wait the longest pause at once.
        """
        if denied:
            return self.cap
        bound = min(self.cap, self.base * 2.0 ** min(failures - 1, 32))
        drawn = self.jitter(0.0, bound)
        return drawn if after is None else min(self.cap, max(drawn, after))
