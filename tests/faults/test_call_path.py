"""Isolation on the call path: whatever hooks and backends do, the caller sees what he would see undecorated.

Cases B1, B2, B8 and B9 of the acceptance matrix, and invariant I2: the same object, the same tail of the traceback,
the same ``__context__`` and ``__cause__``.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import gc
import itertools
import random
import re
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from tests.kept import Kept
from time_execution import block, flush, settings, shutdown, stats, time_execution, write_metric
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import BackendRejected, ConfigurationError


@pytest.fixture(autouse=True)
def _no_patience():
    """Do not wait at the end for what a backend that is down will never take."""
    yield
    shutdown(0.01)


# ---- what is measured: raising in every way, in every kind of callable ---------------------------------------------


NOTHING: dict[str, Any] = {}


class Odd(Exception):
    """An exception with a will of its own."""

    def __init__(self, *, required):
        super().__init__("odd")
        self.required = required

    def __eq__(self, other):
        raise RuntimeError("compared")

    __hash__ = None  # type: ignore[assignment]

    def __str__(self):
        raise RuntimeError("shown")

    __repr__ = __str__


def bare():
    """Raise."""
    raise ValueError("bare")


def with_context():
    """Raise while another exception is handled."""
    try:
        NOTHING["missing"]
    except KeyError:
        raise ValueError("in a handler")  # noqa: B904 - the implicit context is the point


def with_cause():
    """Raise from another exception."""
    try:
        int("x")
    except ValueError as exc:
        raise LookupError("translated") from exc


def from_none():
    """Raise with the context suppressed."""
    try:
        int("x")
    except ValueError:
        raise LookupError("translated") from None


def odd():
    """Raise what can be neither compared nor shown."""
    raise Odd(required=1)


def stops():
    """Raise what ends an iteration."""
    raise StopIteration("value")


def stops_async():
    """Raise what ends an asynchronous iteration."""
    raise StopAsyncIteration("value")


def interrupted():
    """Raise what is no Exception."""
    raise KeyboardInterrupt


def cancelled():
    """Raise what ends a task."""
    raise asyncio.CancelledError("because")


def group():
    """Raise several at once, where there are groups."""
    if sys.version_info < (3, 11):
        raise ValueError("no groups yet")
    raise getattr(builtins, "ExceptionGroup")("several", [ValueError("a"), KeyError("b")])  # noqa: B009 - not on 3.10


FAILURES = (bare, with_context, with_cause, from_none, odd, interrupted, cancelled, group)


def run_function(decorate, fail):
    """Call a function."""

    @decorate
    def measured():
        fail()

    measured()


def run_method(decorate, fail):
    """Call a method through an instance."""

    class Thing:
        @decorate
        def measured(self):
            fail()

    Thing().measured()


def run_class(decorate, fail):
    """Construct an object."""

    @decorate
    class Thing:
        def __init__(self):
            fail()

    Thing()


def run_coroutine(decorate, fail):
    """Drive a coroutine by hand."""

    @decorate
    async def measured():
        fail()

    measured().send(None)


def run_generator(decorate, fail):
    """Exhaust a generator."""

    @decorate
    def measured():
        yield 1
        fail()

    list(measured())


def run_async_generator(decorate, fail):
    """Exhaust an asynchronous generator by hand."""

    @decorate
    async def measured():
        yield 1
        fail()

    async def main():
        async for _ in measured():
            pass

    main().send(None)


def run_handler(decorate, fail):
    """Call a function while the caller handles an exception of his own."""

    @decorate
    def measured():
        fail()

    try:
        int("the caller's")
    except ValueError:
        measured()


KINDS = (run_function, run_method, run_class, run_coroutine, run_generator, run_async_generator, run_handler)


def anatomy(exc: BaseException | None) -> Any:
    """Return what can be seen of an exception and its chain, without what one frame of ours adds."""
    if exc is None:
        return None
    frames = [
        (frame.name, frame.line)
        for frame in traceback.extract_tb(exc.__traceback__)
        if "time_execution/" not in frame.filename.replace("\\", "/")
    ]
    parts = getattr(exc, "exceptions", ())
    return (
        type(exc),
        [anatomy(part) for part in parts] or exc.args,
        vars(exc),
        frames,
        exc.__suppress_context__,
        anatomy(exc.__cause__),
        anatomy(exc.__context__),
    )


def raised_by(call: Callable[..., Any], *args: Any) -> BaseException:
    """Return what a call raises."""
    try:
        call(*args)
    except BaseException as exc:
        return exc
    pytest.fail("nothing was raised")


# ---- what goes wrong beside it -------------------------------------------------------------------------------------


class NoTruth:
    """Has no truth value."""

    def __bool__(self):
        raise RuntimeError("no truth")


def raises(**_):
    """Fail."""
    raise RuntimeError("hook")


def raises_while_handling(**_):
    """Fail in the middle of handling a failure."""
    try:
        NOTHING["hook"]
    except KeyError:
        raise RuntimeError("hook")  # noqa: B904 - the implicit context is the point


def raises_the_same(exception, **_):
    """Raise the function's own exception again, from within a handler."""
    if isinstance(exception, Exception):
        try:
            NOTHING["hook"]
        except KeyError:
            raise exception  # noqa: B904 - a hook may be as careless
    return {}


