"""`CSVBackend`: one row for each metric, under columns that stay what they are, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from time_execution.backends.files.line_file import LineFileBackend
from time_execution.exceptions import ConfigurationError
from time_execution.formats.json import encode, encode_value, moment_text, nanoseconds_text
from time_execution.formats.snapshot import snapshot_fields
from time_execution.formats.spreadsheet import neutral
from time_execution.types import HOSTNAME, NAME, ORIGIN, TIMESTAMP, VALUE, Metric

REST = "fields"
"""The column that takes, as JSON, whatever has no column of its own."""

COLUMNS = (TIMESTAMP, NAME, VALUE, HOSTNAME, ORIGIN, REST)


class CSVBackend(LineFileBackend):
    r"""Append each metric as a row (RFC 4180, UTF-8) to a file whose first line names the columns.

    Moments are ISO 8601 text, numbers plain, NaN and infinities empty; lists and dicts JSON. A text that a spreadsheet
    might take for a formula gets a leading apostrophe; a text's NUL, which many readers refuse, is written ``\x00``.
    Thread-safe and fork-safe; any number of processes may write to one file, as `JSONLinesBackend` says.

    Args:
        path: Made absolute. Created by the first batch with mode 0600, missing folders with 0700. No symbolic link.
        fieldnames: The columns. Fields without a column are kept as JSON under ``fields`` if that is among them, and
            left out otherwise.
        max_bytes: Turn over to a new file rather than grow beyond so many bytes; None for never.
        backup_count: With `max_bytes`, keep so many older files: ``<path>.1`` is the latest. By default 5.
        gzip_backups: With `max_bytes`, compress older files: ``<path>.1.gz`` is the latest.
        move_aside: Move a file that has other columns to ``<path>.before-<n>``, a name that is free, log that, and
            begin a new one; once, for should there be another one later, somebody else uses the path. By default, such
            a file is not written to, and metrics are rejected.

    Raises:
        ConfigurationError: When an argument is wrong, or no file can ever be written at the path.

    Example:
        >>> path = getfixture("tmp_path") / "metrics.csv"
        >>> CSVBackend(path, ["name", "value", "fields"]).write("cpu.load", value=0.25, core=3)
        >>> path.read_text().splitlines()[1].startswith('cpu.load,0.25,"{""core"":3')
        True
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = "metrics.csv",
        fieldnames: Sequence[str] = COLUMNS,
        *,
        max_bytes: int | None = None,
        backup_count: int | None = None,
        gzip_backups: bool = False,
        move_aside: bool = False,
    ) -> None:
        self.fieldnames = _checked(fieldnames)
        super().__init__(
            path,
            max_bytes=max_bytes,
            backup_count=backup_count,
            gzip_backups=gzip_backups,
            header=_rows([[neutral(column) for column in self.fieldnames]])[0],
            quote=b'"',
            move_aside=move_aside,
        )

    def _lines(self, metrics: Sequence[Metric], now: int) -> list[bytes]:
        return _rows([self._row(metric, now) for metric in metrics])

    def _row(self, metric: Metric, now: int) -> list[Any]:
        fields, _ = snapshot_fields(metric)
        moment = fields.setdefault(TIMESTAMP, now)
        if type(moment) is int:
            fields[TIMESTAMP] = nanoseconds_text(moment)
        row = [_cell(fields.pop(column, None)) if column != REST else "" for column in self.fieldnames]
        if fields and REST in self.fieldnames:
            row[self.fieldnames.index(REST)] = encode(fields)
        return row


def _cell(value: Any) -> Any:
    """Return what the csv module writes as it should be read."""
    kind = type(value)
    if kind is str:
        return neutral(value)
    if kind is int or value is None:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is datetime:
        return moment_text(value)
    return encode_value(value)


class _Texts(list[str]):
    """Takes each row as the csv module writes it."""

    write = list.append


def _rows(rows: list[list[Any]]) -> list[bytes]:
    texts = _Texts()
    csv.writer(texts).writerows(rows)
    return [text.encode("utf-8", "backslashreplace") for text in texts]


def _checked(fieldnames: Any) -> tuple[str, ...]:
    if isinstance(fieldnames, str) or not isinstance(fieldnames, Sequence) or not fieldnames:
        got = "an empty one" if fieldnames in ([], ()) else type(fieldnames).__name__
        raise ConfigurationError(f"fieldnames must be a list of texts, not {got}")
    if not all(isinstance(name, str) for name in fieldnames):
        raise ConfigurationError("fieldnames must be a list of texts, and one is of another type")
    if len(set(fieldnames)) < len(fieldnames):
        raise ConfigurationError("fieldnames must differ from each other")
    return tuple(fieldnames)
