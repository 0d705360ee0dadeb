"""What a backend answers for a batch, made sound: one result for each metric, of a class that can be counted."""

from __future__ import annotations

from itertools import islice, repeat
from typing import TYPE_CHECKING

from time_execution.delivery.retry import redacted, seconds_of
from time_execution.types import STORED, Reject, Result, Retry, Stored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from time_execution.types import Results


def answers_of(outcome: Results, count: int) -> Iterable[Result]:
    """Return an answer for each metric of a batch, lazily: a backend may be a generator that stores as it answers.

    Args:
        outcome: What the backend returned; None for *all stored*.
        count: How many metrics it was handed. One answer more is asked for, so that a generator comes to its end.

    Raises:
        TypeError: When iterated: for an answer that is none.
    """
    return repeat(STORED, count) if outcome is None else map(_sound, islice(outcome, count + 1))


def _sound(answer: object) -> Result:
    if answer is STORED or isinstance(answer, Stored):
        return answer
    if isinstance(answer, Retry):
        return Retry(redacted(str(answer.reason)), seconds_of(answer.after))
    if isinstance(answer, Reject):
        return Reject(redacted(str(answer.reason)), str(answer.detail))
    raise TypeError(f"a backend answers Stored, Retry or Reject for each metric, not {type(answer).__name__}")
