"""`time-execution run` on a terminal: what is shown while the rest is stored at the end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.conftest import environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of its own")


def on_terminal(folder, *arguments):
    """Run the command with a terminal for its stderr, and return what was shown there."""
    import pty

    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "time_execution", "run", *arguments], cwd=folder, env=environment(), stderr=theirs
    ) as child:
        os.close(theirs)
        shown = bytearray()
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # what a terminal says once its other end is closed
                break
            if not part:
                break
            shown += part
    os.close(ours)
    assert child.returncode == 0
    return shown.decode()


@pytest.fixture
def many_calls(script):
    """Write a program that makes calls faster than they can be stored."""
    return script("def f(): pass\nfor _ in range(150_000): f()\n")


def test_storing_the_rest_is_shown(tmp_path, many_calls):
    """A wait at the end that is long enough to be noticed shows how much is left, and leaves no trace of that."""
    shown = on_terminal(tmp_path, many_calls)
    assert " left\x1b[K" in shown
    assert shown.index("storing metrics:") < shown.index("\r\x1b[K") < shown.index("150,000 calls measured, none lost")


def test_quiet_shows_nothing(tmp_path, many_calls):
    """Asked to be quiet, it is so in the end, too."""
    assert on_terminal(tmp_path, "--quiet", many_calls) == ""
