"""The caps of snapshots: on text, keys, items, levels, the whole of a metric, and so on time."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import make_dataclass
from decimal import Decimal
from typing import Any

import pytest

from tests.patience import least_time
from time_execution.formats.snapshot import MAX_BYTES, MAX_TEXT, TRUNCATED, snapshot, snapshot_fields
from time_execution.testing import hostile
from time_execution.testing.hostile import hostile_values


def test_a_long_text_is_cut_with_a_marker():
    """Case B7: a text of 10 MB keeps its beginning and says how long it was."""
    found = snapshot("x" * 10_485_760)
    assert found == "x" * MAX_TEXT + "…[cut, 10485760 characters]"


def test_a_long_list_is_cut_with_a_marker():
    """Case B7: a list of a million items keeps its first hundred."""
    assert snapshot(list(range(1_000_000))) == [*range(100), "…[cut, 1000000 items]"]


def test_a_large_dict_is_cut_with_a_marker():
    """A dict of a thousand keys keeps its first hundred."""
    found = snapshot({f"k{number}": number for number in range(1000)})
    assert list(found) == [*(f"k{number}" for number in range(100)), "…"]
    assert found["…"] == "…[cut, 1000 keys]"


def test_a_large_dataclass_is_cut_with_a_marker():
    """Of more fields than are kept, the rest is not left out without a word."""
    kind = make_dataclass("Large", [f"f{number}" for number in range(150)])
    found = snapshot(kind(*range(150)))
    assert list(found) == [*(f"f{number}" for number in range(100)), "…"]
    assert found["…"] == "…[cut, 150 keys]"


def test_long_bytes_are_cut_between_characters():
    """The cut leaves no half of a character, which would turn the whole into escapes."""
    for before in ("", "x"):
        found = snapshot((before + "é" * 100_000).encode() + b"!")
        assert found.startswith(f"{before}éééé")
        assert found.endswith(f"é…[cut, {200_001 + len(before)} bytes]")


def test_a_long_key_is_cut():
    """A key of a megabyte does not make a metric of a megabyte."""
    (key,) = snapshot({"k" * 1_000_000: 1})
    assert key == "k" * 256 + "…[cut, 1000000 characters]"


def test_a_cycle_is_named():
    """A dict that contains itself ends at its first return."""
    assert snapshot(hostile.cyclic()) == {"name": "loop", "self": "…[cycle]", "list": ["…[cycle]"]}


def test_one_value_twice_is_no_cycle():
    """The same list in two places is copied twice."""
    shared = [1]
    assert snapshot([shared, shared]) == [[1], [1]]


def test_depth_is_cut():
    """Ten thousand levels end at the eighth."""
    text = str(snapshot(hostile.nested(10_000)))
    assert text.count("next") == 8
    assert "…[cut, deeper than 8 levels]" in text


def test_a_dataclass_in_itself_ends():
    """A cycle through a dataclass is found as one through a dict is."""
    loop = hostile.Slotted(1, None)
    loop.right = loop
    assert snapshot(loop) == {"left": 1, "right": "…[cycle]"}


@pytest.mark.parametrize(
    "payload",
    [
        {"big": ["\U0001f600" * 16_384] * 100},
        {f"field {number}": "x" * 5_000 for number in range(200)},
        {f"field {number}": number for number in range(100_000)},
        {"nested": [[[[0] * 10] * 10] * 10] * 10},
        {"names": {"é" * 250 + str(number): "é" * 1000 for number in range(100)}},
        {"bytes": [b"\xff" * 1_000_000] * 100},
        {"integers": [1 << 4095] * 100},
    ],
    ids=["emoji", "texts", "fields", "numbers", "keys", "bytes", "integers"],
)
def test_a_metric_is_cut_at_64_kib_with_a_marker_field(payload):
    """The whole stays in bounds, is marked, and keeps its core whatever else is in it, and wherever that stands."""
    core = {"name": "pkg.function", "value": Decimal("1.5"), "timestamp": 5, "hostname": "h"}
    # Of more fields than are kept, the first are.
    orders = [{**core, **payload}] if len(payload) > 250 else [{**core, **payload}, {**payload, **core}]
    for fields in orders:
        copy, size = snapshot_fields(fields)
        written = sum(len(str(part).encode("utf-8", "surrogatepass")) for item in copy.items() for part in item)
        assert copy[TRUNCATED] is True
        assert written < MAX_BYTES * 1.05
        assert size < MAX_BYTES * 1.5
        assert {key: copy[key] for key in core} == {**core, "value": 1.5}


@pytest.mark.parametrize("value", [1, object()], ids=["plain", "odd"])
def test_a_metric_keeps_as_much_as_is_said(value):
    """64 KiB of text, not a third less and not a byte more than a little, also where all fields are plain."""
    copy, _ = snapshot_fields({**{f"field {number}": "x" * 4000 for number in range(40)}, "odd": value})
    assert 60_000 < sum(len(text) for text in copy.values() if isinstance(text, str)) < 65_536
    assert copy[TRUNCATED] is True


@pytest.mark.parametrize(("value", "count"), [(1, 250), (Decimal(1), 125)], ids=["plain", "not plain"])
def test_a_metric_keeps_so_many_values(value, count):
    """250, of which one that is not plain counts twice; beside them, the mark that there were more."""
    copy, _ = snapshot_fields({"list": [], **{f"field {number}": value for number in range(400)}})
    assert len(copy) == pytest.approx(count, abs=2)
    assert copy[TRUNCATED] is True


def test_a_text_that_is_cut_to_fit_marks_the_metric():
    """Though no field and no item was left out."""
    copy, _ = snapshot_fields({"name": "a", "texts": ["x" * MAX_TEXT] * 4})
    assert len(copy["texts"]) == 4
    assert copy["texts"][3].endswith(f"…[cut, {MAX_TEXT} characters]")
    assert copy[TRUNCATED] is True


def test_a_plain_metric_is_cut_as_any_other():
    """The short way for plain fields is for small ones."""
    for fields in ({"name": "n" * 5000, "note": "x" * 100_000}, {"name": "n" * 5000, "note": "x" * 100_000, "odd": []}):
        copy, _ = snapshot_fields(fields)
        assert copy["name"] == "n" * 4096 + "…[cut, 5000 characters]"
        assert copy["note"] == "x" * MAX_TEXT + "…[cut, 100000 characters]"


def test_numbers_come_before_texts_that_leave_no_room():
    """Wherever they stand: they are what is reported."""
    texts: dict[str, Any] = {f"text {number}": "x" * 16_000 for number in range(20)}
    copy, _ = snapshot_fields({**texts, "ratio": 0.5, "count": 3, "ok": True, "value": 1.5})
    assert (copy["ratio"], copy["count"], copy["ok"], copy["value"]) == (0.5, 3, True, 1.5)
    assert len(copy) < 12


def test_a_huge_name_costs_a_metric_no_number():
    """The core fields share the room with the rest."""
    copy, _ = snapshot_fields({"name": "\U0001f600" * 10_000_000, "origin": "\U0001f600" * 100_000, "value": 1, "x": 2})
    assert copy["value"] == 1
    assert copy["x"] == 2
    assert list(copy) == ["name", "origin", "value", "x"]


def test_the_order_of_fields_is_kept():
    """Copying the core first does not show in the document."""
    assert list(snapshot_fields({"b": [1], "name": "n", "a": 1, "value": 2.0})[0]) == ["b", "name", "a", "value"]


def test_the_size_grows_with_the_content():
    """The estimate is above what the texts take, and within a factor of what the interpreter says."""
    fields = {"name": "pkg.function", "value": 1.5, "hostname": "host", "note": "e" * 1000}
    _, size = snapshot_fields(fields)
    memory = sys.getsizeof(fields) + sum(map(sys.getsizeof, fields.values()))
    assert memory * 0.8 < size < memory * 2
    _, slow = snapshot_fields({**fields, "list": [1, 2]})
    assert size < slow < size * 1.5


# ---- cost ------------------------------------------------------------------------------------------------------------


def best_of(function: Any, argument: Any, *, repeats: int = 20) -> float:
    """Return the shortest of some runs, in seconds."""
    shortest = math.inf
    for _ in range(repeats):
        began = time.perf_counter()
        function(argument)
        shortest = min(shortest, time.perf_counter() - began)
    return shortest


def _deep_class() -> type:
    kind: type = object
    for _ in range(100):
        kind = type("Derived", (kind,), {})
    return kind


@pytest.mark.serial
@pytest.mark.parametrize("name", [*hostile_values(), "objects", "deep classes", "wide", "keys", "emoji"])
def test_any_value_costs_less_than_a_millisecond(name):
    """Cases B3 and B7: the caps bound the time as well. A machine of half the speed gets twice the time."""
    more = {
        "objects": lambda: [[object() for _ in range(100)] for _ in range(100)],
        "deep classes": lambda: [[kind() for _ in range(20)] for kind in [_deep_class()] * 20],
        "wide": lambda: [[[[1.5] * 100] * 100] * 100] * 100,
        "keys": lambda: {object(): 1 for _ in range(10_000)},
        "emoji": lambda: {f"{number}": "\U0001f600" * 1_000_000 for number in range(10)},
    }
    value = more[name]() if name in more else hostile_values()[name]
    fields = {"name": "a", "field": value}
    assert least_time(lambda: best_of(snapshot_fields, fields), 0.002) <= 0.002
