"""`time-execution tail` when there is nothing to show as yet: it says what it waits for, and waits."""

from __future__ import annotations

import json
import sys

import pytest

from tests.cli.conftest import popen
from time_execution.backends.sqlite import SQLiteBackend
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


def test_shows_none_of_the_last_without_a_word(command, tmp_path):
    """Asked to begin with none of the last, it has nothing to remark."""
    store(tmp_path / "metrics.db", "other")
    done = command("tail", "--no-follow", "-n", "0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
