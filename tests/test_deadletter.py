"""The dead letters: written whole, bounded, shared by processes, and read back exactly as they were refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
import threading
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.forked import exit_code, start_in_a_child
from time_execution.delivery.deadletter import DeadLetters, read
from time_execution.exceptions import ConfigurationError
from time_execution.types import Metric


def metric(number, **fields):
    return Metric({"name": "pkg.function", "value": number, **fields}, id=f"id-{number}")


def size_of(path):
    return sum(each.stat().st_size for each in (path, path.with_name(f"{path.name}.1")) if each.exists())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "dead" / "letters.jsonl"


def test_a_letter_tells_what_was_refused_and_why(path):
    """A line holds time, reason, detail, id and the metric, in that order."""
    letters = DeadLetters(path, wall_clock=lambda: 1_700_000_000_123_456_789)
    assert letters.append(metric(1), "mapper_parsing_exception", "field [x] is no number")
    line = json.loads(path.read_text())
    assert list(line) == ["time", "reason", "detail", "id", "metric"]
    assert line["metric"]["fields"] == {"name": "pkg.function", "value": 1}
    (letter,) = read(path)
    assert letter.time == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=timezone.utc)
    assert (letter.reason, letter.detail) == ("mapper_parsing_exception", "field [x] is no number")
    assert (letters.written, dict(letters.lost), letters.expired) == (1, {}, 0)


def test_nothing_is_made_before_the_first_letter(path):
    """Without a refusal there is no file and no folder, and nothing to read."""
    DeadLetters(path)
    assert not path.parent.exists()
    assert list(read(path)) == []


@given(
    fields=st.dictionaries(
        st.text(max_size=5),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None)),
        max_size=5,
    ),
    unit=st.none() | st.text(max_size=3),
)
def test_a_metric_comes_back_exactly(tmp_path_factory, fields, unit):
    """Whatever was refused is read back with every field, its id, kind, unit and labels, and stands on one line."""
    path = tmp_path_factory.mktemp("letters") / "letters.jsonl"
    refused = Metric(fields, kind="gauge", unit=unit, id="x-1", labels=tuple(fields))
    assert DeadLetters(path).append(refused, "rejected", "\r\n\u2028\x85")
    (letter,) = read(path)
    assert letter.metric == refused
    assert [type(value) for value in letter.metric.values()] == [type(value) for value in refused.values()]
    assert (letter.metric.kind, letter.metric.unit, letter.metric.id) == ("gauge", unit, "x-1")
    assert letter.metric.labels == tuple(fields)
    assert letter.detail == "\r\n\u2028\x85"
    assert len(path.read_bytes().decode().splitlines()) == 1


def test_moments_survive(path):
    """A timestamp that a backend was given as a datetime is one again."""
    moment = datetime(2024, 2, 29, 12, 30, 0, 7, tzinfo=timezone.utc)
    DeadLetters(path).append(metric(1, timestamp=moment), "rejected")
    assert next(read(path)).metric["timestamp"] == moment


def test_the_file_is_bounded_and_the_oldest_letters_give_way(path):
    """File and predecessor never exceed the bound, hold the newest letters, and those given up are counted."""
    letters = DeadLetters(path, max_bytes=16 << 10)
    for number in range(400):
        assert letters.append(metric(number), "rejected")
        assert size_of(path) <= 16 << 10
    kept = [letter.metric["value"] for letter in read(path)]
    assert kept == list(range(400 - len(kept), 400))
    assert len(kept) + letters.expired == letters.written == 400
    assert size_of(path) > 8 << 10


def test_a_letter_too_large_is_counted(path):
    """What is larger than half the bound is refused, and does not push out the others."""
    letters = DeadLetters(path, max_bytes=16 << 10)
    letters.append(metric(1), "rejected")
    assert not letters.append(metric(2, text="x" * 9000), "rejected")
    assert dict(letters.lost) == {"full": 1}
    assert [letter.metric["value"] for letter in read(path)] == [1]


def test_a_long_detail_is_cut(path):
    """A server's page of HTML does not fill the file."""
    DeadLetters(path).append(metric(1), "rejected", "x" * 10_000)
    assert len(next(read(path)).detail) == 2000


def test_the_file_may_be_taken_away_at_any_time(path):
    """After the file, or its folder, was moved or deleted the next letter begins a new one."""
    letters = DeadLetters(path)
    letters.append(metric(1), "rejected")
    path.unlink()
    letters.append(metric(2), "rejected")
    assert [letter.metric["value"] for letter in read(path)] == [2]
    shutil.rmtree(path.parent)
    letters.append(metric(3), "rejected")
    assert [letter.metric["value"] for letter in read(path)] == [3]


