"""`log_function_call`: one line for each call, on every kind of callable, without touching the call (M5)."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
import re

import pytest

from tests.cancelling import cancelled
from tests.secret_corpus import PLANTED
from time_execution import settings, stats
from time_execution.exceptions import ConfigurationError
from time_execution.logs import configure, log_function_call, logger


@log_function_call(level=logger.WARNING)
def calculate(x, y=2, **more):
    """Calculate."""
    return x / y


class Hostile:
    """Fails at whatever is asked of it."""

    def __repr__(self):
        raise RuntimeError("no text")

    __str__ = __eq__ = __repr__
    __hash__ = None


def test_line_has_arguments_result_and_duration(kept):
    """A call's line is of the level given, stands where the function is defined, and has everything in fields, too."""
    assert calculate(5, y=2, note="a b") == 2.5
    record = kept.record()
    took = re.fullmatch(
        rf"{__name__}\.calculate\(x=5, y=2, note='a b'\) returned 2\.5 in (\d+\.\d{{3}}) ms", record["message"]
    )
    assert took
    assert record["duration_ms"] == pytest.approx(float(took[1]), abs=0.001)
    assert (record["level"], record["module"], record["function"]) == ("WARNING", "test_log_function_call", "calculate")
    assert (record["call"], record["arguments"], record["returned"]) == (
        f"{__name__}.calculate", "x=5, y=2, note='a b'", "2.5",
    )  # fmt: skip
    assert (calculate.__name__, str(inspect.signature(calculate))) == ("calculate", "(x, y=2, **more)")
    assert pickle.loads(pickle.dumps(calculate)) is calculate


def test_exceptions_pass_and_are_named(kept, events):
    """A call that raises has a line of the same level, without a traceback and without an event."""
    with pytest.raises(ZeroDivisionError) as caught:
        calculate(1, 0)
    assert caught.value.__context__ is None
    record = kept.record()
    assert re.search(r"calculate\(x=1, y=0\) raised ZeroDivisionError after [\d.]+ ms$", record["message"])
    assert (record["level"], record["error_type"]) == ("WARNING", "ZeroDivisionError")
    assert "returned" not in record
    assert "exception" not in record
    assert events == []


def test_arguments_are_those_before_the_call(kept):
    """What a function does to its arguments does not show; self and cls are left out."""

    class Cart:
        @log_function_call
        def add(self, items):
            items.append(3)
            return items

    assert Cart().add([1]) == [1, 3]
    assert "add(items=[1]) returned [1, 3] in" in kept.record()["message"]


def test_level_is_looked_at_first(kept, monkeypatch):
    """While the logger does not take the level, arguments are not looked at, and no line is written."""

    @log_function_call(level="debug")
    def quiet(x):
        return x

    with monkeypatch.context() as patched:
        patched.setattr("time_execution.logs.calls.argument_text", lambda *_, **__: pytest.fail("it was looked at"))
        assert quiet(5) == 5
    assert kept.records() == []
    assert stats()["errors"]["hook"] == {}
    configure(log_level="DEBUG")
    assert quiet(6) == 6
    assert kept.record()["arguments"] == "x=6"


@pytest.mark.parametrize(
    "decorator", [log_function_call, log_function_call(), log_function_call("info"), log_function_call(20)]
)
def test_ways_to_write_it(kept, decorator):
    """With and without parentheses, with a level by name or number."""
    assert decorator(abs)(-1) == 1
    assert kept.record()["level"] == "INFO"


def shown(kept):
    """Return what the lines tell of their calls."""
    return [
        (record["call"].rpartition("kinds.")[2], record["arguments"], record["returned"]) for record in kept.records()
    ]


