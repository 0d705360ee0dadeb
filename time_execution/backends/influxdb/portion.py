"""Sends points in portions, and finds those that the server refuses among those that it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from time_execution.backends.influxdb.answer import RefusedError
from time_execution.exceptions import BackendError
from time_execution.types import STORED, Reject, Result, Retry

MAX_LINES = 5000
"""The most points in one request, as InfluxData advises."""

# As many attempts as it takes to find a dozen bad points among 5 000; what is left then waits for its next turn.
_MOST_ATTEMPTS = 200

Send = Callable[[Sequence[Any]], None]


def send_all(send: Send, points: Sequence[Any]) -> list[Result]:
    """Send points and return what became of each.

    Args:
        send: Sends up to `MAX_LINES` points; raises `RefusedError` when the server does not take some of them, though
            it may have stored the others. Sending a point twice must do no harm.
        points: Lines, or whatever `send` takes.

    Raises:
        BackendError: When nothing came of the first request. What a later one comes to is told by a `Retry` for the
            points that have no result yet.
    """
    results: list[Result] = []
    try:
        for start in range(0, len(points), MAX_LINES):
            results.extend(_sent(send, points[start : start + MAX_LINES]))
    except BackendError as exc:
        if not results:
            raise
        again = Retry(type(exc).__name__, getattr(exc, "retry_after", None))
        results += [again] * (len(points) - len(results))
    return results


def _sent(send: Send, points: Sequence[Any]) -> Iterator[Result]:
    """Send a portion; halve what is refused, until it is a single point or all of it was dropped."""
    parts, attempts = [points], 0
    while parts:
        part = parts.pop()
        attempts += 1
        if attempts > _MOST_ATTEMPTS:
            yield from [Retry("partial write")] * len(part)
            continue
        try:
            send(part)
        except RefusedError as exc:
            if len(part) == 1 or exc.dropped == len(part):
                yield from [Reject(detail=exc.said)] * len(part)
            else:
                middle = len(part) // 2
                parts += part[middle:], part[:middle]
        else:
            yield from [STORED] * len(part)
