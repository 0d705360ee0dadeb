"""Coroutines and asynchronous generators with a delivery in force, and a loop that is never held up: case P11."""

from __future__ import annotations

import asyncio
import builtins
import sys
import time
from typing import Any

import pytest

from tests.faults.harness import DEADLINE, FaultBackend, Gate, check_conservation, quick
from tests.patience import least_time
from time_execution import settings, time_execution


def collected(body):
    """Run a coroutine function with a delivery in force; returns its result and the names stored."""
    store = FaultBackend()
    delivery = quick(store)
    with settings(backends=[delivery]):
        result = asyncio.run(body())
        assert delivery.flush(DEADLINE)
    check_conservation(delivery.stats(), pending=0)
    delivery.close()
    return result, [metric["name"] for metric in store.stored]


def test_a_cancelled_coroutine_stays_cancelled_and_is_measured():
    """CancelledError passes through the decorator, the task counts as cancelled, the metric is written (P11)."""

    async def body():
        @time_execution(name="waits")
        async def waits():
            await asyncio.sleep(60)

        task = asyncio.ensure_future(waits())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert collected(body) == (True, ["waits"])


def test_asynchronous_generators_are_measured_to_their_end():
    """Exhausted, left early and closed, an asynchronous generator makes one metric each time (P11)."""

    async def body():
        @time_execution(name="numbers")
        async def numbers():
            for number in range(3):
                yield number

        full = [number async for number in numbers()]
        generator = numbers()
        async for _ in generator:
            break
        await generator.aclose()
        numbers()
        return full

    assert collected(body) == ([0, 1, 2], ["numbers"] * 2)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups are new in Python 3.11")
def test_an_exception_group_passes_as_it_is():
    """The very group that a coroutine raised arrives at its caller (P11)."""
    kind: Any = vars(builtins)["ExceptionGroup"]
    group = kind("both", [ValueError(1), KeyError(2)])

    async def body():
        @time_execution(name="raises")
        async def raises():
            raise group

        with pytest.raises(kind) as raised:
            await raises()
        return raised.value is group

    assert collected(body) == (True, ["raises"])


@pytest.mark.serial
def test_the_event_loop_is_never_held_up():
    """While the backend hangs and the queue overflows, the loop is blocked for less than 5 ms at a time (P11)."""
    gate = Gate()
    delivery = quick(FaultBackend([gate]), queue_maxsize=1000)
    settings.configure(backends=[delivery])

    @time_execution
    async def measured():
        return None

    calls = 0

    async def body():
        nonlocal calls
        times = []
        for _ in range(300):
            began = time.perf_counter()
            for _ in range(20):
                await measured()
                calls += 1
            await asyncio.sleep(0)
            times.append(time.perf_counter() - began)
        return sorted(times)[-4]  # the rest is the machine's

    longest = least_time(lambda: asyncio.run(body()), 0.005)
    stats = delivery.stats()
    gate.open.set()
    delivery.close()
    assert longest <= 0.005
    check_conservation(stats, offered=calls)
