"""Other libraries that measure calls, each in an environment of its own and against the floor of its own process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from tests.bench.calls import direct_writer, hook_observing, run, threaded_burst
from tests.bench.measure import Pair, Table
from time_execution import settings

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".bench-envs"
_PATIENCE = 300.0

PEERS = {
    "timeexecution": ("timeexecution==8.4.3",),
    "prometheus_client": ("prometheus_client==0.26.0",),
    "opentelemetry-sdk": ("opentelemetry-api==1.45.2", "opentelemetry-sdk==1.45.2"),
    "datadog": ("datadog==0.56.0",),
}
# Those whose interface a source of ours has, each with a table of its own.
SOURCES = {
    "goblinfish-metrics-trackers": ("goblinfish-metrics-trackers==1.0.5",),
    "phanos": ("phanos==0.3.2",),
}


def environment(name: str, packages: Sequence[str] | None = None) -> Path | None:
    """Return the interpreter of an environment, made at the first need; None when that fails.

    Args:
        name: What it is called: that of a library to compare with, or another.
        packages: What is installed in it; by default what that library wants.
    """
    folder = ENVIRONMENTS / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    python, stamp = folder / "bin" / "python", folder / "installed"
    packages = (PEERS | SOURCES)[name] if packages is None else packages
    wanted = " ".join(packages)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"Installing {wanted}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    if subprocess.run(command, check=False).returncode:
        return None
    stamp.write_text(wanted, encoding="utf-8")
    return python


def measure(library: str, repeats: int) -> list[tuple[str, Pair]] | None:
    """Return each of a library's ways and its figures; None when it is not to be had."""
    python = environment(library)
    if python is None:
        return None
    script = Path(__file__).with_name("peer.py")
    command = [python, "-E", script, ROOT, library, str(repeats)]  # -E: our own package must not be on the path
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=_PATIENCE)
    return [(label, Pair(*figures)) for label, figures in json.loads(found.stdout)]


def peers_table(repeats: int) -> Table:
    """Measure the peers, and ourselves beside them."""
    table = Table("peers", "A call", "floor, ns", "call, ns", "ratio", "median")
    for make in (threaded_burst, direct_writer, hook_observing):
        case = make()
        _add(table, f"ours: {case.label}", run(case, repeats))
        settings.reset()
    for library, packages in PEERS.items():
        found = measure(library, repeats)
        if found is None:
            table.add(f"{library}: could not be installed", "", "", "", "")
        for label, pair in found or ():
            _add(table, f"{packages[-1].replace('==', ' ')}: {label}", pair)
    return table


def _add(table: Table, label: str, pair: Pair) -> None:
    table.add(label, f"{pair.floor:.0f}", f"{pair.cost:,.0f}", f"{pair.ratio:,.2f}", f"{pair.median:,.2f}")
