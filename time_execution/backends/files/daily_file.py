"""`DailyFile`: a file of lines that turns over with the first batch of a day."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from time_execution.append_file import AppendFile

if TYPE_CHECKING:
    from pathlib import Path

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class DailyFile(AppendFile):
    """An `AppendFile` that turns over when its day is over, in UTC, rather than at a size.

    The day of a file is that of its latest batch, which its modification time says. The older one is called by it:
    ``<path>.2025-05-10``. While there is an older one of the same day, it does not turn over: so that happens once a
    day at most, also when somebody sets the clock back over midnight, and nothing is replaced.

    Args:
        path: See `AppendFile`.
        backup_count: Keep the files of so many older days.
        clock: Returns seconds since the epoch.
        **options: Those of `AppendFile`, but for sizes and compression.

    Raises:
        ConfigurationError: As `AppendFile` does.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        backup_count: int = 30,
        clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> None:
        super().__init__(path, backup_count=backup_count, **options)
        self._clock = clock

    def _is_over(self, file: int, size: int) -> bool:  # noqa: ARG002 - of no importance here
        day = _day_of(os.fstat(file).st_mtime)
        return day < _day_of(self._clock()) and not os.path.lexists(self._of_day(day))

    def _mark(self, file: int) -> None:
        """Set the modification time, which the clock of a file server would make another."""
        now = self._clock()
        os.utime(file if os.utime in os.supports_fd else self.path, (now, now))

    def turn_over(self) -> None:
        """Give the file the name of its day, and remove those of too old days. The caller holds the file."""
        self._remove_oldest(keep=self.backup_count - 1)  # first: whoever holds the file at the path is alone in this
        self.path.replace(self._of_day(_day_of(self.path.stat().st_mtime)))

    def _remove_oldest(self, *, keep: int) -> None:
        start = len(self.path.name) + 1
        named = self.path.parent.glob(f"{_literally(self.path.name)}.*")
        older = sorted(path for path in named if _DAY.fullmatch(path.name[start:]))
        for path in older[: max(0, len(older) - keep)]:
            with suppress(OSError):  # tried again tomorrow; what is to be written now matters more
                path.unlink()

    def _of_day(self, day: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{day}")


def _day_of(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).date().isoformat()


def _literally(name: str) -> str:
    """Return a name as a pattern that nothing else fits."""
    return re.sub(r"([\[*?])", r"[\1]", name)
