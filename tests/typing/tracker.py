"""The tracker as its users type it: checked by mypy --strict, never run; see `api`."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from time_execution.tracker import EMFOutput, ProcessTracker
from time_execution.tracker.block import TimedBlock

if TYPE_CHECKING:
    from typing_extensions import assert_type


tracker = ProcessTracker()
ProcessTracker(print)
ProcessTracker(output=logging.getLogger("shop").info)
ProcessTracker([""].append)
ProcessTracker(EMFOutput(namespace="Shop", dimensions=["region"]))


@tracker
def bare(a: int, b: str = "", *, c: bytes) -> list[str]:
    return [b] * a


@tracker("named")
def named(a: int) -> int:
    return a


@tracker()
async def coroutine(a: int) -> str:
    return str(a)


@tracker.track
def part(a: int) -> str:
    return str(a)


@tracker.track("named")
async def named_part(a: int) -> str:
    return str(a)


@tracker.track()
def generator(a: int) -> Generator[int, str, bytes]:
    sent = yield a
    return sent.encode()


@tracker
async def async_generator(a: int) -> AsyncGenerator[int, str]:
    yield a


@tracker
class Thing:
    def __init__(self, a: int) -> None:
        self.a = a

    @tracker
    def method(self, b: str) -> str:
        return b

    @staticmethod
    @tracker.track
    def static_below(b: str) -> str:
        return b

    @tracker.track
    @staticmethod
    def static_above(b: str) -> str:
        return b

    @tracker("made")
    @classmethod
    def made(cls, b: int) -> Thing:
        return cls(b)

    @property
    @tracker
    def value(self) -> int:
        return 1


def decorated() -> None:
    assert_type(bare(1, "b", c=b""), list[str])
    assert_type(named(1), int)
    assert_type(part(1), str)
    assert_type(generator(1), Generator[int, str, bytes])
    assert_type(async_generator(1), AsyncGenerator[int, str])
    assert_type(Thing(1).method("b"), str)
    assert_type(Thing.static_below("b"), str)
    assert_type(Thing.static_above("b"), str)
    assert_type(Thing.made(1), Thing)
    assert_type(Thing(1).value, int)
    assert_type(tracker(functools.partial(bare, 1))(c=b""), list[str])

    bare("1", c=b"")  # type: ignore[arg-type]
    bare(1)  # type: ignore[call-arg]
    named("1")  # type: ignore[arg-type]
    part()  # type: ignore[call-arg]
    generator(1).send(1)  # type: ignore[arg-type]
    Thing("1")  # type: ignore[arg-type]
    Thing(1).method(1)  # type: ignore[arg-type]
    tracker(5)  # type: ignore[call-overload]
    tracker.track(5)  # type: ignore[call-overload]
    tracker.trak  # type: ignore[attr-defined]  # noqa: B018 - it is refused


async def awaited() -> None:
    pending = coroutine(1)
    assert_type(await assert_type(pending, Coroutine[Any, Any, str]), str)
    assert_type(await named_part(1), str)
    assert await coroutine("1")  # type: ignore[arg-type]
    async with tracker.timer("block") as entered:
        assert_type(entered, TimedBlock)


def noting() -> None:
    with tracker.timer("block") as entered:
        assert_type(entered.name, str)
    for value in (True, 1, 1.5, "text"):
        tracker.set_metric("name", value)
        tracker.set_identifier("name", value)
    tracker.set_timer("name", 1.5)
    tracker.set_timer("name", 1)

    tracker.set_metric("name", None)  # type: ignore[arg-type]
    tracker.set_metric("name", [1])  # type: ignore[arg-type]
    tracker.set_identifier(1, "value")  # type: ignore[arg-type]
    tracker.set_timer("name", "1")  # type: ignore[arg-type]
    tracker.timer(1)  # type: ignore[arg-type]
    tracker.timer()  # type: ignore[call-arg]
    ProcessTracker("print")  # type: ignore[arg-type]
    ProcessTracker(lambda: None)  # type: ignore[misc,arg-type]
    EMFOutput(dimension=["region"])  # type: ignore[call-arg]
