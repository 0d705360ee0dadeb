"""Lines of StatsD and DogStatsD, to the letter."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from decimal import Decimal

import pytest
from hypothesis import example, given

from tests import strategies
from tests.statsd_server import decode_name
from time_execution.exceptions import ConfigurationError
from time_execution.formats import emf, statsd
from time_execution.formats.statsd import LineFormat, encode_name, encode_tag
from time_execution.testing.hostile import HOSTILE_KEYS, HOSTILE_NAMES, hostile_values
from time_execution.types import Metric, Reject

PLAIN = LineFormat("statsd")
DOG = LineFormat("dogstatsd")


def metric(kind="timing", **fields):
    return Metric({"name": "shop.pay", "value": 1.5, **fields}, kind=kind)


@pytest.mark.parametrize("form", [PLAIN, DOG])
@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("timing", "shop.pay:1.5|ms"),
        ("counter", "shop.pay:1.5|c"),
        ("gauge", "shop.pay:1.5|g"),
        ("value", "shop.pay:1.5|g"),
    ],
)
def test_each_kind_has_its_type(form, kind, line):
    """A timing is in milliseconds, as StatsD's timers are."""
    assert form.line(metric(kind)) == line


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (3, "3"),
        (1e18, "1e+18"),
        (1e-9, "1e-09"),
        (2**64, "1.8446744073709552e+19"),
        (True, "1"),
        (Decimal("12.5"), "12.5"),
    ],
)
def test_numbers_are_the_shortest_that_read_back(number, text):
    """Nothing is rounded, and what no server could read is made a float."""
    assert PLAIN.line(metric(value=number)) == f"shop.pay:{text}|ms"


@pytest.mark.parametrize("value", [None, "1", float("nan"), float("inf"), 10**400, [1], object()])
def test_what_is_no_number_is_refused(value):
    """It would count as a bad line, which nobody sees."""
    assert PLAIN.line(metric(value=value)) == Reject("no number", "StatsD takes finite numbers only")
    assert PLAIN.line(Metric({"name": "a"})) == Reject("no number", "StatsD takes finite numbers only")


def test_an_unknown_kind_is_a_gauge():
    """Kinds are not checked where they are set, and one metric must not stop its batch."""
    assert PLAIN.line(metric("odd")) == "shop.pay:1.5|g"


@pytest.mark.parametrize("module", [statsd, emf])
def test_long_names_are_not_remembered(module):
    """Ten thousand of them would fill the memory."""
    before = module._remembered.cache_info().currsize
    assert module.encode_name("é" * 5000) == module.encode_name("é" * 5000)
    assert module._remembered.cache_info().currsize == before


def test_the_number_may_have_another_name():
    """The setting duration_field renames it, though not that of a number written by hand."""
    form = LineFormat("statsd", value_field="took")
    assert form.line(metric(took=7)) == "shop.pay:7|ms"
    assert form.line(Metric({"name": "a", "value": 3}, kind="counter")) == "a:3|c"


@pytest.mark.parametrize("kind", ["gauge", "value"])
def test_a_negative_gauge_is_set_not_lowered(kind):
    """Plain StatsD takes a sign for a change: so the gauge is set to 0 first, in the same line end to end."""
    assert PLAIN.line(metric(kind, value=-5)) == "shop.pay:0|g\nshop.pay:-5|g"
    assert DOG.line(metric(kind, value=-5)) == "shop.pay:-5|g"


def test_other_negative_numbers():
    """A counter may go down; a timing below zero is a bad line to StatsD."""
    assert PLAIN.line(metric("counter", value=-5)) == "shop.pay:-5|c"
    assert PLAIN.line(metric(value=-5)) == Reject("negative timing", "StatsD takes no negative timings")
    assert DOG.line(metric(value=-5)) == "shop.pay:-5|ms"
    assert PLAIN.line(metric(value=-0.0)) == "shop.pay:-0.0|ms"


