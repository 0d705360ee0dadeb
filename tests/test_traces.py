"""What a test left in a process is taken back."""

import logging

from tests import traces
from time_execution.web import access


def test_loggers_get_their_state_back():
    """Levels and handlers of those that were there, of the root, and of one that is new."""
    known = logging.getLogger("of.a.library")
    known.setLevel(logging.ERROR)
    kept = logging.NullHandler()
    known.addHandler(kept)
    before = traces.states_of_loggers()
    new = logging.getLogger("of.the.test")
    for logger in (known, new, logging.root):
        logger.setLevel(logging.DEBUG)
        logger.addHandler(logging.NullHandler())
    traces.restore_loggers(before)
    assert (known.level, known.handlers) == (logging.ERROR, [kept])
    assert (new.level, new.handlers) == (logging.NOTSET, [])
    assert (logging.root.level, logging.root.handlers) == before[None]


def test_what_was_told_is_told_again(caplog):
    """Without the start of a new window, a module's second line of a kind would be held back."""
    for _ in range(2):
        access._log.tell("kind", "A line.")
        traces.start_windows_anew()
    assert caplog.messages == ["A line.", "A line."]
