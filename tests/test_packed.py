"""The lossless form that the spool and the dead letters keep: what goes in comes out, and damage is told."""

from __future__ import annotations

import math
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from tests.strategies import same
from tests.test_json import strict
from time_execution.formats.packed import pack, unpack
from time_execution.testing.hostile import hostile_values
from time_execution.types import Metric

UTC = timezone.utc


def assert_round_trip(metric: Metric) -> None:
    """Assert that a metric survives packing to the bit, on one line of UTF-8."""
    text = pack(metric)
    assert len(text.encode().decode().split("\n")) == 1
    strict(text)
    back = unpack(text)
    assert same(dict(back), dict(metric))
    assert (back.kind, back.unit, back.id, back.labels) == (metric.kind, metric.unit, metric.id, metric.labels)


@given(strategies.metrics())
def test_packed_metrics_come_back_to_the_bit(metric):
    """Whatever a snapshot can produce survives, with the attributes."""
    assert_round_trip(metric)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        -0.0,
        5e-324,
        10**400,
        -(10**1200),
        1_700_000_000_123_456_789,
        "\ud83d\ude00",
        "\ude00\ud83d",  # noqa: PT014 - not the same
        "😀\ud83d",
        "$5",
        {"$float": 1},
        {"$$float": 1},
        {"$utf8:00": 1},
        {"$utf8": "x", "b": 1},
        {"$": 1, "": 2},
        {"\ud83d\ude00": {"\ud83d": math.nan}},
        [[], {}, [{}]],
        datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
    ],
    ids=ascii,
)
def test_odd_values_come_back_to_the_bit(value):
    """What JSON has no form for, and what looks like the form we gave it."""
    assert_round_trip(
        Metric({"name": "a", "field": value, "nested": [{"x": value}]}, kind="gauge", unit="B", id="0f-1")
    )
    assert_round_trip(Metric({"$field": value}))
    assert_round_trip(Metric({"name": "a", "field": value}))


def test_two_halves_of_a_letter_do_not_become_one():
    """In a metric of texts alone, in a key, and in the name: what was two stays two."""
    halves = "\ud83d\ude00"
    for fields in ({"name": halves}, {"name": "a", halves: 1}, {"name": "a", "field": f"x{halves}y"}):
        assert_round_trip(Metric(fields, labels=(halves, "$a")))


@pytest.mark.parametrize("name", list(hostile_values()))
def test_packing_never_fails(name):
    """A metric that missed its snapshot is packed as its snapshot."""
    metric = Metric({"name": "a", "field": hostile_values()[name]}, kind="event", id="0f-2")
    back = unpack(pack(metric))
    assert back["name"] == "a"
    assert "field" in back
    assert back.id == "0f-2"


def test_a_key_that_is_no_text_is_packed_as_text():
    """Keys of direct metrics may be anything."""
    assert unpack(pack(Metric({"name": "a", "x": {1: math.nan}})))["x"].keys() == {"1"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"kind":"timing","unit":null,"id":null}',
        '{"kind":"other","unit":null,"id":null,"fields":{}}',
        '{"kind":"timing","unit":1,"id":null,"fields":{}}',
        '{"kind":"timing","unit":null,"id":1,"fields":{}}',
        '{"kind":"timing","unit":null,"id":null,"fields":[]}',
        '{"labels":[1],"kind":"timing","unit":null,"id":null,"fields":{}}',
        '{"kind":"timing","unit":null,"id":null,"fields":{"$float":"nan"}}',
        '{"kind":"timing","unit":null,"id":null,"fields":{"a":{"$float":[]}}}',
        '{"kind":"timing","unit":null,"id":null,"fields":{"a":{"$datetime":5}}}',
        '{"kind":"timing","unit":null,"id":null,"fields":{"a":{"$utf8":"zz"}}}',
        '{"kind":"timing","unit":null,"id":null,"fields":{"a":{"$utf8":null}}}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:60],
)
def test_damaged_text_is_refused(text):
    """Damage and foreign text are a ValueError, for the spool to count."""
    with pytest.raises(ValueError):  # noqa: PT011 - any is right
        unpack(text)


@given(strategies.metrics(), st.data())
def test_truncated_text_is_refused(metric, data):
    """Case D14: no prefix of a packed metric passes for one."""
    text = pack(metric)
    with pytest.raises(ValueError):  # noqa: PT011 - any is right
        unpack(text[: data.draw(st.integers(0, len(text) - 1))])
