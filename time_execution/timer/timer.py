"""`Timer`: a record of what each call took, in files and on the console, and the same down the pipeline."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from time_execution.argument_check import check_counts, check_switches
from time_execution.block import Block
from time_execution.config import expect
from time_execution.decorator import decorate
from time_execution.file_path import to_file
from time_execution.guard import faults
from time_execution.memory import rss_reader
from time_execution.naming import name_of
from time_execution.timer import call_id, output, record
from time_execution.timer.pickled import pickled
from time_execution.timer.sanitizing import Sanitizing
from time_execution.timer.timed import TimerTarget

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from time_execution.backends.threaded import ThreadedBackend

F = TypeVar("F")

LOG_NAME = "timing.log"
RESULTS_NAMES = {"csv": "timing_results.csv", "parquet": "timing_results.parquet"}

_OWN = frozenset(("max_arg_length", "sanitize", "read_rss", "name", "outputs", "_made_with", "_targets"))
_ELSEWHERE = "left in another thread or task"
_MAX_TARGETS = 1000
_MAX_RUNNING = 1000  # what nobody stops is forgotten; recursions go as deep
_running: ContextVar[tuple[tuple[Timer, Block, object], ...]] = ContextVar("time_execution.timer.running", default=())
"""What was started in this context and not stopped, oldest first, and where; a timer may be in it more than once."""


class Timer:
    """Write a record for each call: times, memory, arguments, outcome. A decorator, a stopwatch, a context manager.

    As a decorator it takes whatever `time_execution.time_execution` takes: functions, coroutine functions, generators,
    methods, classes. What is measured keeps its result and its exception. A record has ``call_id`` (a UUID, shared with
    an `ErrorCatcher` around the same function), ``function``, ``started`` and ``ended`` (UTC), ``wall_ms``, ``cpu_ms``
    (of the whole process), ``memory_change_bytes``, ``rss_bytes``, ``arguments`` (text) and ``outcome`` (``ok`` or the
    type of the exception). The same goes, as the metric of a timing, through the hooks and to the backends of
    the settings.

    Thread-safe and fork-safe, and complete with any number of processes on one folder; what a process has measured is
    written when it ends. The calling thread never waits for a file or a terminal: records are queued, up to 100 000 of
    them, and a worker writes them within 0.2 seconds. The exception is a daemonic child of multiprocessing, as in a
    ``Pool``, whose parent ends it by SIGTERM when it likes: unless that signal has a handler, a record is in the files
    before the call returns, or a second has passed.

    Args:
        log_to_console: Write records as lines of JSON to the standard error stream.
        log_to_file: Write records as lines of JSON to ``timing.log``.
        track_resources: Measure CPU time and memory; without, these fields are None.
        max_arg_length: Cut the text of each argument to so many characters, which also bounds what it costs; None
            leaves texts whole up to 16 384 characters in all. What is huge is summarised in any case, and what looks
            like a secret is masked.
        sanitize_func: Is handed each argument as ``name=text`` and returns what may be written. Should it fail,
            ``<sanitizer failed>`` is written, and that is counted.
        results_format: The table of results: ``csv`` for ``timing_results.csv``, ``parquet`` for
            ``timing_results.parquet`` (needs pyarrow, the ``parquet`` extra), None for no table. A file there that has
            other columns is moved to ``timing_results.csv.before-<n>``, once, and that is logged.
        log_dir: The folder of all these files; made with the first record. A relative one is that of this moment.
        max_bytes: ``timing.log`` turns over rather than grow beyond so many bytes.
        backup_count: Keep so many older ones: ``timing.log.1`` is the latest.
        gzip_backups: Compress them: ``timing.log.1.gz`` is the latest.
        name: Stands for the name of the function, and for that of the function that calls `start`.

    Raises:
        ConfigurationError: When an argument is wrong, a file can never be written, or this process writes it already
            with other options or other records.
        MissingExtraError: When the table, or on other systems than Linux the memory, needs what is not installed.

    Example:
        >>> @Timer(log_to_console=False, log_dir=getfixture("tmp_path"))
        ... def add(x, y):
        ...     return x + y
        >>> add(5, 10)
        15
    """

    def __init__(  # noqa: PLR0917 - upstream's parameters in upstream's order, ours by keyword
        self,
        log_to_console: bool = True,  # noqa: FBT001, FBT002 - see above
        log_to_file: bool = True,  # noqa: FBT001, FBT002
        track_resources: bool = True,  # noqa: FBT001, FBT002
        max_arg_length: int | None = None,
        sanitize_func: Callable[[str], str] | None = None,
        results_format: Literal["csv", "parquet"] | None = "csv",
        *,
        log_dir: str | os.PathLike[str] = "logs",
        max_bytes: int = 10 * 1024 * 1024,
        backup_count: int = 5,
        gzip_backups: bool = False,
        name: str | None = None,
    ) -> None:
        if callable(log_to_console):
            expect("used with parentheses: @Timer()", log_to_console, where="Timer", is_right=False)
        check_switches(log_to_console=log_to_console, log_to_file=log_to_file, track_resources=track_resources)
        if max_arg_length is not None:
            check_counts(max_arg_length=max_arg_length)
        self.max_arg_length = max_arg_length
        self.sanitize = Sanitizing(sanitize_func, where="Timer")
        given: Any = name
        is_name = given is None or (isinstance(given, str) and bool(given))
        results_format = _table_format(results_format)
        expect("a text that is not empty", name, where="Timer: name", is_right=is_name)
        self.read_rss = rss_reader() if track_resources else None
        self.name = name
        self._targets: dict[str, TimerTarget] = {}
        files: dict[str, Any] = {
            "log_to_console": log_to_console,
            "log_to_file": log_to_file,
            "results_format": results_format,
            "log_dir": output.absolute(log_dir, "the path of a folder", where="Timer: log_dir"),
            **output.checked(max_bytes=max_bytes, backup_count=backup_count, gzip_backups=gzip_backups),
        }
        self.outputs = _outputs(**files)
        others = {"track_resources": track_resources, "max_arg_length": max_arg_length, "sanitize_func": sanitize_func}
        self._made_with = {**files, **others, "name": name}
        call_id.watch_forks()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments; the files are opened anew by the process that loads it."""
        return pickled(self, Timer, self._made_with, _OWN)

    def __call__(self, func: F) -> F:
        """Return the measured form of a callable; one timer may decorate many.

        Raises:
            TypeError: When it cannot be called.
        """
        timed: F = decorate(func, lambda inner: TimerTarget(inner, self.name or name_of(inner), self))
        return timed

    def start(self) -> None:
        """Start the clock, for the record that `stop` writes; its function is the caller.

        May be nested. What is started belongs to this thread or task: others may use the same timer at the same time.
        Of more than 1000 clocks that nobody stopped, the oldest are forgotten.
        """
        self._start(_caller())

    def stop(self) -> None:
        """Stop the clock that was started last, and write the record.

        Raises:
            RuntimeError: When nothing was started in this thread or task.
        """
        if not self._stop(None, None, None):
            raise RuntimeError("Timer.stop() without start() in this thread or task")

    def __enter__(self) -> Self:
        """Start the clock."""
        self._start(_caller())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the clock and write the record, with the exception's type as its outcome; an exception passes.

        A block that another thread or task leaves than entered it, as one in a generator may be, has no record; that
        is counted.
        """
        if not self._stop(kind, exc, traceback):
            faults.count("hook", "Timer", _ELSEWHERE)
            faults.log.tell(f"Timer.{_ELSEWHERE}", f"a block that a Timer measures was {_ELSEWHERE}; it has no record")

    def _start(self, caller: str) -> None:
        name = self.name or caller
        target = self._targets.get(name)
        if target is None:
            if len(self._targets) >= _MAX_TARGETS:  # callers may be made at run time
                self._targets.clear()
            target = self._targets[name] = TimerTarget(None, name, self)
        block = Block(name, {}, target=target)
        others = _running.get()[-_MAX_RUNNING:]
        _running.set((*others, (self, block, _here())))
        try:
            block.__enter__()
        except BaseException:  # nobody stops what did not start
            _running.set(others)
            raise

    def _stop(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Stop what was started last and return True, or False when there is nothing."""
        running, here = _running.get(), _here()
        for index in reversed(range(len(running))):
            timer, block, place = running[index]
            if timer is self and place == here:
                try:
                    block.__exit__(kind, exc, traceback)
                finally:
                    _running.set((*running[:index], *running[index + 1 :]))
                return True
        return False


