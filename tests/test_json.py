"""Strict documents on one physical line, by either writer."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from tests.strategies import same
from time_execution.formats import json as subject
from time_execution.formats.json import decode, document, encode
from time_execution.formats.snapshot import MAX_BYTES, snapshot_fields
from time_execution.testing.hostile import HOSTILE_KEYS, HOSTILE_NAMES, hostile_values
from time_execution.types import Metric

UTC = timezone.utc
LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def strict(text: str) -> Any:
    """Parse as strictly as JSON is defined, which json.loads by itself does not."""

    def refuse(token: str) -> Any:
        raise AssertionError(f"{token} is no JSON")

    return json.loads(text, parse_constant=refuse)


def forget_writers() -> None:
    """Look for orjson again."""
    subject._writer.cache_clear()
    subject._flat_writer.cache_clear()
    subject._array_writer.cache_clear()


def with_snapshot(metric: Any, **options: Any) -> str:
    """Return the document that is made by way of a snapshot, whatever the metric holds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "_FEW_FIELDS", -1)
        return document(metric, **options)


@pytest.fixture(params=["stdlib", "orjson"])
def writer(request, monkeypatch):
    """Both writers in turn; the second where it is installed."""
    if request.param == "orjson":
        pytest.importorskip("orjson")
        forget_writers()
        assert subject._writer() is not subject._write
    else:
        monkeypatch.setattr(subject, "_writer", lambda: subject._write)
        monkeypatch.setattr(subject, "_flat_writer", lambda: subject._write_flat)
    return request.param


# ---- documents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "null"),
        (math.inf, "null"),
        (-math.inf, "null"),
        ([1.5, math.nan], "[1.5,null]"),
        ({"inner": {"deep": math.inf}}, '{"inner":{"deep":null}}'),
        (-0.0, "-0.0"),
        (True, "true"),
        (None, "null"),
        (-1.5, "-1.5"),
        (2**63 - 1, "9223372036854775807"),
        (2**64 - 1, "18446744073709551615"),
        (2**64, '"18446744073709551616"'),
        (-(2**63), "-9223372036854775808"),
        (-(2**63) - 1, '"-9223372036854775809"'),
        ([2**64], '["18446744073709551616"]'),
        (10**400, f'"1{"0" * 400}"'),
        ("é😀", '"é😀"'),
        ("\ud800", '"\\ud800"'),
        ("a\u2028b\u2029c\x85d\re\x00\x9b", '"a\\u2028b\\u2029c\\u0085d\\re\\u0000\\u009b"'),
        (datetime(2024, 2, 29, 12, tzinfo=UTC), '"2024-02-29T12:00:00.000000Z"'),
        (datetime(2024, 2, 29, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2))), '"2024-02-29T10:00:00.000005Z"'),
        (datetime(1, 1, 1, tzinfo=UTC), '"0001-01-01T00:00:00.000000Z"'),
        ([datetime(2024, 2, 29, 12, tzinfo=UTC)], '["2024-02-29T12:00:00.000000Z"]'),
        (Decimal("1.5"), "1.5"),
        (b"abc", '"abc"'),
        ({1: 2}, '{"1":2}'),
    ],
    ids=repr,
)
def test_values_have_their_documented_form(writer, value, expected):
    """Case B4 and the rest of the mapping, to the letter, by both writers."""
    assert encode({"value": value}) == f'{{"value":{expected}}}'


def test_keys_keep_their_order(writer):
    """The document's order is the metric's."""
    assert encode({"name": "b", "value": 1, "a": 2}) == '{"name":"b","value":1,"a":2}'


@pytest.mark.parametrize("name", list(hostile_values()))
def test_any_value_encodes(writer, name):
    """Case B3: no value fails, and the line is bounded, strict and UTF-8."""
    line = encode({"name": "a", "field": hostile_values()[name]})
    assert strict(line)["name"] == "a"
    assert len(line.encode()) < 2 * MAX_BYTES
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_any_name_comes_back(writer, name):
    """Case B5: names and keys round-trip, each on one physical line."""
    line = document(Metric({"name": name, name: name}))
    assert decode(line) == {"name": name, name: name}
    assert not set(line) & set(LINE_ENDS)
    assert line.encode().decode().splitlines() == [line]


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=ascii)
def test_any_key_comes_back(writer, key):
    """Keys that upstream cannot take are keys like others."""
    assert decode(encode({key: 1})) == {key: 1}


@given(strategies.fields)
def test_both_writers_say_the_same(fields):
    """Whatever orjson writes means what the standard library's line means, key for key."""
    pytest.importorskip("orjson")
    forget_writers()
    plain = snapshot_fields(fields)[0]
    quick, slow = subject._writer()(dict(plain)), subject._write(dict(plain))
    assert same(strict(quick), strict(slow))
    assert not set(quick + slow) & set(LINE_ENDS)
    quick.encode()
    slow.encode()


