"""Folders in which the module ``monitoring`` wrote before: its logs are gone on with, and nothing of it is lost."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time

import pytest

from time_execution import flush, report

TEXT = (
    "2024-05-01 10:00:00,123 - INFO - Function my_function executed in 2.0 seconds\n"
    "2024-05-01 10:00:03,123 - ERROR - Traceback (most recent call last):\n"
    '  File "x.py", line 1, in <module>\n'
    "ValueError: wrong"
)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_lines_of_text_in_logs_are_gone_on_with(written, ending):
    """Records come below them, each on a line of its own, and a report passes over what are none."""
    written.folder.mkdir()
    for name in ("timing.log", "error.log"):
        (written.folder / name).write_text(TEXT + ending, encoding="utf-8", newline="")

    @written.catcher()
    @written.timer()
    def work(number):
        return 1 / number

    work(5)
    with pytest.raises(ZeroDivisionError):
        work(0)
    assert flush(20)
    for name, count in (("timing.log", 2), ("error.log", 1)):
        raw = (written.folder / name).read_text(encoding="utf-8")
        assert raw.startswith(TEXT)
        assert len(raw.splitlines()) == 4 + count
        with report.opened(written.folder / name) as found:
            assert found.skipped == {str(written.folder / name): 4}
            assert sum(each.calls for each in report.read(found.database)) == count


UPSTREAM = "Timestamp,UUID,Function Name,Execution Time (s)\n2024-05-01,1,f,2.0\n"
CHILD = """
import sys
from time_execution.timer import Timer

@Timer(log_to_console=False, log_dir=sys.argv[1], results_format=sys.argv[2])
def work():
    pass

work()
"""


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_of_other_columns_are_moved_aside(tmp_path, kind):
    """Whoever changes no more than the import has the old table and a new one, is told so, and ends at once."""
    name = f"timing_results.{kind}"
    old = tmp_path / name
    if kind == "csv":
        old.write_text(UPSTREAM, encoding="utf-8")
    else:
        pyarrow = pytest.importorskip("pyarrow")
        importlib.import_module("pyarrow.parquet").write_table(pyarrow.table({"UUID": ["1"]}), old)
    before = old.read_bytes()
    for number in range(2):
        started = time.monotonic()
        code = f"import sys; sys.argv = ['', {str(tmp_path)!r}, {kind!r}]\n{CHILD}"
        told = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
        ).stderr
        assert time.monotonic() - started < 15
        lines = (
            []
            if number
            else [f"{old} holds something else, so it was moved to {name}.before-1, and a new one is begun"]
        )
        assert told.splitlines() == lines
    assert (tmp_path / f"{name}.before-1").read_bytes() == before
    with report.opened(old) as found:
        assert [each.calls for each in report.read(found.database)] == [2]


def test_table_that_another_program_takes_later_is_left_to_it(written):
    """Rows for it are counted as dropped, the log has its records, and the end of the program waits for nothing."""
    timer = written.timer()
    timed = timer(lambda: None)
    timed()
    assert flush(20)
    table = written.folder / "timing_results.csv"
    table.write_text(UPSTREAM, encoding="utf-8")
    timed()
    assert flush(20)
    table.write_text(UPSTREAM, encoding="utf-8")
    timed()
    started = time.monotonic()
    for queue in timer.outputs:
        queue.close()
    assert time.monotonic() - started < 10
    assert [queue.stats()["dropped"] for queue in timer.outputs] == [{}, {"BackendRejected": 1}]
    assert table.read_text(encoding="utf-8") == UPSTREAM
    assert len(written.timings()) == 3
    assert (written.folder / "timing_results.csv.before-1").read_text(encoding="utf-8") == UPSTREAM
