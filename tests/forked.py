"""Work that a forked child does while its parent waits."""

from __future__ import annotations

import os
import signal
import traceback

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
_LONGEST = 30


def ends_well_in_a_child(work):
    """Whether a forked child does the work without raising; what it raises is printed, one that hangs is ended."""
    child = os.fork()
    if child == 0:
        code = 1
        signal.alarm(_LONGEST)
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
