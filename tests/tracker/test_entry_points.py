"""Entry points and their parts: every kind of callable, what passes through, and what the output is told."""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import logging
import pickle

import pytest

from tests.tracker.lines import Lines, tracking
from time_execution import settings, stats
from time_execution.exceptions import ConfigurationError
from time_execution.tracker import ProcessTracker

pytestmark = pytest.mark.usefixtures("configured")


class Failing:
    """An output that raises, and counts how often it was asked."""

    def __init__(self, error):
        self.error = error
        self.calls = 0

    def __call__(self, text):
        self.calls += 1
        raise self.error


# ---- ways to decorate ----------------------------------------------------------------------------------------------


def test_names_are_the_functions_own_or_those_given():
    """Bare, with parentheses or with a name: that is how it stands in the line."""
    tracker, lines = tracking()

    @tracker.track
    def bare():
        pass

    @tracker.track()
    def with_parentheses():
        pass

    @tracker.track("given")
    def named():
        pass

    def main():
        bare()
        with_parentheses()
        named()
        with tracker.timer("block"):
            pass

    for decorated in (tracker(main), tracker()(main), tracker("other")(main), tracker(name_or_target=main)):
        decorated()
    parts = ["bare", "with_parentheses", "given", "block"]
    assert [list(line["latencies"]) for line in lines.read] == [
        [*parts, "main"], [*parts, "main"], [*parts, "other"], [*parts, "main"],
    ]  # fmt: skip


def test_results_arguments_and_looks_survive():
    """A decorated function returns the same object, takes the same arguments, and looks like itself."""
    tracker, lines = tracking()
    result = object()

    def plain(a, b=2, *rest, c, **others):
        """Say what it does."""
        return result, a, b, rest, c, others

    for decorated in (tracker(plain), tracker(tracker.track(plain))):
        assert decorated(1, 3, 4, c=5, d=6) == (result, 1, 3, (4,), 5, {"d": 6})
        assert decorated(1, c=5)[0] is result
        assert decorated.__doc__ == "Say what it does."
        assert decorated.__name__ == "plain"
        assert decorated.__qualname__ == plain.__qualname__
        assert inspect.signature(decorated) == inspect.signature(plain)
        assert inspect.unwrap(decorated) is plain
    assert len(lines) == 4


def test_methods_of_every_kind_are_tracked():
    """Methods, class methods, static methods and properties, above and below the tracker; classes by construction."""
    tracker, lines = tracking()

    class Thing:
        @tracker
        def method(self):
            return self

        @tracker
        @classmethod
        def above(cls):
            return cls

        @classmethod
        @tracker
        def below(cls):
            return cls

        @tracker
        @staticmethod
        def static_above(a):
            return a

        @staticmethod
        @tracker
        def static_below(a):
            return a

        @property
        @tracker
        def value(self):
            return 1

        @tracker
        @property
        def other_value(self):
            return 2

    thing = Thing()
    assert thing.method() is thing
    assert Thing.above() is thing.above() is Thing.below() is Thing
    assert Thing.static_above(5) == thing.static_below(5) == 5
    assert (thing.value, thing.other_value) == (1, 2)
    kept = tracker(Thing)
    assert kept is Thing
    assert isinstance(kept(), Thing)
    names = "method above above below static_above static_below value other_value Thing"
    assert [next(iter(line["latencies"])) for line in lines.read] == names.split()


def test_partials_callable_objects_and_builtins_are_tracked():
    """What is no function is tracked, too, under the name of its function or its class, and keeps its attributes."""
    tracker, lines = tracking()

    class Callable:
        answer = 42

        def __call__(self, a):
            return a

    thing = tracker(Callable())
    assert thing(5) == 5
    assert thing.answer == 42
    assert tracker(functools.partial(int, base=2))("101") == 5
    assert tracker(len)([1]) == 1
    assert tracker("kept")(functools.lru_cache(lambda: 3)).cache_info().hits == 0
    assert [next(iter(line["latencies"])) for line in lines.read] == ["Callable", "int", "len"]


@tracking()[0]
def at_module_level():
    return 1


def test_pickling_is_by_name_as_for_any_function():
    """A decorated function of a module is the same one after pickling."""
    cloudpickle = pytest.importorskip("cloudpickle")
    if at_module_level.__module__ in __import__("sys").modules:
        assert pickle.loads(pickle.dumps(at_module_level)) is at_module_level
    assert cloudpickle.loads(cloudpickle.dumps(at_module_level))() == 1


def test_what_is_pickled_whole_tracks_where_it_is_loaded():
    """An entry point and its part that no module has are one tracker's after cloudpickle, with a line of their own."""
    cloudpickle = pytest.importorskip("cloudpickle")
    tracker = ProcessTracker()

    @tracker.track
    def part():
        return 1

    @tracker
    def main():
        with tracker.timer("block"):
            return part()

    objects = (main, tracker(functools.partial(max, 1, 2)))
    loaded, partial = cloudpickle.loads(cloudpickle.dumps(objects))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert loaded() == 1
        assert partial() == 2
    first, second = printed.getvalue().splitlines()
    assert '"part": ' in first
    assert '"block": ' in first
    assert '"max": ' in second


