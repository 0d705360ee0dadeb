"""The demonstrations: each a real program, measured and reported."""

from __future__ import annotations

import pytest

from tests.cli.conftest import ROOT, run_python
from time_execution.cli import main


def test_demo_command_measures_and_reports(tmp_path, monkeypatch, capfd, counts):
    """The command runs a real program, prints its report, and keeps the database when told where."""
    monkeypatch.setattr("time_execution.cli.demo._PARAGRAPHS", 5)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert main(["demo", "--db", str(tmp_path / "demo.db"), "--limit", "5"]) == 0
    printed, told = capfd.readouterr()
    assert "none lost" in told
    assert "function" in printed
    assert sum(calls for calls, _ in counts("demo.db").values()) > 10


def test_a_limit_that_is_none_is_refused_before_the_program_runs(capsys):
    """It would be a pity afterwards."""
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--limit", "x"])
    assert ended.value.code == 2
    assert "--limit" in capsys.readouterr().err


def test_example_measures_docutils_two_ways(tmp_path):
    """What `make demo` runs prints two reports of one conversion, each with its main function, and leaves nothing."""
    pytest.importorskip("docutils")
    done = run_python(tmp_path, ROOT / "examples" / "demo.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("p95") == 2
    assert "docutils.core.publish_file" in done.stdout
    assert "docutils.__main__.main" in done.stdout
    assert "none lost" in done.stderr
    assert list(tmp_path.iterdir()) == []
