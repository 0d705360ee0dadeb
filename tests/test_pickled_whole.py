"""Measured things that cloudpickle pickles whole, as joblib, Dask, Ray and Spark send functions to other processes."""

from __future__ import annotations

import asyncio
import functools
import pickle
import subprocess
import sys

import pytest

from tests.kept import Kept
from time_execution import settings, time_execution

cloudpickle = pytest.importorskip("cloudpickle")


def hook(**_):
    """Add a field."""
    return {"hooked": True}


def made(kind):
    """Return a measured thing that no module has, and a function that uses one like it, to get 42."""

    @time_execution(name="work", extra_hooks=[hook])
    def function(value):
        return value

    @time_execution(name="work", extra_hooks=[hook])
    async def coroutine(value):
        return value

    @time_execution(name="work", extra_hooks=[hook])
    def generator(value):
        yield value

    @time_execution(name="work", extra_hooks=[hook])
    async def async_generator(value):
        yield value

    @time_execution(name="work", extra_hooks=[hook])
    @functools.wraps(coroutine.__wrapped__)
    def awaitable(value):
        return coroutine.__wrapped__(value)

    @time_execution(name="work", extra_hooks=[hook])
    class Made:
        def __init__(self, value):
            self.value = value

    partial = time_execution(name="work", extra_hooks=[hook])(functools.partial(max, 42))

    async def last(iterator):
        return [value async for value in iterator].pop()

    return {
        "function": (function, lambda thing: thing(42)),
        "coroutine": (coroutine, lambda thing: asyncio.run(thing(42))),
        "generator": (generator, lambda thing: list(thing(42)).pop()),
        "async_generator": (async_generator, lambda thing: asyncio.run(last(thing(42)))),
        "awaitable": (awaitable, lambda thing: asyncio.run(thing(42))),
        "class": (Made, lambda thing: thing(42).value),
        "partial": (partial, lambda thing: thing(1)),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["function", "coroutine", "generator", "async_generator", "awaitable", "class", "partial"]
)
@pytest.mark.parametrize("configured", [False, True], ids=["before", "after"])
def test_what_is_loaded_is_measured_as_the_settings_say_that_are_in_force_then(kind, configured):
    """Whatever was configured where it was pickled: no backend, queue or client travels with it."""
    if configured:
        settings.configure(backends=[Kept()])
    thing, use = made(kind)
    text = cloudpickle.dumps(thing)
    kept = Kept()
    settings.configure(backends=[kept])
    assert use(pickle.loads(text)) == 42
    assert kept.names == ["work"]
    assert kept.metrics[0]["hooked"] is True


def test_another_process_loads_it(tmp_path):
    """With nothing but the package at hand, where nothing is configured, or its own settings are."""
    thing, _ = made("function")
    (tmp_path / "thing").write_bytes(cloudpickle.dumps(thing))
    script = """if True:
        import pickle, sys
        from time_execution import settings
        from time_execution.backends.memory import MemoryBackend
        work = pickle.loads(open(sys.argv[1], "rb").read())
        assert work(1) == 1
        settings.configure(backends=[store := MemoryBackend()])
        assert work(2) == 2
        assert [metric["name"] for metric in store.metrics] == ["work"]
    """
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "thing"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
