"""A child that is killed at one of the steps in which it changes files."""

from __future__ import annotations

import os
import pathlib
import signal

from tests.forked import exit_code, start_in_a_child

# As the package and pathlib call them.
_STEPS = ("open", "write", "ftruncate", "fsync", "rename", "replace", "unlink", "close")


def is_killed_at(step, work):
    """Do some work in a forked child that is killed before one of its steps; whether it had that many.

    Args:
        step: The number of the step, from 0.
        work: Called without arguments.
    """
    code = exit_code(start_in_a_child(lambda: _killed_at(step, work)))
    assert code in {0, -signal.SIGKILL}, code
    return code != 0


def _killed_at(step, work):
    taken = 0

    def counted(function):
        def call(*args, **options):
            nonlocal taken
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)
            taken += 1
            return function(*args, **options)

        return call

    for name in _STEPS:
        setattr(os, name, counted(getattr(os, name)))
        # Until Python 3.10 paths had functions of their own.
        accessor = getattr(pathlib, "_normal_accessor", None)
        if name != "open" and hasattr(accessor, name):
            setattr(accessor, name, getattr(os, name))
    work()
