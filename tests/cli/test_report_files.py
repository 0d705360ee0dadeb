"""`time-execution report` of files that are no database: columns, remarks, options, and the ends it may come to."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.cli.conftest import environment
from tests.patience import least_time
from tests.report_files import NOON, TIMING, document, failure, lines, table, timing
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.cli import report as command_module
from time_execution.types import Metric

NINES = "9" * 400
ODD = [
    *(('"wall_ms": 2.0', value) for value in (NINES, "1e308", "1.5e308", "-Infinity", "NaN")),
    *(('"memory_change_bytes": 4096', value) for value in (NINES, "-1e308", "NaN")),
    *(('"cpu_ms": 1.0', value) for value in (NINES, "1e308", "NaN")),
]


@pytest.fixture
def log(tmp_path):
    """Write a log of three calls of one function and one of another, one of which failed."""
    records = [timing(0, 1.0), timing(1, 3.0, outcome="ValueError"), timing(60, 2.0, memory_change_bytes=-4096)]
    return lines(tmp_path / "timing.log", *records, timing(90, 1240.0, name="report.make", cpu_ms=900.0))


def test_the_table_has_columns_of_resources_where_there_are_any(command, log):
    """Mean CPU time, mean change of memory, and the most memory held; exactly this."""
    done = command("report", "timing.log", COLUMNS="120")
    assert (done.returncode, done.stderr) == (0, "")
    numbers = "calls  errors    total     mean      p50      p95      p99      max"
    slow = "1       0  1.24 s   1.24 s   1.24 s   1.24 s   1.24 s   1.24 s "
    quick = "3       1  6.00 ms  2.00 ms  2.01 ms  3.00 ms  3.00 ms  3.00 ms"
    assert done.stdout.splitlines() == [
        f"function     {numbers}      cpu     memory       rss",
        f"report.make      {slow}   900 ms  +4.00 KiB  47.7 MiB",
        f"shop.save        {quick}  1.00 ms  +1.33 KiB  47.7 MiB",
        "",
        "2 functions, 4 calls, 1 error, 2024-05-01 12:00 to 12:01 UTC",
    ]


def test_a_narrow_terminal_keeps_what_counts_most(command, log):
    """The columns that go are told, and one that is sorted by stays."""
    narrow = command("report", "timing.log", COLUMNS="80").stdout
    assert "(no room for p99, mean, p50, rss, memory)" in narrow or "(no room for p99, mean, p50, rss)" in narrow
    assert " cpu" in narrow
    assert " rss" in command("report", "timing.log", "--sort", "rss", COLUMNS="80").stdout.splitlines()[0]


def test_functions_are_sorted_by_what_they_took(in_process, log, tmp_path):
    """Those of which nothing is known come last, in either direction."""
    lines(tmp_path / "more.log", timing(5, 1.0, name="bare", cpu_ms=None, memory_change_bytes=None, rss_bytes=None))

    def names(*options):
        done = in_process("report", "timing.log", "more.log", "--json", *options)
        return [row["name"] for row in json.loads(done.stdout)["functions"]]

    assert names("--sort", "cpu") == ["report.make", "shop.save", "bare"]
    assert names("--sort", "cpu", "--reverse") == ["shop.save", "report.make", "bare"]
    assert names("--sort", "memory")[0] == "report.make"
    assert names("--sort", "rss")[0] == "report.make"


def test_programs_get_figures_of_resources_with_their_units(in_process, log):
    """In JSON with the files that were read, in CSV as further columns; without any there are none."""
    found = json.loads(in_process("report", "timing.log", "--json").stdout)
    assert found["files"] == ["timing.log"]
    assert "database" not in found
    figures = {name: found["functions"][1][name] for name in list(found["functions"][1])[-3:]}
    mean = pytest.approx(4096 / 3)
    assert figures == {"mean_cpu_ms": 1.0, "mean_memory_change_bytes": mean, "max_rss_bytes": 50_000_060}
    head, *rows = csv.reader(io.StringIO(in_process("report", "timing.log", "--csv").stdout))
    assert head[-3:] == ["mean_cpu_ms", "mean_memory_change_bytes", "max_rss_bytes"]
    assert rows[0][-3:] == ["900.0", "4096.0", "50000090"]
    lines(log, document())
    assert "cpu" not in in_process("report", "timing.log", "--json").stdout
    assert "cpu" not in in_process("report", "timing.log", "--csv").stdout
    assert "cpu" not in in_process("report", "timing.log").stdout


def test_files_of_every_kind_make_the_same_table(in_process, log, tmp_path):
    """Told by their content, whatever they are called."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    table(tmp_path / "a.log", *records, columns=TIMING[::-1])
    lines(tmp_path / "b.csv.gz", *records)
    expected = in_process("report", "timing.log").stdout
    assert in_process("report", "a.log").stdout == in_process("report", "b.csv.gz").stdout == expected


