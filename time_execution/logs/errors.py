"""From an exception, or from a line that says `ERROR`, to the event ``error`` that backends, reports and pages know.

Within an `error_scope`, as the web adapters open one for each request, an exception is told once, however many lines
and handlers it passes. Exceptions are never marked, and nothing refers to them once the scope has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from time_execution.formats.log_line import (
    ENVIRONMENT,
    EXCEPTION,
    FUNCTION,
    LEVEL,
    LINE,
    LOGGER,
    MESSAGE,
    MODULE,
    PROCESS_ID,
    REQUEST_ID,
    SPAN_ID,
    THREAD_ID,
    TRACE_ID,
)
from time_execution.formats.redaction import REDACTOR
from time_execution.formats.snapshot import snapshot
from time_execution.formats.timestamp import to_datetime
from time_execution.guard import Failed, Step
from time_execution.hooks.request_id import get_request_id
from time_execution.logs.context import TRACE_OF
from time_execution.logs.exception_text import told
from time_execution.logs.place import NOWHERE, Place, place_of
from time_execution.pipeline import emit
from time_execution.settings import current
from time_execution.types import HOSTNAME, NAME, ORIGIN, TIMESTAMP, Metric

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

ERROR = "error"
"""The name of the event."""

TYPE, PLACE = "type", "place"
ERROR_LABELS = (TYPE, PLACE)
ERROR_TYPE, TRACEBACK, LOG_MESSAGE = "error_type", "traceback", "log_message"

_MOST = 16  # exceptions that a scope remembers; each may hold whatever its frames do
_IDS = frozenset((REQUEST_ID, TRACE_ID, SPAN_ID))
# Of a line, what the event has otherwise or not at all.
_NOT_OF_EVENTS = frozenset((
    *(NAME, TIMESTAMP, LEVEL, LOGGER, MESSAGE, MODULE, FUNCTION, LINE, PROCESS_ID, THREAD_ID, ENVIRONMENT, EXCEPTION),
))  # fmt: skip


class ErrorScope:
    """A stretch of work, such as a request, within which an exception is told once.

    For ``with``, also in coroutines; made by `error_scope`. Tasks and threads that take the context along share it.
    """

    __slots__ = ("_known", "_token")

    def __init__(self) -> None:
        self._known: deque[BaseException] | None = None
        self._token: Token[ErrorScope | None] | None = None

    def __enter__(self) -> Self:
        """Put it in force in this context."""
        self._known = deque(maxlen=_MOST)
        self._token = current_scope.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Forget all exceptions; whatever takes place in this scope later is told each time."""
        token, self._token, self._known = self._token, None, None
        if token is not None:
            with suppress(ValueError):  # left in another context than it was entered in: there is nothing to restore
                current_scope.reset(token)

    @property
    def is_open(self) -> bool:
        """Whether it was entered and not left."""
        return self._known is not None

    def is_news(self, exception: BaseException) -> bool:
        """Return whether an exception was not told within this scope, and remember that it is now."""
        known = self._known
        if known is None:
            return True
        if any(exception is other for other in tuple(known)):
            return False
        known.append(exception)
        return True

    def forget(self, exception: BaseException) -> None:
        """Let go of an exception that goes no further."""
        known = self._known
        if known is not None:
            with suppress(ValueError):
                del known[[other is exception for other in known].index(True)]


current_scope: ContextVar[ErrorScope | None] = ContextVar("time_execution.error_scope", default=None)
"""The innermost scope of this context, which may have been left in another one."""


def error_scope() -> ErrorScope:
    """Return a context manager, within which an exception becomes one ``error`` event at the most.

    Example:
        >>> with error_scope():
        ...     error = ValueError("no such order")
        ...     record_error(error), record_error(error)
        (True, False)
    """
    return ErrorScope()


def scope_in_force() -> ErrorScope | None:
    """Return the scope that is open in this context; None when there is none."""
    scope = current_scope.get()
    return scope if scope is not None and scope.is_open else None


