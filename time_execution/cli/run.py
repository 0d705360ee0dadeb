"""Time the functions of a program, without changing it.

The program runs as `python script.py args` or `python -m module args` would run it. Each call of a function whose name
matches is stored in an SQLite file, with its duration and the type of the exception it raised, if any.
"""

from __future__ import annotations

import argparse
import atexit
import os
import shlex
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from time_execution.backends.sqlite import SQLiteBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.cli.numbers import plural
from time_execution.cli.say import Progress, say
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import ConfigurationError
from time_execution.formats.json import encode
from time_execution.settings import settings
from time_execution.tracing import Program, ProgramMissingError, Selection, Tracer, execute

if TYPE_CHECKING:
    from types import FrameType

EPILOG = """\
patterns:
  A pattern is matched against module and qualified name, as in 'shop.orders.Order.total' (wildcards: * ? [abc]).
  Functions of a script are named __main__.function, those of a module run with -m by the module's own name.
  Without --pattern, what is measured is the script and the modules beside it, or the package of the module.

what it costs:
  About a microsecond for each measured call in the thread that makes it, and several more in the one that stores it;
  a third of a second for each thousand functions that match, when they are imported; nothing for other functions.
  Leave out with --exclude what is called millions of times.

what is not measured:
  Lambdas, functions made by exec(), C functions, modules that are loaded before the program (those that time-execution
  itself needs, such as json and threading), programs that the program starts, and children that multiprocessing
  spawns; those that it forks are measured. A function under our own decorator is left to it; its metrics go to the
  same file unless the program configures another backend.

examples:
  time-execution run script.py --its-own --options
  time-execution run --pattern 'shop.*' --exclude '*._*' --db shop.db -m shop.importer orders.csv
"""
# A full queue makes the program wait for the disk, so that no call is lost; a disk that takes nothing for this long
# costs metrics, and not the program.
_QUEUE = 200_000
_BLOCK_TIMEOUT = 5.0
_GIVE_UP = 15.0
_SHUTDOWN = 60.0
_BATCH = 5_000
_LINGER = 0.5
_WORTH_TELLING = 20_000
_LOOK = 0.2
_MAX_SHOWN = 6
# What ends a program without a word when it does nothing about it; absent on some platforms.
_ENDING_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
# Loaded by multiprocessing when it first starts a process in a way that leaves our instruments behind.
_SPAWNING = (
    "multiprocessing.popen_spawn_posix",
    "multiprocessing.popen_spawn_win32",
    "multiprocessing.popen_forkserver",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.usage = "time-execution run [options] (script.py | -m module) [args ...]"
    parser.add_argument(
        "-p", "--pattern", action="append", metavar="PATTERN", help="measure functions of this name; may be repeated"
    )
    parser.add_argument(
        "-x", "--exclude", action="append", default=[], metavar="PATTERN", help="do not measure these; may be repeated"
    )
    parser.add_argument(
        "--db", default="metrics.db", metavar="FILE", help="where to store metrics (default: %(default)s)"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument(
        "-m", dest="module", nargs=argparse.REMAINDER, metavar="module", help="run a module, as python -m does"
    )
    # Python's own, told apart only to be refused in words that help.
    parser.add_argument("-c", dest="code", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.add_argument(
        "script", nargs=argparse.REMAINDER, metavar="script.py args", help="the program and its arguments"
    )
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the program; what ends it passes, as it would without us."""
    words = _program_of(arguments)
    program = Program(words[0], words[1:], is_module=arguments.module is not None)
    try:
        patterns = arguments.pattern or program.default_patterns()
        backend = _Store(
            SQLiteBackend(arguments.db),
            queue_maxsize=_QUEUE,
            bulk_size=_BATCH,
            bulk_timeout=_LINGER,
            max_bytes=None,
            overflow="block",
            block_timeout=_BLOCK_TIMEOUT,
            retry=Backoff(max_age=_GIVE_UP),
            shutdown_timeout=_SHUTDOWN,
        )
    except ConfigurationError as exc:
        say(f"--db {arguments.db}: {exc}")
        return 2
    except ProgramMissingError as exc:
        say(str(exc))
        return exc.status
    backend.is_quiet = arguments.quiet
    settings.configure(backends=[backend])
    tracer = Tracer(Selection(patterns, arguments.exclude), backend)
    _Ending(arguments, backend, tracer).expect()
    # Loaded now and not with the first document: an import at the very end, after Ctrl-C, may run an ``eval`` (a named
    # tuple does), and with that CPython 3.11 forgets that it was to end by the signal.
    encode({})
    tracer.start()
    try:
        code = program.load(tracer.compile_main)
    except ProgramMissingError as exc:
        say(str(exc))
        return exc.status
    execute(code)
    return 0


def _program_of(arguments: argparse.Namespace) -> list[str]:
    """Return the script or module and its arguments; the parser ends the process when there is none."""
    words: list[str] = arguments.module or arguments.script
    if words and words[0] == "--":
        words = words[1:]
    if arguments.code is not None or words[:1] == ["-"]:
        arguments.parser.error("a program from the command line or standard input cannot be measured: put it in a file")
    if not words:
        arguments.parser.error("name a script, or a module after -m")
    return words


class _Store(ThreadedBackend):
    """Shows how far the writing has come while it is closed, if that takes long enough to be noticed.

    At the end of a process a delivery is closed before any other ``atexit`` function runs, those of ours included.

    Attributes:
        is_quiet: Whether it shows nothing.
    """

    is_quiet = False

    def close(self, timeout: float | None = None) -> None:
        """Deliver the rest in sight of whoever waits for it."""
        deadline = time.monotonic() + (self.shutdown_timeout if timeout is None else timeout)
        if not self.is_quiet and self.stats()["pending"] >= _WORTH_TELLING:
            self.begin_close()
            progress = Progress("time-execution: storing metrics:")
            while (left := self.stats()["pending"]) and time.monotonic() < deadline:
                progress.show(f"{left:,} left")
                self.flush(_LOOK)
            progress.clear()
        super().close(max(0.0, deadline - time.monotonic()))


class _Ending:
    """What is done when the program and its `atexit` functions have ended: store the rest, say what came of it.

    A signal that ends the program in the middle ends it all the same, by that signal and without a line of the
    program's own code being run, once the rest is stored.

    Args:
        arguments: The command line.
        backend: Where the metrics went.
        tracer: Who measured.
    """

    def __init__(self, arguments: argparse.Namespace, backend: ThreadedBackend, tracer: Tracer) -> None:
        self._arguments = arguments
        self._path = os.path.relpath(arguments.db)
        self._backend = backend
        self._tracer = tracer
        self._process = os.getpid()
        self._children = 0
        self._held = threading.local()

    def expect(self) -> None:
        """Be called at the end, whichever it is; forked children inherit it."""
        atexit.register(self)
        for number in _ENDING_SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._end_by_signal)
        if hasattr(os, "register_at_fork"):
            # In a child, this comes after what the backend has registered.
            os.register_at_fork(before=self._hold, after_in_parent=self._count_child, after_in_child=self._let_go)

    def _hold(self) -> None:
        """Let signals wait while we fork: one that finds a child begun by half would be forgotten by Python there."""
        self._held.before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)

    def _let_go(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._held.before)

    def _count_child(self) -> None:
        self._children += 1
        self._let_go()

    def __call__(self) -> None:
        if os.getpid() != self._process:
            return  # a forked child: its metrics are delivered as any child's, and the parent speaks for the whole
        self._backend.close()
        self._tell()

    def _end_by_signal(self, number: int, _frame: FrameType | None) -> None:
        """Store the rest and die of the signal, as the program would without us; the next one does not wait."""
        signal.signal(number, signal.SIG_DFL)
        try:
            # Not closed: that may be what the signal interrupted, and cannot end before we return.
            self._backend.begin_close()
            self._backend.flush(_SHUTDOWN)
            if os.getpid() == self._process:
                self._tell()
        finally:
            os.kill(os.getpid(), number)

    def _tell(self) -> None:
        if self._arguments.quiet:
            return
        self._tell_counts(self._backend.stats())
        if _has_spawned():
            say("processes that multiprocessing spawned were not measured; those that it forks are")

    def _tell_counts(self, stats: dict[str, Any]) -> None:
        measured = stats["offered"] - stats["rejected"].get("reentrant", 0)
        lost = measured - stats["delivered"]
        where = shlex.quote(self._path)
        if not measured:
            self._tell_nothing_measured(where)
            return
        fate = "none lost" if not lost else f"{lost:,} LOST ({_reasons(stats)})"
        more = "; what forked children measured is stored, too" if self._children else ""
        watched = plural(len(self._tracer.functions), "function")
        say(f"{plural(measured, 'call')} measured, {fate}, written to {where} ({watched} watched{more})")
        say(f"to see them: time-execution report {where}")

    def _tell_nothing_measured(self, where: str) -> None:
        if self._children or _has_spawned():
            theirs = f"; what its forked children measured, if anything, is in {where}" if self._children else ""
            say(f"no call was measured in this process{theirs}")
            return
        patterns = list(self._tracer.selection.include)
        shown = " ".join(map(shlex.quote, patterns[:_MAX_SHOWN])) + (" ..." if len(patterns) > _MAX_SHOWN else "")
        say(f"no call was measured: no function that ran has a name that matches {shown}")
        if self._tracer.skipped:
            say(f"these have no source, or one too deeply nested: {', '.join(self._tracer.skipped[:_MAX_SHOWN])}")
        if self._arguments.pattern:
            bare = next((pattern for pattern in patterns if not any(mark in pattern for mark in "*?[")), None)
            tip = (
                f"to measure a whole package: --pattern '{bare}.*'" if bare else "functions of a script are __main__.*"
            )
            say(tip)
        else:
            say("name what is to be measured: --pattern 'package.*'")


def _has_spawned() -> bool:
    return any(module in sys.modules for module in _SPAWNING)


def _reasons(stats: dict[str, Any]) -> str:
    reasons = {**stats["rejected"], **stats["dropped"]}
    reasons.pop("reentrant", None)
    parts = [f"{count:,} {reason}" for reason, count in sorted(reasons.items())]
    if stats["last_error"]:
        parts.append(f"last error {stats['last_error']}")
    return ", ".join(parts)