def test_what_is_left_out_is_said(in_process, log, tmp_path):
    """On stderr, a line for each file; the rest is reported."""
    with log.open("a") as file:
        file.write("torn\n[]\n")
    lines(tmp_path / "error.log", failure(1), "x\n")
    done = in_process("report", "timing.log", "error.log", "--json")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "time-execution: timing.log: passed over 2 lines that tell of no metric",
        "time-execution: error.log: passed over 1 line that tells of no metric",
    ]
    document_ = json.loads(done.stdout)
    assert (document_["files"], sum(row["calls"] for row in document_["functions"])) == (["timing.log", "error.log"], 4)


def test_sums_that_cannot_be_taken_apart_are_said(in_process, log, tmp_path):
    """Where a database is reported beside another file."""
    forever = {"minute_retention": None, "hour_retention": None}
    with SQLiteBackend(tmp_path / "m.db", retention=0, rollup_rows=1, **forever) as backend:
        for _ in range(3):
            backend.write_many([Metric({"name": "f", "value": 1.0, "timestamp": NOON}) for _ in range(3)])
    done = in_process("report", "timing.log", "m.db")
    assert "time-execution: m.db: " in done.stderr
    assert "kept in sums only, and left out beside other files" in done.stderr


def test_backups_and_names_of_fields_are_options(in_process, log, tmp_path):
    """Each does what it says."""
    lines(tmp_path / "timing.log.1.gz", timing(7))
    calls = "3 functions, 5 calls", "2 functions, 5 calls", "2 functions, 4 calls"
    assert calls[1] in in_process("report", "timing.log").stdout
    assert calls[2] in in_process("report", "timing.log", "--no-backups").stdout
    lines(tmp_path / "a", {"name": "f", "ms": 2.0, "hostname": "h", "timestamp": "2024-05-01T12:00:00.000000Z"})
    assert "2.00 ms" in in_process("report", "a", "--value-field", "ms").stdout
    assert "2.00 ms" not in in_process("report", "a").stdout


def test_a_part_of_a_large_database_is_said_to_be_one(in_process, tmp_path, monkeypatch):
    """Resources are those of the metrics that were stored last; files are looked at as a whole."""
    monkeypatch.setattr(command_module, "MOST_ROWS", 10)
    metrics = [Metric({"name": "f", "value": 1.0, "timestamp": NOON, "cpu_ms": float(n)}) for n in range(20)]
    with SQLiteBackend(tmp_path / "m.db", retention=None, minute_retention=None, hour_retention=None) as backend:
        backend.write_many(metrics)
    shown = in_process("report", "m.db").stdout
    assert shown.endswith("\ncpu, memory and rss are of the latest 10 metrics\n")
    assert "14.5 ms" in shown
    lines(tmp_path / "log", *(timing(n, 1.0, cpu_ms=float(n)) for n in range(20)))
    shown = in_process("report", "log").stdout
    assert "latest" not in shown
    assert "9.50 ms" in shown


