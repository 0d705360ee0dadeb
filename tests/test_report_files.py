"""Reports on files of any kind: what each line comes to, and what is said of those that come to nothing."""

from __future__ import annotations

import random
import tempfile
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report_files import NOON, TIMING, document, failure, lines, table, temporary_fixture, timing, told  # noqa: F401 - a fixture applies by being here
from time_execution import report
from time_execution.backends.files import CSVBackend, JSONLinesBackend
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.report import _lines, _loading
from time_execution.report._lines import Tally
from time_execution.types import Metric


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
        assert (save.first_seen, save.last_seen) == (NOON, NOON + timedelta(seconds=61))
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
