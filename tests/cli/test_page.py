"""The page of `report --html`: nothing in it is anybody's markup, and its numbers are those of the store."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime, timedelta, timezone
from html import unescape

import pytest

from tests.cli.test_report import Page
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.types import Metric

NOON = datetime(2024, 5, 1, 12, 0, tzinfo=timezone.utc)
HOSTILE = "<script>alert(1)</script>\"onmouseover='x"
UNIT = "\"onclick=x <i>'&"
FILE = "a<img src=x onerror=y>\"b'&.db"


def metric(name, value, when=NOON, *, kind="timing", unit=None, **fields):
    return Metric({"name": name, "value": value, "timestamp": when, **fields}, kind=kind, unit=unit)


@pytest.fixture
def write(in_process, tmp_path):
    """Return a function that stores metrics and returns the page that is made of them."""

    def make(*metrics, options=(), name="metrics.db"):
        with SQLiteBackend(tmp_path / name, retention=None, minute_retention=None, hour_retention=None) as backend:
            backend.write_many(list(metrics))
        done = in_process("report", name, "--html", "page.html", *options)
        assert done.returncode == 0
        assert done.stderr.endswith("the report is in page.html; open it in a browser\n")
        return (tmp_path / "page.html").read_text("utf-8")

    return make


def assert_inert(text):
    """Assert that a page is balanced and has no element, handler or address but its own; returns it."""
    page = Page(text)
    assert page.open == []
    assert page.tags.count("script") == 1
    assert not {"img", "i", "b"} & set(page.tags)
    assert not [each for each in page.attributes if each[1].startswith("on") or each[1] in {"src", "href", "style"}]
    return page


def test_what_others_named_is_text_in_every_place(write):
    """File, function, host, field, value and unit: in cells, titles, labels and headings."""
    text = write(
        *(metric(HOSTILE, 5.0 + n, hostname=HOSTILE, **{HOSTILE: HOSTILE, "list": [HOSTILE]}) for n in range(3)),
        *(metric("depth", 7.0 + n, kind="gauge", unit=UNIT, hostname=HOSTILE) for n in range(2)),
        name=FILE,
    )
    page = assert_inert(text)
    assert page.texts.count(HOSTILE) >= 3 + 3 + 2
    assert f"{FILE}: what functions cost" in page.texts
    assert UNIT in page.texts
    assert f"7 {UNIT}" in page.texts
    assert any(f"{HOSTILE}={HOSTILE}" in each for each in page.texts)
    shown = [value for _, name, value in page.attributes if name in {"title", "aria-label"}]
    assert any(value == f"7.000000 {UNIT}" for value in shown)
    assert any(value.startswith("half within 7") and UNIT in value for value in shown)
    assert any(each.startswith("half within 7") and UNIT in each for each in page.texts)


def test_an_empty_page_is_inert_as_well(write):
    """It says how to make metrics, naming the file."""
    page = assert_inert(write(metric("f", 1.0), options=("--since", "1m"), name=FILE))
    assert f"time-execution run --db {FILE} script.py" in page.texts


@pytest.mark.parametrize("kind", ["timing", "gauge"])
def test_the_policy_allows_what_is_in_the_page_and_nothing_else(write, kind):
    """By the digests of its one style and its one script; a page without a table of functions has no script."""
    text = write(metric("f", 1.0, kind=kind))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)

    def digest(tag):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert bool(content.strip()) is (tag == "style" or kind == "timing")
        return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

    assert policy == (
        f"default-src 'none'; style-src {digest('style')}; script-src {digest('script')}; "
        "base-uri 'none'; form-action 'none'"
    )


def test_long_fields_are_cut_and_odd_letters_written_out(write):
    """A page stays readable, and is UTF-8 whatever was stored."""
    text = write(metric("f", 1.0, note="x" * 1000), metric("f", 2.0, note="a\ud800b"))
    assert f"note={'x' * 295}…<" in text
    assert "note=a\\ud800b<" in text


def bars(text):
    """Return the names of the bars of a page, in order, with their lengths."""
    (found,) = re.findall(r'<dl class="panel bars">(.*?)</dl>', text)
    pattern = r'<span class="name">(.*?)</span>.*?class="mark" width="([\d.]+)"'
    return [(unescape(name), float(width)) for name, width in re.findall(pattern, found)]


def test_bars_are_of_the_greatest_totals_whatever_the_table_is_sorted_by(write):
    """The longest is the first, the others in proportion; a dozen at most."""
    values = {"a": 1.0, "b": 4.0, "c": 2.0}
    metrics = [metric(name, value) for name, value in values.items()]
    text = write(*metrics, options=("--sort", "name"))
    assert bars(text) == [("b", 100.0), ("c", 50.0), ("a", 25.0)]
    assert "Most time passed in b: 4.00 ms in 1 call." in re.sub(r"\s+", " ", "".join(Page(text).texts))
    (table,) = re.findall(r'<table id="functions">(.*?)</table>', text)
    rows = re.findall(r'<tr><td><span class="name">(.)</span>', table)
    assert rows == ["a", "b", "c"]
    more = write(*(metric(f"f{n:02}", 10.0 + n) for n in range(20)), options=("--sort", "name"), name="more.db")
    assert [name for name, _ in bars(more)] == [f"f{n:02}" for n in range(19, 7, -1)]


def test_what_was_called_more_than_once_is_open(write):
    """The three that took most time, of those that have something to show."""
    calls = [metric(f"f{n}", 100.0 if n == 1 else 10.0 - n) for n in range(6) for _ in range(1 if n == 1 else 2)]
    opened = re.findall(r'<details( open)?><summary><span class="name">(f\d)</span>', write(*calls))
    assert sorted(name for is_open, name in opened if is_open) == ["f0", "f2", "f3"]
    assert len(opened) == 6


def test_cells_hold_the_exact_value_to_sort_by(write):
    """What is shown is rounded; only errors that there are show as trouble."""
    text = write(*(metric("f", 1234.5678, error="x" if n else "") for n in range(3)), metric("g", 1.0))
    (table,) = re.findall(r'<table id="functions">(.*?)</table>', text)
    assert 'data-value="3703.7034000000003" title="3,703.703400 ms">3.70 s<' in table
    assert '<td class="trouble-text" data-value="2" title="2">2</td>' in table
    assert '<td data-value="0" title="0">0</td>' in table
    assert table.count("trouble-text") == 1


@pytest.mark.parametrize(
    ("hours", "until"), [(2, " to 14:00 UTC"), (48, " to 2024-05-03 12:00 UTC"), (0, "")], ids=["day", "days", "minute"]
)
def test_the_range_is_told_with_the_days_that_it_takes(write, hours, until):
    """The day of the end where it is another one, and nothing where it is the same minute."""
    shown = "".join(Page(write(metric("f", 1.0), metric("f", 1.0, NOON + timedelta(hours=hours)))).texts)
    assert f"metrics.db · 2024-05-01 12:00 UTC{until} · written" in shown


def test_errors_are_seen_where_they_happened(write):
    """A foot in red, as high as their share, and words for those who do not see it."""
    minutes = [metric("f", 1.0, NOON + timedelta(minutes=n), error="x" if n == 9 else "") for n in range(10)]
    text = write(*minutes, *minutes)
    (plot,) = re.findall(r"<h2>Calls over time</h2>(.*?)</section>", text)
    assert plot.count('class="trouble"') == 1
    assert "UTC: 2 calls, 2 errors</title>" in plot
    assert "20 calls, at most 2 per 10 s; errors in red at the foot" in plot
    assert "in red" not in write(metric("f", 1.0), name="fine.db")


def test_errors_of_values_are_told_when_there_is_no_function(write):
    """Once: with a function they are in its sentence."""
    failed = metric("v", 1.0, kind="value", error="x")
    assert "1 value written once, 1 error." in "".join(Page(write(failed)).texts)
    both = "".join(Page(write(failed, metric("f", 1.0), name="both.db")).texts)
    assert "1 call of 1 function, 1 error." in both
    assert "1 value written once." in both


def test_a_page_that_cannot_be_written_is_a_line(in_process, write, tmp_path):
    """And no success."""
    write(metric("f", 1.0))
    done = in_process("report", "--html", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"time-execution: cannot write {tmp_path}: Is a directory\n"
