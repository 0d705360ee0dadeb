"""Snapshots: detached, plain, bounded in size and cost, and never any code of a user's class."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, defaultdict, deque
from datetime import datetime, timedelta, timezone, tzinfo
from datetime import time as clock_time
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from tests import strategies
from tests.strategies import is_plain, same
from time_execution.formats.snapshot import snapshot, snapshot_fields
from time_execution.testing import hostile
from time_execution.testing.hostile import TouchedError, hostile_class, hostile_values
from time_execution.types import Metric

UTC = timezone.utc


class Pair(NamedTuple):
    left: int
    right: int


WIDE = {f"n{index}": index for index in range(100)} | {"…": "…[cut, 200 keys]"}


def impostor(names: Any) -> Any:
    """Return a tuple whose class only says that it has names."""
    return type("Impostor", (tuple,), {"_fields": names})((1, 2))


class Level(IntEnum):
    HIGH = 7


# ---- what values become ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "text", 0, -5, 2**63, 10**400, 1.5, True, False, None, "\ud800"])
def test_plain_scalars_pass_as_they_are(value):
    """A plain scalar is its own snapshot."""
    assert snapshot(value) is value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0])
def test_floats_stay_to_the_bit(value):
    """NaN, infinities and negative zero are left to the encoders."""
    assert same(snapshot(value), value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"abc \xc3\xa9", "abc é"),
        (b"\xff\x00a", "\\xff\\x00a"),
        (bytearray(b"abc"), "abc"),
        (Decimal("12.50"), 12.5),
        (Decimal("Infinity"), math.inf),
        (Decimal("1E+400"), "1E+400"),
        (Decimal("1" * 100_000), "<decimal.Decimal>"),
        (1 + 2j, "(1+2j)"),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({16, 8, 1}, [1, 8, 16]),
        ((1, (2, 3)), [1, [2, 3]]),
        (deque([1, 2], maxlen=5), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (Pair(1, 2), {"left": 1, "right": 2}),
        ([(Pair(1, Pair(2, 3)),)], [[{"left": 1, "right": {"left": 2, "right": 3}}]]),
        (NamedTuple("Wide", [(f"n{index}", int) for index in range(200)])(*range(200)), WIDE),
        (impostor(("left",)), [1, 2]),
        (impostor(["left", "right"]), [1, 2]),
        (impostor((1, 2)), [1, 2]),
        (impostor(property(hostile.touch)), [1, 2]),
        (hostile.Colour.RED, "red"),
        (hostile.Colour.BLUE, 3),
        (Level.HIGH, 7),
        (hostile.Point(1, 2.5), {"x": 1, "y": 2.5}),
        (hostile.Slotted("a", (1,)), {"left": "a", "right": [1]}),
        (PurePosixPath("a/b"), "a/b"),
        (timedelta(minutes=1, microseconds=5), 60.000005),
        (object(), "<builtins.object>"),
        (threading.Lock(), "<_thread.lock>"),
        (lambda: None, "<builtins.function>"),
        (1 << 5000, "<int of 5001 bits>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_values_become_plain(value, expected):
    """Each kind of value has the plain form that the module's table promises."""
    assert same(snapshot(value), expected)


@pytest.mark.parametrize("text", ["sNaN", "NaN", "-NaN"])
def test_a_decimal_that_is_no_number_becomes_nan(text):
    """A signalling NaN raises wherever it is used, so it becomes a quiet one."""
    assert math.isnan(snapshot(Decimal(text)))


@pytest.mark.parametrize("name", ["UUID", "date", "datetime", "path", "time", "timedelta"])
def test_values_of_the_standard_library_become_text_or_moments(name):
    """Dates, times, identifiers and paths are readable in a store."""
    expected: dict[str, Any] = {
        "UUID": "00000000-0000-0000-0000-000000000005",
        "date": "2024-02-29",
        "datetime": datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=UTC),
        "path": "a/b",
        "time": "12:30:00",
        "timedelta": 60.0,
    }
    assert snapshot(hostile_values()[name]) == expected[name]


def test_moments_become_utc():
    """A zone of the standard library is converted; a naive datetime counts as UTC, as it does on the wire."""
    berlin = datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    assert snapshot(berlin) == datetime(2024, 7, 1, 10, tzinfo=UTC)
    assert snapshot(berlin).tzinfo is UTC
    twice = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))  # as the clock is put back
    assert [snapshot(twice.replace(fold=fold)).hour for fold in (0, 1)] == [0, 1]
    assert snapshot(datetime(2024, 7, 1)) == datetime(2024, 7, 1, tzinfo=UTC)  # noqa: DTZ001 - the case
    assert snapshot(datetime.max.replace(tzinfo=timezone(-timedelta(hours=5)))).tzinfo is UTC


