"""Measure a library whose interface one of our sources has, in the environment that it is installed in.

Run by `sources` as ``python source_peer.py <project folder> <library> <calls> <repeats>``; the figures are printed
as JSON. Standard library only, but for the library itself.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

# The project's folder is on the path for its benchmarks only.
sys.path[0] = sys.argv[1]
from tests.bench import profiled_calls, tracked_calls  # noqa: E402
from tests.bench.floor import floor, noop  # noqa: E402
from tests.bench.measure import calling, compare  # noqa: E402

del sys.path[0]


def windows_of(library: str) -> Any:
    """Return the calls to measure, by label."""
    if library == "phanos":
        phanos: Any = importlib.import_module("phanos")
        return profiled_calls.windows(phanos, phanos.publisher.SyncBaseHandler)
    trackers: Any = importlib.import_module("goblinfish.metrics.trackers")
    return tracked_calls.windows(trackers.ProcessTracker)


if __name__ == "__main__":
    calls, repeats = int(sys.argv[3]), int(sys.argv[4])
    found = {
        label: compare(calling(floor(noop)), window, calls=calls, repeats=repeats)
        for label, window in windows_of(sys.argv[2]).items()
    }
    print(json.dumps(found), flush=True)