def test_what_cannot_be_reported_is_a_line_and_a_status(in_process, tmp_path):
    """A text, a folder, a log of somebody else's, nothing at all."""
    (tmp_path / "text").write_text("text\n")
    lines(tmp_path / "app.log", {"level": "info"})
    (tmp_path / "empty").touch()
    for name, said in (
        ("text", "no metrics database, nor another file that can be reported: Parquet, JSON lines, or CSV with the"),
        (".", "'.' is a folder; name a file in it"),
        ("app.log", "there is no metric in 'app.log': 1 line is something else"),
        ("none.log", "there is nothing to report at 'none.log': no such file"),
        ("empty", "there is no metric in 'empty' yet: the file is empty"),
    ):
        done = in_process("report", name)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_end_amid_the_work_leaves_no_copy_behind(tmp_path, number, status):
    """By an interrupt, a signal that ends the process, or a terminal that goes."""
    lines(tmp_path / "timing.log", *(timing(n % 50, 1.0) for n in range(150_000)))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-m", "time_execution", "report", "timing.log"],
        cwd=tmp_path,
        env=environment(TMPDIR=str(temporary)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        try:
            deadline = time.monotonic() + 30
            while not any(temporary.glob("*/metrics.db")) and time.monotonic() < deadline:
                time.sleep(0.005)
            assert any(temporary.iterdir())
            child.send_signal(number)
            printed, _ = child.communicate(timeout=30)
        finally:
            child.kill()
    assert (child.returncode, printed) == (status, b"")
    assert list(temporary.iterdir()) == []


def test_in_a_thread_signals_are_left_alone(in_process, log):
    """Only the main thread may change what they do; and it puts back what it changed."""
    before = signal.getsignal(signal.SIGTERM)
    ended = []
    thread = threading.Thread(target=lambda: ended.append(in_process("report", "timing.log").returncode))
    thread.start()
    thread.join(30)
    assert ended == [0]
    assert in_process("report", "timing.log").returncode == 0
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.serial
def test_small_files_take_no_time_and_large_ones_little(command, tmp_path):
    """Ten records under half a second, interpreter included; a hundred thousand at twelve microseconds each."""
    lines(tmp_path / "small", *(timing(n, 1.0) for n in range(10)))
    lines(tmp_path / "large", *(timing(n % 600, 1.0 + n % 7) for n in range(100_000)))

    def seconds_taken(name):
        began = time.perf_counter()
        assert command("report", name).returncode == 0
        return time.perf_counter() - began

    assert least_time(lambda: seconds_taken("small"), 0.5) <= 0.5
    assert least_time(lambda: seconds_taken("large"), 2.0) <= 2.0


@pytest.mark.parametrize("options", [["metrics.db", "--html", "link.db"], ["--html", "metrics.db"]])
def test_a_page_never_takes_the_place_of_what_it_is_about(in_process, tmp_path, options):
    """By whatever name: a file that is given where the page is to go, most likely by mistake, stays as it is."""
    path = tmp_path / "metrics.db"
    with SQLiteBackend(path) as backend:
        backend.write("shop.save", value=2.0)
    (tmp_path / "link.db").symlink_to(path)
    before = path.read_bytes()
    done = in_process("report", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"time-execution: {options[-1]} is what is reported; name another file for the page\n"
    assert path.read_bytes() == before


@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"], ["--html", "page.html"]])
def test_numbers_beyond_all_measure_are_no_end_of_the_report(in_process, tmp_path, form):
    """Whatever a program may have written there; JSON stays JSON; what is less than nothing is passed over."""
    usual = json.dumps(timing())
    odd = [usual.replace(field, f"{field.split()[0]} {value}") + "\n" for field, value in ODD]
    lines(tmp_path / "odd.log", f"{usual}\n", *odd)
    done = in_process("report", "odd.log", *form)
    assert done.returncode == 0
    if form == ["--json"]:
        (row,) = json.loads(done.stdout, parse_constant=pytest.fail)["functions"]
        assert (row["calls"], row["total"]) == (len(odd), None)


def test_nothing_but_files_is_needed(command, tmp_path):
    """Neither settings nor a folder that can be written to, besides that for temporary files."""
    lines(tmp_path / "timing.log", timing())
    tmp_path.chmod(0o500)
    try:
        assert "1 function, 1 call" in command("report", "timing.log").stdout
    finally:
        tmp_path.chmod(0o700)
    assert [each.name for each in tmp_path.iterdir()] == ["timing.log"]