# ---- the end of an entry point -------------------------------------------------------------------------------------


def test_output_gets_the_line_before_the_entry_point_returns():
    """The line is there when the caller goes on, once for each call, and the text has no end of line."""
    tracker, lines = tracking()

    @tracker
    def main():
        assert not lines
        return 1

    assert main() == 1
    (text,) = lines
    assert text.startswith('{"latencies": {"main": ')
    assert text.endswith('}, "metrics": {}}')


def test_default_output_prints_to_where_print_prints(capsys):
    """The stream is looked up when the line is printed, and each line is one write."""

    class Stream(io.StringIO):
        writes = 0

        def write(self, text):
            self.writes += bool(text)
            return super().write(text)

    tracker = ProcessTracker()
    main = tracker(lambda: None)
    main()
    assert capsys.readouterr().out.startswith('{"latencies": {"<lambda>": ')
    with contextlib.redirect_stdout(Stream()) as stream:
        main()
        main()
    assert len(stream.getvalue().splitlines()) == 2
    assert stream.writes == 2


def test_a_loggers_method_is_an_output(caplog):
    """`logger.info` takes the line as it is; percent signs in it are no format."""
    tracker = ProcessTracker(logging.getLogger("shop").info)
    with caplog.at_level(logging.INFO, "shop"):
        tracker("100 %s")(lambda: None)()
    assert caplog.messages[0].startswith('{"latencies": {"100 %s": ')


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_exceptions_pass_and_the_line_is_written(error):
    """What an entry point raises arrives as the same object, unchanged, and has its line all the same."""
    tracker, lines = tracking()
    cause = KeyError("cause")

    @tracker.track
    def part():
        with tracker.timer("block"):
            raise error from cause

    @tracker
    def main():
        part()

    with pytest.raises(type(error)) as caught:
        main()
    assert caught.value is error
    assert error.__cause__ is cause
    assert error.__context__ is None
    assert list(lines.one["latencies"]) == ["block", "part", "main"]


@pytest.mark.parametrize("ways", ["returns", "raises"])
@pytest.mark.parametrize("error", [RuntimeError("broken"), OSError(28, "full"), RecursionError()])
def test_output_that_raises_reaches_nobody(ways, error, caplog):
    """The call goes on as if nothing had happened; the failure is counted and logged once."""
    output = Failing(error)
    tracker = ProcessTracker(output)
    own = LookupError("mine")

    @tracker
    def main():
        if ways == "raises":
            raise own
        return 5

    for _ in range(3):
        if ways == "returns":
            assert main() == 5
            continue
        with pytest.raises(LookupError) as caught:
            main()
        assert caught.value is own
        assert own.__context__ is None
    assert output.calls == 3
    assert stats()["errors"]["hook"] == {f"Failing: {type(error).__name__}": 3}
    assert caplog.messages == [f"output Failing raised {type(error).__name__}; it is skipped"]
    with settings(raise_errors=True), pytest.raises(type(error)):
        main()


def test_output_that_raises_an_exception_of_the_call_again_does_not_change_it():
    """Not even an output that raises what the call's exception came from cuts it out of the chain."""
    root = KeyError("root")

    def main():
        try:
            raise root
        except KeyError:
            raise ValueError("outer")  # noqa: B904 - the context is the point

    decorated = ProcessTracker(Failing(root))(main)
    with pytest.raises(ValueError, match="outer") as caught:
        decorated()
    assert caught.value.__context__ is root
    assert root.__context__ is None


def test_what_is_no_exception_passes_out_of_the_output():
    """An interrupt that arrives while the line is written ends the call, and leaves no line open."""
    tracker = ProcessTracker(Failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        tracker(lambda: 1)()
    with pytest.warns(RuntimeWarning, match="outside of an entry point"):
        tracker.set_metric("x", 1)


@pytest.mark.parametrize("output", [None, "print", 5, object()])
def test_output_that_cannot_be_called_is_refused(output):
    """A tracker whose lines would go nowhere is an error when it is made."""
    with pytest.raises(ConfigurationError, match="output"):
        ProcessTracker(output)


def test_output_that_would_not_be_run_is_refused():
    """An ``async def`` function or a generator function does nothing when it is called, and is refused."""

    async def coroutine(text):
        pass

    def generator(text):
        yield text

    for output in (coroutine, generator):
        with pytest.raises(ConfigurationError, match="output"):
            ProcessTracker(output)


def test_output_that_calls_an_entry_point_does_not_go_on_for_ever():
    """A call that the output itself makes has no line, and is counted."""
    lines = Lines()

    def output(text):
        lines.append(text)
        inner()

    tracker = ProcessTracker(output)

    @tracker
    def inner():
        return 1

    assert inner() == 1
    assert inner() == 1
    assert len(lines) == 2
    (key,) = stats()["errors"]["hook"]
    assert key.endswith("output: reentrant")
    assert stats()["errors"]["hook"][key] == 2
