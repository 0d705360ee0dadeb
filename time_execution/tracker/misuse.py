"""What is said of a tracker that is used where no entry point is open: a warning, once a place in the user's code."""

from __future__ import annotations

import os
import sys
import warnings
from types import FrameType

from time_execution.guard import Step, faults
from time_execution.settings import current

_HERE = os.path.dirname(__file__) + os.sep  # noqa: PTH120 - pathlib would cost more than the rest of the module
_MAX_PLACES = 1000
# Between a task or a block and whoever is to be told of it.
_PASSED_OVER = frozenset({"asyncio", "concurrent", "contextlib", "contextvars", "functools", "threading"})


class Misuse:
    """Warns of each place in the user's code once, of the first thousand places. Thread-safe.

    A warning never becomes an exception of the code that is measured: where warnings are errors, and where whoever
    shows them fails, it is logged instead.
    """

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: set[tuple[str, int]] = set()

    def tell(self, message: str) -> None:
        """Warn of what the nearest frame outside this package does, unless that place was told of before."""
        frame = _users_frame(sys._getframe(1))  # noqa: SLF001 - there is no other way, `warnings` goes it, too
        place = frame.f_code.co_filename, frame.f_lineno
        if place in self._told or len(self._told) >= _MAX_PLACES:
            return
        self._told.add(place)
        raises = current().values.raise_errors
        Step(_warn, kind="hook", label="showwarning", raises=raises).attempt(message, place, frame)


def _warn(message: str, place: tuple[str, int], frame: FrameType) -> None:
    module = frame.f_globals.get("__name__") or "<string>"  # as `warnings.warn` has it; for None nothing would be shown
    try:
        warnings.warn_explicit(message, RuntimeWarning, *place, module=module)
    except RuntimeWarning:  # the filters make it an error
        faults.log.tell(f"tracker.{place}", f"{message} ({place[0]}, line {place[1]})")


def _users_frame(frame: FrameType) -> FrameType:
    """Return the nearest frame of the user's, or where there is none, as in a thread, the nearest that is not ours."""
    outer: FrameType | None = frame
    nearest = frame
    while outer is not None:
        if not outer.f_code.co_filename.startswith(_HERE):
            nearest = outer if nearest is frame else nearest
            if str(outer.f_globals.get("__name__")).partition(".")[0] not in _PASSED_OVER:
                return outer
        outer = outer.f_back
    return nearest
