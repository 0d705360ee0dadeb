"""What the tests of RabbitMQ share: a queue to read from, and metrics to find in it."""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import Any

import pika

from time_execution.types import Metric


class Reader:
    """A queue of its own at an exchange, read by the official client.

    Args:
        port: Of the server, on 127.0.0.1.
        exchange: Its name; a new one if there is none.
        **arguments: Of the queue.
    """

    def __init__(self, port, exchange=None, **arguments):
        self.exchange = exchange or f"test-{uuid.uuid4().hex}"
        self.name = f"{self.exchange}-queue"
        self.messages = []
        self._port = port
        self.connection: Any = None
        self.channel: Any = None
        self.connect()
        self.declare()
        self.channel.queue_declare(self.name, durable=True, arguments=arguments)
        self.channel.queue_bind(self.name, self.exchange)

    def declare(self):
        """Make the exchange."""
        self.channel.exchange_declare(self.exchange, exchange_type="fanout", durable=True)

    def connect(self):
        """Connect, again where the server has closed the connection."""
        if self.connection is not None:
            with contextlib.suppress(pika.exceptions.AMQPError):
                self.connection.close()
        self.connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self._port, heartbeat=0))
        self.channel = self.connection.channel()

    def fetch(self):
        """Return all messages so far, as triples of method, properties and documents."""
        while True:
            method, properties, body = self.channel.basic_get(self.name, auto_ack=True)
            if method is None:
                return self.messages
            self.messages.append((method, properties, json.loads(body)))

    def close(self):
        """Remove what was made."""
        if self.connection.is_closed:
            self.connect()
        self.channel.queue_delete(self.name)
        self.channel.exchange_delete(self.exchange)
        self.connection.close()


class Queue(Reader):
    """Reads metrics."""

    def read(self):
        """Return all messages so far, as pairs of properties and documents."""
        return [(properties, documents) for _, properties, documents in self.fetch()]

    def documents(self):
        """Return all metrics so far."""
        return [found for _, documents in self.read() for found in documents]


def metrics(count, start=0):
    """Return metrics as a queue hands them over."""
    return [
        Metric({"name": "a.b", "value": number, "number": number}, id=f"00000000000000ff-{number}")
        for number in range(start, start + count)
    ]


def numbers(queue):
    return [document["number"] for document in queue.documents()]


def once(messages):
    """Return the numbers of metrics, those with an id that was there before left out, as consumers may do.

    The ids of messages would not do: a batch may have grown before it is sent again.
    """
    by_id = {}
    for properties, documents in messages:
        for metric_id, document in zip(properties.headers["metric-ids"].split(), documents, strict=True):
            by_id.setdefault(metric_id, document["number"])
    return list(by_id.values())
