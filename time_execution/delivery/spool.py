"""The disk spool: what neither network nor process can keep lies here until this process or a later one sends it.

A `Spool` says where and how much; `Spool.open` gives a delivery its `SpoolStore`, a file of its own in that folder.
Rows are JSON, never pickles. Nothing the disk does reaches the caller: it is counted, told, and tried again.
`inspect_folder`, `read` and `purge` work on the folder from outside.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from time_execution.delivery._spool_folder import check_path
from time_execution.delivery._spool_offline import SpoolFile, inspect_folder, purge, read
from time_execution.delivery._spool_store import SpoolStore
from time_execution.exceptions import ConfigurationError

if TYPE_CHECKING:
    from time_execution.types import Clock

__all__ = ["Spool", "SpoolFile", "SpoolStore", "inspect_folder", "purge", "read"]

_MAX_BYTES = 256 << 20
_MIN_BYTES = 64 << 10


class Spool:
    """Where a delivery may keep on disk what it cannot send, and how much of it. Touches no file itself.

    Args:
        path: A folder on a local disk, made with the first row, for its owner only. Any number of processes share it.
        max_bytes: The most that each process keeps in it for each backend, at least 64 KiB; beyond it the oldest rows
            give way.
        max_age: Rows older than so many seconds are given up; None keeps them for as long as it takes.
        durable: Have each commit on the disk before going on. Without it a kill loses nothing either, but the loss of
            power may cost the last commits.
        clock: Returns seconds, never going back.
        wall_clock: Returns seconds since the epoch; asked once for each store.

    Raises:
        ConfigurationError: When an argument cannot be honoured.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = _MAX_BYTES,
        max_age: float | None = None,
        durable: bool = False,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
    ) -> None:
        given: Any = path
        if not isinstance(given, (str, os.PathLike)) or not os.fspath(given):
            raise ConfigurationError(f"spool must be the path of a folder, not {_said(given)}")
        if type(max_bytes) is not int or max_bytes < _MIN_BYTES:
            raise ConfigurationError(
                f"max_bytes of a spool must be an int of {_MIN_BYTES} or more, not {_said(max_bytes)}"
            )
        if max_age is not None and (type(max_age) not in {int, float} or not max_age > 0):
            raise ConfigurationError(f"max_age of a spool must be seconds above 0, or None, not {_said(max_age)}")
        if type(durable) is not bool:
            raise ConfigurationError(f"durable of a spool must be a bool, not {_said(durable)}")
        self.path = Path(path)
        self.max_bytes = max_bytes
        self.max_age = max_age
        self.durable = durable
        self._clock = clock
        self._wall_clock = wall_clock
        check_path(self.path, "spool")

    def open(self, name: str) -> SpoolStore:
        """Return a store for one backend of this process; it makes its file with the first row.

        Args:
            name: Names the backend: a store adopts what earlier stores of this name left behind.
        """
        return SpoolStore(
            self.path,
            name,
            max_bytes=self.max_bytes,
            max_age=self.max_age,
            durable=self.durable,
            clock=self._clock,
            wall_clock=self._wall_clock,
        )

    def __repr__(self) -> str:
        """Return the arguments."""
        return f"Spool({str(self.path)!r}, max_bytes={self.max_bytes}, max_age={self.max_age}, durable={self.durable})"


def _said(value: object) -> str:
    """Return a number as it is, of anything else the type only."""
    return repr(value) if type(value) in {int, float} else type(value).__name__
