"""Ready-made hooks, one family a module; `chain` runs whatever hooks there are.

None is on unless you configure it: ``settings.configure(hooks=[status_code_hook, exception_hook])``. Each is loaded
when it is first asked for, so that the ones you do not use cost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from time_execution.lazy_names import lazy_names

if TYPE_CHECKING:
    from time_execution.hooks.arguments import ArgumentsHook, arguments_hook
    from time_execution.hooks.call_tree import call_tree_hook
    from time_execution.hooks.celery import CeleryHook, celery_hook
    from time_execution.hooks.exception import ExceptionHook, exception_hook
    from time_execution.hooks.fields import extra_fields
    from time_execution.hooks.request_id import get_request_id, request_id_hook, reset_request_id, set_request_id
    from time_execution.hooks.resources import ResourcesHook, resources_hook
    from time_execution.hooks.status_code import StatusCodeHook, status_code_hook
    from time_execution.hooks.trace import reset_traceparent, set_traceparent, trace_hook
else:
    _HOME = {
        "ArgumentsHook": "arguments",
        "CeleryHook": "celery",
        "ExceptionHook": "exception",
        "ResourcesHook": "resources",
        "StatusCodeHook": "status_code",
        "arguments_hook": "arguments",
        "call_tree_hook": "call_tree",
        "celery_hook": "celery",
        "exception_hook": "exception",
        "extra_fields": "fields",
        "get_request_id": "request_id",
        "request_id_hook": "request_id",
        "reset_request_id": "request_id",
        "reset_traceparent": "trace",
        "resources_hook": "resources",
        "set_request_id": "request_id",
        "set_traceparent": "trace",
        "status_code_hook": "status_code",
        "trace_hook": "trace",
    }

    __getattr__ = lazy_names(__name__, _HOME)


__all__ = [
    "ArgumentsHook",
    "CeleryHook",
    "ExceptionHook",
    "ResourcesHook",
    "StatusCodeHook",
    "arguments_hook",
    "call_tree_hook",
    "celery_hook",
    "exception_hook",
    "extra_fields",
    "get_request_id",
    "request_id_hook",
    "reset_request_id",
    "reset_traceparent",
    "resources_hook",
    "set_request_id",
    "set_traceparent",
    "status_code_hook",
    "trace_hook",
]


def __dir__() -> list[str]:
    """List the hooks, loaded or not."""
    return sorted(__all__)
