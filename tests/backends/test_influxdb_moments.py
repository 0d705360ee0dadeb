"""Points of one series never share a moment, and each has the same one however often it is sent."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("time_execution.backends.influxdb", exc_type=ImportError)
from time_execution.backends.influxdb.moments import Moments


def test_a_moment_of_its_own_is_kept():
    """The usual case: nothing is moved."""
    moments = Moments()
    assert [moments.place("a", moment, f"0f-{moment}") for moment in (5, 7, 6)] == [5, 7, 6]


def test_a_moment_that_is_taken_is_followed_by_the_next_that_is_free():
    """One after the other, past those that belong to somebody."""
    moments = Moments()
    assert [moments.place("a", 5, f"0f-{number}") for number in range(3)] == [5, 6, 7]
    assert moments.place("a", 9, "0f-3") == 9
    assert [moments.place("a", 5, f"0f-{number}") for number in (4, 5)] == [8, 10]


def test_other_series_have_moments_of_their_own():
    """Two series may share any moment."""
    moments = Moments()
    assert [moments.place(series, 5, series) for series in "abc"] == [5, 5, 5]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), max_size=60), st.randoms(use_true_random=False))
def test_what_is_sent_again_gets_the_same_moment(points, chance):
    """In any order, mixed with new ones; no two points of a series have one moment."""
    moments = Moments()
    first = [moments.place(series, moment, f"0f-{number}") for number, (series, moment) in enumerate(points)]
    order = list(range(len(points)))
    chance.shuffle(order)
    for number in order:
        series, moment = points[number]
        assert moments.place(series, moment, f"0f-{number}") == first[number]
        moments.place(series, moment, f"1f-{number}")
    assert len({(series, found) for (series, _), found in zip(points, first, strict=True)}) == len(points)


def test_a_metric_without_an_id_is_always_a_new_one():
    """Nobody sends it again, so two that are alike are two."""
    moments = Moments()
    assert [moments.place("a", 5, None) for _ in range(3)] == [5, 6, 7]


def test_a_hundred_thousand_points_of_one_moment_stay_apart():
    """Though not all of them are remembered; and it does not take longer for each."""
    moments = Moments()
    found = set()
    for number in range(100_000):
        if number % 500 == 0:
            moments.forget_old()
        found.add(moments.place("a", 5, f"0f-{number}"))
    assert found == set(range(5, 100_005))


def test_the_latest_20_000_are_remembered():
    """And not many more."""
    moments = Moments()
    for number in range(100_000):
        if number % 500 == 0:
            moments.forget_old()
        moments.place("a", number, f"0f-{number}")
    moments.forget_old()
    assert len(moments._owners) <= 40_000
    assert moments.place("a", 80_000, "other") == 100_000
    assert all(moments.place("a", number, f"0f-{number}") == number for number in range(80_000, 100_000))


def test_sharing_every_moment_stays_cheap_and_bounded():
    """As with a coarse precision: nobody goes through the same row of moments again and again."""
    moments = Moments()
    for number in range(50_000):
        if number % 500 == 0:
            moments.forget_old()
        for label in range(2):
            moments.place("a", number, f"{label}f-{number}")
    moments.forget_old()
    assert all(len(known) <= 40_000 for known in (moments._owners, moments._moved, moments._later))


def test_threads_get_moments_apart():
    """All at once, for one series."""
    moments, found, lock = Moments(), [], threading.Lock()

    def place(label):
        chance = random.Random(label)
        mine = [moments.place("a", chance.randrange(50), f"{label}-{number}") for number in range(2000)]
        with lock:
            found.extend(mine)

    threads = [threading.Thread(target=place, args=(label,)) for label in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == len(set(found)) == 8000
