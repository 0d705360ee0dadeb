"""The pictures of the page: what they show is what was stored, and where there is nothing they say so."""

from __future__ import annotations

import random
import re
from html import unescape
from itertools import pairwise

import pytest

from tests.cli.test_page import HOSTILE, assert_inert
from tests.cli.test_report import Page
from tests.report_files import document, failure, lines, table, timing
from time_execution.cli import findings
from time_execution.cli.numbers import duration


@pytest.fixture
def page(in_process, tmp_path):
    """Return a function that reports files and returns the page."""

    def make(*names, options=()):
        done = in_process("report", *names, "--html", "page.html", *options)
        assert done.returncode == 0, done.stderr
        return (tmp_path / "page.html").read_text("utf-8")

    return make


def section(text, title):
    """Return a section of a page."""
    (found,) = re.findall(rf"<section><h2>{title}</h2>(.*?)</section>", text, re.DOTALL)
    return found


def words(html):
    """Return the words of a part of a page."""
    return re.sub(r"\s+", " ", " ".join(Page(html).texts)).strip()


def test_a_log_of_the_timer_has_every_picture(page, tmp_path):
    """Time per function, calls over time, memory change, the slowest calls, and a histogram of each."""
    random.seed(1)
    lines(tmp_path / "timing.log", *(timing(n, random.lognormvariate(0, 1), name=f"f{n % 3}") for n in range(300)))
    text = page("timing.log")
    titles = re.findall("<h2>(.*?)</h2>", text)
    assert titles == [
        *("Time per function", "Calls over time", "Memory change per function"),
        *("Slowest calls of all", "Functions", "One by one"),
    ]
    assert text.count("<h3>How long it took</h3>") == text.count("<h3>When it was called</h3>") == 3
    parsed = assert_inert(text)
    assert parsed.tags.count("style") == 1


def test_memory_goes_to_either_side_of_zero(page, tmp_path):
    """The greatest change first, in proportion, with what is behind it under the pointer."""
    changes = {"grows": [3 << 20, 0], "shrinks": [-1 << 20], "stays": [0]}
    records = [
        timing(n, name=name, memory_change_bytes=change, rss_bytes=64 << 20)
        for name, each in changes.items()
        for n, change in enumerate(each)
    ]
    lines(tmp_path / "timing.log", *records)
    found = section(page("timing.log"), "Memory change per function")
    assert re.findall(r'class="name">(\w+)<', found) == ["grows", "shrinks", "stays"]
    assert re.findall(r'class="number">(.*?)<', found) == ["+3.00 MiB", "-1.00 MiB", "0 B"]
    bars = re.findall(r'class="mark(?: less)?" x="([\d.]+)" width="([\d.]+)"', found)
    assert found.count("mark less") == 1
    assert bars == [("25.00", "75.00"), ("0.00", "25.00"), ("25.00", "0.00")]
    assert '"2 calls: +1.50 MiB a call on average, from 0 B to +3.00 MiB; at most 64.0 MiB held after one"' in found


def test_no_memory_is_said_to_be_none(page, tmp_path):
    """With what records it; there are no columns of resources then."""
    lines(tmp_path / "a", document())
    found = page("a")
    assert "No memory was recorded." in section(found, "Memory change per function")
    assert ">rss<" not in found
    lines(tmp_path / "b", *(timing(n, cpu_ms=None, memory_change_bytes=None, rss_bytes=None) for n in range(3)))
    assert "No memory was recorded." in page("b")


def test_the_ten_slowest_calls_are_those_of_all_functions(page, tmp_path):
    """In order, each with a bar in proportion and what it took; ties and all."""
    random.seed(3)
    walls = [round(random.uniform(1, 100), 3) for _ in range(400)]
    records = [timing(n, wall, name=f"f{random.randrange(30)}", cpu_ms=wall / 4) for n, wall in enumerate(walls)]
    lines(tmp_path / "timing.log", *records)
    found = section(page("timing.log"), "Slowest calls of all")
    slowest = sorted(walls, reverse=True)[:10]
    assert [float(each) for each in re.findall(r'title="([\d.]+)0{3} ms"', found)] == slowest
    bars = [float(width) for width in re.findall(r'class="mark" width="([\d.]+)"', found)]
    assert bars == [pytest.approx(wall / slowest[0] * 100, abs=0.01) for wall in slowest]
    first = next(record for record in records if record["wall_ms"] == slowest[0])
    (row, *_) = re.findall("<tbody><tr>(.*?)</tr>", found)
    shown = words(row)
    assert shown.startswith(f"{first['function']} {duration(slowest[0])} 12:0")
    assert shown.endswith(f"{slowest[0] / 4:.1f} ms +4.00 KiB 47.7 MiB ({first['arguments']}) {first['call_id'][:8]}")


