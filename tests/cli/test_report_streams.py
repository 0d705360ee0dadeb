"""Output that cannot be written and arguments that cannot be read end a command in a line, with a status of its own."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import environment
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.delivery.deadletter import DeadLetters
from time_execution.types import Metric

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell redirections")
READERS = pytest.mark.parametrize(
    "arguments",
    [
        "report m.db",
        "report m.db --json",
        "tail m.db --no-follow -n 5000",
        "tail m.db",
        "spool list letters",
        "spool show letters",
    ],
)


def store(path, *names):
    with SQLiteBackend(path) as backend:
        backend.write_many([Metric({"name": name, "value": 1.0, "timestamp": 0}) for name in names])


@pytest.fixture
def shell(tmp_path):
    """Return a function that runs ``time-execution`` with redirections, beside a database and dead letters."""
    store(tmp_path / "m.db", *(f"function{n}" for n in range(2000)))
    DeadLetters(tmp_path / "letters").append(Metric({"name": "f"}, id="1-1"), "bad")

    def run(arguments):
        command = f"{shlex.quote(sys.executable)} -m time_execution {arguments}"
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=tmp_path,
            env=environment(PYTHONUNBUFFERED=""),  # what a buffer holds at the end is part of the matter
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@READERS
def test_a_full_disk_under_the_output_is_a_line(shell, arguments):
    """What was asked for could not be written: that is said once, and nothing else."""
    done = shell(f"{arguments} > /dev/full")
    assert (done.returncode, done.stderr) == (1, "time-execution: cannot write: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    "arguments", ["spool show letters -n 0", "report m.db --json -n 0", "tail m.db --no-follow -n 5000"]
)
def test_a_full_disk_in_the_middle_of_the_output_is_a_line(shell, tmp_path, arguments):
    """Also where it is noticed long before the end, and by the command itself."""
    letters = DeadLetters(tmp_path / "letters")
    for number in range(200):
        letters.append(Metric({"name": "f", "note": "x" * 100}, id=f"1-{number}"), "bad")
    done = shell(f"{arguments} > /dev/full")
    assert (done.returncode, done.stderr) == (1, "time-execution: cannot write: No space left on device\n")


@READERS
def test_a_closed_output_is_a_line(shell, arguments):
    """Without a standard output nothing is begun."""
    done = shell(f"{arguments} >&-")
    assert (done.returncode, done.stderr) == (1, "time-execution: cannot write: standard output is closed\n")


def test_a_purge_without_an_output_removes_nothing(shell, tmp_path):
    """A file opened in the place of the output might be written to as if it were the output."""
    assert shell("spool purge letters --yes >&-").returncode == 1
    assert (tmp_path / "letters").exists()


@pytest.mark.parametrize(
    "arguments",
    ["report m.db", "report m.db --json -n 0", "tail m.db --no-follow -n 5000 --json", "tail m.db --no-follow -n 1"],
)
def test_a_reader_that_has_seen_enough_changes_no_status(shell, arguments):
    """However much was left to write when the reader went, it is success, without a word."""
    done = shell(f"{arguments} | head -1")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def test_a_reader_that_was_never_there_is_no_error(shell):
    """Nor does what is left in a buffer to the last leave a word of the interpreter's."""
    done = shell("report m.db -n 1 | true")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("report", "--limit", "x"), "argument -n/--limit: 'x' is no whole number of 0 or more"),
        (("report", "-n", "-1"), "argument -n/--limit: '-1' is no whole number of 0 or more"),
        (("tail", "-n", "x"), "argument -n/--lines: 'x' is no whole number from 0 to 5000"),
        (("tail", "-n", "5001"), "argument -n/--lines: '5001' is no whole number from 0 to 5000"),
        (("tail", "--interval", "nan"), "argument --interval: 'nan' is no number of seconds from 0.05 to 3600"),
        (("tail", "--interval", "fast"), "argument --interval: 'fast' is no number of seconds from 0.05 to 3600"),
        (("report", "--nope"), "unrecognized arguments: --nope"),
        (("tail", "m.db", "more"), "unrecognized arguments: more"),
        (("spool", "list", "x", "--nope"), "unrecognized arguments: --nope"),
        (("run", "--nope", "x.py"), "unrecognized arguments: --nope"),
    ],
)
def test_wrong_usage_is_told_by_the_command_at_hand(in_process, arguments, said):
    """The usage shown is that of what was asked for, and no name of ours is in the message."""
    done = in_process(*arguments)
    words = " ".join(arguments[: 2 if arguments[0] == "spool" else 1])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"usage: time-execution {words} ")
    assert done.stderr.endswith(f"error: {said}\n")


def test_what_a_command_runs_into_is_a_line(in_process, tmp_path, monkeypatch):
    """An error of the system that no command expects leaves no traceback."""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "m.db")

    monkeypatch.setattr("time_execution.cli.tail.tail", refuse)
    store(tmp_path / "m.db")
    done = in_process("tail", "m.db", "--no-follow")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "time-execution: [Errno 13] Permission denied: 'm.db'\n"


@pytest.mark.parametrize("count", [3, 8], ids=["fewer", "more"])
def test_follows_a_database_that_takes_the_place_of_another(follow, tmp_path, count):
    """A file that is moved there between two looks is shown from its first metric on, whatever ids the former had."""
    path = tmp_path / "metrics.db"
    store(path, *["old"] * 5)
    store(tmp_path / "new.db", *["new"] * count)
    shown = follow(lambda: (tmp_path / "new.db").replace(path), lambda: store(path, "newest"))
    assert shown == ["old"] * 5 + ["new"] * count + ["newest"]


@pytest.mark.parametrize("count", [0, 3])
def test_follows_a_database_that_begins_anew(follow, tmp_path, monkeypatch, count):
    """One that was made again in the place of the former, which the system may call the same, is told by its ids."""
    monkeypatch.setattr("time_execution.cli.tail._file_at", lambda _: (1, 1))
    path = tmp_path / "metrics.db"

    def begin_anew():
        path.unlink()
        store(path, *["new"] * count)

    store(path, *["old"] * 5)
    assert follow(begin_anew, lambda: store(path, "newest")) == ["old"] * 5 + ["new"] * count + ["newest"]
