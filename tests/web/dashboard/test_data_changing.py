"""What becomes of what was added up when the database changes under it: replaced, damaged, tidied up, written ahead."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.web.dashboard.stored import NOW, ask, fresh_store, request, timing, write
from time_execution.exceptions import DatabaseError
from time_execution.web.dashboard.data import Query, Store
from time_execution.web.dashboard.data.course import Course
from time_execution.web.dashboard.data.totals import Totals


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.db"


def remove(path):
    """Delete a database with its companions."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def fail(*_):
    raise DatabaseError("disk I/O error")


def start_of(label):
    """Return the second at which a range begins."""
    return Query.parse({"range": label}, now=NOW).range.start


def calls(store, **asked):
    """Return function -> how often it was called."""
    return {row["name"]: row["calls"] for row in ask(store, "functions", **asked)["rows"]}


class TestReplaced:
    """Another database at the same path, whose file may even have the number that the old one had."""

    @pytest.mark.parametrize("more", [0, 5], ids=["shorter", "longer"])
    def test_a_database_that_is_made_anew(self, path, more):
        """Nothing of the old one is shown, neither its sums nor its names, though file systems give numbers again."""
        write(path, [timing(name, 1.0) for name in ("a", "b", "c")])
        store = fresh_store(path)
        assert calls(store) == {"a": 1, "b": 1, "c": 1}
        content = write(path.with_name("other.db"), [timing(name, 2.0, 2) for name in ("x", "y", "x") + ("x",) * more])
        path.write_bytes(content.read_bytes())  # the same file, as far as its number tells
        assert calls(store) == {"x": 2 + more, "y": 1}
        assert ask(store, "function", name="a")["summary"] is None

    def test_while_it_is_deleted_and_written(self, path):
        """Each question is answered from what is there then."""
        store = fresh_store(path)
        for turn in range(4):
            write(path, [timing(f"f{turn}", 1.0 + turn), timing("g", 2.0)] * (turn + 1))
            assert calls(store) == {f"f{turn}": turn + 1, "g": turn + 1}
            remove(path)
            assert ask(store, "functions")["store"]["state"] == "missing"


