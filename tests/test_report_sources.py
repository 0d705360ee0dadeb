"""Reports on files of any kind: which are told apart, read together or refused, and what becomes of the copy."""

from __future__ import annotations

import gzip
import os
import sqlite3
import tempfile
import tracemalloc
from pathlib import Path

import pytest

from tests.report_files import NOON, document, lines, table, temporary_fixture, text_of, timing, told  # noqa: F401 - a fixture applies by being here
from time_execution import report
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.report import _loading
from time_execution.types import Metric


def test_compressed_files_are_told_by_their_content(tmp_path):
    """Also under another name; one that was cut short gives what it has."""
    path = lines(tmp_path / "a.gz", *(timing(n) for n in range(2000)))
    path = path.rename(tmp_path / "timing.log")
    assert told(path)["shop.save"][0] == 2000
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with report.opened(path) as found:
        assert 500 < report.read(found.database)[0].calls < 1500
        assert found.cut == (str(path),)
        assert found.skipped in ({}, {str(path): 1})
    path.write_bytes(content[:-6] + b"\0\0\0\0\0\0")
    assert told(path)["shop.save"][0] == 2000
    with report.opened(path) as found:
        assert found.cut == (str(path),)
    path.write_bytes(content)
    with report.opened(path) as found:
        assert found.cut == ()
    path.write_bytes(content[:20])
    with pytest.raises(report.NotADatabaseError, match="no metric in"):
        told(path)
    path.write_bytes(gzip.compress(b"SQLite format 3\0" + bytes(100)))
    with pytest.raises(report.NotADatabaseError, match="decompress it first"):
        told(path)


def test_several_files_are_one_report(tmp_path):
    """Of whatever kind; a file named twice is read once."""
    first, second = lines(tmp_path / "a", document(0)), table(tmp_path / "b", timing(1))
    with SQLiteBackend(tmp_path / "c") as backend:
        backend.write_many(
            [
                Metric({"name": "shop.save", "value": 2.0, "timestamp": NOON, "error": "x", "hostname": "h"}),
                Metric({"name": "load", "value": 2.0, "timestamp": NOON}, kind="gauge", unit="jobs"),
            ]
        )
    paths = [first, second, tmp_path / "c"]
    assert told(*paths, first, *paths) == {"shop.save": (3, 1, 6.0), "load": (1, 0, 2.0)}
    with report.opened(*paths) as found:
        assert {row.name: (row.kind, row.unit) for row in report.read(found.database)}["load"] == ("gauge", "jobs")
        assert found.rolled_up == {}


def test_what_a_database_keeps_in_sums_only_is_told(tmp_path):
    """It cannot be taken apart again, so it is left out beside other files, and counted."""
    path = tmp_path / "m.db"
    with SQLiteBackend(path, rollup_rows=1, retention=None, minute_retention=None, hour_retention=None) as backend:
        backend.write_many([Metric({"name": "f", "value": 1.0, "timestamp": NOON}) for _ in range(10)])
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM raw WHERE id <= 4")
    connection.close()
    with report.opened(path, lines(tmp_path / "a", document())) as found:
        assert found.rolled_up == {str(path): 4}
        assert {row.name: row.calls for row in report.read(found.database)} == {"f": 6, "shop.save": 1}
    assert told(path) == {"f": (10, 0, 10.0)}


def test_a_single_database_is_used_as_it_is(tmp_path, temporary):
    """Nothing is copied, and no lock that SQLite holds on it in this process is dropped."""
    path = tmp_path / "metrics.db"
    with SQLiteBackend(path) as backend:
        backend.write("f", value=1.0)
        held = os.open(path, os.O_RDONLY)
        before = Path("/proc/locks").read_text() if Path("/proc/locks").exists() else ""
        with report.opened(path) as found:
            assert (found.database, found.is_copy) == (str(path), False)
            assert list(temporary.iterdir()) == []
        inode = f":{path.stat().st_ino} "
        after = Path("/proc/locks").read_text() if before else ""
        mine = [line.split(None, 1)[1] for line in before.splitlines() if inode in line]
        assert mine or not before
        assert sorted(mine) == sorted(line.split(None, 1)[1] for line in after.splitlines() if inode in line)
        os.close(held)