def raises_from_the_same(exception, **_):
    """Raise something else because of the function's exception."""
    raise RuntimeError("hook") from exception


def rewrites_the_chain(exception, **_):
    """Raise the function's exception as if something else had caused it."""
    if isinstance(exception, Exception):
        raise exception from RuntimeError("hook")
    return {}


def before(func, func_args, func_kwargs):
    """Fail before the call."""
    raise RuntimeError("hook")
    yield


def after(func, func_args, func_kwargs):
    """Fail after the call."""
    yield
    raise RuntimeError("hook")


def after_the_same(func, func_args, func_kwargs):
    """Raise the function's own exception after the call."""
    _response, exception, _metric = yield
    return raises_the_same(exception)


def returns_without_truth(func, func_args, func_kwargs):
    """Return what cannot be asked whether it is anything."""
    yield
    return NoTruth()


async def awaits(**_):
    """Fail where it is awaited."""
    raise RuntimeError("hook")


async def awaits_the_same(exception, **_):
    """Raise the function's own exception where it is awaited."""
    return raises_the_same(exception)


def returns_rubbish(**_):
    """Return what cannot be merged."""
    return [1, 2, 3]


def spoils(metric, **_):
    """Leave nothing of the metric but what cannot be written."""
    metric.clear()
    metric[("not", "a", "name")] = object()


def recurses(**given):
    """Go on until it cannot."""
    return recurses(**given)


HOOKS = (
    raises,
    raises_while_handling,
    raises_the_same,
    raises_from_the_same,
    rewrites_the_chain,
    before,
    after,
    after_the_same,
    returns_without_truth,
    awaits,
    awaits_the_same,
    returns_rubbish,
    spoils,
    recurses,
)


class ApiError(Exception):
    """As clients have them: not a child of their transport errors, and not made from text alone."""

    def __init__(self, status: int, *, body: bytes) -> None:
        super().__init__(status, body)


class Bad:
    """A backend that raises what it was made with."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def write(self, name, **data):
        raise self.error


class BadBatch(BaseMetricsBackend):
    """A backend for batches that raises what it was made with."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def write_many(self, metrics):
        raise self.error


class BadResults(BaseMetricsBackend):
    """A backend whose answers make no sense."""

    def write_many(self, metrics):
        return 42


class Same:
    """A backend that raises whatever its caller's exception is."""

    def write(self, name, **data):
        current = sys.exc_info()[1]
        if isinstance(current, Exception):
            raise current from RuntimeError("backend")
        raise RuntimeError("backend")


