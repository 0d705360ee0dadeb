"""Entry points that run at the same time, each with parts that run at the same time: every line is its own.

Run it as ``python examples/tracker_asyncio.py``.
"""

from __future__ import annotations

import asyncio

from time_execution.tracker import ProcessTracker

tracker = ProcessTracker()


@tracker.track
async def get_person(name: str) -> str:
    await asyncio.sleep(0.02)
    return name.title()


async def get_room(name: str) -> str:
    async with tracker.timer("get_room"):
        await asyncio.sleep(0.01)
    return name.title()


@tracker
async def guess(person: str, room: str) -> tuple[str, str]:
    tracker.set_identifier("guess", f"{person} in the {room}")
    return tuple(await asyncio.gather(get_person(person), get_room(room)))  # type: ignore[return-value]


async def main() -> None:
    await asyncio.gather(guess("plum", "library"), guess("scarlet", "kitchen"))


asyncio.run(main())
