"""The profiler as its users type it: checked by mypy --strict, never run; see api.py beside it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from typing import TYPE_CHECKING, Any

import time_execution.profiler as phanos
from time_execution.profiler import Profiler, profile, profiler
from time_execution.profiler.metrics import Counter, Enum, Gauge, Histogram, Info, MetricWrapper, Summary
from time_execution.profiler.types import Handler, Record

if TYPE_CHECKING:
    from typing_extensions import assert_type


@profile
def bare(a: int, b: str = "", *, c: bytes) -> list[str]:
    return [b] * a


@phanos.profiler.profile
async def coroutine(a: int) -> str:
    return str(a)


@profile
def generator(a: int) -> Generator[int, str, bytes]:
    sent = yield a
    return sent.encode()


@profile
async def async_generator(a: int) -> AsyncGenerator[int, str]:
    yield a


class Thing:
    @profile
    def method(self, b: str) -> str:
        return b

    @staticmethod
    @profile
    def static(b: str) -> int:
        return len(b)

    @profile
    @classmethod
    def made(cls, b: str) -> Thing:
        return cls()


async def functions() -> None:
    assert_type(bare(1, "b", c=b""), list[str])
    bare("1", c=b"")  # type: ignore[arg-type]
    bare(1)  # type: ignore[call-arg]
    assert_type(generator(1), Generator[int, str, bytes])
    assert_type(async_generator(1), AsyncGenerator[int, str])
    pending = coroutine(1)
    assert_type(await assert_type(pending, Coroutine[Any, Any, str]), str)
    thing = Thing()
    assert_type(thing.method("b"), str)
    assert_type(Thing.static("b"), int)
    assert_type(Thing.made("b"), Thing)
    thing.method(1)  # type: ignore[arg-type]


def configuration() -> None:
    profiler.config(logging.getLogger(), job="job", time_profile=True, response_size_profile=False)
    profiler.config(job="job", error_raised_label=1)  # type: ignore[arg-type]
    profiler.dict_config({"job": "job"})
    profiler.dict_config("job")  # type: ignore[arg-type]
    assert_type(profiler.stats(), dict[str, dict[str, int]])
    assert_type(profiler.handlers, Mapping[str, Any])
    assert_type(phanos.profiler, Profiler)
    profiler.no_such_name()  # type: ignore[attr-defined]


def before(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None: ...


def callbacks() -> None:
    profiler.before_func = before
    profiler.after_func = None
    profiler.after_root_func = 5  # type: ignore[assignment]


class Printing:
    handler_name = "printing"

    def handle(self, records: list[Record], profiler_name: str) -> None:
        for record in records:
            assert_type(record["method"], str)
            assert_type(record["value"], tuple[str, Any])


class Nameless:
    def handle(self, records: list[Record], profiler_name: str) -> None: ...


def handlers() -> None:
    handler: Handler = Printing()
    profiler.add_handler(handler)
    profiler.add_handler(phanos.handlers.StreamHandler("stream"))
    profiler.add_handler(Nameless())  # type: ignore[arg-type]
    profiler.delete_handler(5)  # type: ignore[arg-type]


def instruments() -> None:
    metrics: list[MetricWrapper] = [
        Histogram("name", "job", "units", ["label"]),
        Summary("name", "job", "units", {"label"}),
        Info("name", "job"),
    ]
    for metric in metrics:
        profiler.add_metric(metric)
    counter, gauge = Counter("name", "job", "units"), Gauge("name", job="job", units="units", labels=("label",))
    counter.inc(1)
    counter.inc(1.5, {"label": "value"})
    counter.inc("1")  # type: ignore[arg-type]
    counter.dec(1)  # type: ignore[attr-defined]
    gauge.set(1, label_values={"label": "value"})
    gauge.set_to_current_time()
    Enum("name", "job", ["up"]).state("up")
    Enum("name", "job", ["up"]).state(1)  # type: ignore[arg-type]
    Info("name", "job").info({"version": "1"})
