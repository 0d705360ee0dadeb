"""What importing the package costs, and what running an unmodified program under ``time-execution run`` does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.bench.floor import floor, noop
from tests.bench.measure import Table, best, calling

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import time

def leaf(number):
    return number + 1

def work(calls):
    for number in range(calls):
        leaf(number)

started = time.perf_counter()
work({calls})
print("seconds", time.perf_counter() - started)
"""


def python(*arguments: str, module_time: bool = False) -> subprocess.CompletedProcess[str]:
    """Run this interpreter with the package on its path, and compiled modules kept, as installers do."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, *(("-X", "importtime") if module_time else ()), *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True)


def self_times(statement: str) -> dict[str, int]:
    """Return the microseconds that each module imported by a statement took by itself."""
    found: dict[str, int] = {}
    for line in python("-c", statement, module_time=True).stderr.splitlines():
        time_taken, _, module = line.removeprefix("import time:").split("|")
        if time_taken.strip().isdigit():
            found[module.strip()] = int(time_taken)
    return found


def import_milliseconds(module: str, repeats: int) -> float:
    """Return what importing a module costs beyond the bare interpreter: the least of each module's own time, summed."""
    python("-c", f"import {module}")  # compiles what is not compiled yet
    bare = self_times("pass")
    runs = [self_times(f"import {module}") for _ in range(repeats)]
    return sum(min(run.get(name, 0) for run in runs) for name in runs[0] if name not in bare) / 1000


def import_table(repeats: int) -> Table:
    """Measure importing the package, beside modules of the standard library that most programs import."""
    ours = import_milliseconds("time_execution", repeats)
    table = Table("import", "Imported", "ms", "to ours", "goal")
    table.add("time_execution", f"{ours:.1f}", "1.00", "40")
    for module in ("logging", "asyncio", "unittest.mock"):
        other = import_milliseconds(module, repeats)
        table.add(module, f"{other:.1f}", f"{other / ours:.2f}", "")
    return table


def program_seconds(script: Path, *options: str) -> float:
    """Return the seconds that a program says it took."""
    words = python(*options, str(script)).stdout.split()
    return float(words[words.index("seconds") + 1])


def run_table(folder: Path, calls: int, repeats: int) -> Table:
    """Measure a program of nothing but calls, as it is and under ``time-execution run``."""
    script = folder / "program.py"
    script.write_text(PROGRAM.format(calls=calls), encoding="utf-8")
    window = calling(floor(noop))
    base = best(lambda: window(1000) / 1000, 300)
    options = ("-m", "time_execution", "run", "--db", str(folder / "run.db"))
    plain = best(lambda: program_seconds(script), repeats)
    measured = best(lambda: program_seconds(script, *options, "--pattern", "__main__.leaf"), repeats)
    spared = best(lambda: program_seconds(script, *options, "--pattern", "no.such.*"), repeats)
    table = Table("run", f"A program of {calls:,} calls", "seconds", "ns a call more", "to the floor")
    table.add("as it is", f"{plain:.3f}", "", "")
    for label, seconds in (("run, no function matches", spared), ("run, every call measured", measured)):
        more = (seconds - plain) / calls * 1e9
        table.add(label, f"{seconds:.3f}", f"{more:.0f}", f"{more / base:.2f}")
    return table