def test_a_zone_of_the_users_is_not_asked():
    """A datetime whose zone is somebody's class keeps its wall time, as text that names the zone."""

    class Zone(tzinfo):
        utcoffset = dst = tzname = fromutc = hostile.touch

    found = snapshot(datetime(2024, 7, 1, 12, tzinfo=Zone()))
    assert found.startswith("2024-07-01T12:00:00[")
    assert found.endswith("Zone]")


def test_a_time_with_a_users_zone_is_only_described():
    """The text of a time would ask its zone."""

    class Zone(tzinfo):
        utcoffset = dst = tzname = hostile.touch

    assert snapshot(clock_time(12, tzinfo=Zone())) == "<datetime.time>"


def test_keys_become_text_and_stay_apart():
    """Keys of any kind are text in the copy, and no value is lost to another."""
    found = snapshot({1: "a", "1": "b", None: "c", (1, 2): "d", 1.5: "e", b"k": "f"})
    assert found == {"1": "a", "1_1": "b", "None": "c", "[1, 2]": "d", "1.5": "e", "k": "f"}


def test_keys_of_fields_become_text():
    """What a hook returned may have any keys."""
    fields: Any = {"name": "a", 1: 2.5}
    assert snapshot_fields(fields)[0] == {"name": "a", "1": 2.5}


def test_a_dataclass_keeps_hidden_fields_to_itself():
    """What its author declared with repr=False does not end up in a store."""
    assert "hunter2" not in str(snapshot({"point": hostile.Point(1, 2)}))


def test_an_unset_slot_is_left_out():
    """A dataclass whose slot was never set is read all the same."""
    half = object.__new__(hostile.Slotted)
    half.left = 1
    assert snapshot(half) == {"left": 1}


def test_numpy_values_by_their_own_methods():
    """Scalars become Python's, arrays are described, and NumPy is imported by the user only."""
    numpy = pytest.importorskip("numpy")
    assert same(snapshot(numpy.float64(1.5)), 1.5)
    assert same(snapshot(numpy.float32(1.5)), 1.5)
    assert same(snapshot(numpy.int64(-3)), -3)
    assert snapshot(numpy.bool_(True)) is True
    assert same(snapshot(numpy.str_("a")), "a")
    assert snapshot(numpy.zeros((300, 400))) == "<numpy.ndarray shape=(300, 400) dtype=float64>"
    kinds = ("int8", "uint16", "float32", "complex128", "bool")
    for name in kinds:
        assert snapshot(numpy.zeros(2, name)) == f"<numpy.ndarray shape=(2,) dtype={name}>"
    assert snapshot(numpy.zeros(2, ">f8")).endswith("dtype=float64>")
    assert snapshot(numpy.zeros(2, "U3")).endswith(" dtype=<U3>")
    assert snapshot(numpy.zeros(2, "datetime64[s]")).endswith(" dtype=<M8[s]>")
    assert snapshot(numpy.datetime64("2024-01-01")) == "<numpy.datetime64>"


def test_optional_modules_stay_unimported():
    """A class that only looks like one of NumPy's or decimal's is not treated as such."""
    fake = type("Decimal", (), {"__module__": "decimal"})
    assert snapshot(fake()) == "<decimal.Decimal>"
    assert snapshot(type("ndarray", (), {"__module__": "numpy"})()) == "<numpy.ndarray>"


# ---- no code of the user's -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "content", "expected"),
    [
        (dict, [("a", 1)], {"a": 1}),
        (list, [1, 2], [1, 2]),
        (tuple, [1, 2], [1, 2]),
        (set, [1], [1]),
        (frozenset, [1], [1]),
        (deque, [1], [1]),
        (str, "text", "text"),
        (int, 5, 5),
        (float, 1.5, 1.5),
        (complex, 1j, "1j"),
        (bytes, b"abc", "abc"),
        (bytearray, b"abc", "abc"),
    ],
)
def test_subclasses_are_read_by_the_methods_of_their_base(base, content, expected):
    """A subclass whose every method raises gives its plain content."""
    is_mutable = base in {dict, list, set, deque, bytearray}
    arguments: tuple[Any, ...] = () if is_mutable else (content,)
    value: Any = base.__new__(hostile_class(base), *arguments)
    if is_mutable:
        base.__init__(value, content)
    assert same(snapshot(value), expected)
    assert same(snapshot_fields({"field": value})[0], {"field": expected})


