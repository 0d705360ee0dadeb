"""What a profiled call costs with our profiler, and with the library that has the same interface."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import time_execution.profiler as phanos
from tests.bench.floor import floor, noop
from tests.bench.measure import Pair, Table, calling, compare
from tests.bench.peers import ROOT, environment
from tests.bench.profiled_calls import windows
from time_execution import settings
from time_execution.profiler.handlers import BaseHandler

LIBRARY = "phanos"
_CALLS = 300
_PATIENCE = 300.0


def ours(repeats: int) -> dict[str, Pair]:
    """Return the figures of our own profiler, with no backend configured, by label."""
    settings.configure(backends=(), hooks=())
    return {
        label: compare(calling(floor(noop)), window, calls=_CALLS, repeats=repeats)
        for label, window in windows(phanos, BaseHandler).items()
    }


def theirs(repeats: int) -> dict[str, Pair]:
    """Return the figures of the older library, by label; nothing when it is not to be had."""
    python = environment(LIBRARY)
    if python is None:
        return {}
    script = Path(__file__).with_name("peer_profiler.py")
    command = [python, "-E", "-W", "ignore", script, ROOT, str(_CALLS), str(repeats)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=_PATIENCE)
    return {label: Pair(*figures) for label, figures in json.loads(done.stdout).items()}


def profiler_table(repeats: int) -> Table:
    """Measure both; how many times as dear the older library is, is told by each one's ratio to the same floor."""
    table = Table("profiler", "A call", "floor, ns", "call, ns", f"{LIBRARY}, ns", "times as dear", "goal")
    found, peer = ours(repeats), theirs(repeats)
    for label, pair in found.items():
        other = peer.get(label)
        figures = ("", "") if other is None else (f"{other.cost:,.0f}", f"{other.ratio / pair.ratio:.1f}")
        table.add(label, f"{pair.floor:.0f}", f"{pair.cost:,.0f}", *figures, "3.0")
    phanos.profiler.delete_handlers()
    settings.reset()
    return table
