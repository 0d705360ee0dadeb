"""What a request may ask: ranges, filters, limits; and the sentence for whoever asks something else."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import texts
from time_execution.web.dashboard.data import PAGES, Query, QueryError, Store

NOW = 1_700_000_000.25


def parse(**parameters):
    return Query.parse({name.rstrip("_"): value for name, value in parameters.items()}, now=NOW)


class TestRange:
    """Which time is asked for."""

    @pytest.mark.parametrize(
        ("label", "seconds", "unit", "step"),
        [("5m", 300, 60, 10), ("1h", 3600, 60, 60), ("24h", 86_400, 3600, 300), ("7d", 604_800, 3600, 3600)],
    )
    def test_one_that_ends_now(self, label, seconds, unit, step):
        """It begins on a whole minute, or hour, so that all of its length is shown."""
        of = parse(range=[label]).range
        assert (of.end, of.until, of.label, of.step) == (NOW, None, label, step)
        assert of.start % unit == 0
        assert seconds <= NOW - of.start < seconds + unit

    def test_an_hour_is_shown_unless_asked(self):
        """Without a parameter, the last hour."""
        assert parse().range == parse(range="1h").range

    def test_one_of_ones_own(self):
        """Its ends are widened to whole minutes; it says so."""
        of = parse(from_="1699990030", to="1699990100.5").range
        assert (of.start, of.end, of.until, of.label) == (1_699_990_020, 1_699_990_140, 1_699_990_140, "custom")

    def test_without_an_end_it_goes_on(self):
        """Without ``to``, or with one to come, the range ends now, and moves on."""
        assert (parse(from_="1699990030").range.until, parse(from_="1699990030").range.end) == (None, NOW)
        assert (parse(from_="1699990030", to="1700009999").range.until, parse(from_="1699990030").range.end) == (
            None,
            NOW,
        )

    @given(length=st.floats(1, 400 * 86_400), end=st.floats(1, 1.7e9))
    def test_plots_stay_small(self, length, end):
        """However long a range is, it has at most 300 points, and whole periods."""
        start = max(0.0, end - length)
        if start >= end:
            return
        of = Query.parse({"from": repr(start), "to": repr(end)}, now=2e9).range
        assert of.until is not None
        assert (of.until - of.start) / of.step <= 300
        assert of.start <= start
        assert of.until >= end
        assert of.start % of.unit == of.until % of.unit == of.step % of.unit == 0

    @pytest.mark.parametrize(
        ("parameters", "sentence"),
        [
            ({"range": "2h"}, "range must be one of 5m, 1h, 24h, 7d; from and to ask for any other."),
            ({"range": "1h", "from": "1"}, "Either range or from and to may be given, not both."),
            ({"to": "5"}, "from is missing: the first moment, in UNIX seconds."),
            ({"from": "soon"}, "from must be a number."),
            ({"from": "nan"}, "from must be a number."),
            ({"from": "1", "to": "inf"}, "to must be a number."),
            ({"from": "-1", "to": "5"}, "from and to must be UNIX seconds, from 1970 to 2242."),
            ({"from": "1", "to": "1e20"}, "from and to must be UNIX seconds, from 1970 to 2242."),
            ({"from": "5", "to": "5"}, "from must lie before to."),
            ({"from": "9", "to": "5"}, "from must lie before to."),
            ({"from": "0", "to": "1000000000"}, "At most 400 days can be shown at once."),
            ({"limit": "0"}, "limit must be 1 at least."),
            ({"limit": "-5"}, "limit must be 1 at least."),
            ({"limit": "many"}, "limit must be a number."),
            ({"q": "x" * 2001}, "q is longer than 2,000 characters."),
        ],
    )
    def test_what_cannot_be_meant_is_told(self, parameters, sentence):
        """Each mistake has a sentence that helps, and none repeats what was sent."""
        with pytest.raises(QueryError) as caught:
            Query.parse(parameters, now=NOW)
        assert str(caught.value) == sentence
        assert isinstance(caught.value, ValueError)


class TestOthers:
    """Filters and limits."""

    def test_the_last_of_several_counts(self):
        """As with most forms."""
        assert parse(q=["a", "b"], name=[]).q == "b"
        assert parse(name=[]).name == ""

    def test_a_limit_is_bounded(self):
        """However many rows are asked for."""
        assert parse(limit="1e9").limit == 1000
        assert parse(limit="10").limit == 10
        assert parse().limit == 1000

    def test_what_is_not_known_is_passed_over(self):
        """A parameter of a page to come changes nothing."""
        assert parse(colour="red").key == parse().key

    def test_the_present_moment_does_not_make_another_question(self):
        """Two who ask the same a moment apart share an answer; any parameter makes a difference."""
        assert parse(range="24h").key == Query.parse({"range": "24h"}, now=NOW + 5000).key
        for name in ("q", "name", "method", "route", "level", "request_id", "file", "before", "after"):
            assert parse(**{name: "x"}).key != parse().key
        assert parse(from_="1699990030").key != parse(from_="1699990130").key

    @given(st.dictionaries(st.sampled_from(["range", "from", "to", "q", "limit", "name", "level", "before"]), texts))
    def test_whatever_is_sent(self, parameters):
        """A query, or a sentence; nothing else is raised."""
        query = None
        with contextlib.suppress(QueryError):
            query = Query.parse(parameters, now=NOW)
        if query is not None:
            assert 0 <= query.range.start < query.range.end <= NOW
            assert 1 <= query.limit <= 1000
            assert math.isfinite(query.range.end)

    @pytest.mark.parametrize(("page", "missing"), [("function", "name"), ("request", "method")])
    def test_a_page_says_what_it_needs(self, tmp_path, page, missing):
        """A page about one thing is not shown without its name, whatever is stored."""
        with pytest.raises(QueryError, match=f"{missing} is missing."):
            PAGES[page](Store(tmp_path / "none.db"), parse())
