"""`time-execution spool` touches nothing but a spool and proved dead letters, and loses no letter it is to keep."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from datetime import datetime, timezone

import pytest

from tests.cli.letters import PURGE, REPLAY, WRITING, path_fixture, values, write_letters  # noqa: F401 - a fixture
from tests.cli.test_spool_command import Store, metrics, replayed
from time_execution.cli import letters as letter_files
from time_execution.cli.letters import Refusal
from time_execution.delivery.deadletter import DeadLetter, DeadLetters
from time_execution.delivery.spool import Spool, inspect_folder


@pytest.fixture(autouse=True)
def _store_that_works():
    Store.calls_left = 10**9


def contents(folder):
    return {each.name: each.read_bytes() for each in sorted(folder.iterdir()) if each.is_file()}


def database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t(a)")
        connection.execute("INSERT INTO t VALUES (1)")
    connection.close()


def text(path):
    path.write_text("one line\n\nanother\n")


def other_json(path):
    path.write_text('{"time": "2024-01-01T00:00:00Z", "level": "info"}\n{"reason": 1}\n[]\n')


def blank(path):
    path.write_text("\n\n")


def mostly_something_else(path):
    text(path)
    with path.open("ab") as file:
        file.write(DeadLetter(datetime.now(timezone.utc), "mapping", "why", metrics(1)[0]).line())


FOREIGN = pytest.mark.parametrize("make", [text, database, other_json, blank, mostly_something_else])


@WRITING
@FOREIGN
def test_a_file_that_is_no_letters_stays_as_it_is(in_process, tmp_path, make, action):
    """Whatever it is, it is neither removed nor renamed nor locked, nor is its neighbour, and that is said."""
    folder = tmp_path / "mine"
    folder.mkdir()
    make(folder / "x")
    for name in ("x.1", "x.replay"):
        (folder / name).write_bytes((folder / "x").read_bytes())
    before = contents(folder)
    done = in_process(*action, folder / "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert "x is no file of dead letters: " in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(folder) == before


def test_a_database_is_told_as_such(in_process, path):
    """Whoever mistook a store for letters reads what it is."""
    database(path)
    assert f"{path} is no file of dead letters: it is an SQLite database" in in_process("spool", "list", path).stderr


@FOREIGN
@pytest.mark.parametrize("action", ["list", "show"])
def test_a_file_that_is_no_letters_is_told(in_process, tmp_path, make, action):
    """Looking at it says what it is not, instead of an empty list or a traceback."""
    make(tmp_path / "x.db")
    done = in_process("spool", action, tmp_path / "x.db")
    assert (done.returncode, done.stdout) == (1, "")
    assert "x.db is no file of dead letters: " in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
@WRITING
def test_links_and_pipes_are_refused(in_process, tmp_path, path, action):
    """A link to letters is no file of letters, and a pipe is not waited for."""
    write_letters(path, 2)
    (tmp_path / "link.jsonl").symlink_to(path)
    (tmp_path / "dangling.jsonl").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name in ("link", "dangling", "pipe"):
        done = in_process(*action, f"{name}.jsonl")
        assert done.returncode == 1
        assert "it is no regular file" in done.stderr
        assert os.path.lexists(tmp_path / f"{name}.jsonl")
    assert values(path) == [0.0, 1.0]


def test_replay_itself_refuses_what_is_no_letters(tmp_path, monkeypatch):
    """The proof is not the command line's alone."""
    text(tmp_path / "x")
    with pytest.raises(Refusal, match="no file of dead letters"):
        replayed(tmp_path / "x", Store, monkeypatch)
    assert (tmp_path / "x").read_text() == "one line\n\nanother\n"


@WRITING
def test_a_neighbour_that_is_no_letters_stays(in_process, tmp_path, path, action):
    """Beside true letters, files named as their kin are touched after the same proof only."""
    write_letters(path, 2)
    text(tmp_path / "letters.jsonl.1")
    text(tmp_path / "letters.jsonl.replay")
    done = in_process(*action, path)
    assert done.returncode == 1
    assert not path.exists()
    for name in ("letters.jsonl.1", "letters.jsonl.replay"):
        assert f"{name} is no file of dead letters" in done.stderr
        assert (tmp_path / name).read_text() == "one line\n\nanother\n"


