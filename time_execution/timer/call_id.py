"""The id of a call, which `Timer` and `ErrorCatcher` share where both measure it.

Whoever comes first makes the id and hands it over just before it calls on; the other takes it as it begins, in the
same context. What nobody took, because a decorator between the two did not call on, is forgotten with the call. So an
id never reaches another call, whatever runs beside it.
"""

from __future__ import annotations

import random
from contextvars import ContextVar
from typing import NamedTuple

from time_execution.forking import on_fork

# Ids need no secrecy, and reading the system's randomness for each takes three times as long.
_random = random.Random()  # noqa: S311 - see above
_VERSION_4 = 4 << 76 | 8 << 60
_OTHER_BITS = (1 << 128) - 1 ^ (0xF << 76 | 0xC << 60)
_MOST = 50  # on their way at once: one that nobody takes or forgets, as an abandoned generator's, is not kept for ever


class _Handed(NamedTuple):
    """An id on its way.

    Attributes:
        function: The innermost one of the call.
        taker: The mark of those that may take it.
        ids: The id until somebody has it: tasks begin with copies of one context.
        before: What was on its way already, for a call that has not been reached yet.
        depth: How many that are.
    """

    function: object
    taker: str
    ids: list[str]
    before: _Handed | None
    depth: int


_handed_over: ContextVar[_Handed | None] = ContextVar("time_execution.timer.call_id", default=None)


def watch_forks() -> None:
    """Let forked children make ids of their own."""
    on_fork(_random.seed)


def new_id() -> str:
    """Return a random UUID (RFC 9562, version 4) as text."""
    digits = f"{_random.getrandbits(128) & _OTHER_BITS | _VERSION_4:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def hand_over(call_id: str, function: object, taker: str) -> None:
    """Leave an id for whoever measures the next call of a function in this context, unless of the other kind.

    Args:
        call_id: The id.
        function: The innermost one, by which both know each other.
        taker: The mark of those that may take it: a recursion, which begins anew, may not.
    """
    before = _handed_over.get()
    depth = 0 if before is None else before.depth + 1
    if depth >= _MOST:
        before, depth = None, 0
    _handed_over.set(_Handed(function, taker, [call_id], before, depth))


def take(function: object, taker: str) -> str | None:
    """Return the id that was left for a call of a function, once."""
    handed = _handed_over.get()
    if handed is None or handed.function is not function or handed.taker != taker:
        return None
    _handed_over.set(handed.before)
    try:
        return handed.ids.pop()
    except IndexError:  # another task has it
        return None


def forget(call_id: str) -> None:
    """Take back an id that nobody took."""
    handed = _handed_over.get()
    if handed is not None and handed.ids == [call_id]:
        handed.ids.clear()
    if handed is not None and not handed.ids:
        _handed_over.set(handed.before)