@pytest.mark.parametrize(
    ("kind", "rate", "line"),
    [
        ("timing", 0.25, "shop.pay:1.5|ms|@0.25"),
        ("counter", 0.25, "shop.pay:1.5|c|@0.25"),
        ("gauge", 0.25, "shop.pay:1.5|g"),
        ("timing", 0.00005, "shop.pay:1.5|ms|@0.00005"),
        ("counter", 1.25e-7, "shop.pay:1.5|c|@0.000000125"),
        ("timing", 1.0, "shop.pay:1.5|ms"),
        ("timing", 0.0, "shop.pay:1.5|ms"),
        ("timing", "0.5|c\nforged:1", "shop.pay:1.5|ms"),
        ("timing", float("nan"), "shop.pay:1.5|ms"),
    ],
)
def test_the_sample_rate_goes_where_servers_use_it(kind, rate, line):
    """What stands for several calls is counted for several; a gauge is not. StatsD reads ``1e-05`` as 1."""
    assert PLAIN.line(metric(kind, sample_rate=rate)) == line


def test_tags_are_fields_then_constants():
    """In the order asked for; fields that a metric lacks leave nothing behind."""
    form = LineFormat("dogstatsd", tags=["status", "region"], constant_tags=("env:prod", "beta"))
    assert form.line(metric(status=200, sample_rate=0.5)) == "shop.pay:1.5|ms|@0.5|#status:200,env:prod,beta"
    assert form.line(metric(region="eu", status="")) == "shop.pay:1.5|ms|#region:eu,env:prod,beta"
    assert LineFormat("dogstatsd", tags=["status"]).line(metric()) == "shop.pay:1.5|ms"
    constant = LineFormat("dogstatsd", constant_tags=["env=prod", "a:b=c", "x|y,\n"])
    assert constant.line(metric()) == "shop.pay:1.5|ms|#env:prod,a:b=c,x_y_"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b:c", "a b:c"),
        ("a|b,c\nd", "a_b_c_d"),
        ("é😀", "é😀"),
        ("\ud800\u2028\x00", "_"),
        (True, "true"),
        (1.5, "1.5"),
        (None, ""),
        (["a", 1], '["a"_1]'),
        (datetime(2024, 2, 29, 12, tzinfo=timezone.utc), "2024-02-29T12:00:00.000000Z"),
        ("x" * 500, "x" * 200),
    ],
)
def test_values_of_tags(value, text):
    """Nothing in a value can end the tag, the line or the packet."""
    assert encode_tag(value) == text


@pytest.mark.parametrize("name", HOSTILE_NAMES + HOSTILE_KEYS, ids=ascii)
def test_hostile_names_and_tags_make_one_line(name):
    """Case B5: whatever the name and a tag hold, a server sees one metric of that name."""
    form = LineFormat("dogstatsd", prefix="p", tags=["field"])
    line = form.line(metric(name=name, field=name))
    head, *_ = line.split("|")
    assert re.fullmatch(r"p\.[A-Za-z0-9_.-]+:1\.5", head)
    assert decode_name(head.removeprefix("p.").removesuffix(":1.5")) == name
    assert line.count("|") <= 2
    assert "\n" not in line
    line.encode()


@pytest.mark.parametrize("value", list(hostile_values()))
def test_no_value_of_a_tag_fails(value):
    """Case B3."""
    line = LineFormat("dogstatsd", tags=["field"]).line(metric(field=hostile_values()[value]))
    assert isinstance(line, str)
    assert line.startswith("shop.pay:1.5|ms")
    assert len(line.encode()) < 1000


@given(strategies.texts)
@example("_x41_")
@example("_x_")
@example("__x41")
@example("...")
@example(".a..b.")
def test_names_read_back(name):
    """Every name has an encoding of its own, in letters that no server touches, without empty parts between dots."""
    text = encode_name(name)
    assert decode_name(text) == name
    assert re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", text)


