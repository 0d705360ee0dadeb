"""InfluxDB's line protocol: each metric is one line, which says what the metric does."""

from __future__ import annotations

import math
from datetime import datetime, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.backends.influxdb_lines import decode, read_points
from tests.strategies import metrics, texts
from time_execution.formats.line_protocol import LineEncoder, NoPointError, key_text, name_text
from time_execution.testing.hostile import HOSTILE_KEYS, HOSTILE_NAMES, hostile_dict, hostile_values
from time_execution.types import Metric

NOW = 1_700_000_000_000_000_001
_DAY = datetime(2024, 2, 29, tzinfo=timezone.utc)


def metric(**fields):
    return Metric({"name": "shop.pay", "value": 1.5, "hostname": "web-1", "timestamp": NOW, **fields}, id="0f-1")


def line(fields=None, /, encoder=None, **more):
    """Return the line of a metric, the same at the first and at the second time, when its names are known."""
    encoder = encoder or LineEncoder()
    found = metric(**(fields or {}), **more)
    before = dict(found)
    cold, warm = encoder.line(found, 7), encoder.line(found, 7)
    assert cold == warm
    assert dict(found) == before
    return cold


def point(fields=None, /, **more):
    (found,) = read_points(line(fields, **more))
    return found


# ---- what becomes of a field ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "shop.pay,hostname=web-1 value=1.5"),
        ({"value": 3}, "shop.pay,hostname=web-1 value=3.0"),
        ({"value": True}, "shop.pay,hostname=web-1 value=1.0"),
        ({"value": -0.0}, "shop.pay,hostname=web-1 value=-0.0"),
        ({"value": 1e-9}, "shop.pay,hostname=web-1 value=1e-09"),
        ({"origin": "api"}, "shop.pay,hostname=web-1,origin=api value=1.5"),
        ({"origin": ""}, "shop.pay,hostname=web-1 value=1.5"),
        ({"hostname": None}, "shop.pay value=1.5"),
        ({"origin": 5}, "shop.pay,hostname=web-1,origin=5 value=1.5"),
        ({"n": 3, "x": 0.5}, "shop.pay,hostname=web-1 value=1.5,n=3,x=0.5"),
        ({"n": 2**63 - 1}, "shop.pay,hostname=web-1 value=1.5,n=9223372036854775807"),
        ({"n": 2**64}, "shop.pay,hostname=web-1 value=1.5,n=1.8446744073709552e+19"),
        ({"yes": True, "no": False, "none": None}, "shop.pay,hostname=web-1 value=1.5,yes=true,no=false"),
        ({"text": 'a "b" \\c'}, 'shop.pay,hostname=web-1 value=1.5,text="a \\"b\\" \\\\c"'),
        ({"text": ""}, 'shop.pay,hostname=web-1 value=1.5,text=""'),
        ({"list": [1, {"a": None}]}, 'shop.pay,hostname=web-1 value=1.5,list="[1,{\\"a\\":null}]"'),
        ({"day": _DAY}, 'shop.pay,hostname=web-1 value=1.5,day="2024-02-29T00:00:00.000000Z"'),
        ({"nan": math.nan, "inf": -math.inf, "big": 10**400}, "shop.pay,hostname=web-1 value=1.5"),
        ({"value": math.nan, "n": 1}, "shop.pay,hostname=web-1 n=1"),
        ({"time": 1, "time_": 2, "times": 3}, "shop.pay,hostname=web-1 value=1.5,time_=1,time__=2,times=3"),
        ({"name": "a b,c=d", "hostname": "a b,c=d"}, "a\\ b\\,c=d,hostname=a\\ b\\,c\\=d value=1.5"),
        ({"name": "#no comment"}, "%23no\\ comment,hostname=web-1 value=1.5"),
        ({"name": "a\nb\\", "hostname": "100%"}, "a%0Ab%5C,hostname=100% value=1.5"),
        ({"a b,c=d": 1}, "shop.pay,hostname=web-1 value=1.5,a\\ b\\,c\\=d=1"),
    ],
)  # fmt: skip
def test_a_field_is_written_like_this(fields, expected):
    """Names, tags and values of every kind have one form, with the timestamp at the end."""
    if fields.get("big"):
        del fields["big"]
        fields["big"] = float("inf")
    assert line(fields) == f"{expected} {NOW}"


