"""What a fork waits for, and what must begin afresh in the child: told to the interpreter once for all of it."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

_LONGEST_WAIT = 1.0

_functions: list[Callable[[], None]] = []
# Not a WeakSet: one cannot be looked through while another thread adds to it.
_holders: dict[int, weakref.ref[Any]] = {}
_is_held_up = False


class Holder(Protocol):
    """What is at work where no fork may come between, as inside SQLite."""

    def fork_locks(self) -> Sequence[threading.RLock]:
        """Return the locks that it works under, in the order in which they are taken."""
        ...

    def after_fork(self) -> None:
        """Begin afresh in a forked child, with locks of its own."""
        ...


class _Taken(threading.local):
    """The locks that a fork of this thread took: several threads may fork at once."""

    def __init__(self) -> None:
        self.locks: list[threading.RLock] = []


_taken = _Taken()


def on_fork(function: Callable[[], None]) -> None:
    """Call a function in every child that is forked from now on; asking twice changes nothing.

    Functions are called in the order in which they were first asked for, in the child's one thread, before anything
    else of the child runs. One may not raise, nor wait for a lock: a thread of the parent may have held it.
    """
    if not _functions and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_begin_afresh)
    if function not in _functions:
        _functions.append(function)


def hold_forks_up(holder: Holder) -> None:
    """Let every fork wait, one second at most for all holders together, until this one is not at work.

    For what has locks that nobody can replace in the child: one of SQLite's that another thread holds at that moment
    stays held there for ever. The holder is referred to weakly, and told in the child.
    """
    global _is_held_up  # noqa: PLW0603 - what the interpreter offers is process-wide too
    key, known = id(holder), _holders
    known[key] = weakref.ref(holder, lambda _: known.pop(key, None))
    if not _is_held_up and hasattr(os, "register_at_fork"):
        _is_held_up = True
        os.register_at_fork(before=_take_locks, after_in_parent=_give_back, after_in_child=_tell_holders)


def _begin_afresh() -> None:
    for function in _functions:
        function()


def _living() -> list[Holder]:
    return [holder for reference in list(_holders.values()) if (holder := reference()) is not None]


def _take_locks() -> None:
    deadline = time.monotonic() + _LONGEST_WAIT
    locks = [lock for holder in _living() for lock in holder.fork_locks()]
    _taken.locks.extend(lock for lock in locks if lock.acquire(timeout=max(0.0, deadline - time.monotonic())))


def _give_back() -> None:
    while _taken.locks:
        _taken.locks.pop().release()


def _tell_holders() -> None:
    _taken.locks.clear()
    for holder in _living():
        holder.after_fork()
