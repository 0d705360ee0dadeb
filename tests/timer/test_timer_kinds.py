"""Everything that can be called can be timed, and stays what it was."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import pickle
import traceback
import weakref

import pytest

from tests.child import printed_by
from time_execution import settings
from time_execution.timer import Timer

cloudpickle = pytest.importorskip("cloudpickle")


def plain(a: int, b: str = "x", *, c: bytes = b"") -> str:
    """Say what it was given."""
    return f"{a}{b}{c!r}"


def outcomes(written):
    """Return function, arguments and outcome of each record."""
    return [
        (record["function"].rpartition(".")[2], record["arguments"], record["outcome"]) for record in written.timings()
    ]


def test_function_keeps_its_looks(written):
    """Name, document, signature, annotations and module are those of the function."""
    timed = written.timer()(plain)
    assert (timed.__name__, timed.__doc__, timed.__module__) == (plain.__name__, plain.__doc__, plain.__module__)
    assert inspect.signature(timed) == inspect.signature(plain)
    assert timed.__wrapped__ is plain
    assert timed(1, c=b"z") == plain(1, c=b"z")


@pytest.mark.parametrize("parameters", [{}, {"log_to_file": False, "results_format": None}])
def test_result_is_the_same_object(written, parameters):
    """What a call returns is what the caller gets, with and without files."""
    result = object()
    assert written.timer(**parameters)(lambda: result)() is result


def test_exception_is_the_same_object_with_its_traceback(written):
    """An exception passes as it is: same object, cause and context, and a traceback that ends where it was raised."""
    cause, context, error = KeyError("cause"), LookupError("context"), ValueError("error")

    @written.timer()
    def fail():
        try:
            raise context
        except LookupError:
            raise error from cause

    with pytest.raises(ValueError, match="error") as caught:
        fail()
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (cause, context)
    assert traceback.extract_tb(error.__traceback__)[-1].name == "fail"


def test_coroutine_function_is_timed_over_its_await(written):
    """A coroutine function stays one, and its record covers what it awaits."""

    @written.timer()
    async def work(n):
        await asyncio.sleep(0.02)
        return n

    assert inspect.iscoroutinefunction(work)
    assert asyncio.run(work(3)) == 3
    (record,) = written.timings()
    assert record["wall_ms"] >= 20
    assert outcomes(written) == [("work", "n=3", "ok")]


def test_cancelled_coroutine_has_a_record(written):
    """Cancelling passes, and the record says so."""

    @written.timer()
    async def work():
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert asyncio.run(main()) is True
    assert outcomes(written)[0][2].endswith("CancelledError")


def test_generator_is_timed_until_its_end(written):
    """A generator that is exhausted, closed or fails has one record; one that never began has none."""

    @written.timer()
    def count(n):
        for number in range(n):
            if number == 3:
                raise ValueError
            got = yield number
            assert got is None or got == "sent"
        return "done"

    assert inspect.isgeneratorfunction(count)
    assert list(count(2)) == [0, 1]
    closed = count(2)
    assert next(closed) == 0
    assert closed.send("sent") == 1
    closed.close()
    count(9)
    with pytest.raises(ValueError, match=r"^$"):
        list(count(5))
    assert outcomes(written) == [("count", "n=2", "ok"), ("count", "n=2", "ok"), ("count", "n=5", "ValueError")]


def test_asynchronous_generator_is_timed_until_its_end(written):
    """The same holds for one that awaits."""

    @written.timer()
    async def count(n):
        for number in range(n):
            await asyncio.sleep(0)
            yield number

    async def main():
        return [number async for number in count(3)]

    assert inspect.isasyncgenfunction(count)
    assert asyncio.run(main()) == [0, 1, 2]
    assert outcomes(written) == [("count", "n=3", "ok")]


def test_methods_and_properties_leave_the_receiver_out(written):
    """Methods of every kind are timed, above and below the other decorator; self and cls are no arguments."""
    timer = written.timer()

    class Thing:
        @timer
        def method(self, a):
            return a

        @timer
        @classmethod
        def made(cls, b):
            return (cls, b)

        @staticmethod
        @timer
        def helper(c):
            return c

        @property
        @timer
        def size(self):
            return 4

        @timer
        @property
        def width(self):
            return 5

    thing = Thing()
    assert (thing.method(1), Thing.made(2), thing.helper(3), thing.size, thing.width) == (1, (Thing, 2), 3, 4, 5)
    assert outcomes(written) == [
        ("method", "a=1", "ok"),
        ("made", "b=2", "ok"),
        ("helper", "c=3", "ok"),
        ("size", "", "ok"),
        ("width", "", "ok"),
    ]


def test_class_stays_itself_and_its_construction_is_timed(written):
    """A class keeps its identity, and each construction, of a subclass too, has a record."""

    class Thing:
        def __init__(self, a):
            self.a = a

    assert written.timer()(Thing) is Thing

    class Child(Thing):
        pass

    assert (Thing(1).a, Child(a=2).a) == (1, 2)
    assert outcomes(written) == [("Thing", "a=1", "ok"), ("Thing", "a=2", "ok")]


def test_partials_objects_and_builtins_are_timed(written):
    """What is no function is timed as well, under the name of what is called."""

    class Adder:
        def __call__(self, x):
            return x + 1

    timer = written.timer()
    assert timer(functools.partial(plain, 1))(b="y") == "1yb''"
    assert timer(Adder())(2) == 3
    assert timer(len)([1, 2]) == 2
    assert timer(divmod)(7, 2) == (3, 1)
    assert outcomes(written) == [
        ("plain", "b='y'", "ok"),
        ("Adder", "x=2", "ok"),
        ("len", "obj=[1, 2]", "ok"),
        ("divmod", "x=7, y=2", "ok"),
    ]


def test_call_that_does_not_fit_the_signature_is_recorded(written):
    """A TypeError for wrong arguments passes, and the record shows what was given."""
    timed = written.timer()(lambda a: a)
    with pytest.raises(TypeError, match="positional"):
        timed(1, 2, 3)
    with pytest.raises(TypeError, match="unexpected"):
        timed(1, b=2)
    assert [found[1:] for found in outcomes(written)] == [
        ("a=1, *args=[2, 3]", "TypeError"),
        ("a=1, b=2", "TypeError"),
    ]


def test_surplus_arguments_stand_under_their_parameter(written):
    """Arguments taken up by stars are shown under the starred name, and keywords under their own."""
    written.timer()(lambda a, *rest, **more: None)(1, 2, 3, k=4)
    assert written.arguments() == ["a=1, *rest=[2, 3], k=4"]


def test_what_cannot_be_called_is_refused(written):
    """Decorating a number is a mistake that shows at once."""
    with pytest.raises(TypeError, match="callables"):
        written.timer()(5)


# ---- pickling ------------------------------------------------------------------------------------------------------

PROGRAM = """
import json, multiprocessing, pickle, sys
import cloudpickle
from time_execution import flush
from time_execution.timer import ErrorCatcher, Timer

