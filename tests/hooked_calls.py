"""Two measured functions, plain and asynchronous, and how to configure the hooks that see their calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.kept import Kept
from time_execution import settings, time_execution


def configure(*hooks: Any, **changes: Any) -> list[dict[str, Any]]:
    """Configure a direct backend with hooks; returns the metrics it is handed."""
    backend = Kept()
    settings.configure(backends=[backend], hooks=list(hooks), **changes)
    return backend.metrics


@time_execution(name="work")
def work(*args, **kwargs):
    """Return the arguments, or raise the first when it is an exception."""
    if args and isinstance(args[0], BaseException):
        raise args[0]
    return args


@time_execution(name="work")
async def async_work(*args, **kwargs):
    """Return the arguments, or raise the first when it is an exception."""
    await asyncio.sleep(0)
    if args and isinstance(args[0], BaseException):
        raise args[0]
    return args


def call(*args, **kwargs):
    """Call the plain function."""
    return work(*args, **kwargs)


def call_async(*args, **kwargs):
    """Run the coroutine function."""
    return asyncio.run(async_work(*args, **kwargs))


BOTH = pytest.mark.parametrize("call", [call, call_async], ids=["sync", "async"])


async def slow_hook(metric, **_):
    """Add a field after a moment."""
    await asyncio.sleep(0.001)
    return {"awaited": metric["name"]}
