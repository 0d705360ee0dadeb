"""`CSVBackend`: rows under fixed columns, readable by any reader and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from time_execution.backends.files import CSVBackend
from time_execution.backends.files.csv import neutral
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import BackendRejected, ConfigurationError
from time_execution.types import Metric


@pytest.mark.parametrize("torn", ["tor", '"to', '"to""', '1,"b"'])
def test_a_torn_row_is_closed(tmp_path, torn):
    """In a CSV file a quote may be open, too, and would swallow what follows."""
    path = tmp_path / "metrics.csv"
    backend = CSVBackend(path, ["name", "value"])
    backend.write("a", value=1)
    with path.open("a", newline="") as file:
        file.write(torn)
    backend.write("b", value=2)
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[:2] == [["name", "value"], ["a", "1"]]
    assert rows[-1] == ["b", "2"]


@pytest.mark.parametrize("kept", [0, 1, 8, 13])
def test_a_torn_header_is_completed(tmp_path, kept):
    """A process killed in the middle of the header does not make the file unusable."""
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"name,value\r\n"[:kept])
    CSVBackend(path, ["name", "value"]).write("a", value=1)
    assert path.read_bytes() == b"name,value\r\na,1\r\n"


def test_other_columns_are_refused(tmp_path):
    """Rows are never written under columns of another meaning, and no waiting changes that: they are refused."""
    path = tmp_path / "metrics.csv"
    CSVBackend(path, ["name", "value"]).write("a", value=1)
    with pytest.raises(BackendRejected, match="another header"):
        CSVBackend(path, ["value", "name"]).write("b", value=2)
    assert path.read_bytes() == b"name,value\r\na,1\r\n"
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]


OTHERS = b"UUID,Function\n1,f\n"


@pytest.mark.parametrize("others", [OTHERS, b"\xef\xbb\xbfname,value\r\n", b"x", b"\0" * 100])
def test_other_columns_are_moved_aside(tmp_path, caplog, others):
    """Where that is asked for, what was there is kept under a name that was free, and one line says so."""
    path = tmp_path / "metrics.csv"
    path.write_bytes(others)
    path.chmod(0o640)
    (tmp_path / "metrics.csv.before-1").write_bytes(b"older")
    backend = CSVBackend(path, ["name", "value"], move_aside=True)
    backend.write("a", value=1)
    backend.write("b", value=2)
    assert path.read_bytes() == b"name,value\r\na,1\r\nb,2\r\n"
    aside = tmp_path / "metrics.csv.before-2"
    assert aside.read_bytes() == others
    assert aside.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "metrics.csv.before-1").read_bytes() == b"older"
    (told,) = [record.getMessage() for record in caplog.records]
    assert told == f"{path} holds something else, so it was moved to metrics.csv.before-2, and a new one is begun"


def test_other_columns_are_moved_aside_once(tmp_path):
    """A second file of another program, or of another version of this one, is not: two would move each other's."""
    path = tmp_path / "metrics.csv"
    path.write_bytes(OTHERS)
    backend = CSVBackend(path, ["name", "value"], move_aside=True)
    backend.write("a", value=1)
    path.write_bytes(OTHERS)
    with pytest.raises(BackendRejected, match="another header"):
        backend.write("b", value=2)
    assert path.read_bytes() == OTHERS
    path.unlink()
    backend.write("c", value=3)
    assert path.read_bytes() == b"name,value\r\nc,3\r\n"


@pytest.mark.parametrize("begun", [b"", b"name,va", b"name,value\r\n", b"name,value\r\nold,1\r\n"])
def test_what_is_ours_is_never_moved(tmp_path, begun):
    """Neither an empty file, nor half a header, nor one that has rows."""
    path = tmp_path / "metrics.csv"
    path.write_bytes(begun)
    CSVBackend(path, ["name", "value"], move_aside=True).write("a", value=1)
    assert path.read_bytes() == (b"name,value\r\nold,1\r\n" if b"old" in begun else b"name,value\r\n") + b"a,1\r\n"
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]


