"""Metrics that a backend refused for good, kept in a file with the reason, to be looked at and sent again.

One line of JSON for each, beginning ``{"time": …, "reason": …, "detail": …, "id": …, "metric": …}``; the metric is what
`time_execution.formats.packed.pack` writes, so that what was refused can be sent again exactly as it was.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from time_execution.append_file import AppendFile
from time_execution.delivery._spool_folder import check_path, make_folder
from time_execution.exceptions import ConfigurationError
from time_execution.file_path import to_file
from time_execution.formats.packed import pack, unpack
from time_execution.formats.timestamp import to_datetime, to_iso, to_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from time_execution.types import Metric

NAME = "dead-letters.jsonl"
"""What the file is called in a spool's folder."""

_MAX_BYTES = 16 << 20
_MIN_BYTES = 16 << 10
_MAX_DETAIL = 2000
_LOCK_TIMEOUT = 1.0

# Why a letter was not kept.
FULL = "full"
UNWRITABLE = "unwritable"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused metric.

    Attributes:
        time: When it was refused, aware UTC.
        reason: The kind of reason, from a small set.
        detail: What the server said, cut at 2000 characters.
        metric: The metric as it was refused, with its id, kind and unit.
    """

    time: datetime
    reason: str
    detail: str
    metric: Metric

    def line(self) -> bytes:
        """Return it as it stands in the file."""
        head = {
            "time": to_iso(self.time),
            "reason": self.reason,
            "detail": self.detail[:_MAX_DETAIL],
            "id": self.metric.id,
        }
        # The metric is put in as packed, once, and last, where a person reading the file expects the bulk.
        return f'{json.dumps(head)[:-1]}, "metric": {pack(self.metric)}}}\n'.encode()


class DeadLetters:
    """A bounded file of refused metrics, which any number of processes may write to.

    When the file is full, at half of ``max_bytes``, it becomes ``<path>.1``, whose place it takes, and a new one
    begins: of the oldest letters those in the former ``.1`` are given up, and counted. Nothing raises; a letter that
    cannot be kept is counted. The file is opened for each letter, so it may be moved or removed at any time, and a fork
    changes nothing. Files can be read by their owner only; a symbolic link in their place is refused.

    Args:
        path: The file; folders on the way to it are made with the first letter.
        max_bytes: The most that the file and its predecessor take up together, at least 16 KiB.
        wall_clock: Returns nanoseconds since the epoch.

    Attributes:
        written: Letters written by this process.
        lost: Reason -> letters of this process that were not kept: ``full`` (larger than half the bound) or
            ``unwritable`` (what the disk said is in `last_error`).
        last_error: What the disk said when it last refused; None if it never did.

    Raises:
        ConfigurationError: When an argument cannot be honoured.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = _MAX_BYTES,
        wall_clock: Callable[[], int] = time.time_ns,
    ) -> None:
        if type(max_bytes) is not int or max_bytes < _MIN_BYTES:
            raise ConfigurationError(f"max_bytes of dead letters must be an int of {_MIN_BYTES} or more")
        file = to_file(path, key="dead_letters")
        self._folder = file.parent.resolve()
        check_path(self._folder, "dead_letters")
        self._file = _LetterFile(
            self._folder / file.name, max_bytes=max_bytes // 2, backup_count=1, lock_timeout=_LOCK_TIMEOUT
        )
        self.path = self._file.path
        self.max_bytes = max_bytes
        self._wall_clock = wall_clock
        self.written = 0
        self.lost: Counter[str] = Counter()
        self.last_error: str | None = None

    def append(self, metric: Metric, reason: str, detail: str = "") -> bool:
        """Write a letter; return whether it is in the file.

        Args:
            metric: What was refused; not changed.
            reason: The kind of reason, from a small set.
            detail: What the server said; must hold no secret.
        """
        line = DeadLetter(to_datetime(self._wall_clock()), reason, detail, metric).line()
        if len(line) > self.max_bytes // 2:
            self.lost[FULL] += 1
            return False
        try:
            make_folder(self._folder)
            self._file.append(line)
        except OSError as exc:
            self.last_error = f"{type(exc).__name__}: {exc}"
            self.lost[UNWRITABLE] += 1
            return False
        self.written += 1
        return True

    @property
    def expired(self) -> int:
        """Letters, whoever wrote them, that this process gave up with a former ``.1``."""
        return self._file.given_up

    def set_aside(self, files: Iterable[Path]) -> list[Path]:
        """Rename files once nobody writes to them, so that no letter is on its way into one; return their new names.

        Args:
            files: The file or its predecessor, or both; one that has gone is left out.

        Raises:
            OSError: When one cannot be renamed, or others are at work on them for too long.
        """
        aside: list[Path] = []
        with self._file.held() as held:
            for file in files:
                if held < 0 and file == self.path:  # made since, by somebody who is writing to it
                    continue
                names = (self.path.with_name(f"{self.path.name}.replay.{n}") for n in itertools.count(time.time_ns()))
                free = next(name for name in names if not os.path.lexists(name))
                with suppress(FileNotFoundError):
                    file.rename(free)
                    aside.append(free)
        return aside

    def put_back(self, lines: Iterable[bytes]) -> None:
        """Append lines as they are, whatever the bound: nothing that is there gives way to them.

        Args:
            lines: Letters or what became of them, each with its line's end or without.

        Raises:
            OSError: When they cannot all be written, or others are at work on the file for too long.
        """
        text = b"".join(line if line.endswith(b"\n") else line + b"\n" for line in lines)
        if text:
            make_folder(self._folder)
            self._file.append(text, is_bounded=False, is_durable=True)  # where they came from is removed next


class _LetterFile(AppendFile):
    """Counts the letters that it gives up."""

    given_up = 0

    def turn_over(self) -> None:
        """Make the file the former one; the caller holds the file."""
        given_up = _count_lines(former(self.path))
        super().turn_over()
        self.given_up += given_up


def read(path: str | os.PathLike[str]) -> Iterator[DeadLetter]:
    """Yield the letters of a file and of its predecessor, oldest first; lines that are torn or damaged are skipped.

    Letters written meanwhile may or may not be among them. A path where nothing is yields nothing.

    Raises:
        OSError: When a file cannot be read.
    """
    path = Path(path)
    for each in (former(path), path):
        with suppress(FileNotFoundError), each.open("rb") as file:
            for line in file:
                letter = parse(line)
                if letter is not None:
                    yield letter


def parse(line: bytes) -> DeadLetter | None:
    """Return the letter that a line holds; None when it holds none, or a damaged one."""
    try:
        row = json.loads(line)
        moment = datetime.fromisoformat(row["time"].replace("Z", "+00:00"))
        metric = unpack(json.dumps(row["metric"]))
        return DeadLetter(to_datetime(to_nanoseconds(moment)), str(row["reason"]), str(row["detail"]), metric)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def former(path: Path) -> Path:
    """Return where the predecessor of a file lies."""
    return path.with_name(path.name + ".1")


def _count_lines(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except FileNotFoundError:
        return 0
