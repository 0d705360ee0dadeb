"""A plain text table that fits the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import TextIO

from time_execution.formats.series import read_series

_GAP = "  "
_LEAST_NAME = 28
_BOLD, _RED, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[0m"


class Screen:
    """What an output stream can show.

    Args:
        stream: Where the text goes.

    Attributes:
        width: Columns, or None when it is no terminal and nothing needs to be shortened.
        has_colour: Whether colours are shown and wanted; see https://no-color.org.
    """

    def __init__(self, stream: TextIO) -> None:
        is_terminal = stream.isatty()
        is_wide = is_terminal or "COLUMNS" in os.environ
        self.width = shutil.get_terminal_size().columns if is_wide else None
        is_able = os.environ.get("TERM") != "dumb" and sys.platform != "win32"
        self.has_colour = is_terminal and is_able and not os.environ.get("NO_COLOR")
        self._encoding = stream.encoding or "ascii"
        self.ellipsis = "…" if self.can_show("…") else "..."

    def can_show(self, text: str) -> bool:
        """Whether the stream's encoding has all of a text's characters."""
        try:
            text.encode(self._encoding)
        except (UnicodeEncodeError, LookupError):
            return False
        return True

    def safe(self, text: str) -> str:
        """Return a text on one line, without characters that would do something to a terminal or that it lacks."""
        shown = "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)
        if self.can_show(shown):
            return shown
        return shown.replace("µ", "u").encode(self._encoding, "backslashreplace").decode(self._encoding)

    def bold(self, text: str) -> str:
        """Return a text in bold type, where that shows."""
        return f"{_BOLD}{text}{_PLAIN}" if self.has_colour else text

    def red(self, text: str) -> str:
        """Return a text in red, where that shows."""
        return f"{_RED}{text}{_PLAIN}" if self.has_colour else text

    def shorten(self, text: str, width: int) -> str:
        """Return a text of at most so many characters: of a longer one, its beginning and its end."""
        if len(text) <= width:
            return text
        room = max(0, width - len(self.ellipsis))
        # The end of a name says more than its beginning.
        head = room * 2 // 5
        return f"{text[:head]}{self.ellipsis}{text[len(text) - (room - head) :]}"

    def shorten_series(self, text: str, width: int) -> str:
        """Do what `shorten` does; of a name with labels, their values say most, and its first words least."""
        family, labels = read_series(text) if len(text) > width else (text, {})
        if labels:
            values = " ".join(labels.values())
            text = f"{family}{{{values}}}"
            if len(text) > width:
                text = f"{family.rpartition('.')[2]}{{{values}}}"
        return self.shorten(text, width)


def fitting(
    screen: Screen, heads: Sequence[str], rows: Sequence[Sequence[str]], *, optional: Sequence[str]
) -> tuple[list[str], list[list[str]], list[str]]:
    """Return titles and rows without the columns that there is no room for, and the titles of these.

    Args:
        screen: What the output can show.
        heads: A title for each column.
        rows: Texts.
        optional: The titles of the columns that may be left out, the first to go first.
    """
    kept, gone = list(range(len(heads))), []
    widths = _widths(screen, [heads, *rows])
    widths[0] = min(widths[0], _LEAST_NAME)
    for title in optional:
        if screen.width is None or sum(widths[place] + len(_GAP) for place in kept) - len(_GAP) <= screen.width:
            break
        kept.remove(heads.index(title))
        gone.append(title)
    return [heads[place] for place in kept], [[row[place] for place in kept] for row in rows], gone


def render(
    screen: Screen, heads: Sequence[str], rows: Sequence[Sequence[str]], *, red: frozenset[str] = frozenset()
) -> str:
    """Return lines with aligned columns: the first to the left and shortened to fit, the others to the right.

    Args:
        screen: What the output can show.
        heads: A title for each column.
        rows: Texts.
        red: Titles of columns where anything but ``0`` is trouble.
    """
    table = [list(map(screen.safe, row)) for row in (heads, *rows)]
    widths = _widths(screen, table)
    if screen.width is not None:
        rest = sum(widths[1:]) + len(_GAP) * (len(widths) - 1)
        widths[0] = min(widths[0], max(_LEAST_NAME, screen.width - rest))
    lines = []
    for number, (name, *cells) in enumerate(table):
        parts = [screen.shorten_series(name, widths[0]).ljust(widths[0])]
        for title, cell, width in zip(heads[1:], cells, widths[1:], strict=True):
            is_trouble = number and title in red and cell != "0"
            parts.append(screen.red(cell.rjust(width)) if is_trouble else cell.rjust(width))
        line = _GAP.join(parts).rstrip()
        lines.append(line if number else screen.bold(line))
    return "\n".join(lines)


def _widths(screen: Screen, table: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(screen.safe(cell)) for cell in column) for column in zip(*table, strict=True)]


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
