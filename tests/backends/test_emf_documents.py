"""Documents of the embedded metric format: the specification, its limits, and what CloudWatch would extract."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from tests.backends.emf_schema import UNITS, check, decode_name, extracted
from time_execution.exceptions import ConfigurationError
from time_execution.formats import emf as subject
from time_execution.formats.emf import EmbeddedMetrics, dimension_text, encode_name, unit_of
from time_execution.testing.hostile import HOSTILE_KEYS, HOSTILE_NAMES, hostile_values
from time_execution.types import STORED, Metric, Reject

NOW = time.time_ns() // 1_000_000_000 * 1_000_000_000
PLAIN = EmbeddedMetrics("Shop")


def metric(name="pay", value=1.5, kind="timing", unit=None, **fields):
    return Metric({"name": name, "value": value, "timestamp": NOW, **fields}, kind=kind, unit=unit)


def documents(*metrics, form=PLAIN):
    lines, results, _ = form.documents(metrics, now=NOW)
    assert results == [STORED] * len(metrics)
    return [check(line) for line in lines]


def test_a_document_to_the_letter():
    """The order of its members, the moment in milliseconds, and no white space."""
    lines, _, _ = EmbeddedMetrics("Shop", dimensions=["region"]).documents(
        [metric(hostname="web-1", region="eu", note="\u00e9t\u00e9")], now=NOW
    )
    expected = (
        '{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"Shop","Dimensions":[["region"]],'
        '"Metrics":[{"Name":"pay","Unit":"Milliseconds"}]}]},"pay":1.5,'
        '"hostname":"web-1","region":"eu","note":"\\u00e9t\\u00e9"}'
    )
    assert lines == [expected % (NOW // 1_000_000)]


def test_metrics_that_share_all_but_name_and_value_share_a_document():
    """Values of one name become an array, in order."""
    (document,) = documents(metric(value=1), metric("load", 5), metric(value=2), metric(value=3, timestamp=NOW + 9**9))
    assert (document["pay"], document["load"]) == ([1, 2, 3], 5)
    assert document["_aws"]["Timestamp"] == NOW // 1_000_000


@pytest.mark.parametrize(
    "other", [{"hostname": "web-2"}, {"timestamp": NOW + 10**9}, {"timestamp": NOW - 1}, {"unit": "B", "kind": "gauge"}]
)
def test_other_fields_seconds_and_units_have_documents_of_their_own(other):
    """What one document cannot say of both is said in two."""
    first, second = documents(metric(hostname="web-1"), metric(**{"hostname": "web-1", **other}))
    assert first != second


def test_a_document_has_at_most_a_hundred_names():
    """The hundred and first begins another one."""
    found = documents(*[metric(f"name-{number}", number) for number in range(250)])
    assert [len(document["_aws"]["CloudWatchMetrics"][0]["Metrics"]) for document in found] == [100, 100, 50]


def test_a_name_has_at_most_a_hundred_values():
    """The hundred and first begins another document."""
    found = documents(*[metric(value=number) for number in range(250)])
    assert [len(document["pay"]) for document in found] == [100, 100, 50]
    assert [value for document in found for value in document["pay"]] == list(range(250))


@pytest.mark.parametrize("max_bytes", [1000, 5000, subject.MAX_BYTES])
def test_a_document_is_no_longer_than_allowed(max_bytes):
    """Whatever the names and values, which are at their longest here."""
    form = EmbeddedMetrics("S" * 255, max_bytes=max_bytes, high_resolution=True, log_group='"' * 50)
    metrics = [
        metric('"' * 245 + f"{number:05d}", -1.2345678901234567e-100, "gauge", "Gigabits/Second")
        for number in range(300)
    ]
    metrics += [metric("short", -1.2345678901234567e-100) for number in range(300)]
    lines, results, _ = form.documents(metrics, now=NOW)
    sizes = [len(line) for line in lines]
    assert max(sizes) <= max_bytes
    if max_bytes < 5000:
        assert results[:300] == [Reject("too large", "its fields do not fit into a document")] * 300
    else:
        assert results == [STORED] * 600
        assert len(extracted(lines)) == 600


def test_fields_that_fit_into_no_document_are_refused():
    """One metric is, and its neighbours are not."""
    metrics = [metric(), metric(**{f"field-{number}": "\0" * 16_000 for number in range(5)}), metric()]
    lines, results, _ = PLAIN.documents(metrics, now=NOW)
    assert results == [STORED, Reject("too large", "its fields do not fit into a document"), STORED]
    assert len(extracted(lines)) == 2


def test_dimensions_are_texts_of_fields():
    """Numbers become text, what is absent or blank makes no dimension, and the order is the one asked for."""
    form = EmbeddedMetrics("Shop", dimensions=["region", "status", "region"])
    found = documents(metric(status=200, region="eu"), metric(status=" "), metric(region="\u00e9t\u00e9"), form=form)
    sets = [document["_aws"]["CloudWatchMetrics"][0]["Dimensions"] for document in found]
    assert sets == [[["region", "status"]], [[]], [["region"]]]
    assert [document.get("status") for document in found] == ["200", " ", None]
    assert [document.get("region") for document in found] == ["eu", None, "_xE9_t_xE9_"]


@pytest.mark.parametrize("name", HOSTILE_NAMES + HOSTILE_KEYS, ids=ascii)
def test_hostile_texts_make_valid_documents(name):
    """Case B5: as a name, as a key and as the value of a dimension."""
    form = EmbeddedMetrics("Shop", dimensions=["region"])
    (found,) = extracted(
        [json.dumps(document) for document in documents(metric(name, region=name, **{name + "k": 1}), form=form)]
    )
    assert found["value"] == 1.5
    assert found["name"] == name or len(name) > 250


@pytest.mark.parametrize("name", list(hostile_values()))
def test_hostile_values_make_valid_documents(name):
    """Case B3: in a field, in a dimension, and where the number should be."""
    value = hostile_values()[name]
    form = EmbeddedMetrics("Shop", dimensions=["region"])
    assert len(documents(metric(field=value), metric("b", region=value), form=form)) in {1, 2}
    lines, results, _ = form.documents([metric(value=value), metric()], now=NOW)
    assert results[1] == STORED
    assert len(extracted(lines)) == results.count(STORED)


@pytest.mark.parametrize("name", ["_aws", "hostname", "pay", "_aws_", "hostname_"])
def test_a_name_and_a_field_that_are_alike_stand_side_by_side(name):
    """The field steps aside, also where it is a dimension."""
    form = EmbeddedMetrics("Shop", dimensions=["hostname"])
    fields = {"hostname": "web-1", "_aws": "x", "hostname_": "y", "pay": "z"}
    lines, results, _ = form.documents([metric(name, **fields), metric("hostname_", **fields)], now=NOW)
    assert results == [STORED] * 2
    found = extracted(lines)
    assert [one["name"] for one in found] == [name, "hostname_"]
    for one, line in zip(found, lines * 2, strict=False):
        (keys,) = json.loads(line)["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
        assert [one[key] for key in keys] == ["web-1"]
        assert sorted(map(str, one.values()))[-3:] == sorted(["x", "y", "z"]) or name == "pay"


@pytest.mark.parametrize(
    ("kind", "unit", "expected"),
    [
        ("timing", None, "Milliseconds"),
        ("timing", "s", "Milliseconds"),
        ("counter", None, "Count"),
        ("counter", "B", "Bytes"),
        ("gauge", None, None),
        ("gauge", "s", "Seconds"),
        ("gauge", "µs", "Microseconds"),
        ("value", "%", "Percent"),
        ("value", "Kilobytes/Second", "Kilobytes/Second"),
        ("gauge", "jobs", None),
        ("gauge", '"', None),
        ("event", None, "Count"),
    ],
)
def test_units(kind, unit, expected):
    """By CloudWatch's own names; one that it has no name for is left out."""
    assert unit_of(metric(kind=kind, unit=unit)) == expected
    (document,) = documents(metric(kind=kind, unit=unit))
    assert document["_aws"]["CloudWatchMetrics"][0]["Metrics"][0].get("Unit") == expected


