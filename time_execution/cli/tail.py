"""Follow metrics as they are stored, newest last. Ctrl-C ends it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from time_execution.cli.bounds import seconds, whole
from time_execution.cli.numbers import count, quantity
from time_execution.cli.say import say
from time_execution.cli.table import Screen
from time_execution.formats.timestamp import to_datetime, to_iso
from time_execution.report import DatabaseError, DatabaseMissingError, tail

if TYPE_CHECKING:
    from time_execution.report import Call

EPILOG = """\
examples:
  time-execution tail metrics.db --pattern 'shop.*'
  time-execution tail metrics.db --json | jq .value
"""
_PAGE = 5_000
_NUMBER_WIDTH = 8
# Looking more often would keep a processor busy.
_INTERVALS = 0.05, 3600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("file", nargs="?", default="metrics.db", help="the database (default: %(default)s)")
    parser.add_argument(
        "-n",
        "--lines",
        type=whole(0, _PAGE),
        default=10,
        metavar="N",
        help="begin with so many of the last metrics (default: 10)",
    )
    parser.add_argument("-p", "--pattern", metavar="PATTERN", help="functions whose name matches ('shop.*')")
    parser.add_argument("--json", action="store_true", help="print each metric as a line of JSON")
    parser.add_argument("--no-follow", action="store_true", help="end when all that is stored is printed")
    parser.add_argument(
        "--interval",
        type=seconds(*_INTERVALS),
        default=0.5,
        metavar="SECONDS",
        help="the pause between two looks (default: 0.5)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what is there, then what comes, until interrupted."""
    screen = Screen(sys.stdout)
    try:
        for call in _calls(arguments):
            print(json.dumps(_document(call)) if arguments.json else _line(screen, call))
    except DatabaseError as exc:
        say(str(exc))
        return 1
    return 0


def _calls(arguments: argparse.Namespace) -> Iterator[Call]:
    """Yield metrics in the order of storing; between two looks, everything so far has been printed."""
    pattern, is_followed = arguments.pattern, not arguments.no_follow
    seen, file = 0, (0, 0)
    try:
        file = _file_at(arguments.file)
        recent, seen, missing = _recent(arguments.file, arguments.lines, pattern)
        yield from recent
    except DatabaseMissingError:
        if not is_followed:
            raise
        missing = f"there is no metrics database at {arguments.file} yet"
    if missing:
        say(f"{missing}; waiting for one (Ctrl-C ends)" if is_followed else missing)
    while is_followed:
        sys.stdout.flush()
        time.sleep(arguments.interval)
        try:
            if (found := _file_at(arguments.file)) != file or _newest(arguments.file) < seen:
                file, seen = found, 0  # another database has taken its place
            while page := tail(arguments.file, after=seen, limit=_PAGE):
                seen = page[-1].id
                yield from (call for call in page if _is_wanted(call, pattern))
        except DatabaseMissingError:
            # Not there yet, removed or being replaced: what comes counts from the beginning.
            seen = 0


def _recent(path: str, lines: int, pattern: str | None) -> tuple[list[Call], int, str]:
    """Return the last metrics that match, of those stored last, the id to go on from, and what there is none of."""
    page = tail(path, limit=max(lines, _PAGE if pattern else lines) or 1)
    wanted = [call for call in page if _is_wanted(call, pattern)]
    missing = ""
    if not page:
        missing = f"{path} has no metric yet"
    elif not wanted:
        missing = f"none of the last {count(len(page))} metrics has a name that matches {pattern!r}"
    return wanted[len(wanted) - min(lines, len(wanted)) :], page[-1].id if page else 0, missing


def _file_at(path: str) -> tuple[int, int]:
    """Return what tells a file from another of its name, but for one that was made where it had been."""
    try:
        found = Path(path).stat()
    except FileNotFoundError as exc:
        raise DatabaseMissingError(f"there is no metrics database at {path!r}") from exc
    return found.st_dev, found.st_ino


def _newest(path: str) -> int:
    """Return the id of the metric that was stored last; 0 without one."""
    page = tail(path, limit=1)
    return page[-1].id if page else 0


def _is_wanted(call: Call, pattern: str | None) -> bool:
    return pattern is None or fnmatchcase(call.name, pattern) or fnmatchcase(call.family, pattern)


def _line(screen: Screen, call: Call) -> str:
    when = to_datetime(call.timestamp).astimezone().strftime("%H:%M:%S.%f")[:-3]
    number, _, unit = quantity(call.value, call.unit).partition(" ")
    took = f"{number} {unit:<2}".rjust(_NUMBER_WIDTH)
    fields = " ".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in call.fields.items()
    )
    text = screen.safe(f"{when}  {took}  {call.family}  {fields}".rstrip())
    if screen.width is not None:
        text = text if len(text) <= screen.width else text[: screen.width - len(screen.ellipsis)] + screen.ellipsis
    return screen.red(text) if call.is_error else text


def _document(call: Call) -> dict[str, Any]:
    """Return a metric as it was written."""
    core = {"name": call.family, "value": call.value, "hostname": call.hostname, "timestamp": to_iso(call.timestamp)}
    return {key: value for key, value in core.items() if value is not None} | dict(call.fields)
