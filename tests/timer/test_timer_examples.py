"""The examples of the module that ours takes the place of, with only the import changed."""

from __future__ import annotations

import csv
import json
import shutil
import sys

import pytest

from tests.documents import ROOT, execute
from time_execution.timer import ErrorCatcher, Timer, sanitizer


@pytest.fixture
def logs(tmp_path):
    """Run the example, and return what it printed and the folder that it made."""
    shutil.copy(ROOT / "examples" / "timer_quick_start.py", tmp_path)
    printed = execute([sys.executable, "timer_quick_start.py"], tmp_path, "timer_quick_start.py")
    return printed, tmp_path / "logs"


def test_example_leaves_the_files_that_were_promised(logs):
    """Three files in logs/, and nothing else in the working folder."""
    printed, folder = logs
    assert sorted(path.name for path in folder.iterdir()) == ["error.log", "timing.log", "timing_results.csv"]
    assert {path.name for path in folder.parent.iterdir()} <= {
        "logs",
        "timer_quick_start.py",
        ".programs",
        "__pycache__",
    }
    assert "add: 15" in printed
    assert "multiply: 21" in printed
    assert printed.count("caught as expected") == 2


def test_example_has_a_timing_for_each_timed_call(logs):
    """Time, CPU time, memory change and final memory of each are in the log and in the table, arguments cleaned."""
    _, folder = logs
    records = [json.loads(line) for line in (folder / "timing.log").read_text(encoding="utf-8").splitlines()]
    found = [(record["function"], record["arguments"], record["outcome"]) for record in records]
    assert found == [
        ("__main__.add", "x=5, y=10", "ok"),
        ("__main__.multiply", "a=*, b=*", "ok"),
        ("__main__.multiply", "a=-*, b=*", "ValueError"),
    ]
    assert records[0]["wall_ms"] >= 20
    assert all(record[key] is not None for record in records for key in ("cpu_ms", "memory_change_bytes", "rss_bytes"))
    with (folder / "timing_results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["call_id"] for row in rows] == [record["call_id"] for record in records]


def test_example_has_an_error_for_each_exception(logs):
    """Messages and tracebacks are complete and cleaned, and an error has the id of its call's timing."""
    _, folder = logs
    timings = [json.loads(line) for line in (folder / "timing.log").read_text(encoding="utf-8").splitlines()]
    first, second = [json.loads(line) for line in (folder / "error.log").read_text(encoding="utf-8").splitlines()]
    assert first["message"] == "a test error with a secret *****!"
    assert first["traceback"].startswith("Traceback (most recent call last):\n")
    assert "in fail\n" in first["traceback"]
    assert "password" not in json.dumps(first)
    assert second["message"] == "Invalid value for a!"
    assert second["call_id"] == timings[2]["call_id"]


def test_every_line_is_also_on_the_console(logs):
    """By default records are printed, too, to the standard error stream."""
    printed, folder = logs
    for name in ("timing.log", "error.log"):
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            assert line in printed


def test_documents_name_every_parameter():
    """The page of the timer lists what both decorators take."""
    import inspect

    text = (ROOT / "docs" / "timer.rst").read_text(encoding="utf-8")
    for decorator in (Timer, ErrorCatcher):
        for parameter in inspect.signature(decorator).parameters:
            assert f"``{parameter}=" in text, parameter
    assert sanitizer.__name__ in text