def test_failed_calls_have_their_message(page, tmp_path):
    """That of the exception before everything else, in the colour of trouble."""
    lines(tmp_path / "timing.log", timing(1, 9.0, outcome="ValueError"), timing(2))
    lines(tmp_path / "error.log", failure(1))
    found = section(page("timing.log", "error.log"), "Slowest calls of all")
    assert re.findall('<td class="wide trouble-text">(.*?)</td>', found) == [
        "error_type=ValueError, message=no order 1, (order=1)"
    ]


def test_calls_without_a_duration_make_no_picture_fail(page, tmp_path):
    """A log of errors has functions and times, and says what it has not."""
    lines(tmp_path / "error.log", failure(1), failure(2))
    found = page("error.log")
    assert "No call with a duration is kept singly." in section(found, "Slowest calls of all")
    assert "no numbers" in found
    assert "2 calls of 1 function" in words(found)


def test_axes_have_round_marks_where_their_numbers_are(page, tmp_path):
    """Decades below a histogram, moments below calls over time, counts at the left."""
    lines(tmp_path / "timing.log", *(timing(n, wall) for n, wall in enumerate([0.01, 1.0, 100.0] * 7)))
    text = page("timing.log")
    (histogram,) = re.findall("<h3>How long it took</h3>(.*?)</figure>", text)
    marks = re.findall(r'<text class="\w+" x="([\d.]+)%" y="1.25em">(.*?)</text>', histogram)
    marks.sort(key=lambda mark: float(mark[0]))
    assert [label for _, label in marks] == ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms"]
    places = [float(place) for place, _ in marks]
    steps = [after - before for before, after in pairwise(places)]
    assert all(step == pytest.approx(steps[0], abs=0.1) for step in steps)
    assert re.findall(r'<text x="100%" y="([\d.]+)%">(.*?)</text>', histogram) == [
        *(("100.00", "0"), ("50.00", "4"), ("0.00", "8")),
    ]
    columns = re.findall(r'<title>(.*?): 7 calls</title>.*?class="mark" x="([\d.]+)"', histogram)
    assert len(columns) == 3
    (over_time,) = re.findall("<h3>When it was called</h3>(.*?)</figure>", text)
    assert "12:00:05" in over_time
    assert unescape(over_time).count("<title>2024-05-01 12:00:") == 21


def test_what_files_hold_is_text_in_every_place(page, tmp_path):
    """Names, arguments, messages, types, ids and the names of files, from lines and from rows."""
    hostile = {"name": HOSTILE, "arguments": HOSTILE, "call_id": HOSTILE}
    records = [timing(n, 1.0 + n, outcome=HOSTILE if n else "ok", **hostile) for n in range(3)]
    name = "a<img src=x onerror=y>\"b'&.log"
    lines(tmp_path / name, *records)
    table(tmp_path / "b.csv", *records)
    lines(tmp_path / "error.log", failure(1, name=HOSTILE, message=HOSTILE, call_id=HOSTILE, type=HOSTILE))
    parsed = assert_inert(page(name, "b.csv", "error.log"))
    assert f"{name}, b.csv, error.log: what functions cost" in parsed.texts
    assert any(f"error_type={HOSTILE}, message={HOSTILE}, ({HOSTILE})" in each for each in parsed.texts)
    assert parsed.texts.count(HOSTILE) >= 3


def test_many_functions_and_minutes_make_no_large_page(page, tmp_path, monkeypatch):
    """A day of two hundred functions stays below one megabyte, whatever their names."""
    monkeypatch.setattr(findings, "_FEW_CALLS", 1000)
    random.seed(5)
    names = [f"package_{n % 7}.{'long_' * 12}module.Class{n}.method" for n in range(200)]
    calls = (
        timing(n * 2, random.lognormvariate(0, 2), name=random.choice(names), arguments="x" * 200)
        for n in range(40_000)
    )
    lines(tmp_path / "timing.log", *calls)
    text = page("timing.log")
    assert len(text.encode()) < 1_000_000
    assert text.count("<details") == 20
    (table_,) = re.findall('<table id="functions">(.*?)</table>', text)
    assert table_.count("<tr>") == 201
    columns = section(text, "Calls over time").count("<title>")
    assert 45 <= columns <= 90


def test_a_day_of_minutes_is_counted_in_full(page, tmp_path, monkeypatch):
    """Where several minutes share a column, none is lost."""
    monkeypatch.setattr(findings, "_FEW_CALLS", 1000)
    lines(tmp_path / "timing.log", *(timing(n * 60, 1.0) for n in range(1440) for _ in range(3)))
    found = section(page("timing.log"), "Calls over time")
    counts = [int(each.replace(",", "")) for each in re.findall(r"UTC: ([\d,]+) calls</title>", found)]
    assert sum(counts) == 1440 * 3
    assert len(counts) == 48
    assert "calls per 30 min<" in found
    assert set(counts) == {90}