@pytest.mark.parametrize("name", ["shop.orders.checkout", "my_module.Class.__init__", "max_xfer", "a-b.c"])
def test_ordinary_names_stay_as_they_are(name):
    """What programs call their functions needs no encoding."""
    assert encode_name(name) == name


@pytest.mark.parametrize(("prefix", "name"), [("", "shop.pay"), ("p", "p.shop.pay"), ("a.b.", "a.b.shop.pay")])
def test_the_prefix_has_one_dot(prefix, name):
    """Whether it was written with one or not."""
    assert LineFormat("statsd", prefix=prefix).line(metric()) == f"{name}:1.5|ms"


def test_an_event_counts_once():
    """Plain StatsD has no events."""
    assert PLAIN.line(Metric({"name": "deployed"}, kind="event")) == "deployed:1|c"


def test_an_event_keeps_its_fields_in_dogstatsd():
    """Its text is the metric as JSON; the lengths count bytes, as the protocol has it."""
    form = LineFormat("dogstatsd", prefix="p", tags=["region"])
    fields = {"name": "deployed", "note": "é|\n", "timestamp": 1_700_000_000_123_456_789, "hostname": "web-1"}
    line = form.line(Metric({**fields, "region": "eu"}, kind="event"))
    found = re.fullmatch(r"_e\{(\d+),(\d+)\}:(.*)\|d:1700000000\|h:web-1\|#region:eu", line)
    assert found is not None
    body = found[3].encode()
    assert len(body) == int(found[1]) + 1 + int(found[2])
    assert body[: int(found[1])] == b"p.deployed"
    text = json.loads(body[int(found[1]) + 1 :])
    assert text == {**fields, "timestamp": "2023-11-14T22:13:20.123456Z", "region": "eu"}


def test_an_event_is_no_longer_than_datadog_takes():
    """A huge field is cut."""
    line = DOG.line(Metric({"name": "deployed", "note": "x" * 10_000}, kind="event"))
    assert line.startswith("_e{8,4000}:deployed|{")
    assert len(line) < 4100


@pytest.mark.parametrize("padding", ["", "x", "xx", "xxx"])
def test_an_event_is_cut_by_bytes(padding):
    """An agent reads 8192 of them, and no letter is cut in two; the length that it is told is that of the text."""
    line = DOG.line(Metric({"name": "deployed", "note": padding + "\U0001f600" * 5000}, kind="event"))
    found = re.fullmatch(r"_e\{8,(\d+)\}:deployed\|(.*)", line)
    assert found is not None
    assert 4000 - 4 < len(found[2].encode()) == int(found[1]) <= 4000


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"dialect": "graphite"}, "dialect must be one of statsd, dogstatsd"),
        ({"dialect": 1}, "dialect must be"),
        ({"prefix": "a b"}, "prefix must be"),
        ({"prefix": ".a"}, "prefix must be"),
        ({"prefix": "a..b"}, "prefix must be"),
        ({"prefix": None}, "prefix must be a text"),
        ({"value_field": 1}, "value_field must be a text"),
        ({"tags": ["a"]}, "need dialect='dogstatsd'"),
        ({"constant_tags": ["a:b"]}, "need dialect='dogstatsd'"),
        ({"dialect": "dogstatsd", "tags": "status"}, "tags must be a list of texts"),
        ({"dialect": "dogstatsd", "tags": [""]}, "tags must be a list of texts"),
        ({"dialect": "dogstatsd", "tags": ["a:b"]}, "tags must be names of fields"),
        ({"dialect": "dogstatsd", "tags": ["\ud800"]}, "tags must be names of fields"),
        ({"dialect": "dogstatsd", "constant_tags": {"env": "prod"}}, "constant_tags must be a list of texts"),
    ],
)
def test_wrong_arguments_are_refused(arguments, named):
    """Case B9: the error names the key."""
    with pytest.raises(ConfigurationError, match=named):
        LineFormat(**{"dialect": "statsd", **arguments})
