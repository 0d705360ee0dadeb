"""The RabbitMQ backend: batches of metrics as messages to an exchange."""

from time_execution.backends.rabbitmq.backend import RabbitMQBackend

__all__ = ["RabbitMQBackend"]
