"""Which processes live: each locks one byte of a file beside the database, and the kernel lets go of it for them.

A process id may come again, and says nothing in another container that shares the folder. POSIX locks are released by
any death, are not inherited by a fork, and are asked for in a microsecond.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable
from pathlib import Path

from time_execution.sqlite_file import identity

if sys.platform != "win32":
    import fcntl

_SUFFIX = "-owners"
_BITS = 62  # an offset in a file that no file is as large as
_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)

# One descriptor for each file, never closed while the file is at its path: closing any descriptor of a file drops all
# locks that the process has on it.
_descriptors: dict[Path, int] = {}
_owners: dict[tuple[int, int], int] = {}


def claim(database: Path) -> int:
    """Return the number of this process beside a database; others see that it is alive until the process ends.

    Raises:
        OSError: When the file beside the database cannot be made.
    """
    descriptor = _open(database)
    # At one stroke: stores in several threads may ask for the same file.
    number = _owners.setdefault((os.getpid(), descriptor), 1 + secrets.randbits(_BITS))
    if sys.platform != "win32":
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)  # asking again changes nothing
    return number


def dead(database: Path, owners: Iterable[int]) -> set[int]:
    """Return those of some processes that have ended; none where the platform cannot tell.

    Several processes may ask at once: each takes a shared lock, which keeps no other from asking.

    Raises:
        OSError: When the file beside the database cannot be made.
    """
    asked = set(owners)
    if not asked or sys.platform == "win32":
        return set()
    descriptor = _open(database)
    # A process never sees its own locks, so it is left out.
    return {owner for owner in asked - {_owners.get((os.getpid(), descriptor))} if not _is_locked(descriptor, owner)}


def _open(database: Path) -> int:
    path = database.with_name(f"{database.name}{_SUFFIX}")
    descriptor = _descriptors.get(path)
    if descriptor is not None:
        found = os.fstat(descriptor)
        if (found.st_dev, found.st_ino) == identity(path):
            return descriptor
        _owners.pop((os.getpid(), descriptor), None)
        os.close(_descriptors.pop(path))
    return _descriptors.setdefault(path, os.open(path, os.O_RDWR | os.O_CREAT | _NO_FOLLOW, 0o600))


def _is_locked(descriptor: int, owner: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, owner)
    except OSError:
        return True
    fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, owner)
    return False