def test_functions_of_all_kinds(kept):
    """Coroutine functions and generators of both kinds have a line each, when they are done."""

    @log_function_call
    async def coroutine(a):
        await asyncio.sleep(0)
        return a

    @log_function_call
    def generator(a):
        yield a
        return "end"

    @log_function_call
    async def async_generator(a):
        yield a

    async def main():
        assert await coroutine(1) == 1
        assert [item async for item in async_generator(3)] == [3]

    asyncio.run(main())
    assert inspect.iscoroutinefunction(coroutine)
    assert list(generator(2)) == [2]
    assert shown(kept) == [("coroutine", "a=1", "1"), ("async_generator", "a=3", "None"), ("generator", "a=2", "'end'")]


def test_classes_and_objects_of_all_kinds(kept):
    """Methods, properties, classes, partials and objects have a line each."""
    logged = log_function_call

    @logged
    class Thing:
        def __init__(self, a):
            self.a = a

        @logged
        @classmethod
        def of_class(cls, a):
            return a

        @property
        @logged
        def value(self):
            return self.a

        def __call__(self, a):
            return a

    thing = Thing(4)
    assert isinstance(thing, Thing)
    assert (Thing.of_class(5), thing.value, logged(thing)(6), logged(functools.partial(thing, 7))()) == (5, 4, 6, 7)
    assert shown(kept) == [
        ("Thing", "a=4", "None"),
        ("Thing.of_class", "a=5", "5"),
        ("Thing.value", "", "4"),
        ("Thing", "a=6", "6"),
        ("Thing", "", "7"),
    ]


def test_cancelled_calls_are_named(kept):
    """A coroutine that is cancelled has a line, and ends as it does undecorated."""

    @log_function_call
    async def wait():
        await asyncio.Event().wait()

    asyncio.run(cancelled(wait()))
    assert kept.record()["error_type"].endswith("CancelledError")


@pytest.mark.parametrize(("secret", "value"), PLANTED, ids=range(len(PLANTED)))
def test_no_secret_is_shown(kept, secret, value):
    """Secrets in arguments and results are in no file."""

    @log_function_call
    def take(x, **more):
        return x

    take(value)
    take({"deep": [value]})
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        take(1, **{key: item for key, item in value.items() if key != "x"})
    kept.lines()
    assert all(secret not in path.read_text(encoding="utf-8") for path in kept.folder.iterdir())


def test_results_of_telling_functions_are_masked(kept):
    """What a function such as create_token returns is a secret by the function's name."""

    @log_function_call
    def create_token():
        return "abcdef"

    create_token()
    assert kept.record()["returned"] == "***"


def test_large_and_hostile_values_are_told_briefly(kept):
    """Texts are cut, containers summarised, and no code of a value is run."""

    @log_function_call(max_length=10)
    def take(*values):
        return values

    take("x" * 1000, list(range(1000)), Hostile())
    record = kept.record()
    assert len(record["message"]) < 300
    assert "Hostile" in log_shown(kept, Hostile())
    assert stats()["errors"]["hook"] == {}


def log_shown(kept, value):
    """Return how the last line shows an argument."""
    log_function_call(lambda x: None)(value)
    return kept.records()[-1]["arguments"]


@pytest.mark.parametrize("options", [{"level": "LOUD"}, {"level": -1}, {"max_length": 0}, {"level": None}])
def test_wrong_arguments_are_errors_when_decorating(options):
    """What makes no sense is told where it stands."""
    with pytest.raises(ConfigurationError, match="log_function_call"):
        log_function_call(**options)
    with pytest.raises(TypeError):
        log_function_call()(5)


def test_settings_change_nothing(kept):
    """Lines are no measurement: they are written whatever the settings say, and hooks do not see them."""
    seen = []
    with settings(enabled=False, hooks=[lambda **context: seen.append(context)], sample_rate=0.0):
        calculate(1)
    assert len(kept.records()) == 1
    assert seen == []


def test_a_log_that_cannot_be_set_up_changes_nothing(monkeypatch):
    """A wrong variable is counted, and the call is what it is."""
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    assert calculate(1) == 0.5
    assert stats()["errors"]["hook"] == {"log: ConfigurationError": 1}
