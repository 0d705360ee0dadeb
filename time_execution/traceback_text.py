"""An exception as text: what it says, and the way that it came."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from types import TracebackType

from time_execution.formats.snapshot import MAX_TEXT
from time_execution.hooks.exception import qualified_name
from time_execution.wrapper import wrap

# Modules whose frames stand between the caller's own, by name: the wrappers of other sources are not known here.
_MEASURING = ("wrapper.py", "construction.py", "_steps.py", "handled.py")
_PACKAGE = wrap.__code__.co_filename.removesuffix("wrapper.py")  # as frames have it; a module's own path may be another
MOST = 16 * MAX_TEXT
"""How much of a traceback is searched for secrets; longer ones, which the texts of exceptions make, end there."""

traceback_of: Callable[[BaseException], TracebackType | None] = vars(BaseException)["__traceback__"].__get__
"""Returns the traceback of an exception, past any override of its class."""

# The beginning says where the call came from, the end what happened; what is between them may be a long recursion.
_BEGINNING = MAX_TEXT // 4
_END = MAX_TEXT // 2


def message_text(exception: BaseException) -> str:
    """Return what an exception says of itself; that is its own code, and may raise anything."""
    return str.__str__(str(exception))  # a text of its own class would be its code again


def traceback_text(exception: BaseException, *, most_frames: int | None = None) -> str:
    """Return the traceback as the interpreter prints it, with causes and contexts, without the frames of measuring.

    Like the interpreter, it reads source files, and asks objects for names that might have been meant. That is others'
    code, as is what exceptions say of themselves, and may raise anything.

    Args:
        exception: What was raised.
        most_frames: Of more, leave those in the middle out, and of a cause or a context, those before the last.
    """
    entries = _without_ours(traceback_of(exception), most_frames)
    limit = None if most_frames is None else -most_frames
    told = traceback.TracebackException(type(exception), exception, entries, limit=limit)
    _leave_out_ours(told)
    return "".join(told.format())


def frames_text(exception: BaseException) -> str:
    """Return its own frames with the name of its class, for one that cannot be told; runs no code of the class."""
    frames = traceback.format_tb(_without_ours(traceback_of(exception)))
    return "".join(["Traceback (most recent call last):\n", *frames, f"{qualified_name(type(exception))}\n"])


def without_middle(text: str) -> str:
    """Return a text, if it is long without its middle; secrets are masked before, for half a one looks like none."""
    if len(text) <= _BEGINNING + _END:
        return text
    return f"{text[:_BEGINNING]}\n…[cut, {len(text)} characters]\n{text[-_END:]}"


def _without_ours(entry: TracebackType | None, most: int | None = None) -> TracebackType | None:
    """Return a copy without our frames, each of which would take as long to be told as one of the caller's."""
    kept = []
    while entry is not None:
        if not _is_ours(entry.tb_frame.f_code.co_filename):
            kept.append(entry)
        entry = entry.tb_next
    if most is not None and len(kept) > most:
        kept[most // 3 : len(kept) - (most - most // 3)] = []
    copy = None
    for each in reversed(kept):
        copy = TracebackType(copy, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return copy


def _leave_out_ours(told: traceback.TracebackException) -> None:
    waiting: list[traceback.TracebackException | None] = [told]
    while waiting:
        link = waiting.pop()
        if link is None:
            continue
        stack = [frame for frame in link.stack if not _is_ours(frame.filename)]
        link.stack = traceback.StackSummary.from_list(stack)
        waiting += [link.__cause__, link.__context__, *(getattr(link, "exceptions", None) or ())]


def _is_ours(file: str) -> bool:
    return file.startswith(_PACKAGE) and file.endswith(_MEASURING)
