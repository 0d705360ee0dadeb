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

    def test_nothing_counted_has_no_figures(self):
        """An empty aggregate raises instead of reporting zeros."""
        with pytest.raises(ValueError, match="nothing"):
            Aggregate().stats(report.Series("f"))
