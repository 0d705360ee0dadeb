"""Paths of files that are to be written: what can stand in the way of one, and the folders on the way to it.

A path is judged when a configuration names it, and nothing is opened or made for that. A folder that is not there yet
may be mounted later, or is made with the first metric; only what can never work is refused.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from time_execution.exceptions import ConfigurationError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

# What the kernel says of a path that no waiting mends; a file system that is away may come back.
_FOREVER = {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
_ABSENT = (FileNotFoundError, NotADirectoryError)
# File systems of the kernel's own, where root may write everywhere and nobody can make a file.
_KERNELS = ("/proc", "/sys")
_LOOKS = 5


def to_file(path: Any, *, key: str = "path") -> Path:
    """Return the absolute path of a file that can be written, or be made with the folders on the way to it.

    Args:
        path: A text or a path; a symbolic link in the file's place is refused, not followed.
        key: How messages name it.

    Raises:
        ConfigurationError: When it is no such path, or nothing can ever be written there.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str):
        raise ConfigurationError(f"{key} must be the path of a file, not {type(text).__name__}")
    if not text or "\0" in text:
        given = "a text with NUL in it" if text else "an empty text"
        raise ConfigurationError(f"{key} must be the path of a file, not {given}")
    absolute = Path(os.path.abspath(text))  # noqa: PTH100 - resolve() would follow links, and so accept one
    found = _what_is_at(absolute)
    if found is not None:
        raise ConfigurationError(f"{key} must be the path of a file, not {found}")
    obstacle = obstacle_to(absolute)
    if obstacle is not None:
        raise ConfigurationError(f"{key} must be the path of a file that can be written: {obstacle}")
    return absolute


def path_from_url(url: SplitResult) -> dict[str, str]:
    """Return the path of ``scheme:///relative`` or ``scheme:////absolute`` as an option; without one, nothing."""
    from urllib.parse import unquote  # noqa: PLC0415 - whoever has parsed a URL has loaded it

    path = unquote(f"{url.netloc}{url.path}".removeprefix("/"))
    return {"path": path} if path else {}


def obstacle_to(path: Path) -> str | None:
    """Return what will always keep this process from writing a file at an absolute path, in a few words, or None.

    Whether a missing file can be made is asked of the nearest folder on the way to it that there is.
    """
    nearest = path
    try:
        while (mode := _mode_of(nearest)) is None:
            nearest = nearest.parent
        is_there = nearest == path
        if not (is_there or stat.S_ISDIR(mode)):
            return f"{str(nearest)!r} is no folder"
        if _is_kernels(nearest):
            return f"no file can be made in {str(nearest)!r}"
        if _is_refused(nearest, os.W_OK if is_there else os.W_OK | os.X_OK):
            return f"no permission to write to {str(nearest)!r}"
    except _ABSENT:  # turned over or removed while we looked: so somebody can write there
        return None
    except OSError as exc:
        return f"{exc.strerror} ({str(nearest)!r})" if exc.errno in _FOREVER else None
    return None


def make_folder(folder: Path) -> None:
    """Make a folder and those on the way to it, each for its owner only: ``parents=True`` would open those to all.

    Raises:
        OSError: When one cannot be made.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def move_aside(path: Path) -> Path:
    """Give a file the first of ``<path>.before-1``, ``<path>.before-2`` … that is free, replacing nothing; return it.

    Raises:
        OSError: When it cannot be moved.
    """
    aside = _new_file_beside(path)
    try:
        path.replace(aside)
    except OSError:
        aside.unlink()
        raise
    return aside


def _new_file_beside(path: Path) -> Path:
    number = 0
    while True:
        number += 1
        free = path.with_name(f"{path.name}.before-{number}")
        with suppress(FileExistsError):
            os.close(os.open(free, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            return free


def _what_is_at(path: Path) -> str | None:
    """Return what is in the place of a file, or None when it is a file, absent or out of sight."""
    try:
        mode = path.lstat().st_mode
    except OSError:  # `obstacle_to` says whether it matters
        return None
    if stat.S_ISREG(mode):
        return None
    return "a folder" if stat.S_ISDIR(mode) else "a symbolic link" if stat.S_ISLNK(mode) else "a device or a pipe"


def _is_refused(path: Path, wanted: int) -> bool:
    """Whether it may not be written to; a file that others turn over meanwhile is absent for moments."""
    effective = os.access in os.supports_effective_ids
    return all(
        not os.access(path, wanted, effective_ids=effective) and _mode_of(path) is not None for _ in range(_LOOKS)
    )


def _mode_of(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except _ABSENT:
        return None


def _is_kernels(path: Path) -> bool:
    device = path.stat().st_dev
    return any(os.path.ismount(root) and os.stat(root).st_dev == device for root in _KERNELS)  # noqa: PTH116
