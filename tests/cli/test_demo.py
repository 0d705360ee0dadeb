"""The demonstrations: each a real program, measured and reported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.conftest import ROOT, environment


def test_demo_command_measures_and_reports(command, counts):
    """The command runs a real program, prints its report, and keeps the database when told where."""
    done = command("demo", "--db", "demo.db", "--limit", "5")
    assert done.returncode == 0, done.stderr
    assert "none lost" in done.stderr
    assert "function" in done.stdout
    assert sum(calls for calls, _ in counts("demo.db").values()) > 10


def test_example_measures_docutils_two_ways():
    """What `make demo` runs prints two reports of one conversion, with the main function of each."""
    pytest.importorskip("docutils")
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("p95") == 2
    assert "docutils.core.publish_file" in done.stdout
    assert "docutils.__main__.main" in done.stdout
    assert "none lost" in done.stderr
