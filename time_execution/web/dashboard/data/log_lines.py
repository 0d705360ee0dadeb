"""Going through the lines of a log and of its older files, either way, a bounded part at a time."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from time_execution.web.dashboard.data.query import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from time_execution.web.dashboard.data.log_file import LogFile

_CURSOR = re.compile(r"([0-9a-f]{16}(?:x[0-9]{1,3})?)-(e|[0-9]{1,15})-(e|[0-9]{1,15})")
_END = "e"

MOST_READ = 2 << 20
"""So many bytes of text are looked at for one answer."""

_MOST_UNPACKED = 8 << 20
# A longer line is passed over.
_LONGEST = 1 << 20


class Cursor(NamedTuple):
    """A place in a log.

    Attributes:
        key: Of the file.
        start: Where a line begins; None for the end of the file.
        end: Where it ends.
    """

    key: str
    start: int | None
    end: int | None

    def __str__(self) -> str:
        """Return it as it stands in links."""
        start, end = (_END if place is None else place for place in (self.start, self.end))
        return f"{self.key}-{start}-{end}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read one that stands in a link.

        Raises:
            QueryError: When it is none of ours.
        """
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise QueryError("The cursor is none that this log has given.")
        start, end = (None if place == _END else int(place) for place in (match[2], match[3]))
        return cls(match[1], start, end)


class Line(NamedTuple):
    """A line of a log.

    Attributes:
        text: It, without its end.
        cursor: Where it stands.
    """

    text: bytes
    cursor: Cursor


class Backward:
    """The lines of a log from a place back, the latest first, as long as the patience lasts.

    Args:
        files: The log and its older files, the latest first.
        before: Where to begin; None for the end of the latest.
        may_match: Says whether a line is to be given; asked of several lines together, whether one of them may be.

    Attributes:
        older: Where to go on; None when there is nothing more. Right whenever a line was given, and at the end.
        newest: Behind the last whole line of all; None without any, and when a place was given.
    """

    def __init__(self, files: Sequence[LogFile], before: Cursor | None, may_match: Callable[[bytes], bool]) -> None:
        self._files = list(files)
        self._may_match = may_match
        self._place: int | None = None
        if before is not None:
            keys = [file.key for file in files]
            self._files = self._files[keys.index(before.key) :] if before.key in keys else []
            self._place = before.start
        self._is_newest_known = before is not None
        self._patience = MOST_READ
        self.older: Cursor | None = None
        self.newest: Cursor | None = None

    def __iter__(self) -> Iterator[Line]:
        """Give lines."""
        for file, later in zip_longest(self._files, self._files[1:]):
            following = None if later is None else Cursor(later.key, None, None)
            size = file.size(_MOST_UNPACKED)
            if size is None:
                self.older = Cursor(file.key, self._place, self._place)
                return
            rest = yield from self._of_file(file, size, following)
            self.older = Cursor(file.key, rest, rest) if rest else following
            if self._patience <= 0:
                return
            self._place = None

    def _of_file(self, file: LogFile, size: int, following: Cursor | None) -> Generator[Line, None, int]:
        """Give the lines of a file; return where those end that the patience did not suffice for, 0 without any."""
        end = size if self._place is None else min(self._place, size)
        # Behind the last line end there is half a line, which may still be written; or the place is inside a long one.
        is_inside = self._place is None or not _begins_line(file, end)
        while end > 0:
            start, text, is_inside = self._piece(file, end, is_inside=is_inside)
            if text and not self._is_newest_known:
                self._is_newest_known = True
                self.newest = Cursor(file.key, start + len(text), start + len(text))
            for line in reversed(_lines(file.key, start, text, self._may_match)):
                self.older = line.cursor if line.cursor.start else following
                yield line
            end = start
            if self._patience <= 0:
                break
        return end

    def _piece(self, file: LogFile, end: int, *, is_inside: bool) -> tuple[int, bytes, bool]:
        """Return where the whole lines before a place begin, these lines, and whether a longer one lies before them."""
        start = max(0, end - file.piece)
        text = self._read(file, start, end)
        if is_inside:
            text = text[: text.rfind(b"\n") + 1]
        while start > 0 and text and text.find(b"\n", 0, len(text) - 1) < 0 and len(text) < _LONGEST:
            before = max(0, start - file.piece)
            start, text = before, self._read(file, before, start) + text
        if start == 0:
            return start, text, False
        cut = text.find(b"\n", 0, max(0, len(text) - 1)) + 1
        return (start + cut, text[cut:], False) if cut else (start, b"", True)

    def _read(self, file: LogFile, start: int, end: int) -> bytes:
        text = file.read(start, end)
        self._patience -= end - start
        return text


class Forward:
    """The lines of a log from a place on, the earliest first, as long as the patience lasts.

    Args:
        files: The log and its older files, the latest first.
        after: Where to begin.
        may_match: As `Backward` takes it.

    Attributes:
        newer: Where to go on. Right whenever a line was given, and at the end.
        is_lost: Whether the file is not there any more, so that nobody can tell what came after.
    """

    def __init__(self, files: Sequence[LogFile], after: Cursor, may_match: Callable[[bytes], bool]) -> None:
        keys = [file.key for file in files]
        self.is_lost = after.key not in keys
        self._files = [] if self.is_lost else list(files[: keys.index(after.key) + 1][::-1])
        self._may_match = may_match
        self._patience = MOST_READ
        self.newer = after

    def __iter__(self) -> Iterator[Line]:
        """Give lines."""
        for number, file in enumerate(self._files):
            size = file.size(_MOST_UNPACKED)
            if size is None:
                return
            place = (size if self.newer.end is None else self.newer.end) if number == 0 else 0
            is_inside = not _begins_line(file, place)
            while place < size:
                if self._patience <= 0:
                    return
                text = file.read(place, min(size, place + file.piece))
                self._patience -= file.piece
                whole = text.rfind(b"\n") + 1
                if not whole and place + len(text) >= size:
                    # Half a line, which may still be written.
                    break
                begin = text.find(b"\n") + 1 if is_inside else 0
                for line in _lines(file.key, place + begin, text[begin:whole], self._may_match):
                    self.newer = line.cursor
                    yield line
                # A line that is longer than a piece is passed over.
                is_inside = not whole
                place += whole or len(text)
                self.newer = Cursor(file.key, place, place)


def _begins_line(file: LogFile, place: int) -> bool:
    return place == 0 or file.read(place - 1, place) == b"\n"


def _lines(key: str, start: int, text: bytes, may_match: Callable[[bytes], bool]) -> list[Line]:
    """Return the lines of a text of whole ones that may match and are not blank."""
    if not text or not may_match(text):
        return []
    found = []
    for line in text.split(b"\n")[:-1]:
        end = start + len(line) + 1
        if may_match(line) and line.strip():
            found.append(Line(line, Cursor(key, start, end)))
        start = end
    return found
