"""Reports on files of any kind: what each line comes to, and what is said of those that come to nothing."""

from __future__ import annotations

import gzip
import os
import random
import sqlite3
import tempfile
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report_files import NOON, TIMING, document, failure, lines, table, text_of, timing, told
from time_execution import report
from time_execution.backends.files import CSVBackend, JSONLinesBackend
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.report import _lines, _loading
from time_execution.report._lines import Tally
from time_execution.types import Metric


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory, monkeypatch):
    """Let temporary files go to a folder of the test's, which must be empty at the end."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("write", [lines, table], ids=["json", "csv"])
def test_records_of_the_timer(tmp_path, write):
    """Name, duration, end, arguments and resources of each call; what is no outcome of ``ok`` is an error."""
    records = [timing(0, 2.0), timing(61, 4.0), timing(5, 8.0, outcome="ValueError"), timing(7, 1.0, name="other")]
    path = write(tmp_path / "file.xyz", *records)
    with report.opened(path) as found:
        assert found.is_copy
        assert found.skipped == {}
        save, other = report.read(found.database)
        assert (save.name, save.calls, save.errors, save.total) == ("shop.save", 3, 1, 14.0)
        assert (save.first_seen, save.last_seen) == (NOON, NOON + timedelta(minutes=1))
        assert (other.name, other.calls, other.errors, other.unit) == ("other", 1, 0, "ms")
        first, second, third = report.slowest(found.database, "shop.save")
        assert (first.value, first.is_error, first.fields["error_type"]) == (8.0, True, "ValueError")
        assert (second.value, second.hostname, second.timestamp) == (4.0, None, (1714564800 + 61) * 10**9)
        assert third.fields == {
            "call_id": "id-0",
            "arguments": "order=0",
            "cpu_ms": 1.0,
            "memory_change_bytes": 4096,
            "rss_bytes": 50_000_000,
        }


@pytest.mark.parametrize("write", [lines, table], ids=["json", "csv"])
def test_the_short_way_tells_what_the_long_one_does(tmp_path, write, monkeypatch):
    """Whatever is odd about a record: the same comes out without the way that most take."""
    random.seed(7)
    odd = {"cpu_ms": [None, 0.0], "memory_change_bytes": [None, -4096], "rss_bytes": [None, 1], "wall_ms": [0.0, 1e-9]}
    odd |= {"arguments": ["", "=1+1", "a,b\n\"c'", "'=x", "-1"], "function": ["=f", "a.b", "é"], "outcome": ["ok", "E"]}
    records = []
    for number in range(200):
        changes = {field: random.choice(values) for field, values in odd.items() if random.random() < 0.3}
        records.append(timing(number, 1.0 + number, **changes))
    path = write(tmp_path / "file", *records)

    def found():
        with report.opened(path) as opened:
            calls = report.tail(opened.database, limit=1000)
            assert opened.skipped == {}
        # What is nothing is left out of CSV.
        return sorted(
            (call.timestamp, call.name, call.value, call.is_error, {**call.fields, "arguments": None}.keys())
            for call in calls
        ), sorted(
            (call.timestamp, sorted((k, v) for k, v in call.fields.items() if v not in {None, ""})) for call in calls
        )

    short = found()
    monkeypatch.setattr(report.opening, "plain_timing", lambda record: None)
    monkeypatch.setattr("time_execution.report._csv_file.timing_of", lambda values: None)
    assert found()[1] == short[1]
    assert [each[:4] for each in found()[0]] == [each[:4] for each in short[0]]


def test_metrics_of_the_backends(tmp_path):
    """What our backends wrote into files is what they stored in a database, kinds aside."""
    written = [
        Metric({"name": "shop.save", "value": 2.5, "hostname": "web1", "timestamp": NOON, "user": "=anna", "n": [1]}),
        Metric({"name": "shop.save", "value": 4, "hostname": "web1", "timestamp": NOON, "error_type": "KeyError"}),
        Metric({"name": "'=x", "value": 1.0, "hostname": "web1", "timestamp": NOON}),
        Metric({"name": "jobs", "value": 3, "timestamp": NOON}, kind="value"),
        Metric({"name": "error", "hostname": "web1", "timestamp": NOON, "error_type": "KeyError"}, kind="event"),
    ]
    backends = [kind(tmp_path / kind.__name__) for kind in (JSONLinesBackend, CSVBackend, SQLiteBackend)]
    answers = []
    for backend in backends:
        with backend:
            backend.write_many([metric.copy() for metric in written])
        with report.opened(tmp_path / type(backend).__name__) as found:
            stats = [(row.name, row.kind, row.calls, row.errors, row.total) for row in report.read(found.database)]
            calls = report.tail(found.database)
            answers.append(
                (stats, [(each.name, each.value, each.hostname, each.timestamp, each.fields) for each in calls])
            )
    assert answers[0] == answers[1] == answers[2]
    assert [row[:2] for row in answers[0][0]] == [
        *(("shop.save", "timing"), ("'=x", "timing"), ("error", "event"), ("jobs", "value")),
    ]


def test_the_field_of_durations_may_have_another_name(tmp_path):
    """As `settings.duration_field` names it; otherwise there is no number."""
    record = document() | {"ms": 7.0}
    del record["value"]
    path = lines(tmp_path / "a", record)
    assert told(path, value_field="ms") == {"shop.save": (1, 0, 7.0)}
    assert told(path) == {"shop.save": (1, 0, None)}
    path = table(tmp_path / "b", record, columns=list(record))
    assert told(path, value_field="ms") == {"shop.save": (1, 0, 7.0)}


def test_failures_count_as_errors_of_their_function(tmp_path):
    """By themselves as calls without a duration."""
    path = lines(tmp_path / "error.log", failure(0), failure(1), failure(2, name="other", call_id=None))
    assert told(path) == {"shop.save": (2, 2, None), "other": (1, 1, None)}


def test_a_call_that_is_timed_and_caught_counts_once(tmp_path):
    """In whatever order the files are named; the timing gets the message."""
    timings = lines(tmp_path / "t.log", timing(0), timing(1, 9.0, outcome="ValueError"), timing(2, outcome="KeyError"))
    caught = lines(tmp_path / "e.log", failure(1), failure(1), failure(8))
    for paths in ((timings, caught), (caught, timings)):
        assert told(*paths) == {"shop.save": (4, 3, 13.0)}
    with report.opened(timings, caught) as found:
        (slow, *_) = report.slowest(found.database, "shop.save")
        assert slow.fields["message"] == "no order 1"
        assert slow.fields["error_type"] == "ValueError"


def test_many_failures_take_no_memory(tmp_path, monkeypatch):
    """They wait in the temporary database, and none is lost at the end of a batch."""
    monkeypatch.setattr(_loading, "_BATCH", 7)
    timings = lines(tmp_path / "t.log", *(timing(n, 1.0, outcome="E") for n in range(0, 100, 2)))
    caught = lines(tmp_path / "e.log", *(failure(n) for n in range(100)))
    assert told(caught, timings) == {"shop.save": (100, 100, 50.0)}


def test_backups_are_read_as_well(tmp_path):
    """Compressed or not, however many; of two forms the compressed one, which is whole; unless told otherwise."""
    path = lines(tmp_path / "timing.log", timing(9))
    lines(tmp_path / "timing.log.1", timing(8))
    lines(tmp_path / "timing.log.2.gz", timing(7), timing(6))
    lines(tmp_path / "timing.log.2", timing(7))
    lines(tmp_path / "timing.log.10", timing(1))
    for other in (
        "timing.log.1.gz.tmp",
        "timing.log.old",
        "timing.log.0",
        "timing.log.01",
        "atiming.log.1",
        "timing-log.1",
    ):
        lines(tmp_path / other, timing(5))
    assert told(path) == {"shop.save": (5, 0, 10.0)}
    assert told(path, backups=False) == {"shop.save": (1, 0, 2.0)}
    assert told(*sorted(tmp_path.glob("timing.log*[0-9z]"), reverse=True))["shop.save"][0] == 7
    with report.opened(path) as found:
        order = [call.fields["call_id"] for call in report.tail(found.database)]
    assert order == ["id-1", "id-7", "id-6", "id-8", "id-9"]
    path.unlink()
    assert told(path) == {"shop.save": (4, 0, 8.0)}


def test_a_file_that_turns_over_meanwhile_is_neither_missed_nor_doubled(tmp_path, monkeypatch):
    """Between the look at the latest file and the look for older ones."""
    path = lines(tmp_path / "timing.log", timing(2))
    lines(tmp_path / "timing.log.1", timing(1))
    from time_execution.report import _source

    backups = _source._backups

    def turned_over(name):
        (tmp_path / "timing.log.1").rename(tmp_path / "timing.log.2")
        path.rename(tmp_path / "timing.log.1")
        lines(path, timing(3))
        return backups(name)

    monkeypatch.setattr(_source, "_backups", turned_over)
    assert told(path) == {"shop.save": (2, 0, 4.0)}


WRONG = (
    "\n",
    '{"torn":\n',
    "[1]\n",
    "7\n",
    '{"a":1}{"b":2}\n',
    "[" * 100_000 + "\n",
    '{"name":"f","value":1,"timestamp":"soon"}\n',
    '{"name":7,"value":1,"timestamp":"2024-05-01T12:00:00.000000Z"}\n',
    '{"name":"f","value":1,"timestamp":"9999-05-01T12:00:00.000000Z"}\n',
    '{"function":"f","wall_ms":"1","ended":"2024-05-01T12:00:00.000000Z"}\n',
    '{"function":"f","wall_ms":1.5}\n',
    '{"function":null,"wall_ms":1.5,"ended":"2024-05-01T12:00:00.000000Z"}\n',
    '{"function":"f","time":null,"type":"E"}\n',
    "\0\0\0\0\n",
    '{"name":"f","value":' + "9" * 5000 + ',"x":1.\n',
)


def test_wrong_lines_are_passed_over_and_counted(tmp_path):
    """Each of them, wherever it stands, the first included; blank ones are nothing."""
    path = lines(tmp_path / "log", *(each for wrong in WRONG for each in (wrong, document())))
    with report.opened(path) as found:
        assert report.read(found.database)[0].calls == len(WRONG)
        assert found.skipped == {str(path): len(WRONG) - 1}


def test_a_last_line_without_an_end_counts_and_a_torn_one_does_not(tmp_path):
    """A writer may be at work, or have been killed."""
    whole = lines(tmp_path / "log", document(), document()).read_bytes()
    for cut, calls in ((1, 2), (2, 1), (40, 1)):
        (tmp_path / "log").write_bytes(whole[:-cut])
        assert told(tmp_path / "log")["shop.save"][0] == calls


def test_rows_that_are_wrong_are_passed_over_and_counted(tmp_path):
    """Torn ones, those with a text for a number, and what a torn quotation mark took with it; not more."""
    good = ["2024-05-01T12:00:00Z,shop.save,2.0,web1,,\r\n"] * 3
    wrong = ["2024-05-01T12:00:00Z,shop.sa\r\n", "2024-05-01T12:00:00Z,shop.save,x,web1,,\r\n"]
    wrong += ["2024-05-01T12:00:00Z,shop.save,1,web1,,{\r\n", "2024-05-01T12:00:00Z,shop.save,1,web1,,[1]\r\n"]
    wrong += ["soon,shop.save,1,web1,,\r\n", '2024-05-01T12:00:00Z,"shop.save\r\n']
    head = "timestamp,name,value,hostname,origin,fields\r\n"
    text = head + "".join(good[0] + row for row in wrong) + head + '"\r\n' + "".join(good) + "\r\n"
    (tmp_path / "file").write_text(text, newline="")
    with report.opened(tmp_path / "file") as found:
        (row,) = report.read(found.database)
        assert row.calls == len(wrong) + 3
        assert found.skipped == {str(tmp_path / "file"): len(wrong)}


def test_an_endless_line_is_no_memory(tmp_path, monkeypatch):
    """Nor are its neighbours lost."""
    monkeypatch.setattr(_lines, "_BLOCK", 1000)
    monkeypatch.setattr(_lines, "_MAX_LINE", 10_000)
    path = lines(tmp_path / "log", document(), "x" * 200_000, "\n", document(), '{"name":"' + "y" * 50_000)
    tracemalloc.start()
    with path.open("rb") as stream:
        tally = Tally()
        found = [line for line in _lines.lines(stream, tally) if line.startswith("{")]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(found), tally.skipped) == (2, 2)
    assert peak < 150_000


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=40)), st.integers(1, 50))
def test_lines_come_out_as_they_went_in(texts, block):
    """However the blocks fall, letters of several bytes and the ends of lines of other systems included."""
    import io
    from unittest import mock

    content = "".join(f"{text}\n" for text in texts)
    tally = Tally()
    with mock.patch.object(_lines, "_BLOCK", block):
        found = "".join(_lines.lines(io.BytesIO(content.encode()), tally))
    assert found == content.removeprefix("\ufeff")
    assert tally.skipped == 0


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    """As spreadsheets write it."""
    path = table(tmp_path / "file.csv", timing(), columns=TIMING)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert told(path) == {"shop.save": (1, 0, 2.0)}


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1), min_size=1, max_size=5))
def test_apostrophes_against_formulas_go_and_others_stay(texts):
    """What `CSVBackend` writes is read as it was, whatever it is, under whatever name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "metrics.csv")
        written = [{"name": text, "value": 1.0, "hostname": text, "timestamp": NOON, "=x": text} for text in texts]
        with CSVBackend(path) as backend:
            backend.write_many([Metric(fields) for fields in written])
        with report.opened(path) as found:
            calls = report.tail(found.database)
            assert [(call.name, call.hostname, call.fields) for call in calls] == [(t, t, {"=x": t}) for t in texts]


def test_compressed_files_are_told_by_their_content(tmp_path):
    """Also under another name; one that was cut short gives what it has."""
    path = lines(tmp_path / "a.gz", *(timing(n) for n in range(2000)))
    path = path.rename(tmp_path / "timing.log")
    assert told(path)["shop.save"][0] == 2000
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with report.opened(path) as found:
        assert 500 < report.read(found.database)[0].calls < 1500
        # The torn line, and that the file is not whole.
        assert found.skipped[str(path)] in {1, 2}
    path.write_bytes(content[:-6] + b"\0\0\0\0\0\0")
    assert told(path)["shop.save"][0] == 2000
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
