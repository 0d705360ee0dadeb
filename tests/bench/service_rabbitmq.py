"""RabbitMQ: a bare `pika.BlockingConnection` with the messages ready."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pika

from time_execution.backends.rabbitmq import RabbitMQBackend
from time_execution.formats.json import document
from time_execution.types import Metric


class Race:
    """One persistent message for each batch of documents, to a durable queue behind a fanout exchange.

    The client takes bytes, so its side makes JSON of a batch as most programs do, with ``json.dumps``. Each message is
    confirmed before the next is sent. Both sides connect within the time.
    """

    def __init__(self, batches: list[list[Metric]], port: int) -> None:
        self._port = port
        self._name = f"bench-{uuid.uuid4().hex}"
        now = time.time_ns()
        self._batches = [self.prepared([document(metric, timestamp=now) for metric in batch]) for batch in batches]
        self._connection = self._connect()
        self._queue = self._connection.channel()
        self._queue.exchange_declare(self._name, exchange_type="fanout", durable=True)

    def prepared(self, documents: list[str]) -> Any:
        """Return what the client's side begins with."""
        return [json.loads(document) for document in documents]

    def body(self, batch: Any) -> bytes:
        """Return a message's body."""
        return json.dumps(batch).encode()

    def raw(self) -> None:
        """Publish all messages."""
        connection = self._connect()
        channel = connection.channel()
        channel.confirm_delivery()
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,
            message_id=uuid.uuid4().hex,
            headers={"schema-version": 1},
        )
        for batch in self._batches:
            channel.basic_publish(self._name, "", self.body(batch), properties)
        connection.close()

    def backend(self) -> RabbitMQBackend:
        """Return a backend for the same exchange."""
        return RabbitMQBackend("127.0.0.1", self._port, exchange=self._name)

    def stored(self) -> int:
        """Return how many metrics the messages in the queue hold."""
        count = 0
        while (body := self._queue.basic_get(self._name, auto_ack=True)[2]) is not None:
            count += len(json.loads(body))
        return count

    def clean(self) -> None:
        """Go on with an empty queue."""
        self._queue.queue_delete(self._name)
        self._queue.queue_declare(self._name, durable=True)
        self._queue.queue_bind(self._name, self._name)

    def _connect(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self._port))


class RaceOfMessages(Race):
    """The same with finished messages: the client has nothing to do but to send them."""

    def prepared(self, documents: list[str]) -> bytes:
        """Return the finished body."""
        return f"[{','.join(documents)}]".encode()

    def body(self, batch: bytes) -> bytes:
        """Return it."""
        return batch