def test_integers_are_written_as_integers_when_asked_for():
    """With a suffix, those that fit; the number of the metric stays a float."""
    encoder = LineEncoder(integers=True)
    found = line({"value": 3, "n": -5, "top": 2**63 - 1, "over": 2**63, "yes": True}, encoder=encoder)
    assert found == f"shop.pay,hostname=web-1 value=3.0,n=-5i,top=9223372036854775807i,yes=true {NOW}"


def test_fields_named_become_tags():
    """Beside hostname and origin; sorted, with text for numbers, and nothing for what is empty or absent."""
    encoder = LineEncoder(tags=("status", "area", "absent", "empty", "time"))
    found = line({"status": 200, "area": "eu west", "empty": "", "time": "x", "other": "y"}, encoder=encoder)
    assert found == f'shop.pay,area=eu\\ west,hostname=web-1,status=200,time_=x value=1.5,other="y" {NOW}'


def test_equal_tags_of_different_types_do_not_share_a_series():
    """1, True and 1.0 are equal in Python, and have texts of their own."""
    encoder = LineEncoder(tags=("n",))
    found = [line({"n": value}, encoder=encoder).split()[0] for value in ("1", 1, True, 1.0, "true")]
    assert [series.split(",n=")[1] for series in found] == ["1", "1", "true", "1.0", "true"]


def test_a_renamed_value_field_holds_the_number():
    """What settings.duration_field is called is a float under that name; value is a field as any other."""
    encoder = LineEncoder(value_field="duration")
    (found,) = read_points(line({"duration": 2, "value": "text"}, encoder=encoder))
    assert found.fields == {"duration": 2.0, "value": "text"}


@pytest.mark.parametrize("fields", [{"value": None}, {"value": math.nan}, {"value": math.inf, "x": None}])
def test_a_metric_without_a_field_is_no_point(fields):
    """InfluxDB stores no point without one, and the error says what would be."""
    with pytest.raises(NoPointError, match="needs a number, a truth value or a text"):
        LineEncoder().line(metric(**fields), 0)


@pytest.mark.parametrize("value", ["fast", [1], {"a": 1}, _DAY])
def test_a_value_that_is_no_number_is_no_point(value):
    """Written as text, it could make the field a text field, and all numbers after it would be refused."""
    with pytest.raises(NoPointError, match="value must be a number"):
        LineEncoder().line(metric(value=value, other=1), 0)


def test_a_point_may_be_texts_alone():
    """An event without a number is stored with what it has."""
    found = read_points(LineEncoder().line(Metric({"name": "deploy", "version": "v1", "timestamp": 5}), 0))
    assert found == [("deploy", {}, {"version": "v1"}, 5)]


def test_fields_are_written_also_where_core_fields_are_missing():
    """A metric of four fields is not taken for the four core fields."""
    encoder = LineEncoder()
    for _ in range(2):
        found = encoder.line(Metric({"name": "a", "value": 1.0, "timestamp": 5, "x": "y"}), 0)
        assert found == 'a value=1.0,x="y" 5'
        assert encoder.line(Metric({"name": "a", "value": 1.0, "timestamp": 5}), 0) == "a value=1.0 5"


# ---- timestamps ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "unit"), [("ns", 1), ("us", 10**3), ("ms", 10**6), ("s", 10**9)])
def test_timestamps_have_the_precision_asked_for(precision, unit):
    """Cut, not rounded."""
    (found,) = read_points(line(encoder=LineEncoder(precision=precision)))
    assert found.timestamp == NOW // unit


def test_a_metric_without_a_timestamp_gets_the_present():
    """What is handed in as the present moment."""
    assert point({"timestamp": None}).timestamp == 7


