"""Processes that a test runs, kills and questions, and what they stored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MARGIN = 0.5
"""What I4 allows beyond shutdown_timeout, in seconds."""
BUSY = 1.5
"""What a machine that runs other tests may add to the end of an interpreter, in seconds."""

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, kills and signals need POSIX")


@dataclass(frozen=True)
class Stored:
    """A line of a `FileSink`."""

    pid: int
    name: str
    value: str
    id: str


def stored_in(path: Path) -> list[Stored]:
    """Return what a `FileSink` wrote; none when there is no file."""
    if not path.exists():
        return []
    lines = [line.split(" ") for line in path.read_text().splitlines()]
    return [Stored(int(pid), name, value, key) for pid, name, value, key in lines]


@dataclass(frozen=True)
class Outcome:
    """How a child ended."""

    code: int
    out: str
    err: str


_PRELUDE = """
import faulthandler, os, sys, threading, time, warnings
# Python 3.12 and later warn at each fork of a process with threads.
warnings.filterwarnings("ignore", "This process", DeprecationWarning)
from tests.faults.harness import *
from time_execution import *
sink = {sink!r}
def ack(text):
    print(text, flush=True)
"""


class Child:
    """A Python process that runs a script, and tells through its standard output how far it is.

    In the script, ``sink`` is the path of `Child.sink`, ``ack(text)`` writes a line, the names of the harness and of
    `time_execution` are there. One that hangs is aborted, together with what it forked, and shows the stack of every
    thread. (`faulthandler.dump_traceback_later` would do that from within, but a fork then hangs in its own clean-up.)

    Args:
        folder: Where its files go.
        script: What it runs.
        limit: The most seconds it may take.
    """

    def __init__(self, folder: Path, script: str, *, limit: float = 20.0, interpreter: Sequence[str] = ()) -> None:
        self.sink = folder / "sink.txt"
        self._limit = limit
        file = folder / "script.py"
        file.write_text(_PRELUDE.format(sink=str(self.sink)) + textwrap.dedent(script))
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
        self.process = subprocess.Popen(
            [sys.executable, *interpreter, str(file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment,
            start_new_session=True,  # so that what it forked can be killed with it
        )
        self._lines: list[str] = []

    def wait_for(self, text: str) -> float:
        """Wait for a line of its output; returns the moment (monotonic seconds)."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)
            if line.strip() == text:
                return time.monotonic()
        raise AssertionError(f"the child ended without saying {text!r}: {self.finish()}")

    def end(self) -> tuple[Outcome, float]:
        """Wait for its last word, ``end``, and for its end; returns how it ended, and how many seconds later."""
        ended = self.wait_for("end")
        return self.finish(), time.monotonic() - ended

    def finish(self) -> Outcome:
        """Wait for its end."""
        try:
            out, err = self.process.communicate(timeout=self._limit)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGABRT)  # each shows its stacks
            out, err = self.process.communicate()
            raise AssertionError(f"the child, or one of its own, hangs: {out}\n{err}") from None
        return Outcome(self.process.returncode, "".join(self._lines) + out, err)

    def stored(self) -> list[Stored]:
        """Return what its `FileSink` wrote."""
        return stored_in(self.sink)


def run(folder: Path, script: str, **options: Any) -> tuple[Outcome, list[Stored]]:
    """Run a script in a child to its end; returns how it ended and what it stored."""
    child = Child(folder, script, **options)
    outcome = child.finish()
    return outcome, child.stored()


def values(stored: Iterable[Stored]) -> list[int]:
    """Return the values of what was stored, sorted."""
    return sorted(int(line.value) for line in stored)