@pytest.mark.parametrize("base", [UUID, PurePosixPath], ids=lambda base: base.__name__)
def test_a_subclass_of_what_only_its_own_text_tells_is_described(base):
    """Identifiers and paths are written in Python, so their text would be asked of the subclass."""
    assert snapshot(object.__new__(hostile_class(base))).startswith("<")


def test_a_hostile_datetime_is_read_by_its_base():
    """Subclasses such as those of freezegun and pandas give a plain datetime."""
    value = datetime.__new__(hostile_class(datetime), 2024, 1, 2, 3, 4, 5, 6)
    assert same(snapshot(value), datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC))


def test_objects_that_raise_on_any_touch_are_described():
    """Neither the object nor its class is asked for anything, not even for its hash."""
    with pytest.raises(TouchedError):
        repr(object.__new__(strategies.Hostile))
    assert snapshot(object.__new__(strategies.Hostile)) == "<time_execution.testing.hostile.Hostile>"
    assert snapshot(object.__new__(strategies.HostileWithMeta)) == "<tests.strategies.HostileWithMeta>"


def test_an_enum_is_read_past_its_properties():
    """A property named as the member's value is not called."""

    class Sneaky(Enum):
        ONE = 1
        value = property(hostile.touch)

    assert snapshot(Sneaky.ONE) == 1


def test_attributes_are_read_past_getattribute_and_properties():
    """A dataclass with hostile lookups gives what its instance holds."""
    value = hostile.Point(1, 2.5)
    touch = hostile.touch
    kind = type("Sneaky", (hostile.Point,), {"__getattribute__": touch, "__dict__": property(touch)})
    object.__setattr__(value, "__class__", kind)
    assert snapshot(value) == {"x": 1, "y": 2.5}


def test_an_enum_that_is_its_own_value_ends():
    """A member tampered with to contain itself is cut at the depth cap."""

    class Odd(Enum):
        ONE = 1

    object.__setattr__(Odd.ONE, "_value_", Odd.ONE)
    assert snapshot(Odd.ONE).startswith("…[cut")


def test_fields_of_a_users_mapping_are_not_asked_for():
    """A mapping that is no dict could only be read by its own code."""
    assert snapshot_fields(hostile.hostile_dict())[0] == {"a": 1}
    assert snapshot_fields(object.__new__(strategies.Hostile))[0] == {}


# ---- detached --------------------------------------------------------------------------------------------------------


def test_later_changes_do_not_show():
    """Case B8: the copy holds the values of the moment it was taken."""
    inner = [1, {"deep": {1}}]
    fields = {"name": "a", "inner": inner}
    copy, _ = snapshot_fields(fields)
    inner[1]["deep"].add(2)  # type: ignore[index]
    inner.append(3)
    fields["name"] = "b"
    assert copy == {"name": "a", "inner": [1, {"deep": [1]}]}


def test_plain_fields_are_copied_too():
    """The short path for plain fields returns a dict of its own."""
    metric = Metric({"name": "a", "value": 1.5})
    copy, _ = snapshot_fields(metric)
    metric["name"] = "b"
    assert type(copy) is dict
    assert copy == {"name": "a", "value": 1.5}


def test_a_container_that_changes_meanwhile_is_no_error():
    """Another thread may grow a dict while it is read; the metric survives that."""
    shared: dict[int, None] = {}
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            shared.update(dict.fromkeys(range(50)))
            shared.clear()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(300):
            assert is_plain(snapshot({"shared": shared}))
    finally:
        stop.set()
        thread.join()


def test_a_container_that_refuses_to_be_read_is_named(monkeypatch):
    """What the interpreter raises for a dict that grew while it was read becomes a text."""

    def changed(*args: Any) -> Any:
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr("time_execution.formats.snapshot._first_items", changed)
    assert snapshot([{"a": 1}, 2]) == ["…[changed while it was read]", 2]


@given(strategies.plain_values)
def test_plain_values_come_back_as_they_were(value):
    """Values that are plain already and within the caps are copied to the bit."""
    assert same(snapshot(value), value)


@given(strategies.fields)
def test_fields_come_back_as_they_were(fields):
    """The same holds for the fields of a metric, by either path."""
    assert same(snapshot_fields(fields)[0], fields)
    assert same(snapshot_fields(Metric(fields))[0], fields)


@pytest.mark.parametrize("name", list(hostile_values()))
def test_any_value_becomes_plain_and_stays_so(name):
    """Case B3: whatever is handed in, the copy is plain, and its own snapshot is the same."""
    found = snapshot(hostile_values()[name])
    assert is_plain(found)
    assert same(snapshot(found), found)
    copy, _ = snapshot_fields({"name": "a", "field": hostile_values()[name]})
    assert is_plain(copy)
    assert same(snapshot_fields(copy)[0], copy)
