"""An exception as text: what it says, and the way that it came."""

from __future__ import annotations

import traceback
from types import TracebackType

from time_execution import construction, wrapper
from time_execution.formats.snapshot import MAX_TEXT

# As frames have it; a module's own path may be another.
_OURS = frozenset(each.__code__.co_filename for each in (wrapper.wrap, construction.measure_construction))
MOST = 16 * MAX_TEXT
"""How much of a traceback is searched for secrets; longer ones, which the texts of exceptions make, end there."""

_NO_TEXT = "<its str() failed>"
# The beginning says where the call came from, the end what happened; what is between them may be a long recursion.
_BEGINNING = MAX_TEXT // 4
_END = MAX_TEXT // 2


def message_text(exception: BaseException) -> str:
    """Return what an exception says of itself; that is its own code, and may fail."""
    try:
        return str.__str__(str(exception))  # a text of its own class would be its code again
    except Exception:  # noqa: BLE001 - anybody's code
        return _NO_TEXT


def traceback_text(exception: BaseException) -> str:
    """Return the traceback as the interpreter prints it, with causes and contexts, without the frames of measuring.

    Reads source files as the interpreter does.
    """
    entries = _without_ours(exception.__traceback__)
    told = traceback.TracebackException(type(exception), exception, entries)
    _leave_out_ours(told)
    return "".join(told.format())


def without_middle(text: str) -> str:
    """Return a text, if it is long without its middle; secrets are masked before, for half a one looks like none."""
    if len(text) <= _BEGINNING + _END:
        return text
    return f"{text[:_BEGINNING]}\n…[cut, {len(text)} characters]\n{text[-_END:]}"


def _without_ours(entry: TracebackType | None) -> TracebackType | None:
    """Return a copy without our frames, each of which would take as long to be told as one of the caller's."""
    kept = []
    while entry is not None:
        if entry.tb_frame.f_code.co_filename not in _OURS:
            kept.append(entry)
        entry = entry.tb_next
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
        stack = [frame for frame in link.stack if frame.filename not in _OURS]
        link.stack = traceback.StackSummary.from_list(stack)
        waiting += [link.__cause__, link.__context__, *(getattr(link, "exceptions", None) or ())]