def test_torn_and_damaged_lines_are_skipped(path):
    """A line cut off by a crash costs that line: neither reading nor the next letter suffers."""
    letters = DeadLetters(path)
    letters.append(metric(1), "rejected")
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'\n{"time": 5}\n\xff\xfe\n[]\n{"time": "x", "metric": 1}\n' + whole[: len(whole) // 2])
    letters.append(metric(2), "rejected")
    assert [letter.metric["value"] for letter in read(path)] == [1, 2]


def test_every_cut_leaves_the_letters_before_it(path):
    """Cut off at any byte, the file gives all letters that are whole."""
    letters = DeadLetters(path)
    for number in range(3):
        letters.append(metric(number), "rejected")
    whole = path.read_bytes()
    ends = [index for index, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert [letter.metric["value"] for letter in read(path)] == list(range(sum(end <= cut for end in ends)))


def test_the_disk_is_never_the_callers_trouble(path):
    """A path that cannot be written to is counted and told, never raised, and works once it can."""
    letters = DeadLetters(path)
    path.mkdir(parents=True)
    assert not letters.append(metric(1), "rejected")
    assert dict(letters.lost) == {"unwritable": 1}
    assert "IsADirectoryError" in str(letters.last_error)
    path.rmdir()
    assert letters.append(metric(2), "rejected")


def test_what_is_put_back_pushes_nothing_out(path, monkeypatch):
    """Lines that go back are all kept, whatever the bound, and are safe from a loss of power before it is said."""
    letters = DeadLetters(path, max_bytes=16 << 10)
    letters.append(metric(0), "rejected")
    line = path.read_bytes()
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.fstat(file).st_size), real(file)))
    for _ in range(4):
        letters.put_back([line] * 50)
    assert len(list(read(path))) == 201
    assert not path.with_name("letters.jsonl.1").exists()
    assert synced == [len(line) * (1 + 50 * number) for number in range(1, 5)]
    assert letters.expired == 0


@pytest.mark.skipif(sys.platform == "win32", reason="locks are POSIX's")
def test_a_lock_that_is_never_released_is_not_waited_for(path):
    """A process that was stopped while writing costs letters, counted, not the worker."""
    import fcntl

    letters = DeadLetters(path)
    letters.append(metric(1), "rejected")
    letters._file._lock_timeout = 0.05
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not letters.append(metric(2), "rejected")
    assert "locked by another" in str(letters.last_error)
    assert letters.append(metric(3), "rejected")
    assert [letter.metric["value"] for letter in read(path)] == [1, 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits need POSIX")
def test_a_full_disk_is_counted_and_leaves_no_joined_lines(path):
    """A letter that found half its room is counted, and the next one begins on a line of its own."""
    import resource

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        letters = DeadLetters(path)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        for number in range(20):
            letters.append(metric(number), "rejected")
        assert path.stat().st_size < 1000
        assert letters.lost["unwritable"] == 20 - letters.written > 0
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert letters.append(metric(99), "rejected")
        found = [letter.metric["value"] for letter in read(path)]
        assert found == [*range(letters.written - 1), 99]
        assert all(map(json.loads, path.read_text().splitlines()))

    assert in_children([work]) == [0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="several processes by fork")
def test_processes_and_threads_write_whole_lines(path):
    """Any number of writers, with the file turned over under them, tear no line and lose none uncounted."""
    writers, each = 4, 300

    def work(writer):
        letters = [DeadLetters(path, max_bytes=128 << 10) for _ in range(2)]

        def write(letters, start):
            for number in range(start, start + each):
                letters.append(metric(number, text="x" * 100), "rejected")

        threads = [
            threading.Thread(target=write, args=(one, (writer * 2 + index) * each)) for index, one in enumerate(letters)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(one.lost["unwritable"] for one in letters) == 0
        counts = [sum(one.written for one in letters), sum(one.expired for one in letters)]
        (path.parent / f"{writer}.json").write_text(json.dumps(counts))

    path.parent.mkdir()
    assert in_children([lambda writer=writer: work(writer) for writer in range(writers)]) == [0] * writers
    written, expired = map(
        sum, zip(*(json.loads((path.parent / f"{n}.json").read_text()) for n in range(writers)), strict=True)
    )
    lines = path.read_bytes().splitlines() + path.with_name("letters.jsonl.1").read_bytes().splitlines()
    found = [letter.metric["value"] for letter in read(path)]
    assert len(found) == len(lines) == len(set(found))
    assert size_of(path) <= 128 << 10
    assert len(found) + expired == written == writers * 2 * each


def in_children(works):
    """Run functions in forked children, at the same time, and return their exit codes."""
    children = [start_in_a_child(work, longest=60) for work in works]
    return [exit_code(child) for child in children]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_files_are_for_their_owner_only(path):
    """Even under a umask of 0 the folder is 0700 and every file in it 0600."""
    before = os.umask(0)
    try:
        letters = DeadLetters(path, max_bytes=16 << 10)
        for number in range(100):
            letters.append(metric(number), "rejected")
    finally:
        os.umask(before)
    assert {each.name for each in path.parent.iterdir()} == {"letters.jsonl", "letters.jsonl.1"}
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes are POSIX's")
def test_planted_files_are_not_written_to(tmp_path):
    """A symbolic link or a pipe in the file's place is refused when configured; put there later, it is counted."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name, plant in (("link", lambda path: path.symlink_to(victim)), ("pipe", os.mkfifo)):
        letters = DeadLetters(tmp_path / name)
        plant(tmp_path / name)
        assert not letters.append(metric(1), "rejected")
        assert letters.lost["unwritable"] == 1
        with pytest.raises(ConfigurationError, match=r"not a (symbolic link|device or a pipe)"):
            DeadLetters(tmp_path / name)
    assert victim.read_text() == "precious"


def test_wrong_arguments_are_refused_at_once(tmp_path):
    """A path or bound that cannot work is refused when the letters are made."""
    for arguments, words in (
        ({"path": 3}, "not int"),
        ({"path": ""}, "an empty text"),
        ({"path": tmp_path}, "a folder"),
        ({"max_bytes": 100}, "max_bytes of dead letters"),
        ({"max_bytes": "1 MB"}, "max_bytes of dead letters"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            DeadLetters(**{"path": tmp_path / "letters", **arguments})
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ConfigurationError, match="everyone may write"):
        DeadLetters(tmp_path / "open" / "letters")
