"""Blocks of code under ``time_execution.block``: with and async with."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import pytest

from tests.kept import Kept, Way, kept_fixture, way_fixture  # noqa: F401 - fixtures are asked for by name
from time_execution import block, settings, stats, time_execution
from time_execution.exceptions import ConfigurationError

block_module = sys.modules["time_execution.block"]  # the package's attribute of this name is the function


class Suspended:
    """Something to await that only another can end."""

    def __await__(self):
        yield


def test_block_writes_a_metric_with_its_fields(kept: Kept):
    """A block has name, value, hostname and timestamp as a call has, and what it was given."""
    with block("orders.import", source="csv") as entered:
        entered.fields["rows"] = 3
        asyncio.run(asyncio.sleep(0.02))
    (metric,) = kept.metrics
    assert list(metric) == ["name", "value", "hostname", "timestamp", "source", "rows"]
    assert (metric["name"], metric["source"], metric["rows"]) == ("orders.import", "csv", 3)
    assert 10 < metric["value"] < 5000


@pytest.mark.parametrize("name", ["", None, 5, [], {}], ids=str)
def test_block_without_a_name_is_refused(name):
    """At once, whatever was given instead."""
    with pytest.raises(ConfigurationError, match="the name of a series"):
        time_execution.block(name)


def test_block_takes_every_way(way: Way):
    """A block is measured wherever a call is, sync and async, and nowhere else."""

    async def main():
        async with time_execution.block("second"):
            await asyncio.sleep(0)

    with block("first"):
        pass
    asyncio.run(main())
    way.expect("first", "second")


def test_exception_leaves_a_block_as_it_is(way: Way):
    """A block swallows nothing, and what ran until then is measured."""
    error = ValueError("v")
    with pytest.raises(ValueError, match="v") as caught, block("failing"):
        raise error
    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    way.expect("failing")


def test_hooks_of_a_block_see_no_arguments_and_its_outcome():
    """Hooks run for a block as for a function: before, after, with the exception."""
    seen: list[Any] = []

    def around(func, func_args, func_kwargs):
        seen.append("before")
        response, exception, metric = yield
        seen.append((response, exception, metric["name"]))
        return {"around": True}

    async def awaited(**_):
        await asyncio.sleep(0)
        return {"awaited": True}

    backend = Kept()
    settings.configure(backends=[backend], hooks=[around, awaited])
    error = ValueError("v")

    async def main():
        with pytest.raises(ValueError, match="v"):
            async with block("b", extra=1):
                seen.append("inside")
                raise error

    asyncio.run(main())
    assert seen == ["before", "inside", (None, error, "b")]
    assert backend.metrics[0].items() >= {"extra": 1, "around": True, "awaited": True}.items()


def test_hooks_of_a_plain_block_see_its_exception():
    """In a plain ``with`` as in an asynchronous one."""
    seen: list[Any] = []
    settings.configure(backends=[Kept()], hooks=[lambda exception, **_: seen.append(exception)])
    error = ValueError("v")
    with pytest.raises(ValueError, match="v"), block("b"):
        raise error
    with block("b"):
        pass
    assert seen == [error, None]


def test_asynchronous_hook_is_skipped_and_counted_on_a_plain_with():
    """There is nothing to await it with."""

    async def awaited(**_):
        return {"awaited": True}

    backend = Kept()
    settings.configure(backends=[backend], hooks=[awaited])
    with block("b"):
        pass
    assert "awaited" not in backend.metrics[0]
    (key,) = stats()["errors"]["hook"]
    assert "awaited" in key


def test_block_may_be_used_again(kept: Kept):
    """Each use is a metric of its own."""
    again = block("again")
    with again:
        pass
    with again:
        pass
    assert kept.names == ["again", "again"]


def test_blocks_nest_and_interleave(way: Way):
    """Blocks inside each other, and in several tasks at once, keep apart."""

    async def step(n):
        async with block(f"step{n}"):
            await asyncio.sleep(0.001)

    async def main():
        with block("all"):
            await asyncio.gather(step(0), step(1))

    asyncio.run(main())
    names = sorted(metric["name"] for metric in way.metrics)
    assert names == (["all", "step0", "step1"] if way.measures else [])


@pytest.mark.parametrize(
    "off",
    [{"enabled": False}, {"exclude": ["quiet*"]}, {"include": ["loud*"]}, {"sample_rate": 0.0}],
    ids=lambda off: next(iter(off)),
)
def test_block_that_is_not_measured_starts_no_hook(off):
    """Switched off, filtered out or not drawn: neither metric nor hook."""
    ran = []

    def around(func, func_args, func_kwargs):
        ran.append("begun")
        yield

    backend = Kept()
    settings.configure(backends=[backend], hooks=[around], **off)
    with block("quiet.block"):
        pass
    assert (ran, backend.metrics) == ([], [])


def test_block_inside_a_generator_hook_does_not_reach_the_caller():
    """A hook that measures its own work in a block is neither endless nor fatal."""
    begun = []

    def around(func, func_args, func_kwargs):
        begun.append(func)
        with block("inner"):
            pass
        yield
        with block("inner"):
            pass

    backend = Kept()
    settings.configure(backends=[backend], hooks=[around])

    @time_execution
    def work():
        return 42

    assert work() == 42
    assert work() == 42
    assert len(begun) == 2
    assert [name.rpartition(".")[2] for name in backend.names] == ["work", "work"]
    assert stats()["errors"]["hook"] == {"inner: reentrant": 4}


@pytest.mark.parametrize("field", ["self", "fields", "kind", "origin"])
def test_any_field_may_be_given(kept: Kept, field):
    """No parameter of ours stands in the way of a field; what cannot be passed on gets a trailing underscore."""
    with block("b", **{field: 1}):
        pass
    (metric,) = kept.metrics
    assert 1 in (metric.get(field), metric.get(f"{field}_"))


def test_closed_coroutine_closes_though_a_hook_would_wait():
    """A coroutine that is closed inside a block awaits nothing any more."""

    async def waiting(**_):
        await Suspended()

    backend = Kept()
    settings.configure(backends=[backend], hooks=[waiting])

    async def work():
        async with block("b"):
            await Suspended()

    coroutine = work()
    coroutine.send(None)
    coroutine.close()
    assert backend.names == ["b"]


def test_names_made_at_run_time_do_not_pile_up(kept: Kept):
    """Blocks with ever new names keep a bounded number of plans."""
    for number in range(3 * block_module._MAX_TARGETS):
        with block(f"b{number}"):
            pass
    assert len(kept.metrics) == 3 * block_module._MAX_TARGETS
    assert len(block_module._targets) <= block_module._MAX_TARGETS


def test_threads_use_one_name_at_the_same_time(kept: Kept):
    """Blocks of the same name in several threads are each measured."""

    def work():
        for _ in range(200):
            with block("shared"):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert kept.names == ["shared"] * 800
