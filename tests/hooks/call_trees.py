"""A measured leaf, what calls it, and the tree that metrics tell; no test leaves a call behind."""

from __future__ import annotations

import pytest

from time_execution import time_execution
from time_execution.hooks.call_tree import _innermost


@pytest.fixture(autouse=True)
def nothing_leaks():
    """No test leaves a call behind in the context it ran in."""
    assert _innermost.get() is None
    yield
    assert _innermost.get() is None


@time_execution
def leaf() -> None:
    pass


@time_execution
def branch(*, times: int = 1) -> None:
    for _ in range(times):
        leaf()


def tree(metrics) -> list[tuple[str, str | None, int]]:
    """Name, parent and depth of each metric, names shortened to their last part."""
    return [
        (metric["name"].rpartition(".")[2], metric.get("parent", "-").rpartition(".")[2] or None, metric["depth"])
        for metric in metrics
    ]