@pytest.mark.parametrize("odd", ["yesterday", 10**30, 2**63 - 1, -(2**63), 1.5])
def test_an_odd_timestamp_is_kept_as_a_field(odd):
    """The point gets the present one, since no server would take the point with the other."""
    found = point({"timestamp": odd})
    assert found.timestamp == 7
    assert found.fields["timestamp"] == (float(odd) if type(odd) is int else odd)
    assert point().fields == {"value": 1.5}


@pytest.mark.parametrize("moment", [0, 1, -1, 2**63 - 2, -(2**63) + 2])
def test_every_moment_of_the_server_can_be_written(moment):
    """From the first nanosecond that InfluxDB takes to the last."""
    assert point({"timestamp": moment}).timestamp == moment


def test_the_moment_of_a_point_can_be_chosen():
    """By its series, its timestamp in the unit of the precision, and the id of its metric."""
    asked = []

    def place(*given):
        asked.append(given)
        return 5

    encoder = LineEncoder(precision="us", place=place)
    assert line(encoder=encoder).endswith(" 5")
    assert asked == [("shop.pay,hostname=web-1", NOW // 1000, "0f-1")] * 2


# ---- hostile names and values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=lambda name: ascii(name)[:40])
def test_hostile_names_come_back(name):
    """As measurement, as tag and as key, and nothing beside them is touched."""
    found = point({"name": name, "hostname": name or "h", name or "k": 1})
    assert (found.name, found.tags["hostname"]) == (name, name or "h")
    assert found.fields == {"value": 1.5, name or "k": 1.0}
    assert found.timestamp == NOW


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=ascii)
def test_hostile_keys_come_back(key):
    """Whatever a field is called."""
    assert point({key: "x"}).fields == {"value": 1.5, key: "x"}


_LEFT_OUT = {"None", "NaN", "Decimal NaN", "inf", "-inf", "10**400"}


@pytest.mark.parametrize("kind", hostile_values())
@pytest.mark.parametrize("place", ["value", "field", "hostname", "name", "tag"])
def test_hostile_values_leave_one_line(kind, place):
    """A line that can be read, or none and a reason; no code of the value runs, and UTF-8 takes it."""
    encoder = LineEncoder(tags=("tag",))
    given = metric(**{place: hostile_values()[kind]})
    seen = set()
    for _ in range(2):
        try:
            found = encoder.line(given, 7)
        except NoPointError:
            assert place == "value"
            continue
        seen.add(found)
        assert len(seen) == 1
        (read,) = read_points(found.encode())
        assert place in {"value", "name", *read.fields, *read.tags} or kind in _LEFT_OUT
        assert len(found.encode()) < 3 * 65_535


def test_a_hostile_subclass_of_text_is_not_asked():
    """Neither as a name nor as a key of a field: its own hash would raise."""
    encoder = LineEncoder()
    hostile = hostile_values()["str that raises"]
    for _ in range(2):
        (found,) = read_points(encoder.line(metric(name=hostile, hostname=hostile, more=hostile_dict()), 7))
        assert (found.name, found.tags) == ("text", {"hostname": "text"})


@given(texts, texts)
def test_no_two_names_become_one(one, other):
    """What is written for a name is read back as that name, and as no other."""
    assert decode(name_text(one)) == one
    assert (name_text(one) == name_text(other)) == (one == other)
    assert (key_text(one) == key_text(other)) == (one == other)


@given(st.text("%0125AECDF7\n\\#", max_size=8))
@example("%0A")
@example("%25")
@example("%5C")
@example("%ED%A0%80")
@example("a#")
def test_codes_in_names_are_told_from_our_own(name):
    """A name that holds what we write for another character is not taken for that character."""
    assert decode(name_text(name)) == name


@given(metrics(), st.booleans(), st.booleans())
def test_any_metric_is_one_line_at_most(given, integers, one_line):
    """Of any fields; the same line at the second time; with `one_line` no newline in it at all."""
    encoder = LineEncoder(integers=integers, one_line=one_line)
    try:
        found = encoder.line(given, 7)
    except NoPointError:
        return
    assert encoder.line(given, 7) == found
    (read,) = read_points(found.encode())
    assert read.name == given["name"]
    assert "\n" not in found or not one_line


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_texts_come_back(text):
    """Every character of a text that UTF-8 can hold."""
    assert point(text=text).fields["text"] == text


def test_newlines_in_texts_can_be_kept_out():
    """For servers that split lines first: the two characters of an escape stand for one."""
    assert 'text="a\\\\nb"' in line(text="a\nb", encoder=LineEncoder(one_line=True))


# ---- limits --------------------------------------------------------------------------------------------------------


def test_a_series_stays_below_what_servers_take():
    """Measurement, tags and the key of a field are cut, each with a word on it, in bytes as they are sent."""
    long = "\n é,=" * 5000
    encoder = LineEncoder(tags=("a", "b"))
    found = encoder.line(metric(name=long, hostname=long, a=long, b=long, **{long: 1, "k" * 5000: 2}), 7)
    (read,) = read_points(found.encode())
    series = found[: found.index(" value=")]
    assert len(series.encode()) + max(len(key.encode()) for key in read.fields) < 65_535
    assert "…[cut, " in read.name
    assert all("…[cut, " in text for text in read.tags.values())
    assert all(len(key_text(key).encode()) <= 1024 for key in read.fields)


@pytest.mark.parametrize(
    "text", ["x" * 200_000, "😀" * 16_384, '"' * 100_000, ["\x01" * 16_000] * 3, "\ud800" * 16_000]
)
def test_a_text_stays_below_what_servers_take(text):
    """64 KiB in UTF-8, with a word on what was cut."""
    (read,) = read_points(LineEncoder().line(metric(text=text), 7).encode())
    assert len(read.fields["text"].encode()) <= 65_535
    assert "…[cut, " in read.fields["text"]


def test_too_many_tags_are_refused():
    """More than fit beside the measurement."""
    with pytest.raises(ValueError, match="too many"):
        LineEncoder(tags=[f"tag{number}" for number in range(100)])


def test_what_is_remembered_of_names_is_bounded():
    """Names and keys that never come again are forgotten, and cost nothing but time."""
    encoder = LineEncoder()
    for number in range(10_050):
        encoder.line(metric(name=f"n{number}", **{f"k{number}": 1}), 7)
    assert len(encoder._series) <= 10_000
    assert len(encoder._keys) <= 10_000
    assert line({"name": "n1", "k1": 1}, encoder=encoder) == f"n1,hostname=web-1 value=1.5,k1=1 {NOW}"


# ---- the client's own encoder --------------------------------------------------------------------------------------


_numbers = st.floats(allow_nan=False, allow_infinity=False)
_harmless_texts = st.text(st.characters(categories=("L", "P"), exclude_characters='"\\'))
_harmless = st.text(st.characters(categories=("L", "N", "P", "Zs"), exclude_characters="\\%#"), min_size=1, max_size=20)


@given(
    name=_harmless.filter(lambda name: "=" not in name),
    host=_harmless,
    fields=st.dictionaries(
        _harmless.filter(lambda key: key not in {"name", "value", "hostname", "timestamp", "origin", "time"}),
        _harmless_texts | _numbers,
        max_size=4,
    ),
)  # fmt: skip
def test_harmless_metrics_are_written_as_the_official_client_does(name, host, fields):
    """Where its encoder makes no mistake, ours says the same."""
    client = pytest.importorskip("time_execution.backends.influxdb.v1", exc_type=ImportError)
    assert client
    from influxdb.line_protocol import make_lines

    own = {"measurement": name, "tags": {"hostname": host}, "fields": {"value": 1.5, **fields}, "time": NOW}
    (theirs,) = read_points(make_lines({"points": [own]}))
    (ours,) = read_points(LineEncoder().line(metric(name=name, hostname=host, **fields), 7))
    assert ours == theirs
