"""What a Celery worker knows of the task that is measured. Celery itself is not imported: a worker has done that."""

from __future__ import annotations

import sys
from multiprocessing import current_process
from typing import TYPE_CHECKING, Any

from time_execution.types import NAME, VALUE

if TYPE_CHECKING:
    from collections.abc import Mapping

SUCCESS = "success"
PROCESS_NAME = "process_name"
PROCESS_PID = "process_pid"
TASK = "task"
TASK_ID = "task_id"
RETRIES = "retries"
QUEUE = "queue"
WORKER = "worker"


def celery_hook(
    *, response: Any, exception: Any, metric: Mapping[str, Any], func: Any, func_args: Any, func_kwargs: Any
) -> dict[str, Any]:
    """Add ``success`` (bool), ``process_name`` and ``process_pid``, beside the metric's own ``name`` and ``value``."""
    process = current_process()
    return {
        **{field: metric[field] for field in (NAME, VALUE) if field in metric},
        SUCCESS: exception is None,
        PROCESS_NAME: process.name,
        PROCESS_PID: process.pid,
    }


class CeleryHook:
    """Adds what `celery_hook` does, and, inside a task, what Celery knows of it. Thread-safe.

    The fields are ``task`` (its name), ``task_id``, ``retries`` (how often it was tried before), ``queue`` (its routing
    key, which is the queue's name unless your routes say otherwise) and ``worker`` (``celery@host``); one that Celery
    does not know is left out. Functions that a task calls get those of the task. ``name`` and ``value`` are left as
    they are.
    """

    def __call__(  # noqa: D102 - described by the class
        self,
        *,
        response: Any,
        exception: Any,
        metric: Mapping[str, Any],
        func: Any,
        func_args: Any,
        func_kwargs: Any,
    ) -> dict[str, Any]:
        process = current_process()
        fields = {SUCCESS: exception is None, PROCESS_NAME: process.name, PROCESS_PID: process.pid}
        fields.update(_task_fields())
        return fields


def _task_fields() -> dict[str, Any]:
    current = getattr(sys.modules.get("celery"), "current_task", None)
    if not current:  # a proxy, false outside of tasks
        return {}
    request = current.request
    fields = {
        TASK: current.name,
        TASK_ID: request.id,
        RETRIES: request.retries,
        QUEUE: (request.delivery_info or {}).get("routing_key"),
        WORKER: request.hostname,
    }
    return {field: value for field, value in fields.items() if value is not None}
