"""The forms of `time-execution report`: how much each shows, in which order, under which titles."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime, timedelta, timezone

import pytest

from tests.cli.test_table import Terminal
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.cli import main
from time_execution.types import Metric

NOON = datetime(2024, 5, 1, 12, 0, tzinfo=timezone.utc)


@pytest.fixture
def store(tmp_path):
    """Return a function that stores timings: name, value, moment."""

    def write(*rows):
        path = tmp_path / "metrics.db"
        with SQLiteBackend(path, retention=None, minute_retention=None, hour_retention=None) as backend:
            backend.write_many(
                [Metric({"name": name, "value": value, "timestamp": when}) for name, value, when in rows]
            )

    return write


def test_a_table_is_of_thirty_and_all_else_of_everything(in_process, store, tmp_path):
    """What is left out is said; a file or a program gets all."""
    store(*((f"f{n:02}", 1.0, NOON) for n in range(31)))
    table = in_process("report").stdout.splitlines()
    assert len([line for line in table if line.startswith("f") and line[1].isdigit()]) == 30
    assert table[-1].endswith("; 1 not shown (--limit 0 shows all)")
    whole = in_process("report", "--limit", "0").stdout
    assert "f30" in whole
    assert "not shown" not in whole
    assert len(json.loads(in_process("report", "--json").stdout)["functions"]) == 31
    assert len(list(csv.DictReader(io.StringIO(in_process("report", "--csv").stdout)))) == 31
    assert in_process("report", "--html", "page.html").returncode == 0
    table = (tmp_path / "page.html").read_text("utf-8").partition('<table id="functions">')[2].partition("</table>")[0]
    assert table.count("<tr><td><span") == 31


def test_csv_has_each_number_under_its_title(in_process, store):
    """Full precision, and moments in UTC."""
    store(*(("f", float(value), NOON + timedelta(minutes=value)) for value in range(1, 101)))
    head, row = csv.reader(io.StringIO(in_process("report", "--csv").stdout))
    assert ",".join(head) == "name,kind,unit,calls,errors,total,mean,p50,p95,p99,min,max,first_seen,last_seen"
    found = dict(zip(head, row, strict=True))
    assert [found[title] for title in ("calls", "errors", "total", "mean", "min", "max")] == [
        *("100", "0", "5050.0", "50.5", "1.0", "100.0"),
    ]
    assert [float(found[title]) for title in ("p50", "p95", "p99")] == pytest.approx([50, 95, 99], rel=0.02)
    assert (found["first_seen"], found["last_seen"]) == ("2024-05-01T12:01:00Z", "2024-05-01T13:40:00Z")


def test_json_says_what_was_asked(in_process, store):
    """The file and the range as they were given, the moments in UTC; without one, null."""
    store(("f", 1.0, NOON), ("f", 1.0, NOON + timedelta(minutes=5)))
    options = ("--since", "2024-05-01T14:00+02:00", "--until", "2024-05-01T13:00:00Z")
    document = json.loads(in_process("report", "metrics.db", "--json", *options).stdout)
    assert document | {"functions": []} == {
        "database": "metrics.db",
        "since": "2024-05-01T12:00:00Z",
        "until": "2024-05-01T13:00:00Z",
        "functions": [],
        "values": [],
    }
    (row,) = document["functions"]
    assert (row["first_seen"], row["last_seen"]) == ("2024-05-01T12:00:00Z", "2024-05-01T12:05:00Z")
    assert list(row)[:5] == ["name", "kind", "unit", "calls", "errors"]
    document = json.loads(in_process("report", "metrics.db", "--json").stdout)
    assert (document["since"], document["until"]) == (None, None)


@pytest.mark.parametrize("options", [(), ("--reverse",)], ids=["as ever", "reversed"])
def test_equals_are_in_the_order_of_their_names(in_process, store, options):
    """Whichever took more in all, and in either direction."""
    store(("b", 3.0, NOON), ("a", 1.0, NOON), ("c", 2.0, NOON))
    found = json.loads(in_process("report", "--json", "--sort", "calls", *options).stdout)["functions"]
    assert [row["name"] for row in found] == ["a", "b", "c"]


def test_what_has_no_number_comes_last(in_process, store):
    """In either direction."""
    store(("none", None, NOON), ("a", 1.0, NOON), ("b", 2.0, NOON))
    for options, names in (((), ["b", "a", "none"]), (("--reverse",), ["a", "b", "none"])):
        found = json.loads(in_process("report", "--json", "--sort", "mean", *options).stdout)["functions"]
        assert [row["name"] for row in found] == names


@pytest.mark.parametrize(
    ("later", "told"),
    [
        (timedelta(0), "2024-05-01 12:00 UTC"),
        (timedelta(hours=2), "2024-05-01 12:00 to 14:00 UTC"),
        (timedelta(days=1), "2024-05-01 12:00 to 2024-05-02 12:00 UTC"),
    ],
)
def test_the_range_is_told_with_the_day_that_it_ends_on(in_process, store, later, told):
    """Where it is another day than that of its beginning."""
    store(("f", 1.0, NOON), ("f", 1.0, NOON + later))
    assert in_process("report").stdout.splitlines()[-1] == f"1 function, 2 calls, no errors, {told}"


def test_nothing_to_report_says_of_what(in_process, store):
    """A pattern, a time, or both."""
    store(("shop.save", 1.0, NOON))
    said = "time-execution: nothing to report: metrics.db has no metric"
    since = ("--since", "1m")
    assert in_process("report", *since).stderr == f"{said} in that time\n"
    assert in_process("report", *since, "-p", "x").stderr == f"{said} of a name that matches 'x' in that time\n"
    alike = "; names like it: shop.save\n"
    assert in_process("report", "-p", "*AV*").stderr == f"{said} of a name that matches '*AV*'{alike}"
    assert in_process("report", "-p", "shop.safe").stderr == f"{said} of a name that matches 'shop.safe'{alike}"


def test_errors_are_red_on_a_terminal(tmp_path, monkeypatch):
    """Those that there are, in the tables of functions and of values."""
    with SQLiteBackend(tmp_path / "metrics.db") as backend:
        backend.write_many(
            [
                Metric({"name": kind, "value": 1.0, "timestamp": NOON, "error": error}, kind=kind)
                for kind in ("timing", "value")
                for error in ("x", "")
            ]
        )
    terminal = Terminal()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stdout", terminal)
    assert main(["report"]) == 0
    text = terminal.buffer.getvalue().decode()
    assert re.findall(r"\x1b\[31m *(\d+)\x1b\[0m", text) == ["1", "1"]
    assert text.count("\x1b[1m") == 2
