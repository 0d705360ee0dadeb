"""What an error means, and how long to wait after it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from time_execution.delivery.retry import MAX_AGE, Backoff, Verdict, understand
from time_execution.exceptions import (
    BackendDenied,
    BackendError,
    BackendRejected,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
    BatchTooLarge,
    ConfigurationError,
)


def upper(_low, high):
    return high


def lower(low, _high):
    return low


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (BatchTooLarge(), Verdict.SPLIT),
        (BackendRejected(), Verdict.REJECT),
        (BackendThrottled(), Verdict.RETRY),
        (BackendTimeout(), Verdict.RETRY),
        (BackendUnavailable(), Verdict.RETRY),
        (BackendDenied(), Verdict.RETRY),
        (BackendError(), Verdict.RETRY),
        (KeyError(), Verdict.RETRY),
        (TypeError(), Verdict.RETRY),
        (TimeoutError(), Verdict.RETRY),
    ],
    ids=repr,
)
def test_each_class_of_error_has_its_verdict(error, verdict):
    """Our own classes say what is to be done; every other exception means that it is tried again."""
    failure = understand(error)
    assert failure.verdict is verdict
    assert failure.denied is isinstance(error, BackendDenied)


def test_subclasses_mean_what_their_base_means():
    """A backend's own subclass of our errors is understood as its base, and counted under its own name."""

    class MappingError(BackendRejected):
        pass

    assert understand(MappingError()).verdict is Verdict.REJECT
    assert understand(MappingError()).reason == "MappingError"


def test_the_reason_never_holds_the_text():
    """What is counted and shown is the class; the text may hold a secret."""
    assert understand(ConnectionError("http://user:hunter2@host")).reason == "ConnectionError"


@pytest.mark.parametrize("after", [0.5, 3, 3600.0, None])
def test_a_pause_that_a_server_asks_for_is_passed_on(after):
    """`retry_after` reaches the backoff as it is."""
    assert understand(BackendThrottled(retry_after=after)).after == after


@pytest.mark.parametrize("after", ["soon", "5", b"5", [], math.nan, -1, True, 1 + 2j])
def test_a_pause_without_sense_is_no_pause(after):
    """Garbage in `retry_after` neither raises nor makes a pause longer than the backoff's own."""
    failure = understand(BackendThrottled(retry_after=after))
    pause = Backoff(base=0.25, cap=30.0, jitter=upper).pause(1, after=failure.after)
    assert pause in {0.25, 1.0, 5.0}


def test_bounds_double_up_to_the_cap():
    """The longest pauses are base, 2 base, 4 base … and never more than cap."""
    backoff = Backoff(base=0.5, cap=30.0, jitter=upper)
    assert [backoff.pause(failures) for failures in range(1, 9)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_the_jitter_is_full():
    """Pauses of many clients spread over the whole range from nothing to the bound."""
    backoff = Backoff(base=1.0, cap=30.0)
    drawn = sorted(backoff.pause(4) for _ in range(1000))
    assert 0.0 <= drawn[0] < 0.8
    assert 7.2 < drawn[-1] <= 8.0
    assert 3.0 < sum(drawn) / len(drawn) < 5.0


@given(
    failures=st.integers(min_value=1, max_value=10**9),
    after=st.none() | st.floats() | st.integers(min_value=-(10**400), max_value=10**400),
    denied=st.booleans(),
)
def test_no_pause_is_below_zero_or_above_the_cap(failures, after, denied):
    """Whatever the count and the server's wish, a pause lies between 0 and cap, and no wish within reason is cut."""
    for jitter in (upper, lower):
        pause = Backoff(base=0.5, cap=30.0, jitter=jitter).pause(failures, after=after, denied=denied)
        assert 0.0 <= pause <= 30.0
        if after is not None and 0 < after <= 30:
            assert pause >= after
        if denied:
            assert pause == 30.0


@pytest.mark.parametrize(
    "options",
    [
        {"base": 0.0},
        {"base": -1.0},
        {"base": math.nan},
        {"base": 40.0},
        {"cap": 0.1},
        {"cap": math.nan},
        {"base": "1"},
        {"cap": None},
        {"cap": math.inf},
        {"max_age": -1.0},
        {"max_age": math.nan},
        {"max_age": "5"},
    ],
    ids=repr,
)
def test_bounds_that_make_no_sense_are_refused(options):
    """Wrong bounds fail when they are given, with an error that names the parameter."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Backoff(**options)


def test_the_defaults_are_those_documented():
    """Half a second, thirty seconds, five minutes."""
    backoff = Backoff()
    assert (backoff.base, backoff.cap, backoff.max_age) == (0.5, 30.0, MAX_AGE)
    assert MAX_AGE == 300.0
    assert Backoff(max_age=None).max_age is None