def _here() -> object:
    """Return what tells this thread or task from one that began with a copy of its context, and keeps no task alive."""
    current_task = getattr(sys.modules.get("asyncio"), "current_task", None)
    try:
        task = None if current_task is None else current_task()
    except RuntimeError:  # no loop runs in this thread
        task = None
    return threading.get_ident() if task is None else weakref.ref(task)


def _caller() -> str:
    """Return the name of the function that called the method that calls this."""
    frame = sys._getframe(2)  # noqa: SLF001 - who calls is nowhere else
    code = frame.f_code
    module, function = frame.f_globals.get("__name__", "?"), getattr(code, "co_qualname", code.co_name)
    return f"{module}.{function}".replace("<locals>.", "").removesuffix(".<module>")


def _table_format(given: Any) -> Any:
    """Return the name of a format in lower case, as upstream took it, or None."""
    wanted = given.lower() if isinstance(given, str) else given
    is_known = wanted is None or (isinstance(wanted, str) and wanted in RESULTS_NAMES)
    expect("'csv', 'parquet' or None", given, where="Timer: results_format", is_right=is_known, is_word=True)
    return wanted


def _file_in(folder: Path, name: str) -> Path:
    """Return the path of a file, if it can ever be written."""
    return to_file(folder / name, key=f"Timer: log_dir: {name}")


def _outputs(
    *,
    log_to_console: bool,
    log_to_file: bool,
    results_format: Any,
    log_dir: Path,
    **options: Any,
) -> tuple[ThreadedBackend, ...]:
    """Return the queues of what a timer writes to."""
    outputs = []
    if log_to_file:
        outputs.append(output.log_file(_file_in(log_dir, LOG_NAME), record.TIMING_COLUMNS, **options))
    if results_format is not None:
        table = output.csv_file if results_format == "csv" else output.parquet_file
        outputs.append(table(_file_in(log_dir, RESULTS_NAMES[results_format]), record.TIMING_COLUMNS))
    if log_to_console:
        outputs.append(output.console())
    return tuple(outputs)