@given(strategies.metrics())
def test_documents_are_strict_json(metric):
    """A document parses strictly, has the metric's keys in order, and leaves the metric alone."""
    before = metric.copy()
    assert list(strict(document(metric))) == list(metric)
    assert same(dict(metric), dict(before))


flat_values = st.one_of(
    strategies.texts,
    st.text(max_size=2000),
    st.floats(),
    st.integers(-(2**64), 2**65),
    st.sampled_from([True, False, None, 2**63 - 1, 2**63, -(2**63), 1e16, 1e-7, -0.0, 10**1200, 10**1400]),
)
flat_fields = st.dictionaries(strategies.texts, flat_values, max_size=40)


@given(flat_fields, st.none() | flat_values, st.none() | st.integers(-(2**62), 2**62))
@pytest.mark.parametrize("name", ["_write_flat", "orjson"])
def test_a_flat_metric_reads_as_its_snapshot_does(name, fields, moment, timestamp):
    """The short way to a document gives the same text, to the letter, with either writer."""
    if name == "orjson":
        pytest.importorskip("orjson")
    if moment is not None:
        fields["timestamp"] = moment
    before = dict(fields)
    with pytest.MonkeyPatch.context() as patch:
        if name != "orjson":
            patch.setattr(subject, "_writer", lambda: subject._write)
            patch.setattr(subject, "_flat_writer", lambda: subject._write_flat)
        for metric in (fields, Metric(fields)):
            assert document(metric, timestamp=timestamp) == with_snapshot(metric, timestamp=timestamp)
    assert same(fields, before)


class Text(str):
    """A text of somebody's own."""

    __slots__ = ()


@pytest.mark.parametrize(
    "fields",
    [
        {"x" * 400: 1},
        {"x" * 400: 2**63},
        {Text("x" * 400): 1},
        {1: "a", None: "b", "1": "c", math.nan: 2},
        {"x" * 321: 1, **{chr(number): "\U0001f600" for number in range(0x100, 0x18C)}},
        {"name": "x" * 1500},
        {"name": "\U0001f600" * 1500, "x" * 400: 1},
        {"name": "x" * 20_000},
        {"field": "x" * 20_000},
        {str(number): number for number in range(300)},
        {str(number): "x" * 1000 for number in range(70)},
        {"a": Text("x"), "b": [1], "c": {"d": 1}, "e": b"f"},
        {},
    ],
    ids=lambda fields: ascii(fields)[:30],
)
def test_what_is_not_short_and_plain_is_cut_as_ever(writer, fields):
    """At the bounds of the short way, and beyond them, the text is that of the snapshot."""
    assert document(fields, timestamp=5) == with_snapshot(fields, timestamp=5)


@pytest.mark.parametrize("name", list(hostile_values()))
def test_the_short_way_runs_no_code_of_a_value(writer, name):
    """A metric of which one value is not plain is left to the snapshot."""
    metric = Metric({"name": "a", "field": hostile_values()[name]})
    assert document(metric) == with_snapshot(metric)


def test_a_class_that_extends_metric_is_read_by_no_code_of_its_own(writer):
    """What it says of its own items is not asked for."""

    class Loud(Metric):
        def values(self):
            raise AssertionError

        items = keys = __iter__ = __len__ = get = values

    assert decode(document(Loud({"name": "a"}))) == {"name": "a"}


def test_nanoseconds_become_text_in_a_document(writer):
    """A timestamp in nanoseconds is written as ISO 8601, cut to microseconds, and in place."""
    metric = Metric({"timestamp": 1_700_000_000_123_456_999, "value": 1})
    assert document(metric) == '{"timestamp":"2023-11-14T22:13:20.123456Z","value":1}'
    assert encode(metric) == '{"timestamp":1700000000123456999,"value":1}'


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (datetime(2024, 2, 29, 12, tzinfo=UTC), "2024-02-29T12:00:00.000000Z"),
        ("yesterday", "yesterday"),
        (None, None),
        (10**30, str(10**30)),
    ],
)
def test_timestamps_of_any_shape(writer, timestamp, expected):
    """Case B5: what is no moment stays as it was written."""
    assert decode(document({"timestamp": timestamp})) == {"timestamp": expected}


@given(st.integers(-(2**61), 2**61))
def test_the_text_of_nanoseconds_is_the_moment(nanoseconds):
    """The short way to the text agrees with the calendar's."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)
    assert subject.nanoseconds_text(nanoseconds) == subject.moment_text(moment)
    assert datetime.fromisoformat(subject.moment_text(moment).replace("Z", "+00:00")) == moment


@pytest.mark.parametrize("line", ["", "[1]", "{", "null", "{} {}"])
def test_decoding_refuses_what_is_no_document(line):
    """Damage is a ValueError, whatever it is."""
    with pytest.raises(ValueError):  # noqa: PT011 - any is right
        decode(line)


def test_orjson_is_not_needed(monkeypatch):
    """Without orjson the standard library writes."""
    monkeypatch.setitem(__import__("sys").modules, "orjson", None)
    forget_writers()
    assert subject._writer() is subject._write
    assert subject._flat_writer() is subject._write_flat
    forget_writers()
