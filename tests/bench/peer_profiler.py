"""Measure phanos, in the environment that it is installed in; `profiler` runs this.

Run as ``python peer_profiler.py <folder of the project> <calls> <repeats>``; the figures are printed as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

# The project's folder is on the path for its benchmarks only.
sys.path[0] = sys.argv[1]
from tests.bench.floor import floor, noop  # noqa: E402
from tests.bench.measure import calling, compare  # noqa: E402
from tests.bench.profiled_calls import windows  # noqa: E402

del sys.path[0]

if __name__ == "__main__":
    library: Any = importlib.import_module("phanos")
    calls, repeats = int(sys.argv[2]), int(sys.argv[3])
    found = {
        label: compare(calling(floor(noop)), window, calls=calls, repeats=repeats)
        for label, window in windows(library, library.publisher.SyncBaseHandler).items()
    }
    print(json.dumps(found), flush=True)
