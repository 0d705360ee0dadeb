"""Run the benchmarks: ``python -m tests.bench [--quick | --full] [--only NAME …] [--write docs/performance.rst]``.

Each section prints a table. With ``--write`` each table also takes the place of the one of its name in a document,
between ``.. bench: NAME`` and ``.. bench: end``; the prose around it is left alone.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.bench import calls, dashboard, delivery, logs, monitoring, peers, sources, startup, stores, timer, web
from tests.bench.bench_sqlite import TURN
from tests.bench.measure import Table


class Size(NamedTuple):
    """How long a run may take: windows for a call, repeats of what takes seconds, rows and calls of everything else."""

    windows: int
    repeats: int
    queues: tuple[int, ...]
    rows: int
    sqlite_rows: int
    report_rows: int
    program_calls: int


QUICK = Size(100, 2, (50_000,), 20_000, 2 * TURN, 100_000, 50_000)
NORMAL = Size(600, 5, (100_000, 1_000_000), 100_000, 6 * TURN, 1_000_000, 200_000)
FULL = Size(1500, 7, (100_000, 1_000_000), 200_000, 16 * TURN, 10_000_000, 200_000)

SECTIONS: dict[str, Callable[[Size, Path], Table]] = {
    "calls": lambda size, _: calls.calls_table(size.windows),
    "growth": lambda size, _: calls.growth_table(size.windows),
    "peers": lambda size, _: peers.peers_table(size.windows),
    "timer": lambda size, _: timer.timer_table(size.windows),
    "tracker": lambda size, _: sources.tracker_table(size.windows),
    "profiler": lambda size, _: sources.profiler_table(size.windows),
    "logs": lambda size, _: logs.logs_table(size.windows),
    "monitoring": lambda size, _: monitoring.monitoring_table(size.windows),
    "web": lambda size, _: web.web_table(size.repeats, 2),
    "dashboard": lambda size, folder: dashboard.dashboard_table(folder, size.report_rows, rounds=2 * size.repeats),
    "drain": lambda size, _: delivery.drain_table(size.queues),
    "memory": lambda size, _: delivery.memory_table(max(size.queues)),
    "sqlite": lambda size, folder: stores.sqlite_table(folder, size.sqlite_rows),
    "report": lambda size, folder: stores.report_table(folder, size.report_rows),
    "files": lambda size, folder: stores.files_table(folder, size.rows),
    "spool": lambda size, folder: delivery.spool_table(folder, size.rows),
    "import": lambda size, _: startup.import_table(5 * size.repeats),
    "run": lambda size, folder: startup.run_table(folder, size.program_calls, size.repeats),
}


def machine() -> str:
    """Return what was measured on, in general terms."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    month = time.strftime("%B %Y", time.gmtime())
    return f"{python} on {platform.system()}, {platform.machine()}, {os.cpu_count()} processors, {month}."


def insert(document: str, name: str, text: str) -> str:
    """Return a document with a marker's text replaced.

    Raises:
        ValueError: When the document does not have that marker once.
    """
    pattern = re.compile(rf"(\.\. bench: {re.escape(name)}\n\n).*?(\n\.\. bench: end\n)", re.DOTALL)
    found, count = pattern.subn(lambda match: match[1] + text + match[2], document)
    if count != 1:
        raise ValueError(f"the document has the marker {name!r} {count} times")
    return found


def main() -> int:
    """Measure, print, and write down."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_const", const=QUICK, dest="size", help="under a minute; rougher")
    length.add_argument("--full", action="store_const", const=FULL, dest="size", help="more windows, 10 million rows")
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="NAME", help="a section; may be repeated")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="put the tables into a document")
    parser.set_defaults(size=NORMAL)
    options = parser.parse_args()
    written = {"machine": machine() + "\n"}
    print(written["machine"])
    for name in options.only or SECTIONS:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            written[name] = SECTIONS[name](options.size, Path(folder)).render()
        print(f"{name} ({time.perf_counter() - started:.0f} s)\n{written[name]}", flush=True)
    if options.write is not None:
        document = options.write.read_text(encoding="utf-8")
        for name, text in written.items():
            document = insert(document, name, text)
        options.write.write_text(document, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
