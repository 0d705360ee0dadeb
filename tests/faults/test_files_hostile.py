"""Texts that forge lines, in names, keys and values: case L6."""

from __future__ import annotations

import csv
import json

import pytest

pytest.importorskip("pyarrow", reason="it is not installed")


from tests.backends.line_files import lines_of
from time_execution.backends.files import CSVBackend, JSONLinesBackend, ParquetBackend, open_rows
from time_execution.types import Metric

FORGERIES = (
    '\r\n{"name":"forged"}\r\n',
    '\n{"name":"forged"}',
    "\x1b[2K\x1b[1Gforged",
    "\u2028forged\u2029",
    "\u0085forged",
    "\x0bforged\x0c",
    "\x1c\x1d\x1eforged",
    "\tforged\t",
    "\0forged",
    '",forged\n"',
    "\ud800forged",
)


def metrics_of(forgery):
    """Return metrics with the text in each place where one may be."""
    return [
        Metric({"name": forgery, "value": 1, "timestamp": 0}),
        Metric({"name": "message", "value": 2, "timestamp": 0, "message": forgery}),
        Metric({"name": "key", "value": 3, "timestamp": 0, f"key{forgery}": 1}),
        Metric({"name": "deep", "value": 4, "timestamp": 0, "exception": {"text": [forgery]}, "hostname": forgery}),
    ]


@pytest.mark.parametrize("forgery", FORGERIES, ids=ascii)
def test_a_metric_is_one_line_to_any_reader(tmp_path, forgery):
    """There are as many lines as metrics, however a reader finds their ends, and no command of a terminal (L6)."""
    path = tmp_path / "metrics.jsonl"
    JSONLinesBackend(path, max_bytes=400, backup_count=10, gzip_backups=True).write_many(metrics_of(forgery))
    lines = lines_of(path)
    assert len(lines) == 4
    text = b"\n".join(lines).decode()
    assert len(text.splitlines()) == 4  # which knows every end of a line that Unicode has
    assert not [character for character in text if ord(character) < 32 and character != "\n"]
    found = [json.loads(line) for line in lines]
    assert [row["value"] for row in found] == [1, 2, 3, 4]
    assert (found[0]["name"], found[1]["message"]) == (forgery, forgery)
    assert found[3]["exception"] == {"text": [forgery]}


@pytest.mark.parametrize("forgery", FORGERIES, ids=ascii)
def test_a_metric_is_one_row_of_a_table(tmp_path, forgery):
    """A reader of CSV finds as many rows as metrics, also when they are divided among files (L6)."""
    path = tmp_path / "metrics.csv"
    backend = CSVBackend(path, ["name", "value", "hostname", "fields"], max_bytes=150, backup_count=10)
    backend.write_many(metrics_of(forgery))
    rows = []
    for file in tmp_path.iterdir():
        with file.open(newline="", encoding="utf-8") as opened:
            rows += list(csv.DictReader(opened, strict=True))
    assert sorted(row["value"] for row in rows) == ["1", "2", "3", "4"]
    assert "forged" not in {row["name"].strip() for row in rows if row["value"] != "1"}


@pytest.mark.parametrize("forgery", FORGERIES, ids=ascii)
def test_a_metric_is_one_row_of_a_parquet_file(tmp_path, forgery):
    """The journal's lines are no more than its batches, and the texts come back, before merging and after (L6)."""
    backend = ParquetBackend(tmp_path / "metrics.parquet")
    backend.write_many(metrics_of(forgery))
    journal = (tmp_path / "metrics.parquet.journal").read_text(encoding="ascii")
    assert len(journal.splitlines()) == 2
    for _ in range(2):
        with open_rows(backend.path) as opened:
            rows = list(opened)
        assert [row["value"] for row in rows] == [1, 2, 3, 4]
        assert rows[0]["name"] == rows[3]["hostname"] == forgery.encode("utf-8", "backslashreplace").decode()
        assert json.loads(rows[1]["fields"]) == {"message": forgery}
        assert backend.flush()
