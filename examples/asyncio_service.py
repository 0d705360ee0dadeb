"""An asynchronous service: coroutines and blocks measured, with the request they belong to and who called whom.

Run it as ``python examples/asyncio_service.py``. Prints a line of JSON for each metric. Concurrent
requests do not mix: request id and callers follow the context.
"""

from __future__ import annotations

import asyncio

from time_execution import block, settings, time_execution
from time_execution.hooks import call_tree_hook, exception_hook, request_id_hook, set_request_id

settings.configure(backends=["stream://stdout"], hooks=[request_id_hook, call_tree_hook, exception_hook])


@time_execution
async def handle(request: str) -> str:
    set_request_id(request)
    async with block("look up", table="teas"):
        await asyncio.sleep(0.002)
    return await brew(request)


@time_execution
async def brew(request: str) -> str:
    await asyncio.sleep(0.001)
    if request == "coffee":
        raise LookupError(request)
    return f"{request} is ready"


async def main() -> None:
    answers = await asyncio.gather(*map(handle, ["assam", "sencha", "coffee"]), return_exceptions=True)
    assert answers[:2] == ["assam is ready", "sencha is ready"]
    assert isinstance(answers[2], LookupError)


asyncio.run(main())
