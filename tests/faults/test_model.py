"""The channel and its worker against a model made of lists, in every order of events hypothesis can think of (D18)."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    run_state_machine_as_test,
)

from tests.faults.model import Model, ModelWithSpool

FEW = 60


def play(machine, histories, **options):
    """Play histories, comparing the channel with the model after each step; return what came about in them.

    The few are the same each time; the many differ, and find with time what the few do not.
    """
    machine.seen = Counter()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=histories,
            stateful_step_count=40,
            deadline=None,
            derandomize=histories == FEW,
            suppress_health_check=list(HealthCheck),
            **options,
        ),
    )
    return {what: count for what, count in machine.seen.items() if count}


@pytest.mark.parametrize("histories", [FEW, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("machine", "full"), [(Model, "queue_full"), (ModelWithSpool, "spool_full")], ids=["memory", "spool"]
)
def test_no_order_of_events_makes_the_books_wrong(machine, full, histories):
    """Puts, answers, failures, crashes, forks and the end, in any order: the channel does what the model says (D18)."""
    seen = play(machine, histories)
    assert seen["histories"] >= histories
    # All of it came about, so that the comparison means something.
    assert {"delivered", "retries", "worker_restarts", "forks", "expired", full} <= seen.keys()


def test_the_model_sees_a_channel_that_forgets():
    """A channel that loses one metric of a batch does not pass: the model's own test."""

    class Forgetful(Model):
        def begin(self, overflow, max_bytes):
            super().begin(overflow, max_bytes)
            release = self.channel.release
            self.channel.release = lambda count, kept=(): release(count, kept[1:])

        begin = initialize(overflow=st.just("drop_oldest"), max_bytes=st.none())(begin)

    with pytest.raises(AssertionError):
        play(Forgetful, FEW, phases=[Phase.generate])  # how little would do is of no interest