@WRITING
def test_a_copy_of_letters_under_a_name_of_its_own_stays(in_process, tmp_path, path, action):
    """What a user keeps beside the file, under a name that no replay gives, is not taken for its kin."""
    write_letters(path, 2)
    kept = path.read_bytes()
    for name in ("letters.jsonl.replayed", "letters.jsonl.replay.old", "letters.jsonl.10"):
        (tmp_path / name).write_bytes(kept)
    assert "2 " in in_process(*action, path).stderr
    assert [each.read_bytes() for each in tmp_path.iterdir() if each.suffix != ".lock"] == [kept] * 3


@WRITING
def test_an_empty_file_is_left_alone(in_process, tmp_path, action):
    """A file with nothing in it proves nothing, and has nothing to lose."""
    (tmp_path / "empty").touch()
    done = in_process(*action, "empty")
    assert done.returncode == 0
    assert "0 " in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["empty"]


@WRITING
def test_lines_that_cannot_be_read_stay_and_are_counted(in_process, path, action):
    """Torn and foreign lines among letters are in the file afterwards, as they were."""
    write_letters(path, 3)
    first, second, third = path.read_bytes().splitlines(keepends=True)
    others = [b"\0\0\0\n", third[:50]]
    path.write_bytes(b"".join([first, others[0], second, third, others[1]]))
    done = in_process(*action, path)
    assert done.returncode == 1
    assert "2 lines could not be read" in done.stderr
    assert path.read_bytes() == others[0] + others[1] + b"\n"
    assert [each.name for each in path.parent.iterdir() if ".replay" in each.name] == []


def test_letters_are_told_by_their_first_line_or_by_most_lines(path):
    """Damage in one place takes no letter out of reach."""
    write_letters(path, 2)
    letters = path.read_bytes()
    for content, is_one in (
        (letters, True),
        (letters + b"x\n" * 9, True),
        (b"x\nx\n" + letters, True),
        (b"x\nx\nx\n" + letters, False),
    ):
        path.write_bytes(content)
        found = letter_files.examine(path)
        assert (not found.problem, found.letters) == (is_one, 2)


@pytest.fixture
def spool(tmp_path):
    """Make a spool that a process left behind with 700 metrics, and with two dead letters; return its folder."""
    store = Spool(tmp_path / "spool").open("Store")
    store.append(metrics(700))
    store.close()
    write_letters(tmp_path / "spool" / "dead-letters.jsonl", 2, first=700)
    return tmp_path / "spool"


def test_a_file_of_a_spool_is_left_to_its_folder(in_process, spool):
    """One file of a spool can be looked at; what would bypass its owner's lock is refused, naming the folder."""
    (file,) = inspect_folder(spool)
    assert "700 metrics waiting, 0 dead letters" in in_process("spool", "list", file.path).stdout
    assert len(in_process("spool", "show", file.path, "-n", "0").stdout.splitlines()) == 700
    for action in (PURGE, REPLAY):
        done = in_process(*action, file.path)
        assert done.returncode == 1
        assert f"is a file of the spool in {spool}: name the folder" in done.stderr
    assert [each.rows for each in inspect_folder(spool)] == [700]


