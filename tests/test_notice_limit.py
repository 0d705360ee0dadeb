"""Which notices are admitted and which are summed up, against a model that remembers everything."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from time_execution.exceptions import ConfigurationError
from time_execution.notice_limit import OTHERS, NoticeLimit, Summary
from time_execution.testing.clock import FakeClock

INTERVAL = 10.0
KINDS = "abcd"
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 12)),
        st.tuples(st.just("admit"), st.sampled_from(KINDS)),
        st.tuples(st.just("withdraw"), st.sampled_from(KINDS), st.booleans()),
        st.tuples(st.just("due"), st.sampled_from(["told", "failed", "doubtful"])),
    ),
    max_size=120,
)


def run(steps, *, rate):
    """Yield, for each step, what is known before and after it."""
    clock = FakeClock()
    limit = NoticeLimit(INTERVAL, rate, clock)
    for step in steps:
        if step[0] == "wait":
            clock.advance(step[1])
        yield limit, clock(), step


@given(steps=STEPS, rate=st.integers(1, 4))
@example(steps=[("admit", "a"), ("withdraw", "a", True), ("admit", "a")], rate=1)
@example(steps=[("admit", "a"), ("withdraw", "a", False), ("admit", "b"), ("admit", "a")], rate=1)
def test_a_notice_is_admitted_exactly_when_the_model_says_so(steps, rate):
    """Its kind was not admitted within the interval, nor as many as the rate; a doubtful one counts for the latter."""
    kinds: dict[str, float] = {}  # admitted, and not taken back
    spent: list[float] = []  # every message that may have been sent
    for limit, now, step in run(steps, rate=rate):
        if step[0] == "admit":
            kind = step[1]
            is_new = kind not in kinds or now - kinds[kind] >= INTERVAL
            expected = is_new and sum(now - moment < INTERVAL for moment in spent) < rate
            assert limit.admit(kind) is expected
            if expected:
                kinds[kind] = now
                spent.append(now)
        elif step[0] == "withdraw":
            limit.withdraw(step[1], is_doubtful=step[2])
            moment = kinds.get(step[1])
            if moment is not None and now - moment < INTERVAL:
                del kinds[step[1]]
                if not step[2]:
                    spent.remove(moment)
        for moment in spent:
            assert sum(moment <= other < moment + INTERVAL for other in spent) <= rate


@given(steps=STEPS, rate=st.integers(1, 4))
def test_each_notice_that_is_held_back_is_in_exactly_one_summary(steps, rate):
    """Whatever is admitted, withdrawn, summed up and put back, the numbers of each kind are exact."""
    held, told = Counter(), Counter()
    limit = NoticeLimit(INTERVAL, rate)
    for limit, _, step in run(steps, rate=rate):
        if step[0] == "admit" and not limit.admit(step[1], f"title of {step[1]}"):
            held[step[1]] += 1
        elif step[0] == "withdraw":
            limit.withdraw(step[1], is_doubtful=step[2])
        elif step[0] == "due":
            found = limit.due()
            if step[1] == "told":
                told.update({summary.fingerprint: summary.suppressed for summary in found})
            else:
                limit.put_back(found, is_doubtful=step[1] == "doubtful")
        assert limit.suppressed == held.total() - told.total()
    rest = limit.due(at_once=True)
    told.update({summary.fingerprint: summary.suppressed for summary in rest})
    assert told == held
    assert all(summary.title == f"title of {summary.fingerprint}" for summary in rest)
    assert limit.due(at_once=True) == []


@given(steps=STEPS, rate=st.integers(1, 4))
def test_summaries_come_in_time_and_in_one_round_an_interval(steps, rate):
    """What was held back is due within the interval of its coming; two rounds are an interval apart."""
    rounds: list[float] = []
    oldest: float | None = None
    for limit, now, step in run(steps, rate=rate):
        if step[0] == "wait":
            found = limit.due()
            if found:
                assert oldest is not None
                assert min(summary.since for summary in found) == oldest
                assert not rounds or now - rounds[-1] >= INTERVAL
                rounds.append(now)
                oldest = None
            assert oldest is None or now - oldest < INTERVAL
        elif step[0] == "admit" and not limit.admit(step[1]) and oldest is None:
            oldest = now


def test_ten_thousand_of_one_kind_are_one_notice_and_one_exact_summary():
    """The summary is due when the interval of the kind ends, not before."""
    clock = FakeClock()
    limit = NoticeLimit(300.0, 10, clock)
    admitted = 0
    for _ in range(10_000):
        admitted += limit.admit("boom", "It went boom")
        clock.advance(0.0001)
    assert admitted == 1
    clock.advance(298.9)
    assert limit.due() == []
    clock.advance(0.1)
    assert limit.due() == [Summary("boom", "It went boom", 9999, 0.0001)]
    clock.advance(1000)
    assert limit.due() == []


def test_ten_thousand_kinds_are_as_many_notices_as_the_rate_and_one_round():
    """Kinds beyond those that are counted apart count together, and none is left out."""
    clock = FakeClock()
    limit = NoticeLimit(300.0, 10, clock, max_kinds=50)
    assert sum(limit.admit(f"kind {number}", f"title {number}") for number in range(10_000)) == 10
    clock.advance(300)
    found = limit.due()
    assert sum(summary.suppressed for summary in found) == 9990
    assert found[0] == Summary(OTHERS, OTHERS, 9940, 0.0)
    assert len(found) == 51


def test_memory_does_not_grow_with_the_number_of_kinds():
    """Neither what was admitted nor what is held back is remembered beyond its bound."""
    clock = FakeClock()
    limit = NoticeLimit(1.0, 5, clock, max_kinds=20)
    for number in range(20_000):
        limit.admit(f"kind {number}")
        clock.advance(0.01)
        if number % 7 == 0:
            limit.put_back(limit.due())
    assert len(limit._held) <= 21
    assert len(limit._told) <= 5
    assert len(limit._admitted) <= 5


def test_a_title_is_needed_once_for_a_kind_that_is_counted_apart():
    """So that it need not be made for each of thousands."""
    limit = NoticeLimit(clock=FakeClock(), rate=1, max_kinds=2)
    assert limit.needs_title("a")
    assert limit.admit("a")
    assert limit.needs_title("a")
    assert not limit.admit("a", "A")
    assert not limit.needs_title("a")
    assert limit.needs_title("b")
    assert not limit.admit("b", "B")
    assert not limit.needs_title("c")


def test_what_is_put_back_keeps_its_place():
    """The title and the moment are those of the first, and what came meanwhile is added."""
    clock = FakeClock()
    limit = NoticeLimit(10.0, 1, clock)
    limit.admit("a")
    limit.admit("b", "first title")
    clock.advance(10)
    found = limit.due()
    limit.admit("a")
    limit.admit("b", "second title")
    limit.put_back(found)
    assert limit.due() == [Summary("b", "first title", 2, 0.0)]


def test_what_may_have_been_told_is_not_told_again_before_another_interval():
    """People are not told the same numbers each time an answer is lost."""
    clock = FakeClock()
    limit = NoticeLimit(10.0, 1, clock)
    limit.admit("a")
    limit.admit("a", "A")
    clock.advance(10)
    limit.put_back(limit.due(), is_doubtful=True)
    clock.advance(9.9)
    assert limit.due() == []
    clock.advance(0.1)
    assert limit.due() == [Summary("a", "A", 1, 0.0)]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"interval": 0}, "interval"),
        ({"interval": float("inf")}, "interval"),
        ({"interval": "5"}, "interval"),
        ({"rate": 0}, "rate"),
        ({"rate": 1.5}, "rate"),
        ({"max_kinds": 0}, "max_kinds"),
    ],
)
def test_a_wrong_bound_is_refused(options, named):
    """The error names the argument."""
    with pytest.raises(ConfigurationError, match=named):
        NoticeLimit(**options)
