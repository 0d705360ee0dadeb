"""What somebody who watches asks: families of series, the latest failures by their index, words of processes."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends.old_sqlite_files import make_old_file
from tests.reported import BASE, FOREVER, kept, metric, moment, write
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.backends.sqlite.schema import SECOND
from time_execution.exceptions import DatabaseMissingError
from time_execution.report import _failures, live
from time_execution.report._view import View
from time_execution.types import Metric


def failure(kind="ValueError", place="shop:1", second=0, **fields):
    return Metric(
        {"name": "error", "type": kind, "place": place, "error_type": kind, **fields}
        | {"timestamp": int((BASE + second) * SECOND)},
        kind="event",
        labels=("type", "place"),
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.db"


class TestFamilies:
    """Which series there are."""

    def test_series_are_gathered_under_their_name(self, path):
        """With their labels, kinds and units; in order."""
        write(path, [failure(), failure("KeyError"), kept("gauge", "size", 1.0, "B"), metric("shop.pay", 1.0)])
        found = live.families(path)
        assert list(found) == ["__overflow__", "error", "shop.pay", "size"]
        assert [series.labels["type"] for series in found["error"]] == ["KeyError", "ValueError"]
        assert [(series.kind, series.unit) for series in found["size"]] == [("gauge", "B")]

    def test_a_pattern_selects_names(self, path):
        """As in reports."""
        write(path, [failure(), metric("shop.pay", 1.0), metric("shop.cart", 1.0)])
        assert list(live.families(path, pattern="shop.*")) == ["shop.cart", "shop.pay"]

    def test_there_must_be_a_file(self, path):
        """Or there is an error that says so."""
        with pytest.raises(DatabaseMissingError):
            live.families(path)


class TestLatestErrors:
    """What failed last."""

    def test_the_latest_come_first(self, path):
        """Of all series, of a name's, or of one."""
        write(path, [failure(place="a"), metric("f", 1.0), failure(place="b"), metric("f", 2.0, error_type="E")])
        assert [call.family for call in live.latest_errors(path)] == ["f", "error", "error"]
        assert [call.labels["place"] for call in live.latest_errors(path, "error")] == ["b", "a"]
        assert [call.value for call in live.latest_errors(path, "f")] == [2.0]
        assert [call.labels for call in live.latest_errors(path, "error{type=ValueError,place=a}")] == [
            {"type": "ValueError", "place": "a"}
        ]
        assert live.latest_errors(path, "nobody") == []
        assert len(live.latest_errors(path, limit=1)) == 1
        assert live.latest_errors(path, limit=0) == []

    def test_those_of_many_series_are_merged(self, path):
        """The latest of all, however many each has."""
        names = "abcab" * 4 + "ddd" + "ba"
        write(path, [metric(name, float(place), error_type="E") for place, name in enumerate(names)])
        for limit in (1, 3, 7, 100):
            found = [int(call.value) for call in live.latest_errors(path, limit=limit)]
            assert found == list(range(len(names)))[::-1][:limit]

    def test_a_range_is_exact(self, path):
        """Its first moment counts, its end does not."""
        write(path, [failure(second=second) for second in range(10)], rollup_rows=1)
        found = live.latest_errors(path, since=moment(3), until=moment(5))
        assert [call.timestamp for call in found] == [int((BASE + second) * SECOND) for second in (4, 3)]

    @given(
        rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 400), st.booleans()), max_size=50),
        limit=st.integers(1, 10),
        since=st.integers(0, 400),
        batch=st.integers(1, 20),
    )
    def test_they_are_those_that_a_look_at_all_would_find(self, tmp_path_factory, rows, limit, since, batch):
        """However they lie in time and among the series, rolled up or not."""
        path = tmp_path_factory.mktemp("errors") / "metrics.db"
        metrics = [
            metric(f"f{name}", 1.0, second, number=place, **({"error_type": "E"} if failed else {}))
            for place, (name, second, failed) in enumerate(rows)
        ]
        with SQLiteBackend(path, rollup_rows=1 << 30 if batch % 2 else 1, **FOREVER) as backend:
            for start in range(0, len(metrics) + 1, batch):
                backend.write_many(metrics[start : start + batch])
        for names in (None, "f0"):
            wanted = [
                place
                for place, (name, second, failed) in enumerate(rows)
                if failed and second >= since and (names is None or name == 0)
            ]
            found = live.latest_errors(path, names, limit=limit, since=moment(since))
            assert [call.fields["number"] for call in found] == wanted[::-1][:limit]

    def test_other_rows_are_not_read(self, path):
        """The index is what is looked at, for one series and for all."""
        write(path, [metric("f", 1.0), failure()])
        with View.open(path) as view:
            for query, bounds in (
                (_failures._FAILING, {}),
                (_failures._LAST, {"name_id": 2, "after": 0, "upto": 9, "since": 0, "until": 1 << 62, "limit": 5}),
            ):
                plan = [row[3] for row in view.connection.execute(f"EXPLAIN QUERY PLAN {query}", bounds)]
                assert any("raw_errors" in step for step in plan)
                assert not any(step == "SCAN raw" for step in plan)

    @pytest.mark.parametrize("names", [None, "f"])
    def test_without_an_index_the_latest_rows_are_looked_at(self, path, monkeypatch, names):
        """So many, in a file that no writer of this release has completed."""
        write(path, [metric("f", float(number), error_type="E") for number in range(5)] + [metric("g", 9.0)])
        with sqlite3.connect(path) as connection:
            connection.execute("DROP INDEX raw_errors")
        connection.close()
        assert [call.value for call in live.latest_errors(path, names, limit=2)] == [4.0, 3.0]
        monkeypatch.setattr(_failures, "MOST_ROWS", 3)
        assert [call.value for call in live.latest_errors(path, names)] == [4.0, 3.0]


class TestStates:
    """What processes said last; more is said where they are stored."""

    def test_a_file_of_an_earlier_release_has_none(self, path):
        """It is read all the same."""
        make_old_file(path, release=2)
        assert live.states(path, "health") == []
        assert live.latest_errors(path) == []
        assert list(live.families(path)) == ["__overflow__", "queue.length", "shop.pay"]

    def test_words_are_those_of_the_topic(self, path):
        """Each with its owner."""
        with SQLiteBackend(path) as backend:
            backend.put_state("health", "a", {"status": "healthy"})
        (state,) = live.states(path, "health")
        assert (state.topic, state.owner, state.body) == ("health", "a", {"status": "healthy"})
