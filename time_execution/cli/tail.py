"""Follow metrics as they are stored, newest last. Ctrl-C ends it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from time_execution.cli.numbers import duration
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
_DURATION_WIDTH = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("file", nargs="?", default="metrics.db", help="the database (default: %(default)s)")
    parser.add_argument(
        "-n",
        "--lines",
        type=_lines,
        default=10,
        metavar="N",
        help="begin with so many of the last metrics (default: 10)",
    )
    parser.add_argument("-p", "--pattern", metavar="PATTERN", help="functions whose name matches ('shop.*')")
    parser.add_argument("--json", action="store_true", help="print each metric as a line of JSON")
    parser.add_argument("--no-follow", action="store_true", help="end when all that is stored is printed")
    parser.add_argument(
        "--interval", type=_interval, default=0.5, metavar="SECONDS", help="the pause between two looks (default: 0.5)"
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
    pattern = arguments.pattern
    recent, seen = _recent(arguments.file, arguments.lines, pattern)
    yield from recent
    while not arguments.no_follow:
        sys.stdout.flush()
        time.sleep(arguments.interval)
        try:
            while page := tail(arguments.file, after=seen, limit=_PAGE):
                seen = page[-1].id
                yield from (call for call in page if _is_wanted(call, pattern))
        except DatabaseMissingError:
            # Removed or being replaced: its successor counts from the beginning.
            seen = 0


def _recent(path: str, lines: int, pattern: str | None) -> tuple[list[Call], int]:
    """Return the last metrics that match, of those stored last, and the id to go on from."""
    page = tail(path, limit=max(lines, _PAGE if pattern else lines) or 1)
    wanted = [call for call in page if _is_wanted(call, pattern)]
    return wanted[len(wanted) - min(lines, len(wanted)) :], page[-1].id if page else 0


def _is_wanted(call: Call, pattern: str | None) -> bool:
    return pattern is None or fnmatchcase(call.name, pattern)


def _line(screen: Screen, call: Call) -> str:
    when = to_datetime(call.timestamp).astimezone().strftime("%H:%M:%S.%f")[:-3]
    number, _, unit = duration(call.value).partition(" ")
    took = f"{number} {unit:<2}".rjust(_DURATION_WIDTH)
    fields = " ".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in call.fields.items()
    )
    text = screen.safe(f"{when}  {took}  {call.name}  {fields}".rstrip())
    if screen.width is not None:
        text = text if len(text) <= screen.width else text[: screen.width - len(screen.ellipsis)] + screen.ellipsis
    return screen.red(text) if call.is_error else text


def _document(call: Call) -> dict[str, Any]:
    """Return a metric as it was written."""
    core = {"name": call.name, "value": call.value, "hostname": call.hostname, "timestamp": to_iso(call.timestamp)}
    return {key: value for key, value in core.items() if value is not None} | dict(call.fields)


def _lines(text: str) -> int:
    number = int(text)
    if not 0 <= number <= _PAGE:
        raise argparse.ArgumentTypeError(f"must be between 0 and {_PAGE}")
    return number


def _interval(text: str) -> float:
    seconds = float(text)
    if not 0.05 <= seconds <= 3600:  # noqa: PLR2004 - polling more often would keep a processor busy
        raise argparse.ArgumentTypeError("must be between 0.05 and 3600 seconds")
    return seconds
