"""`ErrorCatcher`: a record of each exception that leaves a function, which raises it all the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from time_execution.argument_check import check_counts, check_switches
from time_execution.config import expect
from time_execution.decorator import decorate
from time_execution.file_path import to_file
from time_execution.formats.argument_text import argument_text
from time_execution.formats.redaction import REDACTOR
from time_execution.guard import Failed, Step, Untouched
from time_execution.hooks.exception import qualified_name
from time_execution.naming import name_of
from time_execution.signature import shape_of
from time_execution.timer import call_id, output, record
from time_execution.timer.callee import CAUGHT, TIMED
from time_execution.timer.inside_hooks import attempt
from time_execution.timer.pickled import pickled
from time_execution.timer.recorded import RecordedPlan, RecordedTarget
from time_execution.timer.sanitizing import Sanitizing
from time_execution.traceback_text import (
    MOST,
    frames_text,
    message_text,
    traceback_text,
    without_middle,
)
from time_execution.types import NAME, TIMESTAMP, Metric

if TYPE_CHECKING:
    from time_execution.config import Values
    from time_execution.hooks.chain import Call, Started
    from time_execution.plan import Plan, Span
    from time_execution.settings import Snapshot

F = TypeVar("F")

NO_TEXT = "<its str() failed>"
"""The message of an exception that cannot say what it is, which is counted."""

_MESSAGE_OF = Step(message_text, kind="hook", label="str() of an exception", raises=False)
_TRACEBACK_OF = Step(traceback_text, kind="hook", label="traceback of an exception", raises=False)
_OWN = frozenset(("max_arg_length", "sanitize", "outputs", "_made_with"))
DEFAULT_PATH = os.path.join("logs", "error.log")  # noqa: PTH118 - a text, which messages and users read


class ErrorCatcher:
    """Write a record for each `Exception` that leaves a function, and let it pass: same object, same traceback.

    A decorator for whatever `time_execution.time_execution` takes. A record has ``call_id`` (a UUID, shared with a
    `Timer` of the same function, above or below), ``function``, ``time`` (UTC), ``type``, ``message``, ``traceback``
    (of the whole chain, without the frames of measuring) and ``arguments`` (text, as they are at that moment). The
    same goes as an event named ``error`` through the hooks, except those that run around a call, and to the backends of
    the settings. ``KeyboardInterrupt``, ``SystemExit`` and ``CancelledError`` are no errors of a function.

    Thread-safe and fork-safe, and complete with any number of processes on one file. The calling thread never waits
    for the log or a terminal: records are queued and a worker writes them. The exception is a daemonic child of
    multiprocessing, as in a ``Pool``, whose parent ends it by SIGTERM when it likes: unless that signal has a handler,
    a record is in the log before the call returns, or a second has passed. To tell a traceback it reads the source
    files, as the interpreter does that prints one; they are kept in memory from then on.

    Args:
        log_to_console: Write records as lines of JSON to the standard error stream.
        log_to_file: Write records as lines of JSON to the error log.
        error_log_file: Its path; ``logs/error.log`` unless given. A relative one counts from the working directory of
            this moment.
        max_bytes: The log turns over rather than grow beyond so many bytes.
        backup_count: Keep so many older ones: ``error.log.1`` is the latest.
        sanitize_func: Is handed the message, the traceback and each argument (as ``name=text``), and returns what may
            be written. Should it fail, ``<sanitizer failed>`` is written, and that is counted. What looks like a secret
            is masked before.
        max_arg_length: Cut the text of each argument to so many characters, which also bounds what it costs; None
            leaves texts whole up to 16 384 characters in all.
        gzip_backups: Compress older logs: ``error.log.1.gz`` is the latest.

    Raises:
        ConfigurationError: When an argument is wrong, the file can never be written, or is in use with other options or
            for other records.

    Example:
        >>> @ErrorCatcher(log_to_console=False, error_log_file=getfixture("tmp_path") / "error.log")
        ... def divide(a, b):
        ...     return a / b
        >>> divide(1, 0)
        Traceback (most recent call last):
        ZeroDivisionError: division by zero
    """

    def __init__(  # noqa: PLR0917 - upstream's parameters in upstream's order
        self,
        log_to_console: bool = True,  # noqa: FBT001, FBT002 - see above
        log_to_file: bool = True,  # noqa: FBT001, FBT002
        error_log_file: str | os.PathLike[str] | None = None,
        max_bytes: int = 10 * 1024 * 1024,
        backup_count: int = 5,
        sanitize_func: Callable[[str], str] | None = None,
        max_arg_length: int | None = None,
        *,
        gzip_backups: bool = False,
    ) -> None:
        if callable(log_to_console):
            expect("used with parentheses: @ErrorCatcher()", log_to_console, where="ErrorCatcher", is_right=False)
        check_switches(log_to_console=log_to_console, log_to_file=log_to_file)
        if max_arg_length is not None:
            check_counts(max_arg_length=max_arg_length)
        self.max_arg_length = max_arg_length
        self.sanitize = Sanitizing(sanitize_func, where="ErrorCatcher")
        given = DEFAULT_PATH if error_log_file is None else error_log_file
        path = output.absolute(given, "the path of a file", where="ErrorCatcher: error_log_file")
        options = output.checked(max_bytes=max_bytes, backup_count=backup_count, gzip_backups=gzip_backups)
        if log_to_file:
            to_file(path, key="ErrorCatcher: error_log_file")
        log = output.log_file(path, record.ERROR_COLUMNS, **options) if log_to_file else None
        console = output.console() if log_to_console else None
        self.outputs = tuple(each for each in (log, console) if each is not None)
        where = {"log_to_console": log_to_console, "log_to_file": log_to_file, "error_log_file": path}
        texts = {"sanitize_func": sanitize_func, "max_arg_length": max_arg_length}
        self._made_with: dict[str, Any] = {**where, **options, **texts}
        call_id.watch_forks()

    def __call__(self, func: F) -> F:
        """Return a form of a callable that records what it raises; one catcher may decorate many.

        Raises:
            TypeError: When it cannot be called.
        """
        caught: F = decorate(func, lambda inner: CatcherTarget(inner, name_of(inner), self))
        return caught

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments; the file is opened anew by the process that loads it."""
        return pickled(self, ErrorCatcher, self._made_with, _OWN)


