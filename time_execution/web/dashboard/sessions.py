"""Who is signed in, and who has tried to be too often: both in memory only, bounded, and by an injected clock."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

_ID_BYTES = 32


@dataclass(slots=True)
class Session:
    """Somebody who is signed in.

    Attributes:
        token: What the forms of this session carry; kept out of ``repr``.
        opened: When they signed in, by the clock of `Sessions`.
        seen: When they were here last.
    """

    token: str = field(repr=False)
    opened: float
    seen: float


class Sessions:
    """The sessions of this process; thread-safe. When there are too many, the one that was idle longest ends.

    Args:
        idle: Seconds without a request after which one ends.
        longest: Seconds after which one ends in any case.
        most: How many there may be.
        clock: Returns seconds, never going back.
    """

    def __init__(
        self,
        *,
        idle: float = 3600.0,
        longest: float = 43_200.0,
        most: int = 1000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._idle, self._longest, self._most, self._clock = idle, longest, most, clock
        self._lock = threading.Lock()
        # The one that was seen last stands last. By a digest: how long a look-up takes tells nothing of an id.
        self._open: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are kept, ended ones that nobody asked for since among them."""
        return len(self._open)

    def open(self) -> str:
        """Begin a session, and return its id, which is always a new one."""
        key = secrets.token_urlsafe(_ID_BYTES)
        now = self._clock()
        with self._lock:
            while len(self._open) >= self._most:
                self._open.popitem(last=False)
            self._open[_digest(key)] = Session(secrets.token_urlsafe(_ID_BYTES), now, now)
        return key

    def find(self, key: str) -> Session | None:
        """Return the session of an id, seen at this moment; None when there is none, or it has ended."""
        now, digest = self._clock(), _digest(key)
        with self._lock:
            session = self._open.get(digest)
            if session is None:
                return None
            if now - session.seen > self._idle or now - session.opened > self._longest:
                del self._open[digest]
                return None
            session.seen = now
            self._open.move_to_end(digest)
            return session

    def close(self, key: str) -> None:
        """End the session of an id, if there is one."""
        with self._lock:
            self._open.pop(_digest(key), None)


class Lockout:
    """Makes whoever tries wrong passwords wait; thread-safe. A try counts as wrong until it is known to be right.

    Args:
        tries: How many wrong ones in a row a client has.
        tries_in_all: How many all clients together have, which bounds what many addresses can try.
        period: Seconds to wait after the last wrong one.
        most: How many clients are remembered; beyond, those that tried longest ago are forgotten.
        clock: Returns seconds, never going back.
    """

    def __init__(
        self,
        *,
        tries: int = 10,
        tries_in_all: int = 100,
        period: float = 900.0,
        most: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tries, self._tries_in_all, self._period = tries, tries_in_all, period
        self._most, self._clock = most, clock
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._all = (0, 0.0)

    def admit(self, client: str) -> float:
        """Count a try, and return 0; or how many seconds this client has to wait, and count nothing."""
        now = self._clock()
        with self._lock:
            count, last = self._fresh(self._wrong.get(client, (0, now)), now)
            in_all, last_of_all = self._fresh(self._all, now)
            ends = [last] * (count >= self._tries) + [last_of_all] * (in_all >= self._tries_in_all)
            if ends:
                return max(ends) + self._period - now
            self._wrong[client] = (count + 1, now)
            self._wrong.move_to_end(client)
            self._all = (in_all + 1, now)
            while len(self._wrong) > self._most:
                self._wrong.popitem(last=False)
        return 0.0

    def forgive(self, client: str) -> None:
        """Take back the tries of a client: the last one was right."""
        with self._lock:
            count, _ = self._wrong.pop(client, (0, 0.0))
            in_all, last = self._all
            self._all = (max(0, in_all - count), last)

    def _fresh(self, counted: tuple[int, float], now: float) -> tuple[int, float]:
        """Return a count with the moment of its last try; none where that is long ago."""
        return counted if now - counted[1] < self._period else (0, now)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
