"""Where in the application an exception came from."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from types import FrameType
from typing import NamedTuple

from time_execution.traceback_text import traceback_of

_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120 - as frames have it
_PACKAGE = __file__.removesuffix(os.path.join("logs", "place.py"))  # noqa: PTH118 - see above
_INSTALLED = re.compile(r"[/\\](?:site|dist)-packages[/\\]")
_LONGEST = 200


class Place(NamedTuple):
    """A stretch of code.

    Attributes:
        module: Its name.
        function: The function in it, with its class where that is known (from Python 3.11 on).
    """

    module: str
    function: str

    def __str__(self) -> str:
        """Return ``module:function``."""
        return f"{self.module}:{self.function}"


NOWHERE = Place("?", "?")
"""The place of an exception that nobody raised."""


def place_of(exception: BaseException) -> Place:
    """Return the innermost frame of an exception that is the application's, or of all when none is.

    What is not the application's: the standard library, installed packages, and this one.
    """
    entry = traceback_of(exception)
    innermost: FrameType | None = None
    ours: FrameType | None = None
    while entry is not None:
        innermost = entry.tb_frame
        if is_applications(innermost.f_code.co_filename):
            ours = innermost
        entry = entry.tb_next
    found = ours or innermost
    return NOWHERE if found is None else _of_frame(found)


@lru_cache(maxsize=4096)
def is_applications(file: str) -> bool:
    """Whether a file is neither of the standard library, nor of an installed package, nor of this one."""
    if file.startswith("<frozen ") or _INSTALLED.search(file):
        return False
    return not file.startswith((_STANDARD_LIBRARY, _PACKAGE))


def _of_frame(frame: FrameType) -> Place:
    module = frame.f_globals.get("__name__")
    code = frame.f_code
    function = str(getattr(code, "co_qualname", code.co_name)).replace("<locals>.", "")
    return Place(module[:_LONGEST] if type(module) is str else "?", function[:_LONGEST])
