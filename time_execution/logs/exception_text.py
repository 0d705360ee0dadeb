"""What a record tells of an exception: its type, what it says, and the lines of its traceback, without secrets."""

from __future__ import annotations

from functools import partial
from typing import Any

from time_execution.formats.log_line import MAX_TRACEBACK
from time_execution.formats.redaction import REDACTOR
from time_execution.formats.snapshot import MAX_TEXT
from time_execution.guard import Failed, Step, Untouched
from time_execution.hooks.exception import qualified_name
from time_execution.traceback_text import MOST, frames_text, message_text, traceback_text

_LONGEST_LINE = 2048  # the search for secrets takes most of the time
_FRAMES = 75  # of which a traceback of so many lines can show about half

NO_TEXT = "<its str() failed>"
"""The message of an exception that cannot say what it is, which is counted."""

_MESSAGE_OF = Step(message_text, kind="hook", label="str() of an exception", raises=False)
_TRACEBACK_OF = Step(
    partial(traceback_text, most_frames=_FRAMES), kind="hook", label="traceback of an exception", raises=False
)
_BEGINNING = MAX_TRACEBACK // 3


def told(exception: BaseException) -> dict[str, Any]:
    """Return ``type`` (str), ``message`` (str) and ``traceback`` (list of str), all redacted and bounded.

    What an exception says of itself is its own code: what that raises is counted, and passes no further. The exception
    is left as it was, and not kept.
    """
    with Untouched(exception):
        said = _MESSAGE_OF.attempt(exception)
        way = _TRACEBACK_OF.attempt(exception)
    message = NO_TEXT if type(said) is Failed else REDACTOR.redact_text(said, max_text=_LONGEST_LINE)
    text = frames_text(exception) if type(way) is Failed else way
    return {"type": qualified_name(type(exception)), "message": message, "traceback": lines_of(text)}


def lines_of(text: str) -> list[str]:
    """Return the lines of a traceback, redacted; of many, those in the middle are left out."""
    if len(text) > MAX_TEXT:
        text = "\n".join(map(_shortened, text.split("\n")))
    lines = REDACTOR.redact_text(text, max_text=MOST).rstrip("\n").split("\n")
    left_out = len(lines) - MAX_TRACEBACK
    if left_out <= 0:
        return lines
    return [*lines[:_BEGINNING], "…[cut]", *lines[left_out + _BEGINNING + 1 :]]


def _shortened(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else REDACTOR.redact_text(line, max_text=_LONGEST_LINE)