def test_all_units_are_cloudwatchs():
    """And all of CloudWatch's are known."""
    assert subject.UNITS == UNITS
    assert set(subject._UNITS.values()) <= UNITS


def test_an_event_counts_once():
    """It needs no number, and one that it has is a field."""
    (bare, document) = documents(Metric({"name": "a"}, kind="event"), metric("b", "x", kind="event"))
    assert bare["a"] == 1
    assert (document["b"], document["value"]) == (1, "x")


@pytest.mark.parametrize("value", [None, "1", float("nan"), float("-inf"), 10**400, 2.0**361, -(2**400)])
def test_what_cloudwatch_takes_for_no_number_is_refused(value):
    """It would drop the metric, and nobody would see it."""
    _, results, _ = PLAIN.documents([metric(value=value), metric(value=2.0**360)], now=NOW)
    assert results == [Reject("no number", "CloudWatch takes numbers from -2**360 to 2**360 only"), STORED]


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (timedelta(days=14), None),
        (timedelta(days=14, seconds=1), "too old"),
        (timedelta(hours=-2), None),
        (timedelta(hours=-2, seconds=-1), "too new"),
    ],
)
def test_moments_that_cloudwatch_refuses_are_refused_here(age, reason):
    """Older than two weeks, or over two hours ahead; as nanoseconds or as a datetime."""
    moment = NOW - age // timedelta(microseconds=1) * 1000
    for at in (moment, datetime.fromtimestamp(moment // 10**9, timezone.utc)):
        lines, (result,), _ = PLAIN.documents([metric(timestamp=at)], now=NOW)
        assert (result == STORED) is (reason is None)
        assert reason is None or result.reason == reason
        assert [json.loads(line)["_aws"]["Timestamp"] for line in lines] == (
            [moment // 10**6] if reason is None else []
        )


@pytest.mark.parametrize("timestamp", [None, "yesterday", 1.5])
def test_what_is_no_moment_is_now(timestamp):
    """The number is worth more than the doubt."""
    (document,) = documents(metric(timestamp=timestamp))
    assert document["_aws"]["Timestamp"] == NOW // 1_000_000


def test_options_of_documents():
    """Where the agent puts them, and how finely CloudWatch keeps them."""
    form = EmbeddedMetrics("Shop", log_group="/a/b", log_stream="c", high_resolution=True, value_field="took")
    (document,) = documents(metric(took=7), form=form)
    assert (document["_aws"]["LogGroupName"], document["_aws"]["LogStreamName"]) == ("/a/b", "c")
    assert document["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["StorageResolution"] == 1
    assert (document["pay"], document["value"]) == (7, 1.5)
    (by_hand,) = documents(Metric({"name": "load", "value": 3}, kind="gauge"), form=form)
    assert (by_hand["load"], "value" in by_hand) == (3, False)


@given(strategies.texts)
def test_names_read_back(name):
    """Every name has an encoding of its own that CloudWatch takes."""
    text = encode_name(name)
    assert len(text) <= 250
    assert len(text) == 250 or decode_name(text) == name
    assert text.isascii()
    assert text.isprintable()
    assert text.strip() == text
    assert not text.startswith(":")


def test_long_names_stay_apart():
    """Also where they differ at the end only."""
    names = [f"{'x' * 400}{number}" for number in range(1000)]
    assert len({encode_name(name) for name in names}) == 1000
    assert encode_name("x" * 250) == "x" * 250


def test_dimensions_are_bounded():
    """A long value is cut at what CloudWatch takes."""
    assert dimension_text("é" * 1000) == ("_xE9_" * 1000)[:1024]
    assert dimension_text([1, "a"]) == '[1,"a"]'


@given(st.lists(strategies.metrics(), max_size=20), st.lists(strategies.texts, max_size=3))
def test_any_batch_makes_valid_documents(metrics, keys):
    """One value in CloudWatch for each metric that was taken, none for those that were refused."""
    dimensions = [key for key in keys if key and encode_name(key) == key]
    for one in metrics:
        one["timestamp"] = NOW - age % 10**13 if type(age := one["timestamp"]) is int else age
    lines, results, _ = EmbeddedMetrics("Shop", dimensions=dimensions).documents(metrics, now=NOW)
    assert len(extracted(lines)) == results.count(STORED)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"namespace": ""}, "namespace must be"),
        ({"namespace": "AWS/EC2"}, "namespace must be"),
        ({"namespace": "a b"}, "namespace must be"),
        ({"namespace": "x" * 256}, "namespace must be"),
        ({"namespace": 1}, "namespace must be"),
        ({"dimensions": "region"}, "dimensions must be a list"),
        ({"dimensions": [1]}, "dimensions must be a list"),
        ({"dimensions": [""]}, "dimensions must be 1 to 250"),
        ({"dimensions": [":a"]}, "dimensions must be 1 to 250"),
        ({"dimensions": ["é"]}, "dimensions must be 1 to 250"),
        ({"dimensions": [str(number) for number in range(30)]}, "dimensions must be at most 29"),
        ({"log_group": ""}, "log_group must be"),
        ({"log_stream": "a:b"}, "log_stream must be"),
        ({"log_stream": 1}, "log_stream must be"),
        ({"value_field": 1}, "value_field must be"),
    ],
)
def test_wrong_arguments_are_refused(arguments, named):
    """Case B9: the error names the key."""
    with pytest.raises(ConfigurationError, match=named):
        EmbeddedMetrics(**{"namespace": "Shop", **arguments})
