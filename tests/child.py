"""Code run by an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys


def printed_by(code):
    """Return the words that a piece of code prints, once it has run to success."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
