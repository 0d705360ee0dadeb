"""What a call costs with a source of ours, and with the library that has the same interface, on the same calls."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import time_execution.profiler as phanos
from tests.bench import profiled_calls, tracked_calls
from tests.bench.floor import floor, noop
from tests.bench.measure import Pair, Table, calling, compare
from tests.bench.peers import ROOT, environment
from time_execution import settings
from time_execution.profiler.handlers import BaseHandler
from time_execution.tracker import ProcessTracker

_CALLS = 300
_PATIENCE = 300.0


def tracker_table(repeats: int) -> Table:
    """Measure our tracker and its model, with an output that does nothing."""
    return _table("tracker", "goblinfish-metrics-trackers", tracked_calls.windows(ProcessTracker), repeats)


def profiler_table(repeats: int) -> Table:
    """Measure our profiler and its model, with a handler that does nothing."""
    table = _table("profiler", "phanos", profiled_calls.windows(phanos, BaseHandler), repeats)
    phanos.profiler.delete_handlers()
    return table


def _table(name: str, library: str, windows: dict[str, Callable[..., Any]], repeats: int) -> Table:
    """Measure both; how many times as dear the older library is, is told by each one's ratio to the same floor."""
    settings.configure(backends=(), hooks=())
    table = Table(name, "A call", "floor, ns", "call, ns", f"{library}, ns", "times as dear", "goal")
    found = against_floor(windows, _CALLS, repeats)
    theirs = _theirs(library, repeats)
    for label, pair in found.items():
        other = theirs.get(label)
        figures = ("", "") if other is None else (f"{other.cost:,.0f}", f"{other.ratio / pair.ratio:.1f}")
        table.add(label, f"{pair.floor:.0f}", f"{pair.cost:,.0f}", *figures, "3.0")
    settings.reset()
    return table


def against_floor(windows: dict[str, Callable[..., Any]], calls: int, repeats: int) -> dict[str, Pair]:
    """Return the figures of calls, by label."""
    return {
        label: compare(calling(floor(noop)), window, calls=calls, repeats=repeats) for label, window in windows.items()
    }


def _theirs(library: str, repeats: int) -> dict[str, Pair]:
    """Return the figures of the older library, by label; nothing when it is not to be had."""
    python = environment(library)
    if python is None:
        return {}
    script = Path(__file__).with_name("source_peer.py")
    command = [python, "-E", "-W", "ignore", script, ROOT, library, str(_CALLS), str(repeats)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=_PATIENCE)
    return {label: Pair(*figures) for label, figures in json.loads(done.stdout).items()}
