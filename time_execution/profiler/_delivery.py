"""The delivery behind `ImpProfHandler`: its options sorted, and put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from time_execution.backends.rabbitmq.records import RecordsBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.complaint import Place
from time_execution.config.options import arrange
from time_execution.delivery.retry import Backoff

_LONGEST_PAUSE = 30.0
_LINGER = 0.2


def delivery_to(server: Mapping[str, Any], options: Mapping[str, Any], *, pause: float) -> ThreadedBackend:
    """Return a queue in front of RabbitMQ that gives nothing up for being old.

    Args:
        server: Arguments of the backend.
        options: Others of the backend, or of the queue.
        pause: The bound of the first pause after a failure, in seconds.

    Raises:
        ConfigurationError: When one is wrong, or nobody knows it.
    """
    place = Place("ImpProfHandler", {**server, **options})
    arranged = arrange(options, RecordsBackend, place)
    retry = Backoff(base=pause, cap=max(pause, _LONGEST_PAUSE), max_age=None)
    queue = {"bulk_timeout": _LINGER, "retry": retry, **arranged.delivery}
    return ThreadedBackend(RecordsBackend, backend_kwargs={**server, **arranged.own}, **queue)
