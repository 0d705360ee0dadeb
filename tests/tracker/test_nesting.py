"""Entry points within entry points, generators, handlers, and timers."""

from __future__ import annotations

import contextlib
import types

import pytest

from tests.tracker.lines import Lines, tracking
from time_execution.tracker import ProcessTracker

pytestmark = pytest.mark.usefixtures("configured")


# ---- entry points within entry points, and generators --------------------------------------------------------------


def test_a_nested_entry_point_has_a_line_of_its_own_before_the_outer_one():
    """Its parts and what it notes are in its own line only; the outer line goes on as if it was not there."""
    tracker, lines = tracking()

    @tracker.track
    def part():
        pass

    @tracker
    def inner():
        part()
        tracker.set_metric("which", "inner")

    @tracker
    def outer():
        part()
        tracker.set_identifier("id", 1)
        inner()
        with tracker.timer("after"):
            pass

    outer()
    assert [list(line["latencies"]) for line in lines.read] == [["part", "inner"], ["part", "after", "outer"]]
    assert [line["metrics"] for line in lines.read] == [{"which": "inner"}, {}]
    assert [line.get("id") for line in lines.read] == [None, 1]


def test_an_output_that_fails_for_a_nested_entry_point_leaves_the_outer_line_in_its_place():
    """What the outer entry point goes on with after it is in the outer line."""
    lines = Lines()

    def output(text):
        lines.append(text)
        if len(lines) == 1:
            raise RuntimeError("the output is broken")

    tracker = ProcessTracker(output)

    @tracker
    def inner():
        pass

    @tracker
    def outer():
        inner()
        with tracker.timer("after"):
            pass

    outer()
    assert [list(line["latencies"]) for line in lines.read] == [["inner"], ["after", "outer"]]


def test_a_recursive_entry_point_has_a_line_for_each_call():
    """The innermost call has the first line, and no call is counted in another's."""
    tracker, lines = tracking()

    @tracker
    def main(depth):
        tracker.set_metric("depth", depth)
        if depth:
            main(depth - 1)

    main(3)
    assert [line["metrics"]["depth"] for line in lines.read] == [0, 1, 2, 3]
    assert all("repeats" not in line for line in lines.read)


def test_two_trackers_do_not_know_each_other():
    """A part of one tracker within an entry point of another is in neither line."""
    tracker, lines = tracking()
    other, other_lines = tracking()

    @tracker
    @other
    def main():
        with tracker.timer("mine"), other.timer("theirs"):
            pass

    main()
    assert list(lines.one["latencies"]) == ["mine", "main"]
    assert list(other_lines.one["latencies"]) == ["theirs", "main"]


def test_generators_are_measured_to_their_end_and_keep_their_line_to_themselves():
    """While a generator's consumer has control, its own line is open, not the generator's; results pass through."""
    tracker, lines = tracking()

    @tracker
    def numbers():
        with tracker.timer("first"):
            got = yield 1
        tracker.set_metric("got", got)
        yield 2
        return "end"

    @tracker
    def main():
        generator = numbers()
        assert next(generator) == 1
        with tracker.timer("consumer"):
            assert generator.send("sent") == 2
        with pytest.raises(StopIteration) as stop:
            next(generator)
        return stop.value.value

    assert main() == "end"
    inner, outer = lines.read
    assert list(inner["latencies"]) == ["first", "numbers"]
    assert inner["metrics"] == {"got": "sent"}
    assert list(outer["latencies"]) == ["consumer", "main"]


def test_generators_that_are_closed_fail_or_catch_what_is_thrown_in():
    """Closing, failing and throwing do to a tracked generator what they do to a plain one, and each has its line."""
    tracker, lines = tracking()
    caught, closed = [], []

    def plain():
        try:
            yield 1
        except KeyError as exc:
            caught.append(exc)
            yield 2
        finally:
            closed.append(True)
        raise LookupError("end")

    for decorate in (tracker, tracker.track):
        with contextlib.nullcontext() if decorate is tracker else pytest.warns(RuntimeWarning):
            generator = decorate(plain)()
            assert next(generator) == 1
        generator.close()
        with contextlib.nullcontext() if decorate is tracker else pytest.warns(RuntimeWarning):
            generator = decorate(plain)()
            next(generator)
        error = KeyError("thrown")
        assert generator.throw(error) == 2
        assert caught.pop() is error
        with pytest.raises(LookupError, match="end") as failed:
            next(generator)
        assert failed.value.__context__ is None
    assert len(closed) == 4
    assert [list(line["latencies"]) for line in lines.read] == [["plain"], ["plain"]]


def test_a_generator_that_was_never_started_has_no_line():
    """Nothing ran, so nothing is told."""
    tracker, lines = tracking()

    @tracker
    def numbers():
        yield 1

    numbers()
    assert lines == []


def test_parts_that_are_generators_are_timed_from_the_first_item_to_the_end():
    """A generator that entry points consume stands in the line once, when it is exhausted."""
    tracker, lines = tracking()

    @tracker.track
    def numbers():
        yield 1
        yield 2

    @tracker
    def main():
        return sum(numbers())

    assert main() == 3
    assert list(lines.one["latencies"]) == ["numbers", "main"]
    assert "repeats" not in lines.one


def test_a_lambda_handler_is_an_entry_point():
    """A handler of an event and a context gets both, whether by position or by name."""
    tracker, lines = tracking()

    @tracker
    def handler(event, context):
        tracker.set_identifier("request_id", context.aws_request_id)
        return {"statusCode": 200, "body": event["body"]}

    context = types.SimpleNamespace(aws_request_id="r-1")
    assert handler({"body": "b"}, context) == {"statusCode": 200, "body": "b"}
    assert handler(event={"body": "b"}, context=context)["statusCode"] == 200
    assert [line["request_id"] for line in lines.read] == ["r-1", "r-1"]


def test_timers_may_be_used_again():
    """One context manager, left and entered again, counts twice; its name and its repr say what it times."""
    tracker, lines = tracking()
    timer = tracker.timer("again")

    @tracker
    def main():
        for _ in range(2):
            with timer as entered:
                assert entered is timer

    main()
    assert lines.one["repeats"]["again"]["count"] == 2
    assert timer.name == "again"
    assert repr(timer) == "TimedBlock('again')"
    assert repr(tracker) == "<ProcessTracker output=Lines.append>"


def test_names_of_timers_that_are_made_at_run_time_do_not_pile_up():
    """What a tracker keeps of names is bounded, whatever they are; every one of them is timed."""
    tracker, lines = tracking()

    @tracker
    def main():
        for number in range(2_500):
            with tracker.timer(f"order {number}"):
                pass

    main()
    assert len(lines.one["latencies"]) == 2_501
    assert len(tracker._parts) <= 1_000
