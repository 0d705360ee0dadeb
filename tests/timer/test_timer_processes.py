"""Any number of processes on the same files: each line whole, each once, none lost (T10, L1)."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from tests.backends.line_files import ENVIRONMENT, lines_of, older_files
from tests.child import printed_by
from tests.forked import ends_well_in_a_child, needs_fork
from time_execution import flush
from time_execution import record_output as output

MAX_BYTES = 50_000


def run(folder, way, *, processes=8, calls=2000, gzip=False):
    """Run the program to its end, and return what it measured: (process, number) -> how often."""
    options = {"max_bytes": MAX_BYTES, "backup_count": 2000, "gzip_backups": gzip}
    environment = {**ENVIRONMENT, "TIMER_FOLDER": str(folder), "TIMER_OPTIONS": json.dumps(options)}
    command = [
        sys.executable,
        "-W",
        "ignore:This process",
        "-m",
        "tests.timer.processes",
        way,
        str(processes),
        str(calls),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def check(folder, expected):
    """Compare what stands in all files with how many calls there were, and each line with the others."""
    timings = [json.loads(line) for line in lines_of(folder / "timing.log")]
    errors = [json.loads(line) for line in lines_of(folder / "error.log")]
    with (folder / "timing_results.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert len(timings) == len(rows) == expected
    ids = {record["call_id"] for record in timings}
    assert len(ids) == expected
    assert {row[header.index("call_id")] for row in rows} == ids
    assert all(len(row) == len(header) for row in rows)
    failed = {record["call_id"] for record in timings if record["outcome"] == "ValueError"}
    assert len(errors) == len(failed) == expected // 10
    assert {record["call_id"] for record in errors} == failed
    return Counter(record["arguments"] for record in timings)


def check_turned_over(folder, *, gzip):
    """Compare the sizes of files with their bound, and their forms with what was asked for."""
    older = older_files(folder / "timing.log")
    assert len(older) > 10
    assert all(path.stat().st_size <= MAX_BYTES for path in older.values())
    if gzip:
        assert sum(path.suffix == ".gz" for path in older.values()) >= len(older) - 1


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("way", ["process-fork", "process-spawn", "pool-fork", "executor-spawn"])
def test_processes_share_the_files(tmp_path, way, gzip):
    """Eight processes and their parent write two thousand records each, while all files turn over at 50 KB."""
    folder = tmp_path / "logs"
    run(folder, way, gzip=gzip)
    assert set(check(folder, 18_000).values()) == {1}
    check_turned_over(folder, gzip=gzip)


@pytest.mark.slow
@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("way", ["process-fork", "process-forkserver", "executor-fork", "pool-spawn"])
def test_processes_share_the_files_for_longer(tmp_path, way, gzip):
    """The same with five thousand records each, and the other ways to start a process."""
    folder = tmp_path / "logs"
    run(folder, way, calls=5000, gzip=gzip)
    assert set(check(folder, 45_000).values()) == {1}
    check_turned_over(folder, gzip=gzip)


@needs_fork
@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
def test_threads_that_fork_lose_nothing(tmp_path, gzip):
    """Six threads that write, fork and write on: what parent and children measured is there, each once."""
    folder = tmp_path / "logs"
    run(folder, "threads-fork", processes=6, calls=1000, gzip=gzip)
    assert set(check(folder, 12_000).values()) == {1}


@needs_fork
def test_fork_while_records_wait(written):
    """Records that wait in the parent's queue are its own: the child writes none of them, and its own once."""
    timed = written.timer()(lambda number: number)
    for number in range(3000):
        timed(number)

    def child():
        for number in range(3000, 4000):
            timed(number)
        assert flush(20)

    assert ends_well_in_a_child(child)
    assert sorted(int(text.removeprefix("number=")) for text in written.arguments()) == list(range(4000))
    assert len(written.rows()) == 4001


def test_workers_import_nothing(tmp_path):
    """A child that is forked while a worker imports waits for that import for ever: all is loaded before."""
    code = (
        "import sys\nfrom time_execution import flush\nfrom time_execution.timer import ErrorCatcher, Timer\n"
        f"options = {{'max_bytes': 5000, 'gzip_backups': True}}\nfolder = {str(tmp_path)!r}\n"
        "timed = Timer(log_dir=folder, **options)(lambda x: None)\n"
        "caught = ErrorCatcher(error_log_file=folder + '/e.log', **options)(lambda: None)\n"
        "before = set(sys.modules)\n"
        "for value in [5, 'text', 2**70, None, 1.5] * 20: timed(value)\n"
        "assert flush(20)\nprint(sorted(set(sys.modules) - before))\n"
    )
    assert printed_by(code) == ["[]"]


def test_a_file_that_hangs_holds_up_one_call_in_a_while(written, monkeypatch):
    """Where each call waits for its record, as in a pool's child, it does so for a second at most, and not each."""
    gate, write_many = threading.Event(), output.RecordLog.write_many

    def when_it_opens(log, metrics):
        assert gate.wait(20)
        write_many(log, metrics)

    monkeypatch.setattr(output, "is_terminated_at_will", lambda: True)
    monkeypatch.setattr(output.RecordLog, "write_many", when_it_opens)
    timed = written.timer(results_format=None)(lambda: None)
    gate.set()
    timed()
    assert len(lines_of(written.folder / "timing.log")) == 1  # nobody flushed
    gate.clear()
    began = time.monotonic()
    for _ in range(20):
        timed()
    took = time.monotonic() - began
    gate.set()
    assert 0.9 < took < 2.5


@needs_fork
def test_forked_children_make_ids_of_their_own(written):
    """Children of one parent do not repeat each other's ids, nor its."""
    timed = written.timer(results_format=None)(lambda number: number)
    timed(0)

    def child():
        for number in range(100):
            timed(number)
        assert flush(20)

    assert all(ends_well_in_a_child(child) for _ in range(5))
    timed(1)
    ids = [record["call_id"] for record in written.timings()]
    assert len(set(ids)) == len(ids) == 502