class TestDamaged:
    """A database that cannot be read any more, or not all of it."""

    def test_a_table_that_is_damaged(self, path):
        """It is said that it cannot be read, not that there is nothing in it, though its newest metric can be found."""
        write(path, [timing(f"f{number}", 1.0, number / 10) for number in range(20_000)], rolled_up=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'rollup'").fetchone()
            (size,) = connection.execute("PRAGMA page_size").fetchone()
        with path.open("r+b") as file:
            file.seek((page - 1) * size)
            file.write(b"\xff" * size)
        answer = ask(fresh_store(path), "functions")
        assert answer["store"]["state"] == "broken"
        assert "cannot be read" in answer["store"]["message"]
        assert answer["rows"] == []

    def test_a_reading_that_fails_midway(self, path, monkeypatch):
        """It is told; afterwards everything is counted once, whatever had been counted by then."""
        write(path, [timing("f", 1.0)])
        store = fresh_store(path)
        assert calls(store) == {"f": 1}
        write(path, [timing("f", 3.0)])
        with monkeypatch.context() as patch:
            patch.setattr(Totals, "_count_raw", fail)
            assert ask(store, "functions")["store"]["state"] == "broken"
        (row,) = ask(store, "functions")["rows"]
        assert (row["calls"], row["mean"], row["total"]) == (2, 2.0, 4.0)

    def test_what_the_thread_cannot_read_is_told(self, path, monkeypatch):
        """What was known before it failed is not shown for ever."""
        monkeypatch.setattr("time_execution.web.dashboard.data.windows.Windows._work", lambda *_: None)
        write(path, [timing("f", 1.0)])
        store = Store(path)
        store.answers._seconds = 0.0
        assert calls(store) == {"f": 1}
        monkeypatch.setattr(Totals, "_count_raw", fail)
        write(path, [timing("f", 1.0)])
        (kept,) = store._windows._kept.values()
        kept.refreshed -= 2.0
        assert store._windows._advance(kept) is True
        assert ask(store, "functions")["store"]["state"] == "broken"
        store.close()


class TestTidiedUp:
    """Metrics and rollups that are deleted while somebody watches."""

    def test_rows_that_were_deleted_unread_are_not_forgotten(self, path):
        """However soon after the last reading that was, the next one is a new one once it may be."""
        options = {"retention": 0.0, "minute_retention": None, "hour_retention": None}
        write(path, [timing("f", 1.0, 10)], rolled_up=True, **options)
        store = fresh_store(path)
        assert calls(store) == {"f": 1}
        for _ in range(3):
            write(path, [timing("f", 1.0, 5)] * 4, rolled_up=True, **options)
        ask(store, "functions")
        write(path, [timing("f", 1.0, 3)])
        ask(store, "functions")
        (kept,) = store._windows._kept.values()
        kept.window._began -= 60.0
        assert calls(store) == {"f": 14}

    @pytest.mark.parametrize(("label", "width"), [("7d", 3600), ("24h", 3600), ("1h", 60)])
    def test_a_range_that_is_kept_in_part_is_read_once(self, path, label, width):
        """Where a range reaches back beyond the hours or minutes that are kept, it is not read anew each second."""
        write(path, [timing("f", 1.0, age) for age in range(10, 700_000, 1000)], rolled_up=True)
        write(path, [timing("f", 1.0, 1)], rolled_up=True)
        with closing(sqlite3.connect(path)) as connection, connection:
            kept_from = int(NOW - 1800) // 3600 * 3600
            connection.execute("UPDATE levels SET kept_from = ? WHERE width <= ?", (kept_from, width))
            for table in ("rollup", "histogram"):
                connection.execute(f"DELETE FROM {table} WHERE width <= ? AND start < ?", (width, kept_from))
        store = fresh_store(path)
        before = calls(store, range=label)
        (kept,) = store._windows._kept.values()
        began = kept.window._began
        assert calls(store, range=label) == before
        assert kept.window._began == began


class TestAhead:
    """Clocks of other hosts that are ahead."""

    @pytest.mark.parametrize("ahead", [90, 500, 4000, 100_000])
    @pytest.mark.parametrize("label", ["5m", "1h", "24h"])
    def test_what_is_ahead_leaves_as_a_whole(self, path, ahead, label):
        """Somebody who watches sees at each moment what somebody does who only comes then; a mean stays a mean."""
        write(path, [timing("f", 1.0), timing("f", 7.0, -ahead), timing("g", 2.0)], rolled_up=True)
        store = fresh_store(path)
        for later in (0, 61, 250, 330, 3700, 3700 + 3600, 90_000):
            now = NOW + later
            found, wanted = (
                ask(each, "functions", range=label, now=now)["rows"] for each in (store, fresh_store(path))
            )
            for row, other in zip(found, wanted, strict=True):
                assert {**row, "spark": None} == {**other, "spark": None}
                assert row["mean"] == row["total"] / row["calls"]


class TestFirstAnswer:
    """How soon all is known."""

    @pytest.mark.parametrize("label", ["5m", "1h", "24h", "7d"])
    def test_time_in_which_nothing_happened_costs_nothing(self, path, monkeypatch, label):
        """A week of which only some minutes hold anything is read in few pieces; none is missed that still waits."""
        read = []
        for kind in (Totals, Course):
            add = kind._add_piece

            def counted(self, *arguments, add=add):
                read.append(arguments[2:])
                add(self, *arguments)

            monkeypatch.setattr(kind, "_add_piece", counted)
        stored = []
        for ages, rolled_up in (((1, 70, 130, 200_000, 500_000), True), ((2, 2500, 60_000, 300_000), False)):
            write(path, [timing("f", 1.0, age) for age in ages], rolled_up=rolled_up)
            stored += ages
            read.clear()
            store = fresh_store(path)
            of_range = sum(NOW - age >= start_of(label) for age in stored)
            assert calls(store, range=label) == {"f": of_range}
            found = ask(store, "function", name="f", range=label)
            assert sum(filter(None, found["calls"])) == of_range
            assert len(read) <= 12 or not rolled_up

    def test_an_answer_that_is_not_whole_is_not_given_again(self, path, monkeypatch):
        """Who asks a moment later is told what is known by then; one that is whole is shared for a second."""
        monkeypatch.setattr("time_execution.web.dashboard.data.page._PATIENCE", -1.0)
        monkeypatch.setattr("time_execution.web.dashboard.data.windows.Windows._work", lambda *_: None)
        write(path, [request("/", 1.0, age) for age in range(1, 3500, 7)], rolled_up=True)
        store = Store(path)
        answers = [ask(store, "requests") for _ in range(200)]
        known = [answer["rows"][0]["calls"] for answer in answers]
        whole = next(place for place, answer in enumerate(answers) if not answer["warming"])
        assert known[0] < known[whole // 2] < known[whole] == 500
        assert all(answer is answers[whole] for answer in answers[whole:])
        store.close()

    def test_those_that_are_read_do_not_wait_for_those_that_are_known(self, path):
        """While one range is loaded, others are brought up to date once a second, not each time around."""
        write(path, [timing("f", 1.0)])
        store = fresh_store(path)
        ask(store, "functions")
        (kept,) = store._windows._kept.values()
        due = []
        for refreshed, later in ((0.0, 0.9), (0.0, 1.1), (5.5, 6.4), (5.5, 6.6), (5.5, 10.6)):
            kept.refreshed = kept.asked + refreshed
            due.append(store._windows._is_due(kept, kept.asked + later))
        assert due == [False, True, False, False, True], "nobody has watched for six seconds: each fifth is enough"
        kept.window.is_warm = False
        assert store._windows._is_due(kept, kept.refreshed)

    def test_what_is_known_since_a_moment_is_told_as_it_is(self, path, monkeypatch):
        """Who asks does not read what the thread reads anyway; what comes meanwhile shows a moment later."""
        monkeypatch.setattr("time_execution.web.dashboard.data.windows.Windows._work", lambda *_: None)
        write(path, [timing("f", 1.0)])
        store = Store(path)
        store.answers._seconds = 0.0
        assert calls(store) == {"f": 1}
        (kept,) = store._windows._kept.values()
        write(path, [timing("f", 1.0)])
        assert calls(store) == {"f": 1}
        kept.refreshed -= 2.0
        assert calls(store) == {"f": 2}
        write(path, [timing("g", 1.0)])
        assert calls(store, now=NOW + 61) == {"f": 2, "g": 1}, "the range has moved on"
        kept.window.is_warm = False
        write(path, [timing("g", 1.0)])
        assert calls(store, now=NOW + 61) == {"f": 2, "g": 2}
        store.close()
