"""Messages and what became of them: a batch of metrics as the body of a message, and answers as results of metrics."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, cast

from time_execution.exceptions import BackendError, BackendUnavailable
from time_execution.formats.json import document
from time_execution.types import STORED, Metric, Result, Retry

if TYPE_CHECKING:
    from time_execution.backends.rabbitmq.session import Receipt


class Message(NamedTuple):
    """What is published for a batch.

    Attributes:
        id: The same for the same metrics, however often they are sent.
        metric_ids: Those of its metrics, with spaces between them; empty when they have none.
        body: A JSON array of their documents.
    """

    id: str
    metric_ids: str
    body: bytes


class Sent(NamedTuple):
    """What was published for a batch.

    Attributes:
        metric_ids: As in `Message`.
        size: How many metrics it holds.
        receipt: What became of it.
    """

    metric_ids: str
    size: int
    receipt: Receipt


def message_of(metrics: Sequence[Metric], write: Callable[..., str]) -> Message:
    """Return what is published for a batch, its body as `write` makes it."""
    body = write(metrics, timestamp=time.time_ns()).encode()
    metric_ids = ids_of(metrics)
    message_id = blake2b(metric_ids.encode(), digest_size=16).hexdigest() if metric_ids else uuid.uuid4().hex
    return Message(message_id, metric_ids, body)


def array_of(metrics: Sequence[Metric], *, timestamp: int) -> str:
    """Return the documents of metrics of any kind as a JSON array."""
    return f"[{','.join([document(metric, timestamp=timestamp) for metric in metrics])}]"


def results_of(sent: Sequence[Sent]) -> list[Result]:
    """Return a result for each metric up to the last one that is stored."""
    while sent and not sent[-1].receipt.is_stored:
        sent = sent[:-1]
    results: list[Result] = []
    for one in sent:
        results += [STORED if one.receipt.is_stored else Retry(BackendUnavailable.__name__)] * one.size
    return results


def until(trouble: BackendError, results: list[Result]) -> Iterator[Result]:
    """Yield results, and raise for the metrics after them."""
    yield from results
    raise trouble


def ids_of(metrics: Sequence[Metric]) -> str:
    """Return the ids of metrics, with spaces between them; nothing if one has none."""
    ids = [metric.id for metric in metrics]
    return "" if None in ids else " ".join(cast("list[str]", ids))