folder = sys.argv[1]
timer = Timer(log_to_console=False, log_dir=folder)
catcher = ErrorCatcher(log_to_console=False, error_log_file=folder + "/error.log")

@catcher
@timer
def work(n):
    return 1 // n

class Adder:
    def __call__(self, x):
        return x + 1

adder = timer(Adder())

def in_a_child(function, argument):
    try:
        function(argument)
    except ZeroDivisionError:
        pass

if __name__ == "__main__":
    assert pickle.loads(pickle.dumps(work)) is work
    assert pickle.loads(pickle.dumps(adder))(1) == 2
    assert cloudpickle.loads(cloudpickle.dumps(catcher(timer(lambda n: n + 1))))(1) == 2
    context = multiprocessing.get_context("spawn")
    for function, argument in ((work, 1), (work, 0), (adder, 5)):
        child = context.Process(target=in_a_child, args=(function, argument))
        child.start()
        child.join(60)
        assert child.exitcode == 0
    flush(20)
"""


def test_timed_functions_and_objects_pickle(written, tmp_path):
    """Functions by name, objects and local functions whole, also into spawned processes, which write the same files."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    code = f"import runpy, sys; sys.argv = [{str(program)!r}, {str(written.folder)!r}]; "
    printed_by(code + f"runpy.run_path({str(program)!r}, run_name='__main__')")
    found = sorted((arguments, outcome) for _, arguments, outcome in outcomes(written))  # each process in its own time
    assert found == [("n=0", "ZeroDivisionError"), ("n=1", "ok"), ("n=1", "ok"), ("x=1", "ok"), ("x=5", "ok")]
    (error,) = written.errors()
    assert [error["call_id"]] == [timing["call_id"] for timing in written.timings() if timing["outcome"] != "ok"]


