"""What must begin afresh in a forked child, told to the interpreter once for all of it."""

from __future__ import annotations

import os
from collections.abc import Callable

_functions: list[Callable[[], None]] = []


def on_fork(function: Callable[[], None]) -> None:
    """Call a function in every child that is forked from now on; asking twice changes nothing.

    Functions are called in the order in which they were first asked for, in the child's one thread, before anything
    else of the child runs. One may not raise, nor wait for a lock: a thread of the parent may have held it.
    """
    if not _functions and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_begin_afresh)
    if function not in _functions:
        _functions.append(function)


def _begin_afresh() -> None:
    for function in _functions:
        function()
