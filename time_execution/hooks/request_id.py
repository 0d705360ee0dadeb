"""The id of the request that a measured call belongs to, carried by context.

The web adapters set it from the ``X-Request-ID`` header; a worker or a script may set its own. Being a context
variable, it follows asyncio tasks and `asyncio.to_thread`, and is not seen by other threads.
"""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar, Token
from typing import Any, TypeAlias

REQUEST_ID = "request_id"

VALID_ID = re.compile(r"[A-Za-z0-9._:/+=@~,-]{1,128}")
"""What an id from outside is made of, since it goes into logs, headers and stores as it is."""

current_request_id: ContextVar[str | None] = ContextVar("time_execution.request_id", default=None)
"""The request id in force; for what sets it at each request, and cannot afford a call of `set_request_id`."""

RequestIdToken: TypeAlias = Token["str | None"]


def set_request_id(request_id: str | None = None) -> RequestIdToken:
    """Set the request id of this context; `get_request_id` tells which it is.

    Args:
        request_id: For instance what a client sent. Without one, or with one that is not made of 1 to 128 letters,
            digits and ``._:/+=@~,-``, a new one is made: it goes into logs, headers and stores as it is.

    Returns:
        What `reset_request_id` takes to restore the one before.
    """
    is_valid = isinstance(request_id, str) and VALID_ID.fullmatch(request_id)
    return current_request_id.set(request_id if is_valid else uuid.uuid4().hex)


def reset_request_id(token: RequestIdToken) -> None:
    """Restore the request id that was in force before `set_request_id` returned this token, in the same context."""
    current_request_id.reset(token)


def get_request_id() -> str | None:
    """Return the request id of this context; None when there is none."""
    return current_request_id.get()


def request_id_hook(
    *, response: Any, exception: Any, metric: Any, func: Any, func_args: Any, func_kwargs: Any
) -> dict[str, Any] | None:
    """Add ``request_id`` where one is set."""
    request_id = current_request_id.get()
    return None if request_id is None else {REQUEST_ID: request_id}
