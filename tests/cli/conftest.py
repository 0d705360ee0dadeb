"""The real command in a process of its own, and what it stored."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from time_execution.report import read

ROOT = Path(__file__).parents[2]


def environment(**changes):
    """Return the environment of a child that imports this package, whatever folder it runs in."""
    clean = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "NO_COLOR"}}
    return clean | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "TZ": "UTC"} | changes


def popen(folder, *arguments):
    """Start ``time-execution`` in a folder, its output in pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "time_execution", *map(str, arguments)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def command(tmp_path):
    """Return a function that runs ``time-execution`` with arguments in `tmp_path`."""

    def run(*arguments, timeout=60, **changes):
        return subprocess.run(
            [sys.executable, "-m", "time_execution", *map(str, arguments)],
            cwd=tmp_path,
            env=environment(**changes),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def python(tmp_path):
    """Return a function that runs ``python`` with arguments in `tmp_path`."""

    def run(*arguments, timeout=60):
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def counts(tmp_path):
    """Return a function that reads ``{name: (calls, errors)}`` from a database."""

    def of(name="metrics.db"):
        return {row.name: (row.calls, row.errors) for row in read(tmp_path / name)}

    return of