ERRORS = (OSError("down"), ApiError(429, body=b"slow down"), BackendRejected("no"), RecursionError(), StopIteration(1))
BACKENDS: tuple[Callable[[], Any], ...] = (
    *(lambda error=error: Bad(error) for error in ERRORS),
    *(lambda error=error: BadBatch(error) for error in ERRORS),
    BadResults,
    Same,
)


def configurations():
    """Return ways to configure, each with something wrong in it, by name."""
    for hook in HOOKS:
        yield hook.__name__, lambda hook=hook: {"hooks": [hook, lambda **_: {"last": 1}], "backends": [Kept()]}
    yield "all hooks", lambda: {"hooks": HOOKS, "backends": [Kept()]}
    for number, make in enumerate(BACKENDS):
        yield f"backend {number}", lambda make=make: {"backends": [make(), Kept()]}
    yield "everything", lambda: {"hooks": HOOKS, "backends": [make() for make in BACKENDS]}
    yield "queued", lambda: {"hooks": HOOKS, "backends": [ThreadedBackend(Bad(OSError()), shutdown_timeout=0.1)]}
    yield "queued alone", lambda: {"backends": [ThreadedBackend(Kept(), shutdown_timeout=0.1)]}


CONFIGURATIONS = dict(configurations())
WRONG = pytest.mark.parametrize("wrong", CONFIGURATIONS, ids=str)


@pytest.mark.parametrize("kind", KINDS)
@WRONG
def test_exception_is_what_it_would_be_undecorated(wrong, kind):
    """Type, content, frames, context and cause of an exception are the function's own (B1, B2, I2)."""
    settings.configure(**CONFIGURATIONS[wrong]())
    for fail in (*FAILURES, *(() if "generator" in kind.__name__ or kind is run_coroutine else (stops, stops_async))):
        undecorated = raised_by(kind, lambda thing: thing, fail)
        decorated = raised_by(kind, time_execution, fail)
        assert anatomy(decorated) == anatomy(undecorated), fail.__name__


@WRONG
def test_exception_is_the_very_object(wrong):
    """The caller catches the object that was raised, its attributes untouched (I2)."""
    settings.configure(**CONFIGURATIONS[wrong]())
    error = Odd(required=object())
    cause, context = ValueError("cause"), KeyError("context")
    error.__cause__, error.__context__ = cause, context
    shape = vars(error).copy()

    def fail():
        raise error

    for kind in KINDS:
        if kind is run_handler:
            continue  # there, the language itself sets the context
        assert raised_by(kind, time_execution, fail) is error
        assert (error.__cause__, error.__context__, vars(error)) == (cause, context, shape)


class Difficult:
    """An object that nobody may touch."""

    def __eq__(self, other):
        raise RuntimeError("compared")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self):
        raise RuntimeError("asked")

    def __repr__(self):
        raise RuntimeError("shown")

    def __getattr__(self, name):
        raise RuntimeError("looked at")


@time_execution
def give(thing):
    """Return it."""
    return thing


@time_execution
async def give_later(thing):
    """Return it where it is awaited."""
    return thing


@time_execution
def give_twice(thing):
    """Yield and return it."""
    yield thing
    return thing


@time_execution
async def give_each(thing):
    """Yield it where it is awaited."""
    yield thing


@WRONG
def test_result_is_the_very_object(wrong):
    """The caller gets the object that was returned, however odd it is (I2)."""
    settings.configure(**CONFIGURATIONS[wrong]())
    things: list[Any] = [Difficult(), None, NotImplemented, [], ValueError("returned, not raised")]
    for thing in things:
        assert give(thing) is thing
        assert asyncio.run(give_later(thing)) is thing
        iterator = give_twice(thing)
        assert next(iterator) is thing
        assert getattr(raised_by(next, iterator), "value") is thing  # noqa: B009 - a StopIteration has one
        with pytest.raises(StopIteration) as stop:
            anext(give_each(thing)).__await__().send(None)
        assert stop.value.value is thing
        with block("b") as entered:
            entered.fields["thing"] = 1


