"""`Windows`: the windows that pages ask for, kept for a while, and brought up to date while somebody watches."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

from time_execution.exceptions import DatabaseError
from time_execution.quietlog import QuietLog
from time_execution.web.dashboard.data.totals import Totals
from time_execution.web.dashboard.data.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from time_execution.web.dashboard.data.catalogue import Catalogue, Named
    from time_execution.web.dashboard.data.reading import Reader

_Any = TypeVar("_Any", bound=Window)

THREAD_NAME = "time-execution-dashboard"
# So many windows of each kind; those of all series take megabytes where there are thousands.
_MOST_TOTALS, _MOST_OTHERS = 8, 24
# What nobody has asked for in so many seconds is given up.
_KEPT = 120.0
_INTERVAL = 1.0
# What is known since so short a time is told as it is: the thread and who asks need not both read what is new.
_FRESH = 1.5
# Windows that nobody has asked for in so many seconds are brought up to date less often, several seconds' rows at once.
_WATCHED = 6.0
_SELDOM = 5.0
# How long the thread loads a window at a time: whoever asks for it waits for that.
_TURN = 0.02
_LEAST_PAUSE = 0.005
# A clock that was set back further than that makes windows begin anew.
_SET_BACK = 60.0


@dataclass(slots=True)
class _Kept:
    """A window.

    Attributes:
        window: It.
        start_at: Returns where its range begins at a moment.
        now: The moment, in seconds since the epoch, at which it was asked for last.
        asked: That moment on the monotonic clock.
        refreshed: When it was brought up to date last, on that clock.
        start: Where its range began then.
        series: The series that were known then.
    """

    window: Window
    start_at: Callable[[float], int]
    now: float
    asked: float
    refreshed: float = 0.0
    start: int | None = None
    series: Mapping[int, Named] = field(default_factory=dict)


class Used(Generic[_Any]):
    """A window that is held, and what belongs to it.

    Attributes:
        window: Up to date; warm or not.
        series: Id -> series.
    """

    __slots__ = ("series", "window")

    def __init__(self, window: _Any, series: Mapping[int, Named]) -> None:
        self.window = window
        self.series = series


class Windows:
    """Keeps windows, a bounded number of them, for two minutes after they were asked for last.

    A daemon thread loads those that are not warm, at most half of its time, and brings the others up to date every
    second, so that little is left to do when somebody asks. It starts with the first window, ends with the last, and
    lives in each process that is asked. Thread-safe; a forked child begins with none.

    Args:
        reader: Opens the database.
        catalogue: Knows its series.
        in_background: Whether there is a thread. Without, all is loaded by whoever asks, however long that takes.
    """

    def __init__(self, reader: Reader, catalogue: Catalogue, *, in_background: bool) -> None:
        self._reader = reader
        self._catalogue = catalogue
        self._in_background = in_background
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._lock = threading.Lock()
        self._kept: dict[Hashable, _Kept] = {}
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._log = QuietLog()

    @contextlib.contextmanager
    def use(
        self,
        key: Hashable,
        make: Callable[[int], _Any],
        start_at: Callable[[float], int],
        *,
        now: float,
        deadline: float,
    ) -> Iterator[Used[_Any]]:
        """Hold a window for the block, up to date; where there is a thread, but for what the last 1.5 s have brought.

        Blocks while others hold it, and until the deadline when it has to be loaded; it may not be warm then.

        Args:
            key: Which one.
            make: Makes it, of the second at which its range begins.
            start_at: Returns that second for a moment.
            now: The present moment, in seconds since the epoch.
            deadline: On the clock of `time.monotonic`; of no account where there is no thread that could go on.

        Raises:
            DatabaseError: As `Reader.look` does.
        """
        kept = self._find(key, make, start_at, now)
        window = kept.window
        with window.lock:
            if not self._is_fresh(kept, start_at(now)):
                alone = not self._in_background
                self._refresh(kept, now, deadline=inf if alone else deadline, finish=alone)
            yield Used(window, kept.series)  # type: ignore[arg-type] # of each key, all are made by the same function

    def close(self) -> None:
        """Give all windows up, and end the thread; idempotent."""
        with self._lock:
            self._kept = {}
            thread, self._thread = self._thread, None
            self._stopped.set()
        if thread is not None:
            thread.join(_INTERVAL)

    def _find(
        self, key: Hashable, make: Callable[[int], Window], start_at: Callable[[float], int], now: float
    ) -> _Kept:
        with self._lock:
            kept = self._kept.pop(key, None)
            if kept is None or now < kept.now - _SET_BACK:
                kept = _Kept(make(start_at(now)), start_at, now, 0.0)
                self._make_room(kept.window)
            self._kept[key] = kept
            kept.now, kept.asked = max(now, kept.now), time.monotonic()
            self._see_to_the_thread()
            return kept

    def _is_fresh(self, kept: _Kept, start: int) -> bool:
        is_recent = time.monotonic() - kept.refreshed < _FRESH and kept.start == start
        return self._in_background and is_recent and kept.window.is_warm

    def _refresh(self, kept: _Kept, now: float, *, deadline: float, finish: bool) -> None:
        """Bring a window up to date, whose lock is held."""
        began, start = time.monotonic(), kept.start_at(now)
        with self._reader.look() as look:
            kept.series = self._catalogue.series(look)
            kept.window.refresh(look, kept.series, start=start, now=now, deadline=deadline, finish=finish)
        kept.refreshed, kept.start = began, start

    def _see_to_the_thread(self) -> None:
        """Start the thread unless it runs; `_lock` is held."""
        if not self._in_background or (self._thread is not None and self._thread.is_alive()):
            return
        self._stopped = threading.Event()
        thread = threading.Thread(target=self._work, args=(self._stopped,), name=THREAD_NAME, daemon=True)
        # Without one, as where the process ends or may have no more, each question loads a little.
        with contextlib.suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def _make_room(self, window: Window) -> None:
        """Give up windows that nobody asked for lately, where there are too many of a kind."""
        is_total = isinstance(window, Totals)
        alike = [key for key, kept in self._kept.items() if isinstance(kept.window, Totals) == is_total]
        for key in alike[: max(0, len(alike) + 1 - (_MOST_TOTALS if is_total else _MOST_OTHERS))]:
            del self._kept[key]

    def _work(self, stopped: threading.Event) -> None:
        """Keep windows up to date until there is none."""
        pause = 0.0
        while not stopped.wait(pause):
            began = time.monotonic()
            with self._lock:
                if stopped.is_set():
                    return
                self._kept = {key: kept for key, kept in self._kept.items() if began - kept.asked < _KEPT}
                waiting = list(self._kept.values())
                if not waiting:
                    self._thread = None
                    return
            are_warm = [self._advance(kept) for kept in waiting if self._is_due(kept, began)]
            worked = time.monotonic() - began
            pause = max(_INTERVAL, worked) if all(are_warm) else max(_LEAST_PAUSE, worked)

    def _is_due(self, kept: _Kept, now: float) -> bool:
        """Say whether to bring a window up to date: at once if it is not warm, each second if somebody watches.

        So those that are warm do not keep the others waiting, of which a little is loaded at a time.
        """
        if not kept.window.is_warm:
            return True
        return now - kept.refreshed >= (_INTERVAL if now - kept.asked < _WATCHED else _SELDOM)

    def _advance(self, kept: _Kept) -> bool:
        """Bring a window up to date, or load a little of it; says if it is warm, or nothing can be done now."""
        with kept.window.lock:
            now = kept.now + time.monotonic() - kept.asked
            try:
                self._refresh(kept, now, deadline=time.monotonic() + _TURN, finish=True)
            except DatabaseError:
                # Whoever asks next is told.
                return True
            except Exception as exc:  # noqa: BLE001 - the thread is of use to other windows
                self._log.tell(type(exc).__name__, f"the dashboard could not read ahead: {exc!r}")
                return True
            return kept.window.is_warm
