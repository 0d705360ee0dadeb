"""The public interface as its users type it: checked by mypy --strict, never run.

A line that must be refused carries the error that mypy reports; should it no longer be one, mypy itself says so, since
unused ignores are errors.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import time_execution as package
from time_execution import (
    block,
    flush,
    install_sigterm,
    methods,
    settings,
    shutdown,
    stats,
    time_execution,
    time_execution_async,
    write_metric,
)
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.types import STORED, Metric, Reject, Result, Results, Retry

if TYPE_CHECKING:
    from typing_extensions import assert_type


# ---- functions -----------------------------------------------------------------------------------------------------


@time_execution
def bare(a: int, b: str = "", *, c: bytes) -> list[str]:
    return [b] * a


@time_execution(name="series", extra_hooks=[], disable_default_hooks=True)
def parametrised(a: int, b: str = "", *, c: bytes) -> list[str]:
    return [b] * a


@time_execution()
def with_parentheses(a: int) -> int:
    return a


@time_execution_async
async def coroutine(a: int) -> str:
    return str(a)


@time_execution
def generator(a: int) -> Generator[int, str, bytes]:
    sent = yield a
    return sent.encode()


@time_execution
async def async_generator(a: int) -> AsyncGenerator[int, str]:
    yield a


@time_execution
def iterator() -> Iterator[int]:
    yield 1


@time_execution
async def async_iterator() -> AsyncIterator[int]:
    yield 1


def functions() -> None:
    assert_type(bare(1, "b", c=b""), list[str])
    assert_type(parametrised(1, c=b""), list[str])
    assert_type(with_parentheses(1), int)
    assert_type(generator(1), Generator[int, str, bytes])
    assert_type(async_generator(1), AsyncGenerator[int, str])
    assert_type(iterator(), Iterator[int])
    assert_type(async_iterator(), AsyncIterator[int])

    bare("1", c=b"")  # type: ignore[arg-type]
    bare(1)  # type: ignore[call-arg]
    bare(1, c=b"", d=1)  # type: ignore[call-arg]
    parametrised(1)  # type: ignore[call-arg]
    parametrised(1, c="")  # type: ignore[arg-type]
    with_parentheses()  # type: ignore[call-arg]
    generator(1).send(1)  # type: ignore[arg-type]


async def awaiting() -> None:
    pending = coroutine(1)
    assert_type(await assert_type(pending, Coroutine[Any, Any, str]), str)
    assert await coroutine("1")  # type: ignore[arg-type]
    assert_type(await coroutine(1), str)
    async for item in async_generator(1):
        assert_type(item, int)
    async with block("b", a=1) as entered:
        assert_type(entered.fields, dict[str, Any])


# ---- methods and classes -------------------------------------------------------------------------------------------


@time_execution
class Thing:
    def __init__(self, a: int) -> None:
        self.a = a

    @time_execution
    def method(self, b: str) -> str:
        return b

    @staticmethod
    @time_execution
    def static_below(b: str) -> str:
        return b

    @time_execution
    @staticmethod
    def static_above(b: str) -> str:
        return b

    @classmethod
    @time_execution
    def class_below(cls, b: str) -> str:
        return b

    @property
    @time_execution
    def value(self) -> int:
        return 1

    @functools.cached_property
    @time_execution
    def cached(self) -> int:
        return 1


class Child(Thing):
    def __init__(self) -> None:
        super().__init__(1)


def classes() -> None:
    thing = Thing(1)
    assert_type(thing, Thing)
    assert_type(thing.a, int)
    assert_type(thing.method("b"), str)
    assert_type(Thing.static_below("b"), str)
    assert_type(Thing.static_above("b"), str)
    assert_type(Thing.class_below("b"), str)
    assert_type(thing.value, int)
    assert_type(thing.cached, int)
    assert_type(Child().a, int)
    assert_type(time_execution(functools.partial(bare, 1))(c=b""), list[str])
    methods(Thing, "load_*", disable_default_hooks=True)

    Thing("1")  # type: ignore[arg-type]
    Thing()  # type: ignore[call-arg]
    thing.method(1)  # type: ignore[arg-type]
    thing.missing  # type: ignore[attr-defined]  # noqa: B018 - it is refused
    assert_type(methods(Thing)(1).method(""), str)
    methods("Thing")  # type: ignore[type-var]
    methods(Thing(1))  # type: ignore[type-var]


# ---- misspelt names ------------------------------------------------------------------------------------------------


def misspelt() -> None:
    time_execution(nane="x")  # type: ignore[call-overload]
    time_execution(extra_hook=[])  # type: ignore[call-overload]
    time_execution.blok("x")  # type: ignore[attr-defined]
    package.setings  # type: ignore[attr-defined]  # noqa: B018 - it is refused
    package.time_executions  # type: ignore[attr-defined]  # noqa: B018 - it is refused
    settings.orign  # type: ignore[attr-defined]  # noqa: B018 - it is refused
    from time_execution import write_metrics  # type: ignore[attr-defined]  # noqa: F401
    from time_execution.hooks import status_hook  # type: ignore[attr-defined]  # noqa: F401


# ---- settings and operations ---------------------------------------------------------------------------------------


def configuring(path: Path, hook: Callable[..., dict[str, Any]]) -> None:
    settings.configure()
    settings.configure(path)
    settings.configure("metrics.toml", origin="shop")
    settings.configure({"origin": "shop"})
    settings.configure(backends=["sqlite:///metrics.db", ThreadedBackend, Printer()], hooks=[hook])
    with settings(enabled=False):
        pass
    settings.reset()
    assert_type(settings.origin, str | None)
    assert_type(settings.sample_rate, float)
    assert_type(settings.include, tuple[str, ...])

    settings.configure(42)  # type: ignore[arg-type]


def operating() -> None:
    assert_type(flush(), bool)
    assert_type(flush(1.5), bool)
    assert_type(stats(), dict[str, Any])
    shutdown(2.0)
    install_sigterm()
    write_metric("cpu.load", value=0.5, host="a")
    write_metric(name="cpu.load", value=0.5)
    with block("orders.import", source="csv"):
        pass

    flush("1")  # type: ignore[arg-type]
    write_metric(1)  # type: ignore[arg-type]
    write_metric()  # type: ignore[call-arg]
    block()  # type: ignore[call-arg]


# ---- hooks ---------------------------------------------------------------------------------------------------------


def plain_hook(
    *,
    response: Any,
    exception: BaseException | None,
    metric: dict[str, Any],
    func: Callable[..., Any],
    func_args: tuple[Any, ...],
    func_kwargs: dict[str, Any],
) -> Mapping[str, Any] | None:
    return {"status": response}


async def async_hook(
    *,
    response: Any,
    exception: BaseException | None,
    metric: dict[str, Any],
    func: Callable[..., Any],
    func_args: tuple[Any, ...],
    func_kwargs: dict[str, Any],
) -> dict[str, Any]:
    return {}


def generator_hook(
    *, func: Callable[..., Any], func_args: tuple[Any, ...], func_kwargs: dict[str, Any]
) -> Generator[None, tuple[Any, BaseException | None, dict[str, Any]], dict[str, Any]]:
    _response, _exception, _metric = yield
    return {}


def kept_short(**given: Any) -> None:
    return None


def wrong_hook(a: int) -> int:
    return a


@time_execution(extra_hooks=[plain_hook, async_hook, generator_hook, kept_short])
def hooked() -> int:
    return 1


def hooks() -> None:
    assert_type(hooked(), int)
    time_execution(extra_hooks=[wrong_hook])  # type: ignore[list-item]
    time_execution(extra_hooks=[42])  # type: ignore[list-item]


# ---- backends ------------------------------------------------------------------------------------------------------


class Printer(BaseMetricsBackend):
    def write(self, name: str, **data: Any) -> None:
        print(name, data)


class Batches(BaseMetricsBackend):
    def write_many(self, metrics: Any) -> Results:
        results: list[Result] = [STORED, Retry("busy", after=1.0), Reject("bad", "why")]
        return results


def backends() -> None:
    Printer().write("a", value=1)
    Printer().bulk_write([{"name": "a"}, Metric({"name": "b"}, kind="gauge", unit="items")])
    assert_type(Printer().flush(1.0), bool)
    ThreadedBackend(Printer, backend_kwargs={}, bulk_size=10, overflow="block")

    Metric({}, kind="timer")  # type: ignore[arg-type]
    ThreadedBackend(Printer, overflow="explode")  # type: ignore[arg-type]
    ThreadedBackend(Printer, bulk_siz=1)  # type: ignore[call-arg]
    ThreadedBackend()  # type: ignore[call-arg]
