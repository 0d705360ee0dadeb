"""`time-execution spool purge`: what is asked before anything goes, and what an option keeps from going."""

from __future__ import annotations

import io

import pytest

from tests.cli.test_spool_command import metrics
from time_execution.delivery.spool import Spool, inspect_folder


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self):
        return True


@pytest.fixture
def folder(tmp_path):
    """Make a spool of two backends, five metrics each, whose processes are gone."""
    for name in ("First", "Second"):
        store = Spool(tmp_path / "spool").open(name)
        store.append(metrics(5))
        store.close()
    return tmp_path / "spool"


def rows(folder):
    """Return how many metrics lie there, by backend."""
    found: dict[str, int] = {}
    for file in inspect_folder(folder):
        found[file.name] = found.get(file.name, 0) + file.rows
    return found


@pytest.mark.parametrize("answer", ["y\n", "Y\n", "yes\n", " YES \n"])
def test_a_yes_removes(in_process, folder, monkeypatch, answer):
    """Asked on a terminal, and told so."""
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    done = in_process("spool", "purge", folder)
    assert done.returncode == 0
    assert done.stdout == f"Remove metrics from {folder} for good? [y/N] "
    assert "10 metrics removed" in done.stderr
    assert sum(rows(folder).values()) == 0


@pytest.mark.parametrize("answer", ["\n", "n\n", "no\n", "maybe\n", "yess\n", ""])
def test_anything_else_removes_nothing(in_process, folder, monkeypatch, answer):
    """Nor does an end of the input, as of Ctrl-D."""
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    done = in_process("spool", "purge", folder)
    assert done.returncode == 1
    assert done.stderr == "time-execution: nothing was removed; --yes removes without asking\n"
    assert rows(folder) == {"First": 5, "Second": 5}


@pytest.mark.parametrize("stdin", [io.StringIO("y\n"), None], ids=["a pipe", "none"])
def test_what_is_no_terminal_is_not_asked(in_process, folder, monkeypatch, stdin):
    """A yes that was meant for something else, or no input at all, removes nothing."""
    monkeypatch.setattr("sys.stdin", stdin)
    assert in_process("spool", "purge", folder).returncode == 1
    assert rows(folder) == {"First": 5, "Second": 5}


def test_a_name_spares_the_others(in_process, folder):
    """Only what was meant for that backend goes."""
    assert "5 metrics removed" in in_process("spool", "purge", folder, "--yes", "--name", "First").stderr
    assert {name: count for name, count in rows(folder).items() if count} == {"Second": 5}


def test_a_process_at_work_is_spared_unless_forced(in_process, folder):
    """Its file is left alone, which is said; with --force its metrics go, too."""
    with_owner = Spool(folder).open("Third")
    with_owner.append(metrics(3))
    done = in_process("spool", "purge", folder, "--yes")
    assert done.returncode == 0
    assert "10 metrics removed" in done.stderr
    assert "1 file of processes at work left alone; --force would remove from these, too" in done.stderr
    assert rows(folder)["Third"] == 3
    done = in_process("spool", "purge", folder, "--yes", "--force")
    assert "3 metrics removed" in done.stderr
    assert "left alone" not in done.stderr
    assert sum(rows(folder).values()) == 0
    with_owner.close()


def test_progress_is_for_terminals(in_process, folder):
    """What a replay says in a log file is one line, without a trace of how it came about."""
    done = in_process("spool", "replay", folder, "--to", "memory://")
    assert done.stderr == "time-execution: 10 metrics stored and removed\n"
