"""The decorator on generators: their whole protocol, and what counts as one call."""

from __future__ import annotations

import asyncio
import gc
import inspect

import pytest

from tests.kept import Kept, Way, kept_fixture, way_fixture  # noqa: F401 - fixtures are asked for by name
from time_execution import settings, time_execution


@time_execution
def echo(first, log):
    """Answer with what was sent; log how it ended."""
    try:
        while True:
            try:
                first = yield first
            except KeyError as exc:
                first = exc
            if first == "return":
                return "returned"
    finally:
        log.append("end")


def test_kind_of_generators_survives():
    """What asks for a generator function gets yes."""
    assert inspect.isgeneratorfunction(echo)
    assert inspect.isgenerator(echo(1, []))
    assert echo(1, []).__name__ == "echo"


def test_generator_is_measured_from_its_first_value_to_its_end(kept: Kept):
    """The metric comes when it is exhausted, one for all its values."""

    @time_execution
    def count(n):
        yield from range(n)

    iterator = count(3)
    assert next(iterator) == 0
    assert kept.metrics == []
    assert list(iterator) == [1, 2]
    assert [name.rpartition(".")[2] for name in kept.names] == ["count"]
    assert list(iterator) == []
    assert len(kept.metrics) == 1


def test_time_before_the_first_value_is_asked_for_is_not_measured(kept: Kept):
    """A generator that lies about unused has no duration for that."""

    @time_execution
    def one():
        yield 1

    iterator = one()
    begun = [0]
    asyncio.run(asyncio.sleep(0.05))
    begun += iterator
    assert kept.metrics[0]["value"] < 40


def test_generator_answers_send_throw_and_return(way: Way):
    """Values sent, exceptions thrown in, and the return value go both ways as without the decorator."""
    log: list[str] = []
    iterator = echo("a", log)
    error = KeyError("k")
    assert next(iterator) == "a"
    assert iterator.send("b") == "b"
    assert iterator.throw(error) is error
    with pytest.raises(StopIteration) as stop:
        iterator.send("return")
    assert stop.value.value == "returned"
    assert log == ["end"]
    way.expect("echo")


def test_exception_thrown_into_a_generator_comes_out_as_it_is(way: Way):
    """What the generator does not catch is the very object that was thrown."""
    log: list[str] = []
    iterator = echo("a", log)
    next(iterator)
    error = ValueError("v")
    with pytest.raises(ValueError, match="v") as caught:
        iterator.throw(error)
    assert caught.value is error
    assert (error.__context__, error.__cause__, log) == (None, None, ["end"])
    way.expect("echo")


def test_closed_generator_cleans_up_and_is_no_failure():
    """close() runs the generator's finally; hooks see no exception."""
    seen = []
    settings.configure(backends=[Kept()], hooks=[lambda exception, **_: seen.append(exception)])
    log: list[str] = []
    iterator = echo("a", log)
    next(iterator)
    iterator.close()
    iterator.close()
    assert (log, seen) == (["end"], [None])


def test_abandoned_generator_is_measured_when_it_is_collected(way: Way):
    """A generator that nobody exhausts ends with its last reference."""
    log: list[str] = []
    iterator = echo("a", log)
    next(iterator)
    del iterator
    gc.collect(1)  # it is young: no need to look at everything
    assert log == ["end"]
    way.expect("echo")


def test_generator_that_is_never_started_is_not_measured(way: Way):
    """Making a generator, and closing it unused, is no call."""
    log: list[str] = []
    echo("a", log).close()
    echo("a", log)
    gc.collect(1)  # it is young: no need to look at everything
    assert log == []
    assert way.metrics == []


def test_generator_that_refuses_to_close_fails_as_undecorated(way: Way):
    """Yielding in answer to close() is the RuntimeError that it always is."""

    @time_execution
    def stubborn():
        while True:
            try:
                yield 1
            except GeneratorExit:
                yield 2
                return

    iterator = stubborn()
    next(iterator)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        iterator.close()
    way.expect("stubborn")


def test_generator_delegates_to_a_decorated_one(way: Way):
    """`yield from` between decorated generators passes values and results, and measures both."""

    @time_execution
    def outer():
        result = yield from inner()
        return result + 1

    @time_execution
    def inner():
        got = yield 1
        return got

    iterator = outer()
    next(iterator)
    with pytest.raises(StopIteration) as stop:
        iterator.send(41)
    assert stop.value.value == 42
    way.expect("inner", "outer")


def test_hooks_of_a_generator_get_its_return_value():
    """`response` is what the generator returned, once it has ended."""
    seen = []
    settings.configure(backends=[Kept()], hooks=[lambda response, **_: seen.append(response)])
    iterator = echo("a", [])
    next(iterator)
    assert seen == []
    with pytest.raises(StopIteration):
        iterator.send("return")
    assert seen == ["returned"]
