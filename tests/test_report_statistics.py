"""Figures of single calls, added up without a database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reported import metric, write
from time_execution import report
from time_execution.report import Aggregate

values = st.one_of(st.none(), st.floats(-1e6, 1e6))
call_lists = st.lists(st.tuples(values, st.integers(0, 10**12), st.booleans()), max_size=20)


class TestAggregate:
    """Sums without a database."""

    @given(call_lists, call_lists, call_lists)
    def test_merging_is_associative_and_counts_everything(self, left, middle, right):
        """Parts merged in either grouping equal one aggregate of all calls."""

        def aggregate(*parts):
            made = Aggregate()
            for part in parts:
                for value, timestamp, is_error in part:
                    made.add(value, timestamp=timestamp, is_error=is_error)
            return made

        one, other = aggregate(left), aggregate(middle)
        one.merge(aggregate(middle))
        one.merge(aggregate(right))
        other.merge(aggregate(right))
        regrouped = aggregate(left)
        regrouped.merge(other)
        whole = aggregate(left, middle, right)
        for found in (one, regrouped):
            assert found.buckets == whole.buckets
            assert (found.sums is None) is (whole.sums is None)
            if found.sums and whole.sums:
                assert found.sums.total == pytest.approx(whole.sums.total, abs=1e-6)
                assert found.sums._replace(total=0) == whole.sums._replace(total=0)

    def test_calls_from_anywhere_make_the_same_figures_as_a_database(self, tmp_path):
        """Single calls added up in Python give what the file's rollups give."""
        rows = [
            metric(f"f{number % 3}", number * 1.5 - 10, number * 700, error=number % 5 == 0) for number in range(90)
        ]
        path = write(tmp_path / "metrics.db", rows, rollup_rows=1)
        aggregates = report.aggregate_calls(report.tail(path))
        found = {row.name: row for row in report.read(path)}
        assert {series.name for series in aggregates} == set(found)
        for series, aggregate in aggregates.items():
            name, stats = series.name, aggregate.stats(series)
            assert stats.total == pytest.approx(found[name].total)
            for field in ("calls", "errors", "p50", "p95", "p99", "min", "max", "first_seen", "last_seen"):
                assert getattr(stats, field) == getattr(found[name], field), field

    def test_calls_in_any_order_make_the_same_figures(self):
        """The earliest and the latest, the least and the greatest, whichever comes first; those without a number."""
        calls = [(5.0, 300), (None, 60), (-2.0, 600), (8.0, 0), (None, 900), (1.0, 120)]
        for start in range(len(calls)):
            aggregate, other = Aggregate(), Aggregate()
            for place, (value, second) in enumerate(calls[start:] + calls[:start]):
                chosen = aggregate if place % 2 else other
                chosen.add(value, timestamp=second * 10**9 + 5, is_error=value is None)
            aggregate.merge(other)
            stats = aggregate.stats(report.Series("f"))
            assert (stats.calls, stats.errors, stats.total, stats.mean) == (6, 2, 12.0, 3.0)
            assert (stats.min, stats.max) == (-2.0, 8.0)
            assert (stats.first_seen.timestamp(), stats.last_seen.timestamp()) == (0, 900)

    def test_series_are_told_apart_by_kind_and_unit(self):
        """Numbers of different units are never added up."""
        calls = [
            report.Call(1, "size", 5.0, None, 0, is_error=False, fields={}),
            report.Call(2, "size", 7.0, None, 0, is_error=False, fields={}, kind="gauge", unit="B"),
            report.Call(3, "size", 9.0, None, 0, is_error=True, fields={}, kind="gauge", unit="jobs"),
        ]
        found = report.aggregate_calls(calls)
        totals = {(series.kind, series.unit): each.stats(series).total for series, each in found.items()}
        assert totals == {("timing", "ms"): 5.0, ("gauge", "B"): 7.0, ("gauge", "jobs"): 9.0}

    def test_nothing_counted_has_no_figures(self):
        """An empty aggregate raises instead of reporting zeros."""
        with pytest.raises(ValueError, match="nothing"):
            Aggregate().stats(report.Series("f"))