def test_what_is_no_file_of_ours_is_refused(tmp_path):
    """By a message that says what would be; nothing is left behind, and pipes are not waited for."""
    for name, content in (
        ("text", b"quite some text\n" * 50),
        ("other.csv", b"a,b\n1,2\n"),
        ("empty.csv", b"name\nx\n"),
        ("array.json", b'[{"name":"f"}]'),
        ("binary", bytes(range(256)) * 10),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(report.NotADatabaseError, match=f"{name}.*Parquet, JSON lines, or CSV with the columns"):
            told(tmp_path / name)
    lines(tmp_path / "app.log", {"level": "info", "message": "x"}, {"level": "info"})
    with pytest.raises(report.NotADatabaseError, match=r"no metric in '.*app.log': 2 lines are something else"):
        told(tmp_path / "app.log")
    with pytest.raises(report.NotADatabaseError, match="is a folder"):
        told(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(report.NotADatabaseError, match="no regular file"):
        told(tmp_path / "pipe")
    with pytest.raises(report.DatabaseMissingError, match=r"'.*none.log': no such file"):
        told(tmp_path / "none.log")
    with pytest.raises(report.DatabaseError, match="cannot be read"):
        told("nul\0byte")
    with pytest.raises(ValueError, match="a path at least"):
        told()


def test_a_backup_that_is_something_else_is_named(tmp_path):
    """It is refused rather than passed over: it may be the one that somebody looks for."""
    path = lines(tmp_path / "timing.log", timing())
    (tmp_path / "timing.log.3").write_text("something else\n")
    with pytest.raises(report.NotADatabaseError, match=r"timing\.log\.3"):
        told(path)
    assert told(path, backups=False)["shop.save"][0] == 1


def test_empty_files_are_as_good_as_missing_and_a_head_alone_is_not(tmp_path):
    """The first metric may be on its way; beside another file, an empty one is nothing."""
    for content in (b"", b"\n\n", b"\xef\xbb\xbf"):
        (tmp_path / "empty").write_bytes(content)
        with pytest.raises(report.DatabaseMissingError, match="the file is empty"):
            told(tmp_path / "empty")
    assert told(tmp_path / "empty", lines(tmp_path / "a", document()))["shop.save"][0] == 1
    assert told(table(tmp_path / "head.csv")) == {}


def test_moments_that_are_missing_are_those_of_the_file(tmp_path):
    """A metric that names none was written by then."""
    path = table(tmp_path / "file", {"name": "f", "value": 1.5, "hostname": "h"}, columns=("name", "value", "hostname"))
    os.utime(path, (0, NOON.timestamp()))
    with report.opened(path) as found:
        assert report.read(found.database)[0].first_seen == NOON


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2024-05-01T12:00:07.250000Z", 7.25),
        ("2024-05-01T12:00:07Z", 7),
        ("2024-05-01T14:00:07+02:00", 7),
        ("2024-05-01T12:00:07", 7),
        ("2024-05-01 12:00:07.250000+00:00", 7.25),
    ],
)
def test_moments_are_read_in_every_form_of_the_standard_library(tmp_path, text, seconds):
    """UTC unless a zone is named; the first of its minute and the next ones alike."""
    path = lines(tmp_path / "a", *(document() | {"timestamp": text} for _ in range(3)))
    with report.opened(path) as found:
        moments = {call.timestamp for call in report.tail(found.database)}
    assert moments == {1714564800 * 10**9 + int(seconds * 10**9)}


@pytest.mark.parametrize(
    "text", ["2024-05-01T12:00:61.000000Z", "2024-05-01T12:00:0x.000000Z", "2024-05-01T12:00:00.00000yZ"]
)
def test_a_moment_that_there_is_not_is_wrong_also_in_a_minute_that_there_is(tmp_path, text):
    """The short way through moments is no way around them."""
    path = lines(tmp_path / "a", document(), document(), document() | {"timestamp": text})
    with report.opened(path) as found:
        assert found.skipped == {str(path): 1}


def test_the_copy_goes_however_the_block_ends(tmp_path, temporary):
    """By an exception, an interrupt, also one while it is made; only its owner can read it meanwhile."""
    path = lines(tmp_path / "a", *(document() for _ in range(20)))

    class Stop(BaseException):
        pass

    def interrupt(copied):
        assert copied == 20
        assert any(temporary.iterdir())
        raise Stop

    with pytest.raises(Stop):
        told(path, progress=interrupt)
    assert list(temporary.iterdir()) == []
    with pytest.raises(Stop), report.opened(path) as found:
        file = Path(found.database)
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert temporary in file.parents
        raise Stop
    assert list(temporary.iterdir()) == []
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a"]


def test_without_room_for_the_copy_it_says_so(tmp_path, monkeypatch):
    """And how to name another folder."""
    path = lines(tmp_path / "a", document())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(report.DatabaseError, match="TMPDIR may name another folder"):
        told(path)
    monkeypatch.undo()

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(_loading, "insert", full)
    with pytest.raises(report.DatabaseError, match="disk is full"):
        told(path)


def test_values_of_any_size_and_kind_do_no_harm(tmp_path):
    """Numbers beyond 64 bits, NaN, texts and lists where numbers belong, fields as deep as they get."""
    odd = [10**30, -1, 0, float("nan"), float("inf"), "x", [1], {"a": 1}, True, None]
    path = lines(
        tmp_path / "a", *(document(n, value) for n, value in enumerate(odd)), document(20, 1.0, deep=[[[[1]]]])
    )
    assert told(path)["shop.save"][0] == len(odd) + 1
    odd_timings = [timing(n, cpu_ms=value, rss_bytes=value, memory_change_bytes=value) for n, value in enumerate(odd)]
    path = lines(tmp_path / "b", *odd_timings)
    with report.opened(path) as found:
        assert report.read(found.database)[0].calls == len(odd)
        report.resources(found.database)


def test_a_large_file_takes_the_memory_of_a_batch(tmp_path):
    """Twenty times the records, and less than twice the memory."""

    def peak(number):
        path = lines(tmp_path / f"{number}", *(timing(n % 1000, 1.0 + n) for n in range(number)))
        tracemalloc.start()
        try:
            told(path)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few = peak(6_000)
    assert peak(60_000) < 2 * few


def test_names_without_number_or_end_are_kept_apart(tmp_path, monkeypatch):
    """More of them than are remembered at a time."""
    monkeypatch.setattr(_loading, "_MAX_CACHED", 10)
    path = lines(tmp_path / "a", *(timing(n, name=f"f{n % 50}") for n in range(500)))
    assert told(path) == {f"f{n}": (10, 0, 20.0) for n in range(50)}


def test_text_of_moments_has_six_digits():
    """What these tests write is what the package writes."""
    from time_execution.formats.timestamp import to_iso

    assert text_of(NOON) == to_iso(NOON)
