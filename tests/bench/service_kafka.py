"""Kafka: a bare `KafkaProducer` with the records ready."""

from __future__ import annotations

import time
import uuid

from time_execution.backends.kafka import KafkaBackend  # isort: skip - imports the client without its warnings
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from time_execution.formats.json import document
from time_execution.types import Metric

_TIMEOUT = 60.0


class Race:
    """The client's best way, which is ours, too: idempotent, large requests, one `flush` for each batch.

    With the client's defaults, and a wait for each future, it is slower. Both sides connect within the time.
    """

    def __init__(self, batches: list[list[Metric]], port: int) -> None:
        self._server = f"127.0.0.1:{port}"
        self._records = [[_record(metric) for metric in batch] for batch in batches]
        self._topic = ""

    def raw(self) -> None:
        """Send all records, each batch confirmed before the next."""
        producer = KafkaProducer(
            bootstrap_servers=self._server,
            acks="all",
            enable_idempotence=True,
            linger_ms=100,
            batch_size=512 * 1024,
        )
        for records in self._records:
            futures = [producer.send(self._topic, **record) for record in records]
            producer.flush(_TIMEOUT)
            assert all(future.succeeded() for future in futures)
        producer.close()

    def backend(self) -> KafkaBackend:
        """Return a backend for the same topic."""
        return KafkaBackend(self._server, self._topic)

    def stored(self) -> int:
        """Return how many records the topic holds."""
        consumer = KafkaConsumer(bootstrap_servers=self._server)
        partition = TopicPartition(self._topic, 0)
        try:
            return consumer.end_offsets([partition])[partition]
        finally:
            consumer.close()

    def clean(self) -> None:
        """Go on with a new topic."""
        admin = KafkaAdminClient(bootstrap_servers=self._server)
        if self._topic:
            admin.delete_topics([self._topic])
        self._topic = f"bench-{uuid.uuid4().hex}"
        admin.create_topics([NewTopic(self._topic, 1, 1)])
        admin.close()


def _record(metric: Metric) -> dict[str, object]:
    return {
        "key": metric["name"].encode(),
        "value": document(metric, timestamp=time.time_ns()).encode(),
        "headers": [
            ("content-type", b"application/json"),
            ("schema-version", b"1"),
            ("metric-id", b"0123456789abcdef-123456"),
        ],
        "timestamp_ms": time.time_ns() // 1_000_000,
    }
