"""Work that a forked child does while its parent waits."""

from __future__ import annotations

import os
import signal
import traceback

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
_LONGEST = 30


def start_in_a_child(work, *, longest=_LONGEST):
    """Return the pid of a forked child that does the work; what it raises is printed, one that hangs is ended.

    Args:
        work: Called without arguments.
        longest: How long it may take, in whole seconds.
    """
    child = os.fork()
    if child == 0:
        code = 1
        signal.alarm(longest)
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def exit_code(child):
    """Return the exit code of a child once it has ended; 0 when its work did not raise."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def ends_well_in_a_child(work):
    """Whether a forked child does the work without raising."""
    return exit_code(start_in_a_child(work)) == 0
