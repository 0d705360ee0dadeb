"""``with settings(...)``: what holds inside, after, and beside it, in threads and tasks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from tests.kept import Kept, kept_fixture  # noqa: F401 - a fixture is asked for by name
from tests.owned_backends import Owned, hook, nothing_made, work  # noqa: F401 - see above
from time_execution import settings, write_metric
from time_execution.exceptions import ConfigurationError
from time_execution.settings import live


def test_block_overrides_and_restores(kept: Kept):
    """Inside hold the changed settings, after it what held before, also after an exception."""
    inside = Kept()
    with pytest.raises(ZeroDivisionError), settings(backends=[inside], origin="inside"):
        assert settings.origin == "inside"
        work()
        write_metric("written")
        1 / 0  # noqa: B018 - it is to raise
    assert settings.origin is None
    work()
    assert (inside.names, kept.names) == (["work", "written"], ["work"])


def test_blocks_nest(kept: Kept):
    """An inner block changes only what it names."""
    with settings(origin="outer", hostname="h"):
        with settings(origin="inner"):
            work()
        work()
    work()
    assert [(m.get("origin"), m["hostname"] == "h") for m in kept.metrics] == [
        ("inner", True),
        ("outer", True),
        (None, False),
    ]


def test_block_may_be_entered_again_but_not_while_it_is_open(kept: Kept):
    """One object is one block at a time."""
    block = settings(origin="inside")
    with block:
        work()
        with pytest.raises(ConfigurationError, match="open"):
            block.__enter__()
        assert settings.origin == "inside"
    with block:
        work()
    work()
    assert [metric.get("origin") for metric in kept.metrics] == ["inside", "inside", None]


def test_backend_made_for_a_block_is_closed_with_it():
    """A class given to a block is constructed when it is entered, and closed when it is left."""
    block = settings(backends=[Owned])
    assert Owned.made == []
    with block:
        work()
        assert Owned.made[0].closed == 0
    assert [(backend.metrics, backend.closed) for backend in Owned.made] == [(["work"], 1)]
    with block:
        pass
    assert len(Owned.made) == 2


def test_block_does_not_close_what_it_inherits():
    """What configure() built outlives a block that changes something else."""
    settings.configure(backends=[Owned])
    with settings(origin="inside"):
        work()
    assert Owned.made[0].closed == 0


def test_configure_during_a_block_shows_after_it(kept: Kept):
    """A block keeps the settings it was entered with; the process gets the new ones."""
    with settings(origin="inside"):
        settings.configure(origin="new", hostname="h")
        assert (settings.origin, settings.hostname == "h") == ("inside", False)
    assert (settings.origin, settings.hostname) == ("new", "h")


def test_threads_do_not_see_a_block_of_another(kept: Kept):
    """A thread started inside a block, and one that runs beside it, follow the process's settings."""
    inside = Kept()
    seen: list[Any] = []

    def other():
        work()
        seen.append(settings.origin)

    with settings(backends=[inside], origin="inside"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)
        work()
    assert (seen, inside.names, kept.names) == ([None], ["work"], ["work"])


def test_blocks_of_many_threads_keep_apart(kept: Kept):
    """Each thread's calls go where its own block says, however they interleave."""
    start = threading.Barrier(4, timeout=10)
    stores = [Kept() for _ in range(4)]

    def run(store):
        start.wait()
        for _ in range(50):
            with settings(backends=[store]):
                work()
            work()

    threads = [threading.Thread(target=run, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [len(store.metrics) for store in stores] == [50] * 4
    assert len(kept.metrics) == 200
    assert live.version == live.snapshot.version


def test_tasks_keep_apart_and_inherit(kept: Kept):
    """A task has its own block; one made inside a block has that block's settings."""
    stores = [Kept() for _ in range(3)]

    async def child():
        await asyncio.sleep(0)
        work()

    async def run(store):
        with settings(backends=[store]):
            for _ in range(5):
                await asyncio.sleep(0)
                work()
            await asyncio.create_task(child())
        work()

    async def main():
        await asyncio.gather(*map(run, stores))

    asyncio.run(main())
    assert [len(store.metrics) for store in stores] == [6, 6, 6]
    assert len(kept.metrics) == 3


def test_task_that_outlives_its_block_follows_the_process_again(kept: Kept):
    """After the block is left, calls and metrics by hand of such a task both go where the process's go."""
    inside = Kept()

    async def late(left):
        work()
        await left.wait()
        work()
        write_metric("written")
        with settings(origin="other"):
            work()

    async def main():
        left = asyncio.Event()
        with settings(backends=[inside]):
            task = asyncio.create_task(late(left))
            await asyncio.sleep(0)
        work()
        left.set()
        await task

    asyncio.run(main())
    assert (inside.names, kept.names) == (["work"], ["work", "work", "written", "work"])


def test_block_left_in_another_context_restores_the_process(kept: Kept):
    """A block entered in one context and left in another, as some fixtures do, leaves no trace on others' calls."""
    block = settings(backends=[Owned])
    contextvars.copy_context().run(block.__enter__)
    block.__exit__(None, None, None)
    assert live.version == live.snapshot.version
    assert Owned.made[0].closed == 1
    work()
    assert kept.names == ["work"]
