"""The sums that are kept in memory: what brute force finds, whatever was stored when, and however time passes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.dashboard import raw_figures
from tests.web.dashboard.stored import NOW, ask, fresh_store, request, timing, write
from time_execution.web.dashboard.data import Query

SPANS = {"5m": 300, "1h": 3600, "24h": 86_400, "7d": 7 * 86_400}
SLACK = {"5m": 60, "1h": 60, "24h": 3600, "7d": 3600}

values = st.floats(1e-6, 1e9) | st.just(0.0) | st.floats(-1e6, -1e-6) | st.none() | st.integers(-1000, 1000)
ages = st.floats(0, 400) | st.floats(0, 8000) | st.floats(0, 100_000) | st.floats(0, 900_000)
metrics = st.tuples(st.sampled_from("abcd"), values, ages, st.booleans(), st.sampled_from([200, 302, 404, 500]))
batches = st.lists(metrics, max_size=12)
steps = st.lists(
    st.tuples(batches, st.booleans(), st.sampled_from([0.0, 0.7, 61.0, 400.0, 3700.0, 90_000.0])),
    min_size=1,
    max_size=6,
)


def _made(batch, now):
    for name, value, age, failed, status in batch:
        fields = {"error_type": "E"} if failed else {}
        yield timing(name, value, age, now=now, **fields)
        yield request(f"/{name}", 1.0 if value is None else abs(value), age, status=status, now=now)


def _check(path, store, label, now):
    answer = ask(store, "functions", range=label, now=now)
    start = answer["range"]["from"]
    assert answer["range"]["to"] == now
    assert SPANS[label] <= now - start <= SPANS[label] + SLACK[label]
    rows = raw_figures.between(raw_figures.rows_of(path), start)
    expected = {
        name: raw_figures.figures(each)
        for name, each in raw_figures.by_name(rows).items()
        if not name.startswith("http")
    }
    assert {row["name"] for row in answer["rows"]} == set(expected)
    for row in answer["rows"]:
        for figure, wanted in expected[row["name"]].items():
            close = wanted if wanted is None else pytest.approx(wanted, rel=1e-9, abs=1e-9)
            assert row[figure] == close, (figure, row)
    of_requests = [row for row in rows if row.name.startswith("http")]
    found = ask(store, "requests", range=label, now=now)
    assert sum(row["calls"] for row in found["rows"]) == len(of_requests)
    _check_steps(found, of_requests, start)


def _check_steps(found, rows, start):
    step, times = found["range"]["step"], found["times"]
    assert times[0] == start
    assert all(later - earlier == step for earlier, later in pairwise(times))
    for place, of_step in enumerate(raw_figures.steps(rows, int(start), step, len(times))):
        wanted = raw_figures.figures(of_step)["p95"] if of_step else None
        assert found["p95"][place] == wanted


class TestKept:
    """What pages show while metrics come and time passes."""

    @settings(max_examples=60)
    @given(steps=steps, labels=st.lists(st.sampled_from(list(SPANS)), min_size=1, max_size=2, unique=True))
    def test_the_same_as_brute_force(self, tmp_path_factory, steps, labels):
        """After any writes, on time or late, rolled up or waiting, and any pause, each range shows what is stored."""
        path = tmp_path_factory.mktemp("kept") / "metrics.db"
        write(path, [timing("first", 1.0, 2_000_000)])
        store, now = fresh_store(path), NOW
        for batch, rolled_up, passed in steps:
            write(path, _made(batch, now), rolled_up=rolled_up)
            for label in labels:
                _check(path, store, label, now)
            now += passed
        for label in labels:
            _check(path, store, label, now)

    def test_a_row_that_comes_late_is_counted_at_once(self, tmp_path):
        """A metric of hours ago, stored and rolled up now, is in its place, and leaves with its hour."""
        path = write(tmp_path / "m.db", [timing("f", 1.0, 10), timing("f", 2.0, 20 * 3600)], rolled_up=True)
        store = fresh_store(path)
        assert ask(store, "functions", range="24h")["rows"][0]["calls"] == 2
        write(path, [timing("f", 5.0, 20 * 3600 + 1)], rolled_up=True)
        (row,) = ask(store, "functions", range="24h")["rows"]
        assert (row["calls"], row["max"], row["total"]) == (3, 5.0, 8.0)
        (row,) = ask(store, "functions", range="24h", now=NOW + 6 * 3600)["rows"]
        assert (row["calls"], row["max"], row["total"]) == (1, 1.0, 1.0)

    def test_a_row_that_comes_late_for_what_leaves(self, tmp_path):
        """A metric of the minute that leaves the range just then is neither counted nor taken away."""
        path = write(tmp_path / "m.db", [timing("f", 3.0, 100) for _ in range(10)], rolled_up=True)
        store = fresh_store(path)
        start = ask(store, "functions", range="1h")["range"]["from"]
        write(path, [timing("f", 3.0, NOW - start - 5) for _ in range(4)], rolled_up=True)
        (row,) = ask(store, "functions", range="1h", now=NOW + 60)["rows"]
        assert (row["calls"], row["mean"], row["total"]) == (10, 3.0, 30.0)

    def test_a_row_ahead_of_time_is_counted(self, tmp_path):
        """What a clock that is ahead has stamped counts now, and not twice when its time has come."""
        path = write(tmp_path / "m.db", [timing("f", 1.0, -90)])
        store = fresh_store(path)
        for later in (0, 30, 100, 3000):
            (row,) = ask(store, "functions", range="1h", now=NOW + later)["rows"]
            assert row["calls"] == 1
        assert ask(store, "functions", range="1h", now=NOW + 4000)["rows"] == []

    def test_nothing_is_read_twice(self, tmp_path):
        """What was read once is not read again: only the rows after it are."""
        path = write(tmp_path / "m.db", [timing("f", 1.0, 10)], rolled_up=True)
        store = fresh_store(path)
        ask(store, "functions", range="24h")
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM rollup")
            connection.execute("DELETE FROM histogram")
        write(path, [timing("f", 3.0, 1)])
        (row,) = ask(store, "functions", range="24h")["rows"]
        assert (row["calls"], row["total"], row["p50"]) == (2, 4.0, 1.0)

    def test_rows_that_were_deleted_unread_lead_to_another_reading(self, tmp_path):
        """With a retention of nothing, single metrics go before anybody has seen them: rollups are read again then."""
        path = tmp_path / "m.db"
        options = {"retention": 0.0, "minute_retention": None, "hour_retention": None}
        write(path, [timing("f", 1.0, 10)], rolled_up=True, **options)
        store = fresh_store(path)
        assert ask(store, "functions", range="1h")["rows"][0]["calls"] == 1
        for _ in range(3):
            write(path, [timing("f", 1.0, 5)] * 4, rolled_up=True, **options)
        for kept in store._windows._kept.values():
            kept.window._began -= 60.0
        assert ask(store, "functions", range="1h")["rows"][0]["calls"] == 13


class TestMoving:
    """Ranges that end now."""

    @pytest.mark.parametrize("label", list(SPANS))
    def test_what_leaves_the_range_is_gone(self, tmp_path, label):
        """One metric in each unit: as time passes, as many are left as units, whatever was asked in between."""
        unit, span = SLACK[label], SPANS[label]
        path = write(
            tmp_path / "m.db", [timing("f", 2.0, age) for age in range(1, span + 5 * unit, unit)], rolled_up=True
        )
        store = fresh_store(path)
        rows = raw_figures.rows_of(path)
        for later in (0.0, 0.4 * unit, 1.1 * unit, 2.0 * unit, 2.5 * unit, 7.0 * unit):
            answer = ask(store, "functions", range=label, now=NOW + later)
            expected = raw_figures.between(rows, answer["range"]["from"])
            assert sum(row["calls"] for row in answer["rows"]) == len(expected)
            assert answer["total_ms"] == pytest.approx(2.0 * len(expected))

    @given(now=st.floats(0, 4e9), later=st.floats(0, 1e6))
    def test_the_beginning_is_the_same_however_it_is_found(self, now, later):
        """Where a range begins later is where one that is asked for then begins, on a whole unit."""
        for label in SPANS:
            of = Query.parse({"range": label}, now=max(now, 1e6)).range
            moment = max(now, 1e6) + later
            assert of.start_at(moment) == Query.parse({"range": label}, now=moment).range.start
            assert of.start % SLACK[label] == 0

    def test_a_clock_that_is_set_back(self, tmp_path):
        """The range of then is shown again."""
        path = write(tmp_path / "m.db", [timing("old", 1.0, 3000), timing("new", 1.0, 10)])
        store = fresh_store(path)
        names = lambda now: {row["name"] for row in ask(store, "functions", range="1h", now=now)["rows"]}  # noqa: E731
        assert names(NOW + 2000) == {"new"}
        assert names(NOW) == {"old", "new"}


class TestCustom:
    """Ranges of one's own."""

    @settings(max_examples=40)
    @given(
        ages=st.lists(st.floats(0, 3e6), max_size=30),
        start=st.floats(10, 3e6),
        length=st.floats(1, 2e6),
        rolled_up=st.booleans(),
    )
    def test_the_same_as_brute_force(self, tmp_path_factory, ages, start, length, rolled_up):
        """What lies in a range, widened to whole minutes, hours or days, is counted, and nothing else."""
        path = tmp_path_factory.mktemp("custom") / "metrics.db"
        write(path, [timing("f", 1.5 + age, age) for age in ages] + [timing("g", 1.0, 2)], rolled_up=rolled_up)
        end = min(NOW, NOW - start + length)
        store = fresh_store(path)
        answer = ask(store, "functions", from_=NOW - start, to=end)
        of = Query.parse({"from": str(NOW - start), "to": str(end)}, now=NOW).range
        rows = raw_figures.between(raw_figures.rows_of(path), of.start, of.until or 1 << 33)
        expected = {name: raw_figures.figures(each) for name, each in raw_figures.by_name(rows).items()}
        found = {row["name"]: row for row in answer["rows"]}
        assert set(found) == set(expected)
        for name, wanted in expected.items():
            assert {figure: found[name][figure] for figure in wanted} == pytest.approx(wanted)
        assert answer["range"]["label"] == "custom"
        assert all(len(row["spark"]) == 24 for row in answer["rows"])
        course = ask(store, "function", name="f", from_=NOW - start, to=end)
        assert len(course["times"]) <= 300
        assert sum(filter(None, course["calls"])) == len(raw_figures.by_name(rows).get("f", ()))

    def test_one_without_an_end_that_is_watched_for_hours(self, tmp_path):
        """Each hour has its points, however long ago the range was asked for first."""
        path = write(tmp_path / "m.db", [timing("f", 1.0)])
        store, found = fresh_store(path), {}
        for hour in range(6):
            now = NOW + 3600 * hour
            write(path, [timing("f", 1.0, now=now)])
            found = ask(store, "function", name="f", from_=NOW - 600, now=now)
            assert sum(filter(None, found["calls"])) == hour + 2 == found["summary"]["calls"]
        assert sum(point is not None for point in found["summary"]["spark"]) == 6

    def test_a_range_whose_minutes_were_deleted(self, tmp_path):
        """Hours answer for what is older than the minutes that are kept."""
        path = write(tmp_path / "m.db", [timing("f", 1.0, age) for age in range(10, 200_000, 600)], rolled_up=True)
        write(path, [timing("f", 1.0, 1)], rolled_up=True)
        with closing(sqlite3.connect(path)) as connection, connection:
            kept_from = int(NOW - 7200) // 3600 * 3600
            connection.execute("UPDATE levels SET kept_from = ? WHERE width = 60", (kept_from,))
            connection.execute("DELETE FROM rollup WHERE width = 60 AND start < ?", (kept_from,))
            connection.execute("DELETE FROM histogram WHERE width = 60 AND start < ?", (kept_from,))
            connection.execute("DELETE FROM raw WHERE timestamp < ?", (kept_from * 10**9,))
        answer = ask(fresh_store(path), "function", name="f", from_=NOW - 50_000, to=NOW - 20_000)
        assert answer["range"]["step"] == 3600
        assert 50 <= answer["summary"]["calls"] <= 62
        assert sum(filter(None, answer["calls"])) == answer["summary"]["calls"]
