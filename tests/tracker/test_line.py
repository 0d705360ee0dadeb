"""The line's text: what `json.dumps` makes of the same dict, byte by byte, on one physical line."""

from __future__ import annotations

import functools
import json
import operator
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracker.lines import tracking
from time_execution.tracker import ProcessTracker
from time_execution.tracker import line as line_module
from time_execution.tracker.line import IDENTIFIER, LATENCY, MANY, METRIC, Line, milliseconds

NAMES = st.text(min_size=1, max_size=20)
DURATIONS = st.integers(0, 10**17)
SCALARS = st.one_of(
    st.booleans(),
    st.text(max_size=30),
    st.integers(-(2**2048) + 1, 2**2048 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
)
RESERVED = {"latencies", "metrics", "repeats"}


def quoted(name):
    return json.dumps(name)


def expected(name, elapsed, parts, metrics, identifiers):
    """Return the dict that a line stands for, made the plain way."""
    durations: dict[str, list[int]] = {}
    for part, duration in parts:
        durations.setdefault(part, []).append(duration)
    durations[name] = [*durations.pop(name, []), elapsed]
    repeats = {
        part: {"count": len(found), "max": max(found) // 1000 / 1000}
        for part, found in durations.items()
        if len(found) > 1
    }
    return {
        "latencies": {part: sum(found) // 1000 / 1000 for part, found in durations.items()},
        "metrics": metrics,
        **({"repeats": repeats} if repeats else {}),
        **identifiers,
    }


@given(
    name=NAMES,
    elapsed=DURATIONS,
    parts=st.lists(st.tuples(NAMES, DURATIONS), max_size=40),
    metrics=st.dictionaries(NAMES, SCALARS, max_size=5),
    identifiers=st.dictionaries(NAMES.filter(lambda name: name not in RESERVED), st.text(max_size=9), max_size=3),
)
def test_line_is_what_json_makes_of_the_dict(name, elapsed, parts, metrics, identifiers):
    """Whatever the names, the durations and the values, the text is equal to that of `json.dumps`."""
    line = Line()
    for part, duration in parts:
        assert line.add((quoted(part), duration, LATENCY))
    for metric, value in metrics.items():
        assert line.add((metric, value, METRIC))
    for identifier, value in identifiers.items():
        assert line.add((identifier, value, IDENTIFIER))
    text = line.text(quoted(name), elapsed)
    assert text == json.dumps(expected(name, elapsed, parts, metrics, identifiers))
    assert len(text.splitlines()) == 1


CLASHING = st.sampled_from(["a", "b", '"a"', "metrics"])


@given(
    key=CLASHING,
    parts=st.lists(st.tuples(CLASHING, DURATIONS), max_size=3),
    notes=st.lists(st.tuples(CLASHING, SCALARS, st.sampled_from([METRIC, IDENTIFIER])), max_size=4),
    number=st.sampled_from([0, 1, 10, MANY]),
)
def test_names_that_clash_stay_apart(key, parts, notes, number):
    """A part, a metric and an identifier may have one name; of a name noted twice the last value counts."""
    line = Line()
    items = [*((quoted(part), duration, LATENCY) for part, duration in parts), *notes]
    many = [(f"note {count}", count, METRIC) for count in range(number)]
    for item in [*items, *many, *(notes if number else ())]:
        assert line.add(item)
    metrics = {name: value for name, value, kind in notes if kind is METRIC}
    metrics |= {name: value for name, value, _ in many}
    identifiers = {name: value for name, value, kind in notes if kind is IDENTIFIER}
    text = line.text(quoted(key), 5_000)
    found = expected(key, 5_000, parts, metrics, {})
    members = [json.dumps({name: value})[1:-1] for name, value in [*found.items(), *identifiers.items()]]
    assert text == f"{{{', '.join(members)}}}"


@pytest.mark.parametrize(
    ("noting", "at"),
    [(ProcessTracker.set_metric, ("metrics", "done")), (ProcessTracker.set_identifier, ("done",))],
)
def test_notes_that_never_end_are_kept_by_name(noting, at):
    """A loop that notes the same for ever keeps a bounded number of items, and the last value."""
    tracker, lines = tracking()
    lengths = []

    @tracker
    def main():
        for number in range(3 * MANY):
            noting(tracker, "done", number)
        lengths.append(len(tracker._recorder.get()))

    main()
    assert lengths[0] <= MANY
    assert functools.reduce(operator.getitem, at, lines.one) == 3 * MANY - 1


@given(DURATIONS)
def test_milliseconds_are_the_text_of_the_float(duration):
    """The three decimals are cut, never rounded, and written as Python writes the float."""
    assert milliseconds(duration) == repr(duration // 1000 / 1000)


@pytest.mark.parametrize("count", [2, 20, 21, MANY, MANY + 1, 3 * MANY])
def test_any_number_of_latencies_is_summed_up_exactly(count):
    """Few latencies are kept one by one and many are summed up; the line says the same of both."""
    line = Line()
    parts = [(f"part {number % 7}", number * 1_000) for number in range(count)]
    for part, duration in parts:
        line.add((quoted(part), duration, LATENCY))
    assert len(line) <= MANY
    assert json.loads(line.text('"main"', 5_000)) == expected("main", 5_000, parts, {}, {})


def test_latencies_stand_in_the_order_of_finishing_with_the_entry_point_last():
    """What is called last and finishes first stands first; a name keeps the place where it finished first."""
    tracker, lines = tracking()

    @tracker.track
    def inner():
        pass

    @tracker.track
    def outer():
        inner()

    @tracker
    def main():
        outer()
        inner()

    main()
    assert list(lines.one["latencies"]) == ["inner", "outer", "main"]
    assert lines.one["repeats"]["inner"]["count"] == 2


def test_a_part_named_as_the_entry_point_is_added_to_it():
    """A timer that has the entry point's name makes that a name timed twice, which still stands last."""
    tracker, lines = tracking()

    @tracker
    def main():
        with tracker.timer("main"):
            pass
        with tracker.timer("other"):
            pass

    main()
    assert list(lines.one["latencies"]) == ["other", "main"]
    assert lines.one["repeats"]["main"]["count"] == 2


@pytest.mark.parametrize(
    "hostile", ["\r\n", "\x1b[31m", "\u2028", "\u2029", "\x85", "\t", "\0", '"', "\\", "\ud800", "\x7f"]
)
def test_hostile_texts_stay_on_one_line(hostile):
    """Ends of lines, escapes and quotes in names and values are escaped, and read back as they were."""
    tracker, lines = tracking()

    @tracker(f"main{hostile}")
    def main():
        with tracker.timer(f"part{hostile}"):
            tracker.set_metric(f"metric{hostile}", hostile)
            tracker.set_identifier(f"identifier{hostile}", hostile)

    main()
    (text,) = lines
    assert text.isascii()
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text
    line = lines.one
    assert list(line["latencies"]) == [f"part{hostile}", f"main{hostile}"]
    assert line["metrics"] == {f"metric{hostile}": hostile}
    assert line[f"identifier{hostile}"] == hostile


def test_summing_up_is_not_doubled_by_what_comes_in_between(monkeypatch):
    """A signal handler or a finalizer that adds to the same line while it is summed up loses and doubles nothing."""
    line = Line()
    real = line_module._add_up
    came = []

    def interrupted(sums, key, elapsed):
        if not came:
            came.append(True)
            for _ in range(MANY + 5):
                line.add(('"late"', 1_000, LATENCY))
        real(sums, key, elapsed)

    monkeypatch.setattr(line_module, "_add_up", interrupted)
    for _ in range(MANY + 1):
        line.add(('"early"', 1_000, LATENCY))
    found = json.loads(line.text('"main"', 0))
    assert found["repeats"]["early"]["count"] == MANY + 1
    assert found["repeats"]["late"]["count"] == MANY + 5


def test_threads_that_add_to_one_line_lose_nothing():
    """Eight threads that add to the same line have all of their latencies in it, also those that are summed up."""
    line = Line()
    ready = threading.Barrier(8)

    def add(number):
        ready.wait(10)
        for _ in range(2_000):
            line.add(('"shared"', 1_000, LATENCY))
            line.add((f'"own {number}"', 2_000, LATENCY))
            line.add((f"own {number}", number, METRIC))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = json.loads(line.text('"main"', 0))
    assert found["repeats"]["shared"]["count"] == 16_000
    assert found["latencies"]["shared"] == 16.0
    assert [found["repeats"][f"own {number}"]["count"] for number in range(8)] == [2_000] * 8
    assert found["metrics"] == {f"own {number}": number for number in range(8)}
