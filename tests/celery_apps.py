"""Celery applications with a broker in memory, and a real worker that is quick to notice messages and its end."""

from __future__ import annotations

import pytest

celery = pytest.importorskip("celery")
from celery.contrib.testing import worker  # noqa: E402 - see above
from kombu import Connection  # noqa: E402 - see above


class ImpatientConnection(Connection):
    """Waits for messages in short spells; between two of the usual two seconds, a worker notices that it is to end."""

    def drain_events(self, **options):
        """Return what arrived, or raise the error of a time-out that workers expect."""
        return super().drain_events(**{**options, "timeout": 0.02})


def make_app(name, *, eager):
    """Return an application that runs its tasks at once, or leaves them to a worker."""
    app = celery.Celery(name, broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(
        task_always_eager=eager,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=False,
        broker_transport_options={"polling_interval": 0.01},
        accept_content=["json", "pickle"],
        result_serializer="pickle",  # so that an exception comes back as it was
    )
    app.amqp.Connection = ImpatientConnection
    return app


def start_worker(app, **options):
    """Return a context in which a worker runs the application's tasks, in a thread of this process."""
    return worker.start_worker(
        app, pool="solo", perform_ping_check=False, shutdown_timeout=30, loglevel="ERROR", **options
    )


def result_of(sent):
    """Wait until it is known what became of a task that was sent, and return what tells it."""
    sent.get(timeout=20, interval=0.01, propagate=False)
    return sent