@WRONG
def test_nothing_is_left_behind(wrong):
    """After any failure the next call is measured as the first, once things are in order again."""
    settings.configure(**CONFIGURATIONS[wrong]())
    for kind in KINDS:
        raised_by(kind, time_execution, bare)
    kept = Kept()
    settings.configure(backends=[kept], hooks=[])
    for kind in KINDS:
        raised_by(kind, time_execution(name=kind.__name__), bare)
    assert kept.names == [kind.__name__ for kind in KINDS]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
def test_metric_is_written_though_a_hook_fails(hook, fails):
    """The metric arrives with `hook_error`, unless the hook left nothing of it, and the failure is counted (B1)."""
    kept = Kept()
    settings.configure(backends=[kept], hooks=[hook, lambda **_: {"last": 1}])

    @time_execution(name="work")
    async def work():
        if fails:
            raise ValueError("v")
        return 1

    try:
        asyncio.run(work())
    except ValueError:
        assert fails
    same = hook in {raises_the_same, rewrites_the_chain, after_the_same, awaits_the_same}
    if hook is spoils:
        return
    (metric,) = kept.metrics
    assert (metric["name"], metric["last"]) == ("work", 1)
    expected = None if same and not fails else type(raised_or_merged(hook, fails)).__name__
    assert metric.get("hook_error") == expected
    assert sum(stats()["errors"]["hook"].values()) == (expected is not None)


def raised_or_merged(hook, fails):
    """Return an exception of the kind that a hook's failure is."""
    if hook in {raises_the_same, rewrites_the_chain, after_the_same, awaits_the_same}:
        return ValueError()
    return {returns_rubbish: TypeError(), recurses: RecursionError()}.get(hook, RuntimeError())


def test_users_exception_is_not_replaced_by_a_hooks():
    """The older library gave back the hook's KeyError in place of the result; here the caller knows nothing of it."""

    def hook(response, **_):
        return {"status": response["status"]}

    settings.configure(backends=[Kept()], hooks=[hook])
    assert time_execution(lambda: 42)() == 42
    with pytest.raises(ValueError, match="mine"):
        time_execution(lambda: int("mine"))()


# ---- the reentrancy marks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before", "after"])
def test_generator_that_ends_inside_a_hook_does_not_reach_the_caller(moment):
    """A measured generator, begun outside and exhausted by a hook, ends there; the call and its metric are whole."""
    kept = Kept()

    @time_execution(name="items")
    def items():
        yield 1

    started = items()
    next(started)

    def hook(func, func_args, func_kwargs):
        if moment == "before":
            list(started)
        yield
        if moment == "after":
            list(started)

    settings.configure(backends=[kept])
    work = time_execution(name="work", extra_hooks=[hook])(lambda: 7)
    assert [work(), work()] == [7, 7]
    assert kept.names.count("work") == 2


def test_collector_that_closes_a_measured_generator_inside_a_hook_is_harmless():
    """What the garbage collector ends in the middle of a hook is measured, or counted, and nothing raises (P10)."""
    kept = Kept()

    @time_execution(name="items")
    def items(me):
        yield 1

    def hook(func, func_args, func_kwargs):
        cycle: list[Any] = []
        iterator = items(cycle)
        next(iterator)
        cycle.append(iterator)
        del cycle, iterator
        gc.collect()
        yield
        gc.collect()

    settings.configure(backends=[kept], hooks=[hook])
    work = time_execution(name="work")(lambda: 7)
    assert [work() for _ in range(3)] == [7, 7, 7]
    assert kept.names.count("work") == 3


def test_async_generator_keeps_the_context_of_what_it_raises():
    """An exception thrown in and handled there is no context of one raised later (I2)."""

    async def source():
        with contextlib.suppress(KeyError):
            yield 1
        raise ValueError("later")

    async def main(make):
        iterator = make()
        await anext(iterator)
        try:
            await iterator.athrow(KeyError("thrown in"))
        except ValueError as exc:
            return exc.__context__
        raise AssertionError

    settings.configure(backends=[Kept()])
    assert asyncio.run(main(source)) is None
    assert asyncio.run(main(time_execution(source))) is None


