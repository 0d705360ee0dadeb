"""Letters that are replayed or purged, and go back: none is lost, whatever the disk or a backend does."""

from __future__ import annotations

import sys

import pytest

from tests.cli.letters import PURGE, REPLAY, path_fixture, values, write_letters  # noqa: F401 - a fixture
from tests.cli.test_spool_command import Store, metrics, replayed
from time_execution.cli import letters as letter_files
from time_execution.delivery.deadletter import DeadLetters
from time_execution.types import Metric


class Broken(Store):
    """Raises what no backend of ours would, and answers more than it was asked."""

    answer = None

    def write_many(self, metrics):
        if Broken.answer is None:
            raise ZeroDivisionError
        return Broken.answer


@pytest.fixture(autouse=True)
def _store_that_works():
    Store.calls_left = 10**9


def test_replay_loses_no_letter_for_want_of_room(path, monkeypatch):
    """More letters than a file of letters holds by default are all there after a replay that stored none."""
    writer = DeadLetters(path, max_bytes=1 << 30)
    for metric in metrics(20):
        writer.append(Metric({**metric, "pad": "x" * (1 << 20)}, id=metric.id), "too_large")
    before = path.read_bytes()
    Store.calls_left = 0
    outcome = replayed(path, Store, monkeypatch)
    assert (outcome.stored, outcome.left) == (0, 20)
    assert path.read_bytes() == before


def test_letters_that_go_back_are_met_once(path, monkeypatch):
    """Those of the earlier file that are refused again are counted, and asked about, once."""
    write_letters(path.with_name("letters.jsonl.1"), 1, name="bad")
    write_letters(path, 1, name="bad", first=1)
    outcome = replayed(path, Store, monkeypatch)
    assert dict(outcome.refused) == {"bad": 2}
    assert (outcome.left, values(path)) == (0, [0.0, 1.0])


def test_letters_that_cannot_be_put_back_stay_aside(path, monkeypatch):
    """A full disk ends the replay with every letter in a file, and the next one takes them up."""
    write_letters(path.with_name("letters.jsonl.1"), 1)
    write_letters(path, 2, first=1)
    Store.calls_left = 0
    with monkeypatch.context() as full:

        def refuse(*_):
            raise OSError(28, "No space left on device")

        full.setattr(DeadLetters, "put_back", refuse)
        outcome = replayed(path, Store, full)
    assert (outcome.stored, outcome.left, outcome.is_complete()) == (0, 3, False)
    assert "No space left on device" in outcome.told()
    assert not path.exists()
    assert sum(file.letters for file in letter_files.find(path)) == 3
    Store.calls_left = 10**9
    assert replayed(path, Store, monkeypatch).stored == 3
    assert letter_files.find(path) == []


def test_a_purge_that_cannot_put_back_says_where_the_letters_are(in_process, path, monkeypatch):
    """What was to stay is named with its place when the disk takes nothing."""
    write_letters(path, 2)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DeadLetters, "put_back", refuse)
    done = in_process(*PURGE, path, "--older-than", "1d")
    (aside,) = path.parent.glob("letters.jsonl.replay.*")
    assert done.returncode == 1
    assert done.stderr.startswith(f"time-execution: {path}: [Errno 28] No space left on device; nothing is lost")
    assert str(aside) in done.stderr
    assert values(aside) == [0.0, 1.0]


@pytest.mark.skipif(sys.platform == "win32", reason="locks")
def test_letters_are_not_moved_from_under_a_writer(path, monkeypatch):
    """As long as somebody writes, the file stays in its place; a letter on its way in would be lost."""
    import fcntl

    write_letters(path, 2)
    monkeypatch.setattr("time_execution.delivery.deadletter._LOCK_TIMEOUT", 0.05)
    with path.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcome = replayed(path, Store, monkeypatch)
    assert (outcome.stored, outcome.left) == (0, 2)
    assert "locked by another process" in outcome.trouble
    assert values(path) == [0.0, 1.0]
    assert list(path.parent.glob("*.replay*")) == []


def test_letters_are_reached_while_all_of_them_lie_aside(in_process, path):
    """After a replay that was killed, the file itself need not be there for its letters to be listed and sent."""
    write_letters(path, 2)
    path.rename(path.with_name("letters.jsonl.replay.1"))
    assert in_process("spool", "list", path).stdout == "2 dead letters\n"
    assert len(in_process("spool", "show", path).stdout.splitlines()) == 2
    assert "2 metrics stored" in in_process(*REPLAY, path).stderr


def test_letters_written_meanwhile_are_kept(path, monkeypatch):
    """A process that refuses a metric while others are sent finds its letter in the file."""
    write_letters(path, 2)

    class Writes(Store):
        def write_many(self, metrics):
            write_letters(path, 1, first=9)
            return super().write_many(metrics)

    assert replayed(path, Writes, monkeypatch).stored == 2
    assert values(path) == [9.0]


def test_whatever_a_backend_raises_or_answers_loses_nothing(path, monkeypatch):
    """An error of no known kind ends the replay; an answer that makes no sense is no word of storing."""
    monkeypatch.setattr(Broken, "answer", None)
    for answer, trouble in ((None, "ZeroDivisionError"), ([], ""), (["stored"] * 9, ""), (7, "TypeError")):
        write_letters(path, 3)
        Broken.answer = answer
        outcome = replayed(path, Broken, monkeypatch)
        assert (outcome.stored, outcome.left, outcome.trouble) == (0, 3, trouble)
        assert values(path) == [0.0, 1.0, 2.0]
        path.unlink()