class CatcherPlan(RecordedPlan):
    """What is done for calls of a caught function: nothing, unless one raises."""

    __slots__ = ("_parts",)

    def __init__(self, target: CatcherTarget, snapshot: Snapshot) -> None:
        super().__init__(target, snapshot)
        parts = {record.MESSAGE: self._message, record.TRACEBACK: self._traceback, record.ARGUMENTS: self._arguments}
        raises = snapshot.values.raise_errors
        # Each on its own: an exception that cannot be told does not keep its arguments from being told.
        self._parts = [
            (field, Step(part, kind="hook", label="ErrorCatcher", raises=raises)) for field, part in parts.items()
        ]
        for absent in (snapshot.values.duration_field, "sample_rate"):  # an event has neither
            self._template.pop(absent, None)

    def is_wanted(self, *, awaits: bool = False) -> bool:
        """Whether this call is looked at: errors are not sampled."""
        is_wanted = not self.skip and not self.is_reentrant(awaits=awaits)
        if not is_wanted:  # then nobody else takes an id that was meant for this call
            call_id.take(self._target.callee(self._target.func).innermost, CAUGHT)
        return is_wanted

    def begin(self, call: Call) -> Started | None:
        """Take the id of the call from a `Timer` around it, or leave one for a `Timer` below."""
        callee = self._target.callee(call[0])
        identity = call_id.take(callee.innermost, CAUGHT)
        if callee.is_timed:
            identity = identity or call_id.new_id()
            call_id.hand_over(identity, callee.innermost, TIMED)
        return _Begun(identity)

    def _eager_metric(self, span: Span, fields: dict[str, Any] | None) -> dict[str, Any]:  # noqa: ARG002 - an error has no duration
        metric = Metric(self._template, kind="event")
        metric[TIMESTAMP] = datetime.now(timezone.utc)
        metric.update(fields or {})
        metric[NAME] = record.ERROR_SERIES
        return metric

    def own_fields(self, started: Any, call: Call, exception: BaseException | None) -> dict[str, Any] | None:
        """Return what there is to say of an exception; None of a call that returned, or was ended from outside."""
        begun: _Begun = started
        if begun.call_id is not None:  # should no `Timer` below have taken it
            call_id.forget(begun.call_id)
        if exception is None or not issubclass(type(exception), Exception):
            return None
        told: dict[str, Any] = {}
        told[record.CALL_ID] = begun.call_id or call_id.new_id()
        told[record.FUNCTION] = self._target.name
        told[record.ERROR_TYPE] = qualified_name(type(exception))
        with Untouched(exception):
            for field, part in self._parts:
                text = attempt(part, exception, call)
                told[field] = None if type(text) is Failed else text
        return told

    def _message(self, exception: Exception, call: Call) -> str:  # noqa: ARG002 - one shape for all parts
        found = _MESSAGE_OF.attempt(exception)
        sanitize: Sanitizing = self._target.source.sanitize
        return sanitize(NO_TEXT if type(found) is Failed else REDACTOR.redact_text(found))

    def _traceback(self, exception: Exception, call: Call) -> str:  # noqa: ARG002 - see above
        found = _TRACEBACK_OF.attempt(exception)
        text: str = frames_text(exception) if type(found) is Failed else found
        return without_middle(self._target.source.sanitize(REDACTOR.redact_text(text, max_text=MOST)))

    def _arguments(self, exception: Exception, call: Call) -> str:  # noqa: ARG002 - see above
        func, args, kwargs = call
        catcher = self._target.source
        arguments = self._target.callee(func).bind(args, kwargs)
        return argument_text(arguments, max_length=catcher.max_arg_length, sanitize=catcher.sanitize)


class CatcherTarget(RecordedTarget):
    """A callable whose exceptions an `ErrorCatcher` records."""

    plan_type: ClassVar[type[Plan]] = CatcherPlan
    trace: ClassVar[str] = CAUGHT
    __slots__ = ()

    def hooks(self, values: Values) -> tuple[Callable[..., Any], ...]:
        """Return the hooks of the settings that need not run before the call."""
        return tuple(hook for hook in super().hooks(values) if shape_of(hook) != "generator")

    def own_backends(self, values: Values) -> tuple[Any, ...]:  # noqa: ARG002 - a record has no duration
        """Return what writes the records."""
        outputs = self.source.outputs
        return (output.RecordOutput(record.error_record, outputs),) if outputs else ()


class _Begun(dict[Any, Any]):
    """What `begin` leaves to `finish`: no hook that was started, and the id of the call, if it has one already."""

    def __init__(self, identity: str | None) -> None:
        super().__init__()
        self.call_id = identity
