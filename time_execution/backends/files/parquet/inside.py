"""Keeps forks and pyarrow apart: a fork waits while a thread is inside, and a child that could not is kept outside.

Its allocator has locks of its own that nobody can replace. One that another thread holds at the moment of a fork stays
held in the child for ever, and the first allocation there would hang.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from time_execution.forking import hold_forks_up

# Long enough for a fork that waits to be woken; who has just left would else be inside again first.
_LET_PASS = 0.002


class Inside:
    """Lets one thread at a time into pyarrow, for a short while each. Thread-safe, and told of each fork.

    Attributes:
        is_lost: Whether this process was forked while a thread was inside, so that it can never enter again.
    """

    def __init__(self) -> None:
        self.is_lost = False
        self._lock = threading.RLock()
        self._depth = 0
        self._is_fork_waiting = False

    def watch(self) -> None:
        """See to it that forks wait from now on; asking twice changes nothing."""
        hold_forks_up(self)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be inside for the length of the block.

        Raises:
            OSError: With ``ECANCELED``, when this process cannot be.
        """
        if self.is_lost:
            words = "this process was forked while its parent was inside pyarrow, so that only others can merge"
            raise OSError(errno.ECANCELED, words)
        with self._lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
        if self._is_fork_waiting:
            self._is_fork_waiting = False
            time.sleep(_LET_PASS)

    def fork_locks(self) -> tuple[threading.RLock, ...]:
        """Return the lock that a fork waits for."""
        self._is_fork_waiting = True
        return (self._lock,)

    def after_fork(self) -> None:
        """Find out, in the child, whether a thread was inside all the same: a fork waits for a second at most."""
        self.is_lost = self.is_lost or self._depth > 0
        self._lock = threading.RLock()
        self._depth = 0
        self._is_fork_waiting = False


inside = Inside()
"""That of this process."""
