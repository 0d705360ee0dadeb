"""Files of dead letters, seen from outside: whether a file is one, and taking letters out of it for good.

A user may name any file. So none is renamed or removed before its lines have shown what it is, and a line that is no
letter is never removed. All that may lie at one path, the file's kin: the file, its predecessor ``.1``, and
``.replay.<number>``, moved aside by a replay or a purge that was interrupted.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from time_execution.delivery.deadletter import DeadLetter, DeadLetters, former, parse

_BATCH = 500
_SQLITE = b"SQLite format 3\0"
_KIN = re.compile(r"(?P<head>.+?)(\.1|\.replay(\.\d+)?)")

Line = tuple[bytes, DeadLetter | None]
Judge = Callable[[Sequence[tuple[bytes, DeadLetter]]], Iterable[bytes]]
"""Takes lines and returns those that go back, as they are or changed."""


class Refusal(Exception):  # noqa: N818 - says what is done, and is told in a line
    """Nothing is done with what lies at a path; the text says why."""


@dataclass(frozen=True, slots=True)
class LetterFile:
    """What was found where letters may lie.

    Attributes:
        path: The file.
        letters: How many letters it holds.
        others: How many lines hold none; empty ones do not count.
        problem: Why it is not taken for a file of letters; empty when it is one.
    """

    path: Path
    letters: int
    others: int
    problem: str = ""


def find(path: Path) -> list[LetterFile]:
    """Return a file of letters with its kin, oldest first; empty files are left out, there is nothing in them."""
    asides = sorted(each for each in path.parent.glob(f"{glob.escape(path.name)}.replay*") if head_of(each) == path)
    return [examine(each) for each in (*asides, former(path), path) if os.path.lexists(each) and not _is_empty(each)]


def find_proved(path: Path) -> list[LetterFile]:
    """Return what `find` does.

    Raises:
        Refusal: When the file itself is something else.
    """
    found = find(path)
    if found and found[-1].path == path and found[-1].problem:
        raise Refusal(f"{path} is no file of dead letters: {found[-1].problem}")
    return found


def examine(path: Path) -> LetterFile:
    """Return what a file is: one of letters when its first line is one, or, should that be damaged, half its lines.

    Raises:
        OSError: When it cannot be read.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        return LetterFile(path, 0, 0, "it is no regular file")
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) == _SQLITE:
            return LetterFile(path, 0, 0, "it is an SQLite database")
    letters = others = 0
    is_first = False
    for _, letter in _lines(path):
        is_first |= letter is not None and not others
        letters += letter is not None
        others += letter is None
    if is_first or letters >= max(others, 1):
        return LetterFile(path, letters, others)
    return LetterFile(path, letters, others, f"{others:,} of its {letters + others:,} lines hold no letter")


def head_of(path: Path) -> Path | None:
    """Return the file whose kin a path is by its name; None when it is nobody's."""
    match = _KIN.fullmatch(path.name)
    return None if match is None else path.with_name(match["head"])


def read(files: Iterable[LetterFile]) -> Iterator[DeadLetter]:
    """Yield the letters of files that are such; one that is gone meanwhile has none."""
    for file in files:
        if not file.problem:
            with suppress(FileNotFoundError):
                yield from (letter for _, letter in _lines(file.path) if letter is not None)


def take_out(path: Path, files: Iterable[LetterFile], judge: Judge) -> None:
    """Take letters out of a file and its kin; whoever writes to the file goes on undisturbed.

    All files are moved aside before the first letter is handed out, so none that goes back is met again. What goes
    back is in the file before the one it comes from is removed: an interruption repeats letters, and loses none.

    Args:
        path: The file.
        files: What `find_proved` returned.
        judge: Is handed letters, some at a time, and returns the lines that go back. Lines that hold no letter do in
            any case.

    Raises:
        ConfigurationError: When its folder is none to write to.
        OSError: When a file cannot be moved, or letters cannot be put back; they stay aside, for the next time.
    """
    proved = [file.path for file in files if not file.problem]
    if not proved:
        return
    back = DeadLetters(path)
    live = [each for each in (former(path), path) if each in proved]
    for aside in [each for each in proved if each not in live] + back.set_aside(live):
        for batch in _batches(_lines(aside)):
            kept = list(judge([(line, letter) for line, letter in batch if letter is not None]))
            try:
                back.put_back(kept + [line for line, letter in batch if letter is None])
            except OSError as exc:
                raise OSError(f"{exc}; nothing is lost, the letters lie in {aside} for the next time") from exc
        aside.unlink(missing_ok=True)


def _is_empty(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and not found.st_size


def _lines(path: Path) -> Iterator[Line]:
    """Yield lines, and the letters that they hold; empty lines are left out."""
    with path.open("rb") as file:
        yield from ((line, parse(line)) for line in file if line.strip())


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    while batch := list(itertools.islice(lines, _BATCH)):
        yield batch
