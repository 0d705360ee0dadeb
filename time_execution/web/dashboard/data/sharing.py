"""`Answers`: one computation for all that ask the same at once, and its answer for a moment longer."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_Answer = TypeVar("_Answer")

_KEPT = 1.0
_MOST = 16


class _Pending(Generic[_Answer]):
    """A computation that is under way, or its outcome."""

    def __init__(self) -> None:
        self.is_done = threading.Event()
        self.answer: _Answer | None = None
        self.is_final = False
        self.made = 0.0


class Answers(Generic[_Answer]):
    """Shares answers among those who ask the same within a second. Thread-safe; a forked child begins with none.

    Args:
        kept: How long an answer is given again, in seconds from when it was there.
        clock: Returns seconds, never going back.
        is_final: Says of an answer whether it may be given again; if not, only those share it who waited for it.
    """

    def __init__(
        self,
        *,
        kept: float = _KEPT,
        clock: Callable[[], float] = time.monotonic,
        is_final: Callable[[_Answer], bool] = lambda _: True,
    ) -> None:
        self._seconds = kept
        self._clock = clock
        self._is_final = is_final
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child: nobody is left there who could finish what was begun."""
        self._lock = threading.Lock()
        self._known: dict[Hashable, _Pending[_Answer]] = {}

    def get(self, key: Hashable, make: Callable[[], _Answer]) -> _Answer:
        """Return the answer to a question; blocks while somebody else makes it.

        What `make` raises goes to who called it; of those who waited, the next makes it then.

        Args:
            key: The question.
            make: Makes the answer, which nobody may change.
        """
        while True:
            with self._lock:
                pending = self._known.get(key)
                is_mine = pending is None or self._is_old(pending)
                if pending is None or is_mine:
                    pending = self._known[key] = _Pending()
            if is_mine:
                return self._make(key, pending, make)
            pending.is_done.wait()
            if pending.answer is not None:
                return pending.answer

    def _make(self, key: Hashable, pending: _Pending[_Answer], make: Callable[[], _Answer]) -> _Answer:
        """Make an answer for all who wait for it."""
        try:
            answer = make()
            pending.made = self._clock()
            pending.is_final = self._is_final(answer)
            pending.answer = answer
            return answer
        finally:
            with self._lock:
                if not pending.is_final and self._known.get(key) is pending:
                    del self._known[key]
                self._tidy_up()
            pending.is_done.set()

    def _is_old(self, pending: _Pending[_Answer]) -> bool:
        return pending.is_done.is_set() and self._clock() - pending.made >= self._seconds

    def _tidy_up(self) -> None:
        """Forget answers that are old, and the oldest of too many."""
        done = [key for key, pending in self._known.items() if pending.answer is not None]
        for key in done[: max(0, len(done) - _MOST)]:
            del self._known[key]
        for key in done[max(0, len(done) - _MOST) :]:
            if self._clock() - self._known[key].made >= self._seconds:
                del self._known[key]