def test_generator_keeps_the_context_of_what_it_raises():
    """The same for a plain generator."""

    def source():
        with contextlib.suppress(KeyError):
            yield 1
        raise ValueError("later")

    def run(make):
        iterator = make()
        next(iterator)
        return raised_by(iterator.throw, KeyError("thrown in")).__context__

    settings.configure(backends=[Kept()])
    assert run(source) is None
    assert run(time_execution(source)) is None


def test_traceback_does_not_grow_with_hooks_and_backends():
    """Above the function's own frames stand at most two of ours, however much is configured."""
    settings.configure(**CONFIGURATIONS["everything"]())
    for kind in (run_function, run_method, run_coroutine, run_generator):
        exc = raised_by(kind, time_execution, bare)
        files = [frame.filename.replace("\\", "/") for frame in traceback.extract_tb(exc.__traceback__)]
        assert sum("/time_execution/" in name for name in files) <= 3
        assert "faults" in files[-1]


# ---- many at once --------------------------------------------------------------------------------------------------


def test_failing_hooks_and_backends_of_many_threads_mix_nothing_up():
    """Under four threads each caller has his own result or exception, and every call has its metric."""
    chance = random.Random(5)
    plan = [chance.random() < 0.5 for _ in range(300)]
    kept = Kept()
    wrong: list[Any] = []

    @time_execution(name="work")
    def work(thing, fails):
        if fails:
            raise thing
        return thing

    def run():
        for fails in plan:
            thing = ValueError("mine")
            try:
                got: Any = work(thing, fails)
            except ValueError as exc:
                got = exc
            if got is not thing or thing.__context__ is not None:
                wrong.append(got)

    settings.configure(backends=[Bad(OSError()), kept, BadBatch(ApiError(500, body=b""))], hooks=HOOKS[:9])
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert len(kept.metrics) == 4 * len(plan)


# ---- B8: what is changed after writing -----------------------------------------------------------------------------


def test_queued_metric_is_what_it_was_when_written():
    """Lists, dicts and nested ones that the caller or a hook changes later are stored as they were (B8)."""
    store = Kept()
    shared = {"list": [1], "dict": {"a": 1}, "nested": [{"b": [2]}], "set": {1}, "bytes": bytearray(b"x")}
    settings.configure(backends=[ThreadedBackend(store, bulk_timeout=60)], hooks=[lambda **_: {"hooked": shared}])
    time_execution(name="work")(lambda: 7)()
    write_metric("written", **shared)
    with block("block", given=shared):
        pass
    shared["list"].append(9)  # type: ignore[attr-defined]
    shared["dict"]["a"] = 9  # type: ignore[index]
    shared["nested"][0]["b"].append(9)  # type: ignore[index]
    shared["set"].add(9)  # type: ignore[attr-defined]
    shared["bytes"][0] = 0  # type: ignore[index]
    assert flush(10)
    was = {"list": [1], "dict": {"a": 1}, "nested": [{"b": [2]}], "set": [1], "bytes": "x"}
    by_name = {metric["name"]: metric for metric in store.metrics}
    assert by_name["work"]["hooked"] == was
    assert by_name["block"]["given"] == was
    assert {key: by_name["written"][key] for key in was} == was


def test_fields_of_a_block_are_read_when_it_is_left():
    """What is added inside shows, what is changed afterwards does not (B8)."""
    kept = Kept()
    settings.configure(backends=[kept])
    with block("b", n=1) as entered:
        entered.fields["n"] = 2
    entered.fields["n"] = 3
    assert kept.metrics[0]["n"] == 2


# ---- B9: wrong configuration ---------------------------------------------------------------------------------------

SECRET = "hunter2hunter2"


