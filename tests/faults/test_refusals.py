"""What a log says of metrics that a backend does not take."""

from __future__ import annotations

import pytest

from tests.faults.harness import DEADLINE, FaultBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BatchTooLarge
from time_execution.types import STORED, Reject, Retry

SECRET = "hunter2"


@pytest.fixture
def lines(caplog):
    """Return a function that returns the lines so far."""
    return lambda: [record.getMessage() for record in caplog.records]


def delivered(deliver, store, count, **options):
    """Deliver so many metrics in one batch, whatever becomes of them."""
    delivery = deliver(store, **{"bulk_size": count, "bulk_timeout": 0.0, "retry": Backoff(base=0.01)} | options)
    with delivery.channel.lock:
        for value in range(count):
            delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    return delivery


def test_one_line_counts_them_and_says_why(deliver, lines):
    """In the backend's words for the kind of reason; what a server said of a metric stays out of it."""
    delivered(
        deliver, FaultBackend([[STORED, Reject("no number", SECRET), Reject("too old", SECRET), Retry("busy")]]), 4
    )
    assert lines() == [
        "FaultBackend: 2 of 4 metrics refused for good, and lost (no number, too old)",
        "FaultBackend: 1 of 4 metrics to be sent again (busy)",
    ]


def test_where_there_are_dead_letters_the_line_says_so(deliver, lines, tmp_path):
    """It names the file."""
    delivered(deliver, FaultBackend([[Reject("no number")]]), 1, dead_letters=tmp_path / "letters.jsonl")
    assert lines() == ["FaultBackend: 1 of 1 metrics refused for good, see letters.jsonl (no number)"]


def test_one_line_in_a_window(deliver, lines):
    """However many batches have refused metrics."""
    store = FaultBackend(then=[Reject("no number")])
    delivery = delivered(deliver, store, 1)
    for value in range(20):
        delivery.write("a", value=value)
        assert delivery.flush(DEADLINE)
    assert len(lines()) == 1
    assert delivery.stats()["dropped"] == {"no number": 21}


def test_a_few_reasons_are_named(deliver, lines):
    """The most frequent first, cut, and without what a terminal would obey."""
    reasons = ["rare", *["often"] * 3, *["at times"] * 2, "\x1b[2J" + "x" * 100, "seldom"]
    delivered(deliver, FaultBackend([[*map(Reject, reasons)]]), 8)
    (line,) = lines()
    assert line.startswith("FaultBackend: 8 of 8 metrics refused for good, and lost (often, at times, ")
    assert line.endswith("2 more)")
    assert "\x1b" not in line


def test_no_secret_of_a_reason_shows(deliver, lines):
    """A backend that takes a client's words for a reason shows neither login nor token, nor all of a long text."""
    words = f"GET http://user:{SECRET}@host/x?token=abc123 failed " + "x" * 1000
    delivery = delivered(deliver, FaultBackend([[Retry(words), Reject(words)]]), 2)
    shown = str(lines()) + str(delivery.stats())
    assert "failed" in shown
    assert SECRET not in shown
    assert "abc123" not in shown
    assert "x" * 201 not in shown


def test_what_was_refused_before_an_exception_is_told(deliver, lines):
    """Beside the line on the exception."""

    def answer(metrics):
        yield Reject("no number")
        raise OSError(5, "gone")

    store = FaultBackend([answer])
    delivered(deliver, store, 3)
    assert any("1 of 1 metrics refused for good, and lost (no number)" in line for line in lines())
    assert any("OSError" in line for line in lines())


def test_one_that_is_too_large_alone_is_told(deliver, lines, tmp_path):
    """That smaller batches are sent says nothing of it; its letter says what the backend said."""
    letters = tmp_path / "letters.jsonl"
    store = FaultBackend(then=BatchTooLarge("above 3 kB"))
    delivered(deliver, store, 1, dead_letters=letters)
    assert "FaultBackend: 1 of 1 metrics refused for good, see letters.jsonl (BatchTooLarge)" in lines()
    assert "above 3 kB" in letters.read_text()


def test_what_is_stored_is_not_told(deliver, lines):
    """Nothing is wrong with it."""
    delivered(deliver, FaultBackend([[STORED, STORED]]), 2)
    assert lines() == []
