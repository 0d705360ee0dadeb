"""The Kafka backend: metrics as records of a topic."""

from time_execution.backends.kafka.backend import KafkaBackend

__all__ = ["KafkaBackend"]
