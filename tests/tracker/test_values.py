"""What `set_metric`, `set_identifier`, `set_timer` and names take, and what they refuse."""

from __future__ import annotations

import decimal
import enum
import json
import sys

import pytest

from tests.tracker.lines import tracking


class Text(str):
    __slots__ = ()

    def __str__(self):
        return "something else"


class Number(int):
    def __int__(self):
        return -1

    def __repr__(self):
        return "not a number"


class Real(float):
    def __repr__(self):
        return "not a number"


class Colour(enum.IntEnum):
    RED = 3


class Kind(str, enum.Enum):
    A = "a"


SETTERS = ["set_metric", "set_identifier"]


def noted(setter, name, value):
    """Return the text of a line in which a value was noted."""
    tracker, lines = tracking()

    @tracker
    def main():
        getattr(tracker, setter)(name, value)

    main()
    return lines[0]


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize("value", [True, False, 0, -7, 2**64, 2**2047, 1.5, -0.0, 5e-324, "", "text", "\u00e9"])
def test_plain_values_are_written_as_json_writes_them(setter, value):
    """A bool, a number or a text is in the line as `json.dumps` has it."""
    assert f'"x": {json.dumps(value)}' in noted(setter, "x", value)


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize(
    ("value", "plain"),
    [(Text("t"), "t"), (Number(5), 5), (Real(1.5), 1.5), (Colour.RED, 3), (Kind.A, "a")],
    ids=["str", "int", "float", "IntEnum", "str Enum"],
)
def test_subclasses_become_plain_values(setter, value, plain):
    """No code of a subclass decides what is written, and an enumeration's member is its value."""
    assert f'"x": {json.dumps(plain)}' in noted(setter, "x", value)


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), Real("nan")])
def test_numbers_without_json_become_null(setter, value):
    """The line stays JSON for every reader: NaN and the infinities are null."""
    text = noted(setter, "x", value)
    assert '"x": null' in text
    json.loads(text, parse_constant=pytest.fail)


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize("value", [None, b"bytes", [1], {"a": 1}, (), object(), decimal.Decimal(1), 1j, int, set()])
@pytest.mark.parametrize("inside", [True, False])
def test_other_values_are_refused_with_what_to_do(setter, value, inside):
    """Any other type is a `TypeError` that names it, in an entry point and outside of one; nothing stays behind."""
    tracker, lines = tracking()

    def refused():
        with pytest.raises(
            TypeError, match=r"tracker\.set_\w+\(\): the value must be a bool, int, float or str, not"
        ) as e:
            getattr(tracker, setter)("x", value)
        assert "convert it first" in str(e.value)

    if inside:
        tracker(refused)()
        assert list(lines.one) == ["latencies", "metrics"]
        assert lines.one["metrics"] == {}
    else:
        refused()


@pytest.mark.parametrize("setter", SETTERS)
def test_integers_that_have_no_text_are_refused(setter):
    """An integer beyond 2048 bits, which Python may refuse to write, is refused before it can spoil the line."""
    limit = getattr(sys, "set_int_max_str_digits", None)
    with pytest.raises(ValueError, match="more than 2048 bits"):
        noted(setter, "x", 2**2048)
    if limit is None:
        return
    before = sys.get_int_max_str_digits()
    try:
        limit(640)
        assert str(2**2048 - 1) in noted(setter, "x", 2**2048 - 1)
    finally:
        limit(before)


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize("name", ["latencies", "metrics", "repeats", Text("metrics")])
def test_names_of_the_line_itself_are_refused(setter, name):
    """What the line has of its own cannot be written over."""
    with pytest.raises(ValueError, match="choose another name"):
        noted(setter, name, 1)


@pytest.mark.parametrize("setter", [*SETTERS, "set_timer"])
def test_names_are_texts_that_are_not_empty(setter):
    """Anything but a text is a `TypeError`, an empty one a `ValueError`, in an entry point and outside of one."""
    tracker, _ = tracking()
    for name in (5, None, b"x", ["x"], ("x",)):
        with pytest.raises(TypeError, match="the name must be a str, not"):
            getattr(tracker, setter)(name, 1)
        with pytest.raises(TypeError, match="the name must be a str, not"):
            noted(setter, name, 1)
    with pytest.raises(ValueError, match="must not be empty"):
        getattr(tracker, setter)("", 1)
    with pytest.raises(ValueError, match="must not be empty"):
        noted(setter, "", 1)


def test_names_of_timers_and_functions_are_texts_that_are_not_empty():
    """The same goes for what is timed, when it is made."""
    tracker, _ = tracking()
    for name in (5, None, b"x", ["x"]):
        with pytest.raises(TypeError, match="the name must be a str, not"):
            tracker.timer(name)
    for wrong in (lambda: tracker.timer(""), lambda: tracker(""), lambda: tracker.track("")):
        with pytest.raises(ValueError, match="must not be empty"):
            wrong()
    for decorator in (tracker, tracker.track):
        with pytest.raises(TypeError, match="measures callables, not int"):
            decorator(5)


def test_a_name_that_is_a_subclass_becomes_a_plain_text():
    """No code of the subclass decides what the line says."""
    tracker, lines = tracking()

    @tracker(Text("main"))
    def main():
        with tracker.timer(Text("part")):
            tracker.set_metric(Text("n"), 1)

    main()
    assert list(lines.one["latencies"]) == ["part", "main"]
    assert lines.one["metrics"] == {"n": 1}


def test_the_last_value_of_a_name_counts():
    """A name that is set again keeps its place and gets the new value."""
    tracker, lines = tracking()

    @tracker
    def main():
        for number in range(3):
            tracker.set_metric("a", number)
            tracker.set_metric("b", "x")
            tracker.set_identifier("id", number)

    main()
    assert lines.one["metrics"] == {"a": 2, "b": "x"}
    assert lines.one["id"] == 2
    assert list(lines.one["metrics"]) == ["a", "b"]


def test_set_timer_adds_a_latency_in_milliseconds():
    """What was measured elsewhere stands in the line as it was given, and repeats are counted."""
    tracker, lines = tracking()

    @tracker
    def main():
        tracker.set_timer("database", 0.001)
        tracker.set_timer("cache", 12)
        tracker.set_timer("cache", 30.5)

    main()
    assert lines.one["latencies"].items() >= {"database": 0.001, "cache": 42.5}.items()
    assert lines.one["repeats"] == {"cache": {"count": 2, "max": 30.5}}


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("5", TypeError),
        (None, TypeError),
        (True, TypeError),
        (-1, ValueError),
        (float("nan"), ValueError),
        (1e13, ValueError),
    ],
)
def test_set_timer_refuses_what_is_no_duration(value, error):
    """Other types are a `TypeError`, and what no clock shows a `ValueError`."""
    tracker, _ = tracking()
    with pytest.raises(error, match="number of milliseconds"):
        tracker.set_timer("x", value)