def record_error(exception: BaseException, /, *, level: str = "ERROR", **fields: Any) -> bool:
    """Hand an exception to the backends in force here, as an event named ``error``; writes no line.

    Its fields are ``type`` and ``place`` (``module:function`` of the innermost frame of the application), which tell
    its series apart; ``message``, ``traceback`` (text, without locals), ``function``, ``error_type``, ``level``, the
    ids of request and trace, and those given. Secrets are masked. Never raises what a backend raises, unless
    ``settings.raise_errors`` is set. Thread-safe; blocks only as long as a direct backend does. The
    exception is left as it was.

    Args:
        exception: What was raised.
        level: How bad that is, by the name of a level of logging.
        **fields: Further fields; those of the event itself are not replaced, but for the ids.

    Returns:
        Whether it was told: not when the scope knows it.
    """
    scope = scope_in_force()
    if scope is not None and not scope.is_news(exception):
        return False
    return not isinstance(_EXCEPTION.attempt(exception, level, fields), Failed)


def tell_line(line: Mapping[str, Any], exception: BaseException | None) -> None:
    """Hand over the event of a line that is an error; not when the scope knows its exception.

    Args:
        line: The record.
        exception: The one that the line has, if it has one.
    """
    if not _is_wanted():
        return
    scope = scope_in_force()
    if scope is not None and exception is not None and not scope.is_news(exception):
        return
    _LINE.attempt(line, exception)


def _is_wanted() -> bool:
    values = current().values
    return values.enabled and bool(values.backends)


def _emit(exception: BaseException, level: str, given: Mapping[str, Any]) -> None:
    if not _is_wanted():
        return
    fields = told(exception)
    ids: dict[str, Any] = {}
    request_id = get_request_id()
    if request_id is not None:
        ids[REQUEST_ID] = request_id
    found = TRACE_OF.attempt()
    ids |= found if isinstance(found, dict) else {}
    given = {key: value for key, value in REDACTOR.redact(snapshot(dict(given))).items() if value is not None}
    event = _event(fields, place_of(exception), datetime.now(timezone.utc))
    event[LEVEL] = level
    emit(_with(event, ids | given))


def _emit_line(line: Mapping[str, Any], exception: BaseException | None) -> None:
    fields = line.get(EXCEPTION)
    at = Place(str(line.get(MODULE)), str(line.get(FUNCTION)))
    if exception is not None and isinstance(fields, dict):
        found = place_of(exception)
        event = _event(fields, at if found is NOWHERE else found, to_datetime(line[TIMESTAMP]))
        event[LOG_MESSAGE] = line.get(MESSAGE)
    else:
        event = _event({"type": line.get(LEVEL), "message": line.get(MESSAGE)}, at, to_datetime(line[TIMESTAMP]))
    event[LEVEL], event[LOGGER] = line.get(LEVEL), line.get(LOGGER)
    more = {key: value for key, value in line.items() if not (key in _NOT_OF_EVENTS or key.startswith("_"))}
    emit(_with(event, more))


_EXCEPTION = Step(_emit, kind="hook", label="error event", raises=False)
_LINE = Step(_emit_line, kind="hook", label="error event", raises=False)


def _event(fields: Mapping[str, Any], place: Place, moment: datetime) -> Metric:
    snapshot_ = current()
    kind = str(fields.get("type"))
    event = Metric(kind="event", labels=ERROR_LABELS)
    event.update({NAME: ERROR, HOSTNAME: snapshot_.hostname, TIMESTAMP: moment, TYPE: kind, PLACE: str(place)})
    event.update({ERROR_TYPE: kind, FUNCTION: f"{place.module}.{place.function}", MESSAGE: fields.get("message")})
    traceback = fields.get("traceback")
    if traceback:
        event[TRACEBACK] = "\n".join(traceback)
    if snapshot_.values.origin is not None:
        event[ORIGIN] = snapshot_.values.origin
    return event


def _with(event: Metric, more: Mapping[str, Any]) -> Metric:
    """Return an event with more fields; what it has stays, but for the ids."""
    taken = set(event)
    for key, value in more.items():
        name = key
        while name in taken and name not in _IDS:
            name = f"{name}_"
        event[name] = value
    return event