def test_many_move_one_file_aside_together(tmp_path):
    """Whoever comes first moves it, and the others write to the new one: no row is lost, and no file."""
    path = tmp_path / "metrics.csv"
    path.write_bytes(OTHERS)
    backends = [CSVBackend(path, ["name", "value"], move_aside=True) for _ in range(8)]
    together = threading.Barrier(len(backends))

    def write(backend):
        together.wait(20)
        backend.write("a", value=1)

    threads = [threading.Thread(target=write, args=(backend,)) for backend in backends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert path.read_bytes() == b"name,value\r\n" + b"a,1\r\n" * len(backends)
    assert (tmp_path / "metrics.csv.before-1").read_bytes() == OTHERS
    assert len(list(tmp_path.iterdir())) == 2


def test_rejected_rows_do_not_hold_up_a_close(tmp_path, caplog):
    """Behind a queue, rows that no waiting gets into the file are counted, and closing takes no time."""
    path = tmp_path / "metrics.csv"
    path.write_bytes(OTHERS)
    backend = ThreadedBackend(CSVBackend(path), bulk_timeout=0.01, shutdown_timeout=30.0)
    for number in range(10):
        backend.write("a", value=number)
    started = time.monotonic()
    backend.close()
    assert time.monotonic() - started < 10
    assert backend.stats()["dropped"] == {"BackendRejected": 10}
    assert path.read_bytes() == OTHERS
    assert len(caplog.records) == 1


def rows_of(backend, *metrics):
    """Write metrics and return the rows below the header."""
    backend.write_many([Metric({"timestamp": 0, **fields}) for fields in metrics])
    with backend.path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def test_a_row_has_the_core_and_the_rest(tmp_path):
    """Fields without a column are JSON in the last one."""
    backend = CSVBackend(tmp_path / "metrics.csv")
    (row,) = rows_of(backend, {"name": "a", "value": -1.5, "hostname": "h", "status": 200, "list": [1], "fields": 1})
    assert row == {
        "timestamp": "1970-01-01T00:00:00.000000Z",
        "name": "a",
        "value": "-1.5",
        "hostname": "h",
        "origin": "",
        "fields": '{"status":200,"list":[1],"fields":1}',
    }


def test_the_columns_are_those_of_a_metric(tmp_path):
    """Their order is what other programs rely on; without anything else, the last one is empty."""
    backend = CSVBackend(tmp_path / "metrics.csv")
    backend.bulk_write([])
    assert not backend.path.exists()
    backend.write_many([Metric({"name": "a", "value": 1.5, "hostname": "h", "origin": "o", "timestamp": 0})])
    assert backend.path.read_bytes() == (
        b"timestamp,name,value,hostname,origin,fields\r\n1970-01-01T00:00:00.000000Z,a,1.5,h,o,\r\n"
    )


def test_moments_in_any_column_are_text_in_utc(tmp_path):
    """As in JSON: with microseconds and Z."""
    when = datetime(2024, 5, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    backend = CSVBackend(tmp_path / "metrics.csv", ["name", "when"])
    assert rows_of(backend, {"name": "a", "when": when}) == [{"name": "a", "when": "2024-05-01T12:00:00.000000Z"}]


def test_columns_of_ones_own(tmp_path):
    """Given columns take what has their name; without one for the rest, the rest is left out."""
    backend = CSVBackend(tmp_path / "metrics.csv", ["name", "status", "absent"])
    assert rows_of(backend, {"name": "a", "status": 200, "value": 1}) == [{"name": "a", "status": "200", "absent": ""}]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (-1.5, "-1.5"),
        (-3, "-3"),
        (1e-7, "1e-07"),
        (2**70, str(2**70)),
        (float("nan"), ""),
        (float("-inf"), ""),
        (None, ""),
        (True, "true"),
        ([1, {"a": None}], '[1,{"a":null}]'),
        ("-1.5", "'-1.5"),
        ("a\0b", "a\\x00b"),
        ("\ud800", "\\ud800"),
        ('quote " comma , line\r\nend', 'quote " comma , line\r\nend'),
    ],
)
def test_cells(tmp_path, value, cell):
    """Numbers stay numbers, text is text, and what is neither is JSON."""
    assert rows_of(CSVBackend(tmp_path / "a.csv", ["name", "cell"]), {"name": "a", "cell": value})[0]["cell"] == cell


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\0=", "|", "%", "\uff1d", "\uff0b"])
@pytest.mark.parametrize("before", ["", '"', "'", " ", ' "', "\u00a0", "\ufeff", "''"])
def test_no_text_is_a_formula(tmp_path, before, start):
    """Case S9: in every column, header included, a text that a spreadsheet might run has an apostrophe before it."""
    text = f"{before}{start}cmd"
    backend = CSVBackend(tmp_path / "a.csv", ["name", f"{text}column"])
    backend.write("a", **{f"{text}column": text})
    with backend.path.open(newline="", encoding="utf-8") as file:
        cells = [row[1] for row in csv.reader(file, strict=True)]
    # A NUL is escaped first, and what begins with the escape is no formula.
    expected = text.replace("\0", "\\x00")
    assert cells == ([f"'{expected}column", f"'{expected}"] if start != "\0=" else [f"{expected}column", expected])


@given(st.text(st.characters(exclude_characters="\0")))
def test_the_apostrophe_can_be_taken_off_again(text):
    """Neutral text is reversible: what has an apostrophe before something dangerous was dangerous."""
    safe = neutral(text)
    assert (safe[1:] if safe.startswith("'") and neutral(safe[1:]) != safe[1:] else safe) == text
    assert not re.match("[=+\\-@\t\r]", safe)


@pytest.mark.parametrize("fieldnames", [[], "name", 3, ["a", 1], ["a", "a"], None])
def test_wrong_columns_are_refused(tmp_path, fieldnames):
    """Case B9 for the columns."""
    with pytest.raises(ConfigurationError, match="fieldnames must"):
        CSVBackend(tmp_path / "a.csv", fieldnames)


def test_reading_with_python_gives_the_text_back(tmp_path):
    """The quoting is that of RFC 4180."""
    backend = CSVBackend(tmp_path / "metrics.csv", ["name", "note"])
    backend.write("a", note='x "y", z')
    assert backend.path.read_bytes() == b'name,note\r\na,"x ""y"", z"\r\n'
    assert list(csv.reader(io.StringIO(backend.path.read_text(), newline="")))[1] == ["a", 'x "y", z']