@WRITING
@pytest.mark.parametrize("name", ["letters.jsonl.1", "letters.jsonl.replay.7"])
def test_a_part_of_letters_is_left_to_the_whole(in_process, tmp_path, path, action, name):
    """What belongs to a file of letters is reached by the file's name, under its lock."""
    write_letters(tmp_path / name, 2)
    done = in_process(*action, name)
    assert done.returncode == 1
    assert "belongs to letters.jsonl: name that" in done.stderr
    assert values(tmp_path / name) == [0.0, 1.0]
    assert "2 " in in_process(*action, path).stderr
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("action", [("spool", "list"), ("spool", "show"), PURGE, REPLAY])
def test_a_folder_without_a_spool_says_so(in_process, tmp_path, action):
    """A folder of other things is a problem, not an empty spool, and stays as it is."""
    text(tmp_path / "x")
    database(tmp_path / "y.db")
    before = contents(tmp_path)
    done = in_process(*action, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"there is no spool in {tmp_path}" in done.stderr
    assert contents(tmp_path) == before


def test_a_spool_that_was_emptied_is_one_still(in_process, spool):
    """All delivered is the best state of a spool, and no problem."""
    assert in_process(*REPLAY, spool).returncode == 0
    for folder in (spool, spool / "new"):
        folder.mkdir(exist_ok=True)
        done = in_process("spool", "list", folder)
        assert (done.returncode, done.stdout) == (0, "0 metrics waiting, 0 dead letters\n")


def test_something_else_in_the_place_of_letters_is_told(in_process, spool):
    """In a spool, too, a file that only has the name of dead letters stays and is named; the rest is done."""
    text(spool / "dead-letters.jsonl")
    listed = in_process("spool", "list", spool)
    assert listed.returncode == 1
    assert "700 metrics waiting, 0 dead letters" in listed.stdout
    assert "dead-letters.jsonl is no file of dead letters" in listed.stderr
    for action, said in ((REPLAY, "700 metrics stored"), (PURGE, "0 metrics removed")):
        done = in_process(*action, spool)
        assert done.returncode == 1
        assert said in done.stderr
        assert "dead-letters.jsonl is no file of dead letters" in done.stderr
    assert (spool / "dead-letters.jsonl").read_text() == "one line\n\nanother\n"


def test_a_foreign_database_in_a_spool_is_told(in_process, spool):
    """A file that only has the name of a spool's is said to be none, and the others are shown."""
    database(spool / f"Store.7.{'0' * 24}.db")
    done = in_process("spool", "show", spool, "-n", "0")
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 702)
    assert "it is a database of something else" in done.stderr


def test_purge_of_a_folder_includes_dead_letters(in_process, spool):
    """Letters may hold personal data: they go with the metrics, those of an earlier file and of a replay, too."""
    for name in ("dead-letters.jsonl.1", "dead-letters.jsonl.replay.5"):
        write_letters(spool / name, 2, first=800)
    assert "700 metrics waiting, 6 dead letters" in in_process("spool", "list", spool).stdout
    done = in_process(*PURGE, spool)
    assert done.returncode == 0
    assert "700 metrics removed" in done.stderr
    assert "6 dead letters removed" in done.stderr
    assert not any(content for name, content in contents(spool).items() if name.startswith("dead-letters"))
    assert in_process("spool", "list", spool).stdout == "0 metrics waiting, 0 dead letters\n"


def test_purge_by_age_and_name_spares_letters_that_are_not_meant(in_process, spool):
    """Letters have an age, and no backend."""
    letters = spool / "dead-letters.jsonl"
    line = letters.read_bytes().splitlines(keepends=True)[0]
    row = json.loads(line)
    letters.write_bytes(line + json.dumps({**row, "time": "2020-01-01T00:00:00.000000Z"}).encode() + b"\n")
    assert in_process(*PURGE, spool, "--name", "Store").returncode == 0
    assert len(values(letters)) == 2
    assert "1 dead letter removed" in in_process(*PURGE, spool, "--older-than", "1d").stderr
    assert letters.read_bytes() == line
    for action in (PURGE, REPLAY):
        assert in_process(*action, letters, "--name", "Store").returncode == 2
    assert letters.read_bytes() == line


def test_a_moment_of_no_calendar_is_shown_as_it_is(in_process, path):
    """A letter whose timestamp no datetime can hold does not end the listing."""
    (metric,) = metrics(1)
    metric["timestamp"] = 10**30
    DeadLetters(path).append(metric, "x")
    line = json.loads(path.read_text())
    path.write_bytes(path.read_bytes() + json.dumps({**line, "time": "9999-12-31T23:59:59-05:00"}).encode() + b"\n")
    done = in_process("spool", "show", path)
    assert json.loads(done.stdout)["timestamp"] == 10**30
    assert "1 line could not be read" in done.stderr


def test_a_number_below_zero_is_wrong_usage(in_process, path):
    """How many to show is checked before anything is read."""
    write_letters(path, 1)
    for text in ("-1", "x"):
        done = in_process("spool", "show", path, "-n", text)
        assert done.returncode == 2
        assert f"'{text}' is no whole number of 0 or more" in done.stderr
        assert "usage: time-execution spool show" in done.stderr
