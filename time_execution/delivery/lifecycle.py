"""Forks, the end of the process, and signals: what every open delivery must be told.

Nothing is registered by importing this module; the first delivery that is tracked does it.
"""

from __future__ import annotations

import atexit
import math
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from time_execution.forking import on_fork
from time_execution.guard import faults

if TYPE_CHECKING:
    from types import FrameType


class Closable(Protocol):
    """What can be told that the process forked or ends."""

    shutdown_timeout: float

    def after_fork(self) -> None:
        """Begin afresh in a forked child."""
        ...

    def begin_close(self) -> None:
        """Refuse new metrics and start sending the rest; does not wait."""
        ...

    def close(self, timeout: float | None = None) -> None:
        """Wait for the rest, at most so many seconds, and release everything."""
        ...

    def is_closed(self) -> bool:
        """Return whether it was closed before."""
        ...

    def undelivered(self) -> int:
        """Return how many metrics the last close could not deliver."""
        ...


_tracked: dict[int, weakref.ref[Any]] = {}
_ending: set[int] = set()
"""This process, by its id, while it closes its deliveries since it ends; a child that is forked then is another."""


def track(delivery: Closable) -> None:
    """Tell a delivery of forks and of the end of this process, for as long as it lives."""
    key, known = id(delivery), _tracked
    known[key] = weakref.ref(delivery, lambda _: known.pop(key, None))
    come_last()
    on_fork(faults.after_fork)  # first: deliveries may count as they are told
    on_fork(_after_fork)


def tracked() -> list[Closable]:
    """Return the deliveries that live."""
    # Copied at one stroke: another thread may make one at this moment.
    return [delivery for delivery in (reference() for reference in list(_tracked.values())) if delivery is not None]


def come_last() -> None:
    """See to it that the deliveries are closed when the process ends, and before any client they send with.

    The interpreter runs ``atexit`` functions last come, first served: so this is asked for anew with each delivery,
    each worker, and when the first batch was sent, since a client may register its own end as late as that. A child of
    multiprocessing runs no ``atexit`` functions, but its finalizers; it clears those it inherited as it starts.
    """
    if threading.main_thread().is_alive():  # else the list is being worked off, and must be left as it is
        atexit.unregister(close_all)
        atexit.register(close_all)
    for family in ("multiprocessing", "billiard"):  # the latter is Celery's
        process, util = sys.modules.get(f"{family}.process"), sys.modules.get(f"{family}.util")
        if process is None or util is None or process.current_process()._parent_pid is None:  # noqa: SLF001
            continue
        if getattr(util, "_time_execution_pid", None) != os.getpid():
            util._time_execution_pid = os.getpid()  # type: ignore[attr-defined]  # noqa: SLF001 - a mark of our own
            util.Finalize(None, close_all, exitpriority=0)
    signals = sys.modules.get("celery.signals")
    if signals is not None:  # a child of Celery's pool ends by `os._exit`, and runs no finalizers either
        signals.worker_process_shutdown.connect(_close_all_of_pool, weak=False, dispatch_uid=__name__)


def _close_all_of_pool(**_: Any) -> None:
    close_all()


def close_all() -> None:
    """Close every open delivery as the process ends, all against one clock, and say what could not be delivered.

    One that stands behind another is closed by that, which may have more to send until then. Ctrl-C ends the waiting,
    and so does any handler of a signal that raises; that of `install_sigterm` does not.
    """
    deliveries = [delivery for delivery in tracked() if not delivery.is_closed()]
    behind = {id(getattr(delivery, "backend", None)) for delivery in deliveries}
    deliveries = [delivery for delivery in deliveries if id(delivery) not in behind]
    _ending.add(os.getpid())
    for longest in (math.inf, 0.0):
        try:
            _close(deliveries, longest)
        except (KeyboardInterrupt, SystemExit):
            continue  # once more, without waiting: what is left goes to the spool, or is counted
        break
    _ending.discard(os.getpid())
    lost = sum(delivery.undelivered() for delivery in deliveries)
    if lost and sys.stderr is not None:
        with suppress(ValueError, OSError):  # closed by whoever ends the process
            print(f"time_execution: {lost} metric{'s' * (lost != 1)} could not be delivered at exit", file=sys.stderr)  # noqa: T201


def _close(deliveries: Sequence[Closable], longest: float) -> None:
    began = time.monotonic()
    for delivery in deliveries:
        delivery.begin_close()
    for delivery in deliveries:
        delivery.close(min(longest, max(0.0, began + delivery.shutdown_timeout - time.monotonic())))


def _after_fork() -> None:
    for delivery in tracked():
        delivery.after_fork()


def is_terminated_at_will() -> bool:
    """Return whether this process is a child that its parent ends by SIGTERM whenever it likes.

    That is how multiprocessing ends daemonic children, those of a ``Pool`` among them. Not so where the signal has a
    handler, from `install_sigterm` for instance.
    """
    process = sys.modules.get("multiprocessing.process")
    if process is None or not process.current_process().daemon:
        return False
    return signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def install_sigterm() -> None:
    """Make SIGTERM end the process the ordinary way, so that what is queued is delivered.

    The handler raises `SystemExit` in the main thread with status 143, as a shell reports it; a handler that was
    there before is called first, and decides: when it returns, the process ends as said, unless it was one that
    ignores the signal. A signal that comes while the process ends already, and delivers, changes nothing. Takes no
    lock. Call it once, from the main thread.

    Raises:
        RuntimeError: When called from another thread.
    """
    if threading.current_thread() is not threading.main_thread():
        msg = "install_sigterm() must be called from the main thread"
        raise RuntimeError(msg)
    previous = signal.getsignal(signal.SIGTERM)
    if previous is signal.SIG_IGN or getattr(previous, "_time_execution", False):
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() in _ending:
            return
        if callable(previous):
            previous(number, frame)
        raise SystemExit(128 + number)

    handle._time_execution = True  # type: ignore[attr-defined]  # noqa: SLF001 - so that a second call does nothing
    signal.signal(signal.SIGTERM, handle)
