"""Reports on Parquet: what `Timer` and `ParquetBackend` write, merged or not yet, and what other programs write."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.report_files import NOON, document, failure, lines, text_of, timing, told
from time_execution import report
from time_execution.types import Metric

pyarrow = pytest.importorskip("pyarrow")
pyarrow_parquet = pytest.importorskip("pyarrow.parquet")

from time_execution.backends.files.parquet import ParquetBackend  # noqa: E402 - see above


def parquet(path, *records):
    """Write Parquet as other programs do."""
    pyarrow_parquet.write_table(pyarrow.Table.from_pylist(list(records)), path, row_group_size=2)
    return path


def moments(record):
    """Return a record with moments for their texts."""
    from datetime import datetime

    return {
        field: datetime.fromisoformat(value[:-1] + "+00:00") if field in {"started", "ended"} else value
        for field, value in record.items()
    }


def test_records_of_the_timer(tmp_path):
    """Moments may be texts, as in the other files; what is told is the same."""
    records = [timing(n, 1.0 + n, outcome="ok" if n % 2 else "ValueError") for n in range(5)]
    other = timing(7, name="f", cpu_ms=None, rss_bytes=None, memory_change_bytes=None)
    answers = []
    for path in (
        parquet(tmp_path / "a", *map(moments, [*records, other])),
        parquet(tmp_path / "b", *records, other),
        lines(tmp_path / "c", *records, other),
    ):
        with report.opened(path) as found:
            assert found.skipped == {}
            calls = report.tail(found.database)
            answers.append(
                sorted((call.timestamp, call.name, call.value, call.is_error, call.fields) for call in calls)
            )
            assert report.resources(found.database)["shop.save"].calls == 5
    for answer in answers:
        for *_, fields in answer:
            for field in [field for field, value in fields.items() if value is None]:
                del fields[field]
    assert answers[0] == answers[1] == answers[2]
    assert told(tmp_path / "a", lines(tmp_path / "e", failure(0)))["shop.save"] == (5, 3, 15.0)


def test_metrics_of_the_backend_are_read_before_they_are_merged(tmp_path):
    """Also when there is nothing but the journal, and once when there are both."""
    path = tmp_path / "metrics.parquet"
    metric = {"name": "f", "value": 1.5, "hostname": "h", "timestamp": NOON, "user": "anna"}
    backend = ParquetBackend(path)
    backend.write_many([Metric(metric), Metric({**metric, "error_type": "E"})])
    assert not path.exists()
    assert told(path) == {"f": (2, 1, 3.0)}
    backend.close()
    assert path.exists()
    backend.write_many([Metric(metric)])
    with report.opened(path) as found:
        (row,) = report.read(found.database)
        assert (row.calls, row.kind) == (3, "timing")
        assert report.tail(found.database)[0].fields == {"user": "anna"}
    backend.close()
    assert told(path) == {"f": (3, 1, 4.5)}


def test_rows_that_tell_of_nothing_are_counted(tmp_path):
    """By a name that is missing, or other fields that are no object."""
    good = document() | {"fields": '{"a": 1}'}
    path = parquet(tmp_path / "a", good, good | {"fields": "{"}, good | {"fields": "[1]"}, good | {"name": None}, good)
    with report.opened(path) as found:
        assert found.skipped == {str(path): 3}
        assert report.read(found.database)[0].calls == 2


def test_a_moment_that_python_cannot_hold_spoils_its_own_row_only(tmp_path):
    """As other programs may write them."""
    moments = pyarrow.array([-(2**62), 1_714_564_800_000_000], pyarrow.timestamp("us"))
    path = tmp_path / "a.parquet"
    pyarrow_parquet.write_table(pyarrow.table({"function": ["f", "f"], "wall_ms": [1.0, 2.0], "ended": moments}), path)
    with report.opened(path) as found:
        assert found.skipped == {str(path): 1}
        assert report.read(found.database)[0].total == 2.0


def test_a_damaged_file_is_an_error_of_ours(tmp_path):
    """Whether its end is missing or its middle is wrong."""
    path = parquet(tmp_path / "a", *(document(n) for n in range(1000)))
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    with pytest.raises(report.NotADatabaseError):
        told(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(report.NotADatabaseError):
        told(path)


def test_without_pyarrow_it_says_what_to_install(tmp_path):
    """And other files need none."""
    parquet(tmp_path / "a", document(0, text=text_of(NOON)))
    lines(tmp_path / "b", document())
    script = """
import sys
sys.modules["pyarrow"] = None
from time_execution.cli import main
assert main(["report", "b", "--json"]) == 0
assert main(["report", "a"]) == 1
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == "time-execution: pyarrow is not installed: pip install 'timeexecution[parquet]'\n"
