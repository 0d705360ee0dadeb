"""A backend of one's own: counts per function, written to a text file whenever a batch has come.

Run it as ``python examples/custom_backend.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from time_execution import settings, shutdown, time_execution
from time_execution.backends.base import BaseMetricsBackend
from time_execution.types import Metric


class CountsFile(BaseMetricsBackend):
    repr_fields = ("path",)

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.counts: Counter[str] = Counter()

    def write_many(self, metrics: Sequence[Metric]) -> None:
        self.counts.update(metric["name"] for metric in metrics)
        lines = [f"{count:6} {name}\n" for name, count in self.counts.most_common()]
        self.path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    # The dict could as well stand in pyproject.toml; an option of delivery puts a worker thread in front.
    settings.configure(backends=[{"class": "__main__.CountsFile", "path": "counts.txt", "bulk_timeout": 0.1}])

    @time_execution
    def inner() -> None:
        pass

    @time_execution
    def outer() -> None:
        inner()
        inner()

    for _ in range(3):
        outer()
    shutdown()
    print(Path("counts.txt").read_text(encoding="utf-8"), end="")
