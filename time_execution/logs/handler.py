"""`RecordHandler`: takes the lines of loggers on the calling thread, and queues a record of each where it belongs."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any

from time_execution.formats.log_line import NOTICED
from time_execution.guard import Step, faults
from time_execution.logs.errors import tell_line
from time_execution.logs.record import exception_of
from time_execution.record_output import Settling
from time_execution.types import Metric

if TYPE_CHECKING:
    from time_execution.delivery.channel import Channel
    from time_execution.logs.destinations import Destination
    from time_execution.logs.record import RecordMaker

LABEL = "log"
"""What `time_execution.stats` calls the handler among the errors."""

_MOST_WAITING = 100
_LOOK_AGAIN = 0.001
_new_metric = Metric.__new__  # `Metric.copy` would cost twice as much


class Routes:
    """Where lines go under one set of options. Immutable but for what it has looked up, and thread-safe.

    Args:
        maker: Makes the records.
        destinations: What takes them.

    Attributes:
        inside: As many items as threads are putting a line; grown and shrunk without a lock.
    """

    def __init__(self, maker: RecordMaker, destinations: Sequence[Destination]) -> None:
        self._maker = maker
        self._destinations = tuple(destinations)
        self._by_level: dict[int, tuple[Channel, ...]] = {}
        self._channels = tuple(each.backend.channel for each in destinations)
        self._local = tuple(each.backend for each in destinations if each.is_local)
        self._settling = Settling()
        self.inside: list[None] = []

    def wait_until_left(self, timeout: float) -> None:
        """Wait until no thread is putting a line here, which none begins any more; at most so many seconds."""
        deadline = time.monotonic() + timeout
        while self.inside and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN)

    def is_delivering(self, thread: int) -> bool:
        """Whether a thread is the worker of one of the destinations."""
        for channel in self._channels:  # noqa: SIM110 - any() and a generator would take three times as long
            if channel.owner == thread:
                return True
        return False

    def put(self, line: logging.LogRecord) -> None:
        """Queue the record of a line for each destination that takes its level; of an error also hand over the event.

        Waits for nothing but, where the process may be ended at any moment, the files.
        """
        record, size = self._maker(line)
        level = line.levelno
        channels = self._by_level.get(level)
        if channels is None:
            channels = self._by_level[level] = self._for(level, self._destinations)
        if record.get(NOTICED):
            channels = self._for(level, [each for each in self._destinations if not each.is_notice])
        # An alert is an event of its own.
        error = record.copy() if level >= logging.ERROR and not record.get(NOTICED) else None
        for channel in channels[1:]:
            copy = _new_metric(Metric)
            copy.update(record)
            copy.kind = "event"
            channel.offer(copy, size)
        if channels:
            channels[0].offer(record, size)
        self._settling.settle(self._local)
        if error is not None:
            tell_line(error, exception_of(line))

    def _for(self, level: int, destinations: Sequence[Destination]) -> tuple[Channel, ...]:
        return tuple(each.backend.channel for each in destinations if level >= each.level)


class _Here(threading.local):
    """What a thread does in the handler.

    Attributes:
        is_busy: Whether it handles a line; what its message's arguments do may be to log, and so may a finalizer.
        is_catching_up: Whether that line was itself made amid another one.
        waiting: Lines made amid the one that is handled; they come after it.
    """

    is_busy = False
    is_catching_up = False

    def __init__(self) -> None:
        self.waiting: deque[logging.LogRecord] = deque()


class RecordHandler(logging.Handler):
    """Queues records of lines. Holds no lock, never raises what a line's arguments raise, and never calls itself.

    A line that is made amid another one of the same thread, by the ``__str__`` of an argument, a finalizer or a signal
    handler, is handled after that. One made amid such a line, or by the thread that writes to a destination, is left
    out, which is counted: it might have no end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.routes: Routes | None = None
        self.may_repeat = False
        self._here = _Here()
        self._seen: dict[int, weakref.ref[logging.LogRecord]] = {}
        self._put = Step(self._put_one, kind="hook", label=LABEL, raises=False, told="handler")

    def createLock(self) -> None:  # noqa: N802 - as `logging` calls it
        """Make none: nothing here has to be kept from others, and a forked child could not release it."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Queue the record of a line; returns whether that was done."""
        here, routes = self._here, self.routes
        if routes is None:
            return False
        if here.is_busy:
            if here.is_catching_up or len(here.waiting) >= _MOST_WAITING:
                faults.count("hook", LABEL, "reentrant")
            else:
                here.waiting.append(record)
            return False
        if routes.is_delivering(get_ident()):
            faults.count("hook", LABEL, "reentrant")
            return False
        here.is_busy = True
        try:
            self._put.attempt(record)
            if here.waiting:
                self._catch_up(here)
        finally:
            here.is_busy = False
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Do the same, for those who call it themselves."""
        self.handle(record)

    def _catch_up(self, here: _Here) -> None:
        here.is_catching_up = True
        try:
            while here.waiting:
                self._put.attempt(here.waiting.popleft())
        finally:
            here.is_catching_up = False

    def _put_one(self, record: logging.LogRecord) -> None:
        if self.filters:
            found: Any = self.filter(record)
            if not found:
                return
            if isinstance(found, logging.LogRecord):  # from Python 3.12 on, a filter may return another one
                record = found
        if self.may_repeat and self._is_repeated(record):
            return
        routes = self._enter()
        if routes is not None:
            try:
                routes.put(record)
            finally:
                routes.inside.pop()

    def _enter(self) -> Routes | None:
        """Return the routes in force, which will not be closed before they are left."""
        while True:
            routes = self.routes
            if routes is None:
                return None
            routes.inside.append(None)
            if routes is self.routes:
                return routes
            routes.inside.pop()  # others took their place in between

    def _is_repeated(self, record: logging.LogRecord) -> bool:
        """Whether a line came already, by another logger on its way up that feeds the same destinations."""
        key, seen = id(record), self._seen
        if key in seen:
            return True
        seen[key] = weakref.ref(record, lambda _: seen.pop(key, None))
        return False
