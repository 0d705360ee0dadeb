"""Log lines about our own trouble: few, complete, and harmless."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from tests.faults.harness import DEADLINE, FakeClock, in_threads
from time_execution.quietlog import QuietLog


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.WARNING, "time_execution")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "time_execution"]


@pytest.fixture
def handler():
    """Attach a handler of the test's own for its duration."""

    class Handler(logging.Handler):
        act: Any = None

        def emit(self, record):
            self.act(record)

    made = Handler()
    logging.getLogger("time_execution").addHandler(made)
    yield made
    logging.getLogger("time_execution").removeHandler(made)


def test_one_line_a_kind_and_window(clock, lines):
    """The first of a kind is logged at once, the others are counted and told with the next window's first."""
    log = QuietLog(10.0, clock=clock)
    for _ in range(100):
        log.tell("down", "the server is down")
    assert lines() == ["the server is down"]
    clock.advance(9.9)
    log.tell("down", "the server is down")
    assert len(lines()) == 1
    clock.advance(0.2)
    log.tell("down", "the server is down")
    assert lines()[1] == "the server is down (100 more like this were not logged)"
    clock.advance(10.0)
    log.tell("down", "the server is down")
    assert lines()[2] == "the server is down"


def test_kinds_have_windows_of_their_own(clock, lines):
    """A line of one kind holds back none of another."""
    log = QuietLog(10.0, clock=clock)
    for kind in ("a", "b", "a", "c"):
        log.tell(kind, kind)
    assert lines() == ["a", "b", "c"]


def test_lines_are_warnings_of_one_logger(clock, caplog):
    """Applications find all of our lines under the logger `time_execution`, as warnings."""
    QuietLog(clock=clock).tell("a", "text")
    assert [(record.name, record.levelname) for record in caplog.records] == [("time_execution", "WARNING")]


def test_lines_may_go_through_another_logger(clock, caplog):
    """One of the application's takes the place of ours, for the same windows."""
    log = QuietLog(10.0, clock=clock)
    for through in (logging.getLogger("shop"), None, logging.LoggerAdapter(logging.getLogger("adapted"), {})):
        log.tell("a", "100 %s", through=through)
        log.tell("a", "100 %s", through=through)
        clock.advance(10.0)
    assert [(record.name, record.levelname) for record in caplog.records] == [
        (name, "WARNING") for name in ("shop", "time_execution", "adapted")
    ]
    assert caplog.records[0].getMessage() == "100 %s"


def test_percent_signs_are_text(clock, lines):
    """A message is not taken for a format."""
    QuietLog(clock=clock).tell("a", "100 %s %d %(x)s")
    assert lines() == ["100 %s %d %(x)s"]


def test_kinds_without_end_do_not_grow_the_memory(clock, lines):
    """With ever new kinds the log forgets old ones rather than grow."""
    log = QuietLog(clock=clock)
    for number in range(5000):
        log.tell(f"kind {number}", "text")
    assert len(log._last) <= 1000
    assert len(log._held_back) <= 1000


def test_a_handler_that_raises_reaches_nobody(clock, handler):
    """What an application's log handler raises stops here."""

    def act(record):
        raise RuntimeError("handler")

    handler.act = act
    QuietLog(clock=clock).tell("a", "text")


def test_a_handler_that_logs_through_us_is_not_logged_again(clock, handler):
    """A handler whose own work comes back here ends there: no recursion, one call (P10)."""
    log = QuietLog(clock=clock)
    seen = []

    def act(record):
        seen.append(record.getMessage())
        log.tell("inner", "inner")

    handler.act = act
    log.tell("outer", "outer")
    assert seen == ["outer"]
    clock.advance(100.0)
    log.tell("outer", "outer")  # and the thread is not taken for busy for ever
    assert seen == ["outer", "outer"]


def test_what_is_no_exception_passes_and_leaves_no_mark(clock, handler):
    """A handler interrupted by Ctrl-C interrupts, and the next line is logged all the same."""
    log = QuietLog(clock=clock)

    def act(record):
        raise KeyboardInterrupt

    handler.act = act
    with pytest.raises(KeyboardInterrupt):
        log.tell("a", "a")
    seen: list[logging.LogRecord] = []
    handler.act = seen.append
    log.tell("b", "b")
    assert len(seen) == 1


def test_threads_share_one_window(clock, lines):
    """Eight threads that report the same trouble at once make one line, and all the others are counted."""
    log = QuietLog(10.0, clock=clock)

    def tell(_):
        for _ in range(500):
            log.tell("a", "text")

    in_threads(8, tell)
    assert lines() == ["text"]
    clock.advance(10.0)
    log.tell("a", "text")
    assert lines()[1] == "text (3999 more like this were not logged)"


def test_a_slow_handler_holds_up_no_other_thread(clock, handler):
    """While one thread logs, another that has nothing to log is through at once: no lock is held meanwhile."""
    log = QuietLog(10.0, clock=clock)
    entered, leave = threading.Event(), threading.Event()

    def act(record):
        entered.set()
        leave.wait(DEADLINE)

    handler.act = act
    thread = threading.Thread(target=log.tell, args=("a", "text"))
    thread.start()
    assert entered.wait(DEADLINE)
    in_threads(1, lambda _: log.tell("a", "text"), timeout=5.0)
    leave.set()
    thread.join(DEADLINE)


def test_a_child_starts_with_a_free_lock():
    """After a fork the log works although another thread held its lock."""
    log = QuietLog()
    held = threading.Event()
    leave = threading.Event()

    def hold():
        with log._lock:
            held.set()
            leave.wait(DEADLINE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(DEADLINE)
    log.after_fork()
    in_threads(1, lambda _: log.tell("a", "text"), timeout=5.0)
    leave.set()
    thread.join(DEADLINE)


def test_first_of_a_kind_is_logged_however_early(lines):
    """A clock that began a moment ago holds nothing back."""
    log = QuietLog(10.0, clock=FakeClock(0.0))
    log.tell("a", "text")
    assert lines() == ["text"]


def test_what_was_held_back_is_forgotten_with_its_kind(clock, lines):
    """Among ever new kinds, neither their counts grow without end nor are they told of a later one."""
    log = QuietLog(10.0, clock=clock)
    for number in range(2500):
        log.tell(f"kind{number}", "text")
        log.tell(f"kind{number}", "text")
    assert len(log._held_back) <= 1000
    clock.advance(10.0)
    log.tell("kind0", "again")
    assert lines()[-1] == "again"


def test_forgotten_windows_begin_anew_without_what_was_held_back(clock, lines):
    """The first of a kind is logged again, and says nothing of those before."""
    log = QuietLog(10.0, clock=clock)
    log.tell("a", "text")
    log.tell("a", "text")
    log.forget()
    log.tell("a", "text")
    assert lines() == ["text", "text"]


def test_child_that_is_forked_while_this_thread_logs_may_log(handler, lines):
    """Nobody is logging there."""
    log = QuietLog()

    def act(record):
        log.after_fork()
        handler.act = lambda record: None
        log.tell("b", "in the child")

    handler.act = act
    log.tell("a", "text")
    assert sorted(lines()) == ["in the child", "text"]
