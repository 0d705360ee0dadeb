"""A session with RabbitMQ that goes by a script."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from time_execution.backends.rabbitmq import RabbitMQBackend
from time_execution.backends.rabbitmq.session import Receipt, RefusedError
from time_execution.exceptions import BackendTimeout
from time_execution.types import Metric


class Answer(NamedTuple):
    """What a wait for confirmations brings.

    Attributes:
        outcomes: For each message that is open, in order: ``+`` confirmed, ``-`` refused, ``?`` nothing.
        error: What the wait fails with.
        blocks: Whether the server blocks publishers from then on.
    """

    outcomes: str = ""
    error: BaseException | None = None
    blocks: bool = False


SILENT = Answer("?" * 9, BackendTimeout("silent"))
BLOCKED = SILENT._replace(blocks=True)


class Session:
    """Answers each wait for confirmations by script: with nothing, all is confirmed; else see `Answer`."""

    max_frame_bytes = 131_072

    def __init__(self, *script, open_error=None, publish_error=None):
        self.script = list(script)
        self.open_error = open_error
        self.publish_error = publish_error
        self.push_error = None
        self.is_blocked = False
        self.is_alive = True
        self.receipts = []
        self.published = []
        self.closed = []

    def open(self, exchange, *, exchange_type, durable):
        if self.open_error is not None:
            raise self.open_error

    def breathe(self):
        return self.is_alive

    def push(self):
        error, self.push_error = self.push_error, None
        if error is not None:
            raise error

    def publish(self, body, properties, **_target):
        if self.publish_error is not None:
            raise self.publish_error
        self.published.append(properties)
        self.receipts.append(Receipt(properties.message_id))
        return self.receipts[-1]

    def confirm(self):
        answer = self.script.pop(0) if self.script else Answer()
        self.is_blocked = answer.blocks
        waiting = [receipt for receipt in self.receipts if receipt.is_open]
        for receipt, outcome in zip(waiting, answer.outcomes or "+" * len(waiting), strict=False):
            receipt.is_open = outcome == "?"
            receipt.refusal = RefusedError() if outcome == "-" else None
        if answer.error is not None:
            raise answer.error

    def close(self, timeout):
        self.closed.append(timeout)


def made(*sessions, **options):
    """Return a backend that opens these sessions, one after the other."""
    rabbit = RabbitMQBackend("h", **{"timeout": 0.05} | options)
    waiting = list(sessions)
    rabbit._make = lambda: waiting.pop(0)
    return rabbit


def metrics(*numbers):
    return [Metric({"name": f"m{number}", "value": number}, id=f"ff-{number}") for number in numbers]


def results_before(kind, answer):
    """Return the results that come before an exception, which speaks for the metrics without one."""
    results = []
    with pytest.raises(kind):
        for result in answer:
            results.append(result)  # noqa: PERF402 - what came before the exception is what counts
    return results


def ids(session):
    return [properties.headers.get("metric-ids") for properties in session.published]
