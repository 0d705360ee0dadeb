"""Numbers that are no durations, in each form of a report: in their own unit, and never in milliseconds."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from datetime import datetime, timedelta, timezone

import pytest

from tests.cli.test_report import Page
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.cli import findings
from time_execution.cli.findings import timeline
from time_execution.cli.numbers import quantity
from time_execution.cli.table import Screen, fitting
from time_execution.report import read
from time_execution.types import Metric

DURATION = re.compile(r"\d (ns|µs|ms|s|min|h)\b")
NOON = datetime(2024, 5, 1, 12, 0, tzinfo=timezone.utc)


def written(kind, name, value, unit=None, **fields):
    return Metric({"name": name, "value": value, "timestamp": NOON, **fields}, kind=kind, unit=unit)


@pytest.fixture
def database(tmp_path):
    """Make a database with a function and numbers of each other kind."""
    path = tmp_path / "metrics.db"
    with SQLiteBackend(path) as backend:
        backend.write_many(
            [
                written("timing", "shop.save", 1240.0, hostname="web1"),
                *(written("value", "cpu.load.1m", load) for load in (0.25, 0.75)),
                written("gauge", "queue.depth", 7000, "jobs"),
                written("gauge", "queue.age", 12, "jobs"),
                written("counter", "bytes.received", 1_500_000_000, "B", error="short read"),
                Metric({"name": "deploy", "timestamp": NOON}, kind="event"),
            ]
        )
    return path


def test_table_has_a_section_for_values(in_process, database):
    """Functions come first, then the other numbers with their unit beside them, sorted within one unit only."""
    assert in_process("report").stdout.splitlines() == [
        "function   calls  errors    total     mean      p50      p95      p99      max",
        "shop.save      1       0  1.24 s   1.24 s   1.24 s   1.24 s   1.24 s   1.24 s",
        "",
        "value           unit  count  errors   total    mean     p50     p95     p99     max",
        "bytes.received     B      1       1  1.50 G  1.50 G  1.50 G  1.50 G  1.50 G  1.50 G",
        "deploy             -      1       0       -       -       -       -       -       -",
        "queue.depth     jobs      1       0   7,000   7,000   7,000   7,000   7,000   7,000",
        "queue.age       jobs      1       0      12      12      12      12      12      12",
        "cpu.load.1m        -      2       0       1     0.5   0.251   0.741   0.741    0.75",
        "",
        "1 function, 1 call, 5 values written 6 times, 1 error, 2024-05-01 12:00 UTC",
    ]


def test_values_alone_are_a_report(in_process, database):
    """Where a pattern leaves no function, no table of functions is shown."""
    lines = in_process("report", "--pattern", "queue.*").stdout.splitlines()
    assert lines[0].startswith("value ")
    assert lines[-1] == "2 values written 2 times, no errors, 2024-05-01 12:00 UTC"


def test_limit_counts_functions_and_values_apart(in_process, database):
    """A limit leaves so many of each."""
    document = json.loads(in_process("report", "--json", "--limit", "1", "--sort", "name").stdout)
    assert [row["name"] for row in document["functions"]] == ["shop.save"]
    assert [row["name"] for row in document["values"]] == ["bytes.received"]


def test_json_and_csv_tell_kind_and_unit(in_process, database):
    """Each row says what its numbers are; nothing that is no timing claims milliseconds."""
    document = json.loads(in_process("report", "--json").stdout)
    found = {row["name"]: (row["kind"], row["unit"]) for row in document["values"]}
    assert found == {
        "bytes.received": ("counter", "B"),
        "deploy": ("event", None),
        "queue.depth": ("gauge", "jobs"),
        "queue.age": ("gauge", "jobs"),
        "cpu.load.1m": ("value", None),
    }
    rows = list(csv.DictReader(io.StringIO(in_process("report", "--csv").stdout)))
    assert {row["name"]: (row["kind"], row["unit"] or None) for row in rows if row["name"] != "shop.save"} == found
    assert "ms" not in ",".join(rows[0])


def test_page_shows_values_in_their_units(in_process, database):
    """Values have a table and details of their own, and the time of functions is not added up with them."""
    assert in_process("report", "--html", "page.html").returncode == 0
    text = (database.parent / "page.html").read_text("utf-8")
    shown = " ".join(Page(text).texts)
    assert "Values" in shown
    assert "Most time passed in shop.save" in re.sub(r"\s+", " ", shown)
    assert "5 values written 6 times" in shown
    assert "Greatest values" in shown
    assert "7,000 jobs" in shown
    table = text[text.index("<h2>Values</h2>") : text.index("<h2>One by one</h2>")]
    assert {"jobs", "7,000", "1.50 G", "0.741"} <= set(
        Page(f"<section>{table.partition('</section>')[0]}</section>").texts
    )
    assert not DURATION.search(table)
    for name in ("queue.<wbr>depth", "bytes.<wbr>received", "cpu.<wbr>load"):
        part = text[text.rindex(f'<span class="name">{name}') :].partition("</details>")[0]
        before, _, after = part.partition("When it was written")
        assert "Distribution" in before
        for told in (before, after.partition("Greatest values")[2]):
            assert re.search(r">-?\d", told)
            assert not DURATION.search(told), name


def test_page_of_values_alone(in_process, database):
    """Without a function there is no bar of times, and the sentence speaks of the values."""
    assert in_process("report", "--html", "page.html", "--pattern", "queue.*").returncode == 0
    page = Page((database.parent / "page.html").read_text("utf-8"))
    shown = " ".join(page.texts)
    assert "2 values written 2 times, no errors" in shown
    assert "Time per function" not in shown
    assert page.open == []


def test_tail_shows_the_unit_of_each(in_process, database):
    """A line has the number with the unit it was written with."""
    lines = in_process("tail", "--no-follow").stdout.splitlines()
    assert [re.sub(r"\s+", " ", line.partition(" ")[2]).strip() for line in lines] == [
        "1.24 s shop.save",
        "0.25 cpu.load.1m",
        "0.75 cpu.load.1m",
        "7,000 jobs queue.depth",
        "12 jobs queue.age",
        "1.50 G B bytes.received error=short read",
        "- deploy",
    ]


@pytest.mark.parametrize("pattern", ["SAVE", "shop.safe", "shop.saXe*"])
def test_pattern_that_matches_nothing_names_what_is_like_it(in_process, database, pattern):
    """It is said on stderr, with names that may have been meant; the report is empty, and no failure."""
    for form, empty in (([], ""), (["--json"], None), (["--csv"], None)):
        done = in_process("report", "--pattern", pattern, *form)
        assert done.returncode == 0
        assert f"has no metric of a name that matches {pattern!r}; names like it: shop.save" in done.stderr
        assert empty is None or done.stdout == empty
    assert json.loads(in_process("report", "--pattern", pattern, "--json").stdout)["functions"] == []
    assert "names like it" not in in_process("report", "--pattern", "qqqq").stderr


def test_narrow_terminal_leaves_out_columns_not_names(command, database):
    """At 80 columns no line is longer, what was left out is said, and what is sorted by stays."""
    long = "package.module.Class.some_method_of_it"
    with SQLiteBackend(database) as backend:
        backend.write_many([written("timing", long, 5.0)])
    for sort in ("total", "p99", "mean", "max"):
        done = command("report", "--sort", sort, "--pattern", "[ps]*", COLUMNS="80")
        lines = done.stdout.splitlines()
        assert max(map(len, lines)) <= 80
        assert sort in lines[0].split()
        assert len(lines[1].split()[0]) >= 28 or lines[1].startswith("shop.save ")
    assert "(no room for p99" in command("report", "--pattern", "[ps]*", COLUMNS="80").stdout
    assert "no room" not in command("report", COLUMNS="120").stdout
    assert "no room" not in command("report").stdout


def test_columns_go_in_their_order_until_the_rest_fits(monkeypatch):
    """The first to go goes first, and no more than must."""
    heads, rows = ["name", "aaaa", "bbbb", "cccc"], [["n", "1", "2", "3"]]
    for width, gone in (("22", []), ("21", ["cccc"]), ("15", ["cccc", "aaaa"]), ("3", ["cccc", "aaaa"])):
        monkeypatch.setenv("COLUMNS", width)
        kept, cells, found = fitting(Screen(io.StringIO()), heads, rows, optional=["cccc", "aaaa"])
        assert found == gone
        assert [head for head in heads if head not in gone] == kept
        assert all(len(row) == len(kept) for row in cells)


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (0, "jobs", "0 jobs"),
        (999_999, None, "999,999"),
        (1_000_000, None, "1.00 M"),
        (-2.5e9, "B", "-2.50 G B"),
        (5e17, "B", "5e+17 B"),
        (0.000123, None, "0.000123"),
        (1234.5, "", "1,234"),
        (1240.0, "ms", "1.24 s"),
        (None, "jobs", "-"),
    ],
)
def test_quantities_have_three_figures_and_their_unit(number, unit, text):
    """Whole numbers stay whole, great ones get a suffix, and a unit is never invented."""
    assert quantity(number, unit) == text


def timeline_of(path):
    stats = read(path)
    found = timeline(str(path), stats, stats[:1], since=None, until=None)
    assert found is not None
    return found


@pytest.mark.parametrize("limit", ["_FEW_CALLS", "_FEW_SERIES"])
def test_many_calls_are_shown_by_the_minute(monkeypatch, tmp_path, limit):
    """Too many to look at singly, calls come from rollups, the same ones; of too many functions, the first alone."""
    path, names = tmp_path / "metrics.db", ["many", *(f"f{number}" for number in range(3))]
    with SQLiteBackend(path, rollup_rows=1) as backend:
        backend.write_many(
            [
                Metric({"name": name, "value": value, "timestamp": NOON + timedelta(minutes=minute)})
                for name, value in zip(names, (9.0, 1.0, 1.0, 1.0), strict=True)
                for minute in (0, 1, 1, 5)
            ]
        )
    assert timeline_of(path).is_whole
    monkeypatch.setattr(findings, "_FEW_CALLS", 0)
    if limit == "_FEW_SERIES":
        monkeypatch.setattr(findings, "_FEW_SERIES", 3)
    found = timeline_of(path)
    assert found.is_whole is (limit == "_FEW_CALLS")
    assert (found.start, found.width) == (NOON, timedelta(minutes=1))
    assert found.counts(["many"]) == [1, 2, 0, 0, 0, 1]
    assert found.counts(names) == ([4, 8, 0, 0, 0, 4] if found.is_whole else [1, 2, 0, 0, 0, 1])


def test_calls_that_are_no_longer_kept_singly_are_shown_all_the_same(tmp_path):
    """When single calls were deleted, calls over time come from what they added up to."""
    path = tmp_path / "metrics.db"
    with SQLiteBackend(path, rollup_rows=1, retention=None, minute_retention=None, hour_retention=None) as backend:
        backend.write_many(
            [Metric({"name": "f", "value": 1.0, "timestamp": NOON + timedelta(minutes=n)}) for n in range(10)]
        )
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DELETE FROM raw WHERE id < 9")
    connection.close()
    assert timeline_of(path).counts(["f"]) == [1] * 10
