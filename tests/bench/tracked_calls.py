"""What is called to measure a tracker: the same program with ours and with the older library, which has the same names.

Standard library only: the older library's process uses it, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.bench.floor import noop, noop_async
from tests.bench.measure import Window, awaiting, calling


def discard(line: str) -> None:
    """Be the output: what printing costs is the terminal's affair."""


def windows(make: Callable[[Callable[[str], None]], Any]) -> dict[str, Window]:
    """Return what is measured, by label.

    Args:
        make: Returns a tracker for an output.
    """
    tracker = make(discard)
    part, parts = tracker.track(noop), [tracker.track(f"part {number}")(noop) for number in range(10)]
    part_async = tracker.track(noop_async)

    def with_part() -> None:
        part()

    def with_ten_parts() -> None:
        for function in parts:
            function()

    def with_timer() -> None:
        with tracker.timer("timer"):
            pass

    def with_notes() -> None:
        tracker.set_metric("rows", 17)
        tracker.set_identifier("request", "r-17")

    async def with_part_async() -> None:
        await part_async()

    return {
        "entry point": calling(tracker(noop)),
        "with a part": calling(tracker(with_part)),
        "with ten parts": calling(tracker(with_ten_parts)),
        "with a timer": calling(tracker(with_timer)),
        "with a metric and an identifier": calling(tracker(with_notes)),
        "async entry point": awaiting(tracker(noop_async)),
        "async, with a part": awaiting(tracker(with_part_async)),
    }
