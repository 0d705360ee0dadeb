"""The request id: set, carried by context, restored."""

from __future__ import annotations

import asyncio
import threading

import pytest

from time_execution import time_execution
from time_execution.hooks import get_request_id, request_id_hook, reset_request_id, set_request_id


@pytest.fixture(autouse=True)
def no_request_id():
    """Every test begins and ends without one."""
    assert get_request_id() is None
    yield
    assert get_request_id() is None


def test_no_id_adds_nothing(outcome) -> None:
    """Outside of requests, metrics have no such field."""
    assert request_id_hook(**outcome()) is None


def test_id_is_on_every_metric_of_the_request(measured) -> None:
    """From setting to resetting, each metric carries the id."""
    metrics = measured(request_id_hook)
    call = time_execution(lambda: None)
    token = set_request_id("req-1")
    call()
    inner = set_request_id("req-2")
    call()
    reset_request_id(inner)
    call()
    reset_request_id(token)
    call()
    assert [metric.get("request_id") for metric in metrics] == ["req-1", "req-2", "req-1", None]


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 129, "a\r\nSet-Cookie: b", "<script>", "ä", 5])
def test_unfit_id_is_replaced(given) -> None:
    """What could not stand in a header or a log line as it is gives way to a new id."""
    token = set_request_id(given)
    made = get_request_id()
    reset_request_id(token)
    assert made is not None
    assert made != given
    assert len(made) == 32
    token = set_request_id(given)
    assert get_request_id() != made
    reset_request_id(token)


@pytest.mark.parametrize("given", ["6ba7b810-9dad-11d1-80b4-00c04fd430c8", "x" * 128, "1-67891233-abcdef=:/@~,+"])
def test_fit_id_is_kept(given) -> None:
    """Common forms of ids are taken as they come."""
    token = set_request_id(given)
    assert get_request_id() == given
    reset_request_id(token)


def test_tasks_and_threads_do_not_mix(measured) -> None:
    """Concurrent tasks keep their own ids; a bare thread has none; `to_thread` inherits."""
    metrics = measured(request_id_hook)
    call = time_execution(lambda: None)

    async def handle(number: int) -> None:
        set_request_id(f"req-{number}")
        await asyncio.sleep(0)
        await asyncio.to_thread(call)
        assert get_request_id() == f"req-{number}"

    async def serve() -> None:
        await asyncio.gather(*(handle(number) for number in range(5)))

    asyncio.run(serve())
    assert {metric["request_id"] for metric in metrics} == {f"req-{number}" for number in range(5)}
    token = set_request_id("main")
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    reset_request_id(token)
    assert "request_id" not in metrics[-1]
