"""Measure a real program, unmodified, and show the report.

The program is docutils, turning a document into HTML; where it is not installed, the standard library's own
`python -m compileall` does instead.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from time_execution.cli.bounds import whole
from time_execution.cli.say import say
from time_execution.cli.table import Screen

_TEXT = """\
A document
==========

Some *reStructuredText* with a `link <https://example.org>`_ and a table:

========  ====
function  cost
========  ====
f         1 ms
g         2 ms
========  ====

.. note:: Everything below was measured while this was turned into HTML.

"""
_PARAGRAPHS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "document", nargs="?", type=Path, help="a reStructuredText file to convert (default: one of our own)"
    )
    parser.add_argument("--db", type=Path, metavar="FILE", help="where to store metrics (default: a temporary file)")
    parser.add_argument(
        "-n", "--limit", type=whole(0), default=15, metavar="N", help="show so many functions (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the program in a process of its own, then the report."""
    with tempfile.TemporaryDirectory(prefix="time-execution-") as name:
        folder = Path(name)
        database = arguments.db or folder / "demo.db"
        for command in _commands(arguments, folder, database):
            _announce(command)
            status = subprocess.run([sys.executable, "-m", "time_execution", *command], check=False).returncode  # noqa: S603
            if status:
                return status
        if arguments.db is None:
            say("that was stored in a temporary file; --db FILE keeps it, to be looked at in other ways")
    return 0


def _commands(arguments: argparse.Namespace, folder: Path, database: Path) -> list[list[str]]:
    run_it = ["run", "--db", str(database), "--pattern"]
    if find_spec("docutils") is not None:
        document = arguments.document or _sample(folder)
        # Colours in code need a package that docutils does without, saying so at each block of code.
        program = ["-m", "docutils", "--report=severe", "--syntax-highlight=none"]
        run_it += ["docutils.*", *program, str(document), str(folder / "page.html")]
    else:
        (folder / "code").mkdir()
        source = Path(argparse.__file__).read_bytes()
        (folder / "code" / "argparse.py").write_bytes(source)
        run_it += ["compileall.*", "-m", "compileall", "-q", "-f", str(folder / "code")]
    return [run_it, ["report", str(database), "--limit", str(arguments.limit)]]


def _sample(folder: Path) -> Path:
    document = folder / "document.rst"
    section = "Section {0}\n----------\n\n- first **item** {0}\n- second ``item``\n\n"
    document.write_text(_TEXT + "".join(section.format(number) for number in range(_PARAGRAPHS)), "utf-8")
    return document


def _announce(command: list[str]) -> None:
    line = " ".join(["time-execution", *command])
    print(Screen(sys.stdout).bold(f"\n$ {line}"), flush=True)
