"""`time-execution tail` when there is nothing to show as yet: it says what it waits for, and waits."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from tests.cli.conftest import popen
from tests.cli.test_table import Terminal
from time_execution import report
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.cli.table import Screen
from time_execution.cli.tail import _line
from time_execution.types import Metric

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")
FOLLOW = ("tail", "--interval", "0.05", "--json")


def store(path, *names):
    with SQLiteBackend(path) as backend:
        backend.write_many([Metric({"name": name, "value": 1.0, "timestamp": 0}) for name in names])


def interrupt(child):
    """End it as Ctrl-C does; returns what it has said since."""
    child.send_signal(2)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 130
    return errors


def test_waits_for_a_file_that_is_not_there(tmp_path):
    """Started before the program, it says so and shows all from the first metric on."""
    child = popen(tmp_path, *FOLLOW)
    assert child.stderr.readline() == (
        "time-execution: there is no metrics database at metrics.db yet; waiting for one (Ctrl-C ends)\n"
    )
    store(tmp_path / "metrics.db", "first", "second")
    assert [json.loads(child.stdout.readline())["name"] for _ in range(2)] == ["first", "second"]
    assert interrupt(child) == ""


def test_waits_for_the_first_metric(tmp_path):
    """A database without a metric is waited on, too, also while it is being made."""
    (tmp_path / "metrics.db").touch()
    child = popen(tmp_path, *FOLLOW)
    assert "there is no metrics database at metrics.db yet; waiting" in child.stderr.readline()
    store(tmp_path / "metrics.db")
    second = popen(tmp_path, *FOLLOW)
    assert "metrics.db has no metric yet; waiting for one" in second.stderr.readline()
    store(tmp_path / "metrics.db", "first")
    for each in (child, second):
        assert json.loads(each.stdout.readline())["name"] == "first"
        assert interrupt(each) == ""


def test_waits_for_a_name_that_matches(tmp_path):
    """A pattern that matches nothing so far is told, and matched by what comes."""
    store(tmp_path / "metrics.db", "other", "another")
    child = popen(tmp_path, *FOLLOW, "--pattern", "shop.*")
    assert child.stderr.readline() == (
        "time-execution: none of the last 2 metrics has a name that matches 'shop.*'; waiting for one (Ctrl-C ends)\n"
    )
    store(tmp_path / "metrics.db", "other", "shop.pay")
    assert json.loads(child.stdout.readline())["name"] == "shop.pay"
    assert interrupt(child) == ""


def test_says_what_is_missing_and_ends_when_it_does_not_follow(command, tmp_path):
    """Without following, no metric is no failure, and no database is one."""
    done = command("tail", "--no-follow")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no metrics database" in done.stderr
    store(tmp_path / "metrics.db", "other")
    done = command("tail", "--no-follow", "--pattern", "shop.*")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "time-execution: none of the last 1 metrics has a name that matches 'shop.*'\n"


def test_a_document_has_what_was_written_and_no_more(command, tmp_path):
    """A metric without a number or a host has no such key, as in the other stores."""
    with SQLiteBackend(tmp_path / "metrics.db") as backend:
        backend.write_many([Metric({"name": "deploy", "timestamp": 0, "note": None}, kind="event")])
    done = command("tail", "--no-follow", "--json")
    assert json.loads(done.stdout) == {"name": "deploy", "timestamp": "1970-01-01T00:00:00.000000Z", "note": None}


def test_shows_none_of_the_last_without_a_word(command, tmp_path):
    """Asked to begin with none of the last, it has nothing to remark."""
    store(tmp_path / "metrics.db", "other")
    done = command("tail", "--no-follow", "-n", "0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_comes_after_a_file_was_gone_counts_from_its_beginning(follow, tmp_path, monkeypatch):
    """Though the system calls it the same, and it has more metrics than the former by the time we look."""
    path = tmp_path / "metrics.db"

    def file_at(_):
        path.stat() if path.exists() else report.read(path)
        return 1, 1

    monkeypatch.setattr("time_execution.cli.tail._file_at", file_at)
    store(path, *["old"] * 3)
    assert follow(path.unlink, lambda: store(path, *["new"] * 5)) == ["old"] * 3 + ["new"] * 5


def test_with_a_pattern_it_looks_further_back(in_process, tmp_path):
    """What matches may lie before the last few of all."""
    store(tmp_path / "metrics.db", "shop.a", "shop.b", "shop.c", *["other"] * 20)
    done = in_process("tail", "--no-follow", "--json", "-n", "2", "--pattern", "shop.*")
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["shop.b", "shop.c"]


def test_what_was_stored_long_before_is_not_shown_later(follow, tmp_path, monkeypatch):
    """A pattern that none of the last metrics matches is for those to come."""
    monkeypatch.setattr("time_execution.cli.tail._PAGE", 3)
    path = tmp_path / "metrics.db"
    store(path, "shop.old", "x", "x", "x")
    told = "none of the last 3 metrics has a name that matches 'shop.*'; waiting for one (Ctrl-C ends)"
    shown = follow(
        lambda: store(path, "shop.new"),
        options=("--pattern", "shop.*", "-n", "1"),
        told=f"time-execution: {told}\n",
    )
    assert shown == ["shop.new"]


def test_a_line_is_red_for_a_failure_and_fits_the_terminal(monkeypatch):
    """No longer than the terminal is wide, and without a letter that would steer it."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    call = report.Call(1, "shop.\x1bpay", 1240.0, "h", 0, is_error=True, fields={"note": "x" * 100, "n": [1]})
    line = _line(Screen(Terminal()), call)
    assert line.startswith("\x1b[31m")
    assert line.endswith("…\x1b[0m")
    assert len(line) == 40 + len("\x1b[31m\x1b[0m")
    assert "shop.\\x1bpay" in line
    fine = _line(Screen(Terminal()), replace(call, is_error=False, fields={}))
    assert fine.endswith("1.24 s   shop.\\x1bpay")
    assert "\x1b" not in fine


def test_labels_are_shown_once(tmp_path, in_process):
    """A line has the name alone, since the fields follow; so has the document, which is as it was written."""
    path = tmp_path / "metrics.db"
    fields = {"name": "http", "value": 1.0, "timestamp": 0, "route": "/", "status": 200}
    with SQLiteBackend(path) as backend:
        backend.write_many([Metric(fields, labels=("route", "status"))])
    (call,) = report.tail(path)
    assert _line(Screen(Terminal()), call).endswith("http  route=/ status=200")
    for pattern in ("http", "*status=200}"):
        done = in_process("tail", str(path), "--no-follow", "--json", "--pattern", pattern)
        assert json.loads(done.stdout) == {**fields, "timestamp": "1970-01-01T00:00:00.000000Z"}
