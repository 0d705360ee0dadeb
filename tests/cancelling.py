"""Cancelling what runs."""

from __future__ import annotations

import asyncio

import pytest


async def cancelled(coroutine):
    """Run a coroutine as a task, cancel it where it first waits, and return the task; CancelledError must come out."""
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return task