def test_timer_pickles_with_its_options(written):
    """A timer that was pickled writes where the first one does, in the same way."""
    timer = written.timer(max_arg_length=3, name="series", track_resources=False)
    for module in (pickle, cloudpickle):
        copy: Timer = module.loads(module.dumps(timer))
        copy(lambda text: text)("abcdef")
    assert written.arguments() == ["text='ab…"] * 2
    assert {record["function"] for record in written.timings()} == {"series"}
    assert {record["rss_bytes"] for record in written.timings()} == {None}


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("way", ["timer", "catcher"])
def test_a_callable_that_changes_its_mind_is_called(written, way, enabled):
    """What stands for something else, and does so no more when it is called, is looked at when it is decorated."""

    class Proxy:
        __name__ = __qualname__ = "proxy"
        is_bound = True

        def __getattr__(self, name):
            if not self.is_bound:
                raise RuntimeError("it stands for nothing any more")
            raise AttributeError(name)

        def __call__(self):
            return 5

    proxy = Proxy()
    measured = (written.timer() if way == "timer" else written.catcher())(proxy)
    proxy.is_bound = False
    with settings(enabled=enabled):
        assert measured() == 5


class Argument:
    """Something that can be referred to weakly."""


@pytest.mark.parametrize("kind", ["function", "generator", "coroutine", "asynchronous generator"])
@pytest.mark.parametrize("order", ["timer", "catcher", "catcher above", "timer above"])
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_a_call_is_kept(written, kind, order, fails):
    """Arguments and exceptions are gone with their last user, without waiting for the garbage collector."""
    timer, catcher = written.timer(), written.catcher()
    decorators = {"timer": [timer], "catcher": [catcher], "catcher above": [timer, catcher]}
    measured, step = stepped(kind, fails=fails)
    for decorator in decorators.get(order, [catcher, timer]):
        measured = decorator(measured)

    def once():
        argument = Argument()
        with contextlib.suppress(ValueError, StopIteration, StopAsyncIteration):
            step(measured, argument)
        return weakref.ref(argument)

    once()  # what is kept from a first call, such as the lines of a source file, is not meant
    gc.collect()
    gc.disable()
    try:
        assert once()() is None
    finally:
        gc.enable()


def stepped(kind, *, fails):
    """Return a function of a kind, and what runs a call of it to its end without an event loop, which keeps things."""

    def function(argument):
        if fails:
            raise ValueError(argument)

    def generator(argument):
        yield argument
        function(argument)

    async def coroutine(argument):
        function(argument)

    async def asynchronous_generator(argument):
        yield argument
        function(argument)

    def steps_of(measured, argument):
        generated = measured(argument)
        for _ in range(2):
            with contextlib.suppress(StopIteration):
                generated.asend(None).send(None)

    return {
        "function": (function, lambda measured, argument: measured(argument)),
        "generator": (generator, lambda measured, argument: list(measured(argument))),
        "coroutine": (coroutine, lambda measured, argument: measured(argument).send(None)),
        "asynchronous generator": (asynchronous_generator, steps_of),
    }[kind]
