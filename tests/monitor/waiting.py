"""Waiting for what another thread does and tells nobody."""

from __future__ import annotations

import time

PATIENCE = 20.0


def wait_for(condition):
    """Return what a condition returns once that is true; fail when it never is."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return found