class Demanding:
    """A backend that wants arguments."""

    def __init__(self, host: str, *, password: str) -> None:
        raise ValueError(f"cannot connect to {host} with {password}")

    def write(self, name, **data):
        """Never reached."""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"backends": [f"nosuch://user:{SECRET}@db/x"]}, "nosuch"),
        ({"backends": [f"{SECRET}"]}, r"backends\[0\]"),
        ({"backends": [{"class": f"{__name__}.Demanding", "host": "db", "password": SECRET}]}, "Demanding"),
        ({"backends": [{"class": f"{__name__}.Demanding", "hosst": SECRET}]}, "hosst"),
        ({"backends": [Demanding]}, "Demanding"),
        ({"backends": [Kept(), 42]}, r"backends.*1"),
        ({"backends": ["no.such.module.Backend"]}, r"backends\[0\].*no module"),
        ({"hooks": [SECRET]}, "hooks"),
        ({"hooks": ["time_execution.hooks.nothing_here"]}, "hooks"),
        ({"bakends": [SECRET]}, "backends"),
        ({"origin": [SECRET]}, "origin.*list"),
        ({"sample_rate": SECRET}, "sample_rate"),
        ({"sample_rate": -0.1}, "sample_rate"),
        ({"exclude": [b"x"]}, "exclude"),
    ],
    ids=lambda value: re.sub("0x[0-9a-f]+", "0x", str(value)).replace(SECRET, "…")[:50],
)
def test_wrong_configuration_is_refused_where_it_is_written(changes, says):
    """The error comes at once, names the key and tells no secret, also down its chain (B9)."""
    for how in (settings.configure, lambda **given: settings(**given).__enter__()):
        with pytest.raises(ConfigurationError, match=says) as caught:
            how(**changes)
        assert isinstance(caught.value, ValueError)
        if changes.keys() <= {"backends", "hooks", "origin", "sample_rate", "bakends"}:
            seen = "".join(traceback.format_exception_only(type(caught.value), caught.value))
            assert SECRET not in seen
    assert (settings.backends, settings.hooks, settings.sample_rate) == ((), (), 1.0)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        *itertools.product([{"queue_maxsize": n} for n in (0, -1, 1.5, True, "9")], ["queue_maxsize"]),
        *itertools.product([{"bulk_size": n} for n in (0, -1, None)], ["bulk_size"]),
        *itertools.product([{"max_bytes": n} for n in (0, -1, "16 MiB")], ["max_bytes"]),
        *itertools.product([{"worker_limit": n} for n in (0, -1, 0.5)], ["worker_limit"]),
        *itertools.product([{"bulk_timeout": n} for n in (-1, float("nan"), float("inf"), "1")], ["bulk_timeout"]),
        ({"shutdown_timeout": -1}, "shutdown_timeout"),
        ({"queue_timeout": None}, "queue_timeout"),
        ({"overflow": "explode"}, "overflow"),
        ({"overflow": "spool"}, "spool"),
        ({"backend_kwargs": {"a": 1}}, "backend_kwargs"),
    ],
    ids=str,
)
def test_wrong_options_of_a_queue_are_refused_when_it_is_made(options, key):
    """Sizes, times and policies are checked at construction, and the key is named (B9)."""
    with pytest.raises(ConfigurationError, match=key):
        ThreadedBackend(Kept(), **options)


def test_import_path_that_leads_nowhere_is_refused_when_the_queue_is_made():
    """A queue around a backend that does not exist is no queue (B9)."""
    for path in ("no.such.module.Backend", "time_execution.types.NoBackend", "nodots"):
        with pytest.raises(ConfigurationError, match="backend"):
            ThreadedBackend(backend=path)


@pytest.mark.parametrize("thing", [object(), 42, None, object], ids=["object", "int", "None", "class"])
def test_what_is_no_backend_is_refused_when_the_queue_is_made(thing):
    """A queue around something that cannot be written to is no queue (B9)."""
    with pytest.raises((ConfigurationError, TypeError)):
        ThreadedBackend(thing)
