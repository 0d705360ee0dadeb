"""Lines of an application in as many places as are wanted, none of which a caller ever waits for.

>>> from time_execution.logs import ErrorCapture, handle_errors, log_function_call, logger

`logger` is the application's, named by ``APP_NAME``; `get_logger` returns ones below it. Their lines go to the console,
``logs/<app>.log``, ``logs/<app>_error.log`` and ``logs/<app>_structured.json``; to Slack and by mail where these are
configured; to a database after `add_db_handler`. `log_function_call` writes a line for each call, `handle_errors` and
`ErrorCapture` one for each exception. What is `ERROR` or worse is also an event of the pipeline: see `record_error`.

Everything is set up by the first line, from the environment, or by `configure`. Nothing is attached to the root logger
unless `attach` is asked for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from time_execution.lazy_names import lazy_names

if TYPE_CHECKING:
    from time_execution.logs.capture import ErrorCapture
    from time_execution.logs.context import ContextFilter, in_context
    from time_execution.logs.decorators import handle_errors, log_function_call
    from time_execution.logs.errors import error_scope, record_error
    from time_execution.logs.lazy_logger import get_logger, logger
    from time_execution.logs.options import Options
    from time_execution.logs.setup import add_db_handler, attach, configure, current_options, notice_backends, reset
else:
    # Nothing here is needed by everybody.
    _LAZY = {
        "ContextFilter": "context",
        "ErrorCapture": "capture",
        "Options": "options",
        "add_db_handler": "setup",
        "attach": "setup",
        "configure": "setup",
        "current_options": "setup",
        "error_scope": "errors",
        "get_logger": "lazy_logger",
        "handle_errors": "decorators",
        "in_context": "context",
        "log_function_call": "decorators",
        "logger": "lazy_logger",
        "notice_backends": "setup",
        "record_error": "errors",
        "reset": "setup",
    }

    __getattr__ = lazy_names(__name__, _LAZY)


__all__ = [
    "ContextFilter",
    "ErrorCapture",
    "Options",
    "add_db_handler",
    "attach",
    "configure",
    "current_options",
    "error_scope",
    "get_logger",
    "handle_errors",
    "in_context",
    "log_function_call",
    "logger",
    "notice_backends",
    "record_error",
    "reset",
]
