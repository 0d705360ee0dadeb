"""The command, in a process of its own or in this one, and what it stored."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from time_execution.cli import main
from time_execution.report import read

ROOT = Path(__file__).parents[2]
_started: list[subprocess.Popen[str]] = []


def environment(**changes):
    """Return the environment of a child that imports this package, whatever folder it runs in."""
    clean = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "NO_COLOR"}}
    return clean | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "TZ": "UTC"} | changes


def popen(folder, *arguments):
    """Start ``time-execution`` in a folder, its output in pipes; it does not outlive the test."""
    child = subprocess.Popen(
        [sys.executable, "-m", "time_execution", *map(str, arguments)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _started.append(child)
    return child


@pytest.fixture(autouse=True)
def _no_process_left():
    yield
    while _started:
        with _started.pop() as child:
            child.kill()


def run_python(folder, *arguments, timeout=60, encoding="utf-8", **changes):
    """Run ``python`` with arguments in a folder, and with changes to its environment."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding=encoding,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def python(tmp_path):
    """Return a function that runs ``python`` with arguments in `tmp_path`."""
    return functools.partial(run_python, tmp_path)


@pytest.fixture
def command(python):
    """Return a function that runs ``time-execution`` with arguments in `tmp_path`, as users do."""
    return functools.partial(python, "-m", "time_execution")


@pytest.fixture
def in_process(tmp_path, monkeypatch, capsys):
    """Return a function that does the same without starting an interpreter, for what does not depend on one."""

    def run(*arguments):
        arguments = [str(argument) for argument in arguments]
        capsys.readouterr()
        try:
            status = main(arguments)
        except SystemExit as exc:
            status = exc.code
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    with monkeypatch.context() as patched:
        patched.chdir(tmp_path)
        patched.setenv("TZ", "UTC")
        for name in ("COLUMNS", "NO_COLOR"):
            patched.delenv(name, raising=False)
        time.tzset()
        yield run
    time.tzset()


@pytest.fixture
def counts(tmp_path):
    """Return a function that reads ``{name: (calls, errors)}`` from a database."""

    def of(name="metrics.db"):
        return {row.name: (row.calls, row.errors) for row in read(tmp_path / name)}

    return of


@pytest.fixture
def script(tmp_path):
    """Return a function that writes a file in `tmp_path` and returns its name."""

    def write(text, name="script.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
        return name

    return write


@pytest.fixture
def follow(in_process, monkeypatch):
    """Return a function that follows ``metrics.db``, does something in each pause, and returns the names shown."""

    def run(*steps, options=(), told=""):
        todo = iter(steps)

        def pause(_):
            step = next(todo, None)
            if step is None:
                raise KeyboardInterrupt
            step()

        monkeypatch.setattr("time_execution.cli.tail.time.sleep", pause)
        done = in_process("tail", "--json", *options)
        assert (done.returncode, done.stderr) == (130, told)
        return [json.loads(line)["name"] for line in done.stdout.splitlines()]

    return run
