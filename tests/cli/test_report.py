"""`time-execution report` and `tail`: what they print of a database whose content is known."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import time
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser

import pytest

from tests.cli.conftest import popen
from tests.patience import least_time
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.cli.moments import moment
from time_execution.cli.numbers import duration
from time_execution.types import Metric

NOON = datetime(2024, 5, 1, 12, 0, tzinfo=timezone.utc)
HOSTILE = '<script>alert(1)</script>"onmouseover=x'


def store(path, *metrics):
    """Store metrics: name, value, moment, further fields."""
    with SQLiteBackend(path, retention=None, minute_retention=None, hour_retention=None) as backend:
        backend.write_many(
            [
                Metric({"name": name, "value": value, "hostname": "web1", "timestamp": when, **fields})
                for name, value, when, fields in metrics
            ]
        )


@pytest.fixture
def database(tmp_path):
    """Make a database with three functions, one of which fails at times."""
    path = tmp_path / "metrics.db"
    store(
        path,
        *(("shop.orders.total", 2.0, NOON + timedelta(minutes=n), {}) for n in range(10)),
        *(("shop.orders.save", 1240.0, NOON, {"error_type": "ValueError"} if n else {}) for n in range(3)),
        ("shop.tax", 0.0481, NOON + timedelta(hours=2), {}),
    )
    return path


def test_table_is_what_it_was(command, database):
    """The table, its figures and the sentence below it are exactly these."""
    done = command("report", "metrics.db", COLUMNS="100")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "function           calls  errors    total     mean      p50      p95      p99      max",
        "shop.orders.save       3       2  3.72 s   1.24 s   1.24 s   1.24 s   1.24 s   1.24 s",
        "shop.orders.total     10       0  20.0 ms  2.00 ms  2.00 ms  2.00 ms  2.00 ms  2.00 ms",
        "shop.tax               1       0  48.1 µs  48.1 µs  48.1 µs  48.1 µs  48.1 µs  48.1 µs",
        "",
        "3 functions, 14 calls, 2 errors, 2024-05-01 12:00 to 14:00 UTC",
    ]


def test_sorts_limits_and_filters(in_process, database):
    """Options choose which functions are shown, and in which order."""

    def names(*options):
        return [row["name"] for row in json.loads(in_process("report", "--json", *options).stdout)["functions"]]

    assert names() == ["shop.orders.save", "shop.orders.total", "shop.tax"]
    assert names("--sort", "name", "--reverse") == ["shop.tax", "shop.orders.total", "shop.orders.save"]
    assert names("--sort", "calls") == ["shop.orders.total", "shop.orders.save", "shop.tax"]
    assert names("--sort", "max", "--reverse", "--limit", "1") == ["shop.tax"]
    assert names("--pattern", "*.orders.*") == ["shop.orders.save", "shop.orders.total"]
    assert names("--since", "2024-05-01T13:30:00Z") == ["shop.tax"]
    assert names("--until", "2024-05-01T12:30:00+00:00", "--sort", "name") == ["shop.orders.save", "shop.orders.total"]
    assert names("--since", "1h") == []
    assert "2 not shown" in in_process("report", "--limit", "1").stdout


def test_long_names_are_cut_in_the_middle(command, in_process, tmp_path):
    """A name that does not fit keeps its beginning and end; where nothing has a width, it stays whole."""
    long = "package." + "very_" * 40 + "long.function"
    store(tmp_path / "metrics.db", (long, 1.0, NOON, {}))
    narrow = command("report", COLUMNS="100").stdout.splitlines()
    assert max(map(len, narrow[:2])) == 100
    assert re.match(r"package\.\S+…\S+long\.function  ", narrow[1])
    assert long in in_process("report").stdout


def test_terminal_controls_and_poor_encodings_are_harmless(command, in_process, tmp_path):
    """A name cannot steer the terminal, and an output without the letters shows them escaped."""
    store(tmp_path / "metrics.db", ("a\x1b[31mb\nc\u202ed", 0.002, NOON, {}))
    assert "a\\x1b[31mb\\nc\\u202ed" in in_process("report").stdout
    poor = command("report", PYTHONIOENCODING="ascii")
    assert poor.returncode == 0
    assert "2.00 us" in poor.stdout
    assert "\x1b" not in in_process("tail", "--no-follow").stdout


def test_json_is_whole(in_process, database):
    """JSON holds every figure and its unit."""
    document = json.loads(in_process("report", "metrics.db", "--json").stdout)
    assert document["values"] == []
    first = document["functions"][0]
    assert (first["kind"], first["unit"]) == ("timing", "ms")
    assert first["calls"] == 3
    assert first["errors"] == 2
    assert first["total"] == pytest.approx(3720.0)
    assert first["first_seen"] == "2024-05-01T12:00:00Z"
    assert set(first) == {
        "name",
        "kind",
        "unit",
        "calls",
        "errors",
        "total",
        "mean",
        "p50",
        "p95",
        "p99",
        "min",
        "max",
        "first_seen",
        "last_seen",
    }


def test_csv_holds_no_formula(command, tmp_path):
    """A name that a spreadsheet would compute is text; lines end as RFC 4180 says."""
    formulas = ["=1+1", "+x", "-x", "@x", "\tx", "\rx", "\n=x", ' "=x', "'=x"]
    store(
        tmp_path / "metrics.db",
        *((name, 1.5, NOON, {}) for name in formulas),
        ('plain "quoted", name', 2.5, NOON, {}),
    )
    done = command("report", "--csv", encoding=None)
    assert done.returncode == 0
    rows = list(csv.reader(io.StringIO(done.stdout.decode(), newline="")))
    assert done.stdout.count(b"\r\n") == len(rows)
    assert rows[0][:6] == ["name", "kind", "unit", "calls", "errors", "total"]
    assert {row[0]: float(row[5]) for row in rows[1:]} == {
        **{f"'{name}": 1.5 for name in formulas},
        'plain "quoted", name': 2.5,
    }


class Page(HTMLParser):
    """Collects what a page is made of."""

    VOID = frozenset({"meta", "input", "br", "rect", "wbr"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(text.replace("<wbr>", ""))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_page_shows_hostile_text_as_text(in_process, tmp_path):
    """Whatever names, hosts and fields hold makes no element, no attribute and no address; tags are balanced."""
    store(
        tmp_path / "metrics.db",
        *((HOSTILE, 5.0 + n, NOON, {"error_type": HOSTILE, "note": "</script><img src=x>"}) for n in range(20)),
        ("plain", 1.0, NOON, {}),
    )
    done = in_process("report", "--html", "page.html")
    assert done.returncode == 0
    assert "page.html" in done.stderr
    text = (tmp_path / "page.html").read_text("utf-8")
    page = Page(text)
    assert page.open == []
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert not [each for each in page.attributes if each[1].startswith("on") or each[1] in {"src", "href", "style"}]
    assert HOSTILE in page.texts
    assert not re.search(r"https?://", text)
    policy = next(
        value for tag, name, value in page.attributes if tag == "meta" and name == "content" and "src" in value
    )
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_page_tells_what_the_table_tells(in_process, database):
    """The page has the functions, a bar each, their histograms, their slowest calls and when they were called."""
    assert in_process("report", "metrics.db", "--html", "page.html").returncode == 0
    page = Page((database.parent / "page.html").read_text("utf-8"))
    shown = " ".join(page.texts)
    for text in (
        "14 calls",
        "3 functions",
        "2 errors",
        "1.24 s",
        "Time per function",
        "Calls over time",
        "Slowest calls",
    ):
        assert text in shown, text
    bars_of_functions, bars_of_calls, charts = 3, 10, 1 + 2 * 3
    assert page.tags.count("svg") == bars_of_functions + bars_of_calls + 4 * charts
    assert page.texts.count("shop.orders.save") >= 3


def test_page_of_nothing_says_what_to_do(in_process, database):
    """A range without a metric makes a page that says so."""
    assert in_process("report", "metrics.db", "--since", "1m", "--html", "page.html").returncode == 0
    assert "There is no metric" in (database.parent / "page.html").read_text("utf-8")


def test_what_cannot_be_reported_is_one_line(in_process, tmp_path):
    """A missing file, another file and a wrong option end with a line and the right exit status."""
    (tmp_path / "text.db").write_text("no database, but quite some text " * 50)
    for arguments, status in (
        (["none.db"], 1),
        (["text.db"], 1),
        (["x", "--since", "soon"], 2),
        (["x", "--sort", "y"], 2),
    ):
        done = in_process("report", *arguments)
        assert done.returncode == status
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
    assert in_process("report", "--html", "no/folder/x.html", "none.db").returncode == 1


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path, database):
    """A pipe that closes early, with more to come than it holds, leaves no traceback."""
    store(database, *((f"function{n}", 1.0, NOON, {}) for n in range(2_000)))
    child = popen(tmp_path, "report", "--json")
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline() == "{\n"
    child.stdout.close()
    errors = child.stderr.read()
    child.stderr.close()
    assert child.wait(30) == 0
    assert errors == ""


def test_help_and_version(in_process):
    """Every command explains itself, the version is told, and an unknown command is wrong usage."""
    for name in ("run", "report", "tail", "spool", "demo"):
        done = in_process(name, "--help")
        assert done.returncode == 0
        assert done.stdout.startswith("usage: time-execution " + name)
    assert re.match(r"time-execution \S+", in_process("--version").stdout)
    assert "run" in in_process("--help").stdout
    assert in_process("nonsense").returncode == in_process().returncode == 2


def test_tail_prints_the_last_then_follows(tmp_path, database):
    """Metrics stored meanwhile appear, errors and fields with them, and an interrupt ends it quietly."""
    if sys.platform == "win32":
        pytest.skip("signals")
    child = popen(tmp_path, "tail", "-n", "2", "--interval", "0.05", "--json", "--pattern", "shop.*")
    assert child.stdout is not None
    first = [json.loads(child.stdout.readline()) for _ in range(2)]
    assert [metric["name"] for metric in first] == ["shop.orders.save", "shop.tax"]
    store(database, ("other", 1.0, NOON, {}), ("shop.new", 3.0, NOON, {"user": "anna"}))
    assert json.loads(child.stdout.readline()) == {
        "name": "shop.new",
        "value": 3.0,
        "hostname": "web1",
        "timestamp": "2024-05-01T12:00:00.000000Z",
        "user": "anna",
    }
    child.send_signal(2)
    _, errors = child.communicate(timeout=30)
    assert (child.returncode, errors) == (130, "")


def test_tail_line_is_short(in_process, database):
    """A line has the time, the duration and the name, then the fields."""
    assert in_process("tail", "--no-follow", "-n", "2").stdout.splitlines() == [
        "12:00:00.000   1.24 s   shop.orders.save  error_type=ValueError",
        "14:00:00.000   48.1 µs  shop.tax",
    ]


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (1240.0, "1.24 s"),
        (312.4, "312 ms"),
        (0.048, "48.0 µs"),
        (999.9, "1.00 s"),
        (99.96, "100 ms"),
        (9.996, "10.0 ms"),
        (119_000.0, "119 s"),
        (121_000.0, "2.02 min"),
        (7.3e6, "2.03 h"),
        (3.6e9, "1000 h"),
        (5e-7, "0.50 ns"),
        (-2.0, "-2.00 ms"),
    ],
)
def test_durations_have_three_figures(milliseconds, text):
    """Three significant figures, the unit that fits, and no surprise at the edges between units."""
    assert duration(milliseconds) == text


def test_moments_are_understood():
    """Time spans count back from now, times without a zone are local."""
    assert abs(moment("90s") - (datetime.now(timezone.utc) - timedelta(seconds=90))) < timedelta(seconds=5)
    assert abs(moment("1.5h") - (datetime.now(timezone.utc) - timedelta(minutes=90))) < timedelta(seconds=5)
    assert moment("2024-05-01T12:00:00Z") == NOON
    assert moment("2024-05-01T14:00+02:00") == NOON
    assert moment("2024-05-01") == datetime(2024, 5, 1).astimezone()


@pytest.mark.serial
def test_report_does_not_grow_with_rows(command, tmp_path):
    """A report over 300 000 calls answers within a second, interpreter included."""
    path = tmp_path / "metrics.db"
    start = time.time_ns() - 10**12
    with SQLiteBackend(path) as backend:
        for first in range(0, 300_000, 10_000):
            backend.write_many(
                [
                    Metric({"name": f"f{n % 50}", "value": 1.0 + n % 7, "hostname": "h", "timestamp": start + n})
                    for n in range(first, first + 10_000)
                ]
            )

    def seconds_taken():
        began = time.perf_counter()
        assert "50 functions, 300,000 calls" in command("report", "--limit", "1").stdout
        return time.perf_counter() - began

    assert least_time(seconds_taken, 1.0) <= 1.0
