"""What commands say beside their output: on stderr, and never where nobody looks."""

from __future__ import annotations

import contextlib
import sys


def say(message: str) -> None:
    """Print a line on stderr, if there is one."""
    # A closed stderr is the reader's wish, and no reason to fail.
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(f"time-execution: {message}", file=sys.stderr, flush=True)


def is_of_a_stream(exc: Exception) -> bool:
    """Whether an error is the system's about a stream, which has no name, rather than about a file or a folder."""
    return isinstance(exc, OSError) and None not in {exc.errno, exc.strerror} and exc.filename is None


class Progress:
    """A line on stderr that says how far long work has come; silent unless stderr is a terminal.

    Args:
        text: What is being done.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._is_shown = False
        self._is_terminal = sys.stderr is not None and sys.stderr.isatty()

    def show(self, status: str) -> None:
        """Replace the line."""
        if self._is_terminal:
            self._is_shown = True
            print(f"\r{self._text} {status}\x1b[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line."""
        if self._is_shown:
            self._is_shown = False
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
