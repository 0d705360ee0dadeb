"""What is called to measure a profiler: the same program with ours and with phanos, which has the same names.

Standard library only: the older library's process uses it, too.
"""

from __future__ import annotations

from typing import Any

from tests.bench.floor import noop, noop_async
from tests.bench.measure import Window, awaiting, calling


def windows(phanos: Any, base: type) -> dict[str, Window]:
    """Return what is measured, by label; records are handed to a handler that forgets them.

    Args:
        phanos: The package.
        base: What its handlers extend.
    """

    class Forgetting(base):  # type: ignore[misc]
        def handle(self, records: Any, profiler_name: str = "profiler") -> None:
            pass

    phanos.profiler.config(job="bench", error_raised_label=False)
    phanos.profiler.add_handler(Forgetting("forgetting"))
    profile = phanos.profile
    child, child_async = profile(noop), profile(noop_async)

    def with_child() -> None:
        child()

    def with_ten_children() -> None:
        for _ in range(10):
            child()

    async def with_child_async() -> None:
        await child_async()

    return {
        "root": calling(profile(noop)),
        "root with a child": calling(profile(with_child)),
        "root with ten children": calling(profile(with_ten_children)),
        "async root": awaiting(profile(noop_async)),
        "async root with a child": awaiting(profile(with_child_async)),
    }
