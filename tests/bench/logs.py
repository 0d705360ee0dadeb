"""What a line costs its caller, with all local destinations, and with four handlers of the standard library."""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import IO, Any

from tests.bench.measure import Table
from time_execution import flush, settings
from time_execution.logs import configure, logger, reset

_BURST = 300  # so few that they are over before the workers begin
_GOAL = 0.5
_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


class _JSONFormatter(logging.Formatter):
    """Makes the same document of a line."""

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, Any] = {
            "timestamp": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "module": record.module,
            "function": record.funcName,
            "line": record.lineno,
            "process_id": record.process,
            "thread_id": record.thread,
            "environment": "development",
        }
        if record.exc_info and record.exc_info[0] is not None:
            traceback = self.formatException(record.exc_info).splitlines()
            document["exception"] = {
                "type": record.exc_info[0].__name__,
                "message": str(record.exc_info[1]),
                "traceback": traceback,
            }
        for name in ("order", "user_id"):
            if hasattr(record, name):
                document[name] = getattr(record, name)
        return json.dumps(document)


@contextmanager
def standard_logger(folder: Path, console: IO[str]) -> Iterator[logging.Logger]:
    """Yield a logger of the standard library with four handlers that do what ours do."""
    standard = logging.getLogger("tests.bench.standard")
    standard.setLevel(logging.INFO)
    standard.propagate = False
    rotating, daily = logging.handlers.RotatingFileHandler, logging.handlers.TimedRotatingFileHandler
    text = logging.Formatter(_FORMAT)
    handlers: list[logging.Handler] = [
        logging.StreamHandler(console),
        rotating(folder / "standard.log", maxBytes=10 << 20, backupCount=5),
        daily(folder / "standard_error.log", when="midnight", backupCount=30, utc=True),
        rotating(folder / "standard.json", maxBytes=20 << 20, backupCount=5),
    ]
    for handler in handlers:
        handler.setFormatter(text)
        standard.addHandler(handler)
    handlers[2].setLevel(logging.ERROR)
    handlers[3].setFormatter(_JSONFormatter())
    try:
        yield standard
    finally:
        for handler in handlers:
            standard.removeHandler(handler)
            handler.close()


def _lines(log: logging.Logger) -> dict[str, Callable[[], object]]:
    """Return what is called, by label."""
    error = ValueError("no such order")
    try:
        raise error
    except ValueError:
        pass
    extra = {"order": 17, "user_id": "ann"}
    return {
        'info("x")': lambda: log.info("x"),
        'info("order %s of %s", 17, "ann")': lambda: log.info("order %s of %s", 17, "ann"),
        "with two extra fields": lambda: log.info("order", extra=extra),
        "an error with its traceback": lambda: log.error("failed", exc_info=error),
        "below the level": lambda: log.debug("x"),
    }


def _least(first: Callable[[], object], second: Callable[[], object], bursts: int) -> tuple[float, float]:
    """Return the microseconds of wall time of a call of each, the least of bursts in turn, each with nothing to do."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(bursts):
        for function, times in zip((first, second), found, strict=True):
            flush(30.0)
            started = perf_counter_ns()
            for _ in range(_BURST):
                function()
            times.append((perf_counter_ns() - started) / _BURST / 1000)
    flush(30.0)
    return min(found[0]), min(found[1])


def logs_table(windows: int) -> Table:
    """Measure lines of each kind in short bursts, the console being a file that takes everything."""
    settings.configure(backends=(), hooks=())
    bursts = max(20, windows // 5)
    table = Table("logs", "A line", "here, µs", "standard library, µs", "ratio", "goal")
    before = sys.stdout
    with tempfile.TemporaryDirectory() as folder, Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        configure(log_dir=folder, app_name="bench")
        logger.propagate = False
        try:
            with standard_logger(Path(folder), nowhere) as standard:
                theirs = _lines(standard)
                for label, ours in _lines(logger).items():
                    sys.stdout = nowhere
                    here, there = _least(ours, theirs[label], bursts)
                    sys.stdout = before
                    goal = "" if label.startswith("below") else f"{_GOAL}"
                    table.add(label, f"{here:.1f}", f"{there:.1f}", f"{here / there:.2f}", goal)
        finally:
            sys.stdout = before
            logger.propagate = True
            reset()
    settings.reset()
    return table
