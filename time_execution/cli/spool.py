"""Look at metrics that could not be delivered, send them, or remove them.

A path is a spool folder, or a file of dead letters: metrics that a backend refused for good.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from time_execution.cli.moments import moment
from time_execution.cli.numbers import count, duration, plural
from time_execution.cli.say import say
from time_execution.cli.table import Screen, render
from time_execution.delivery import deadletter
from time_execution.delivery.spool import inspect_folder, purge, read
from time_execution.exceptions import ConfigurationError
from time_execution.formats.timestamp import to_iso

if TYPE_CHECKING:
    from time_execution.delivery.spool import SpoolFile
    from time_execution.types import Metric

EPILOG = """\
examples:
  time-execution spool list /var/spool/shop
  time-execution spool show /var/spool/shop/dead-letters.jsonl -n 3
  time-execution spool replay /var/spool/shop --to sqlite:///metrics.db
  time-execution spool purge /var/spool/shop --older-than 30d --yes
"""
LETTERS = "dead-letters.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list", help="what lies there: files, metrics, age", description="Say what lies there."
    )
    showing = actions.add_parser(
        "show", help="print metrics as lines of JSON", description="Print metrics as JSON lines."
    )
    replay = actions.add_parser(
        "replay",
        help="send metrics to a backend and remove those it stored",
        description="Send metrics, with the ids they have, to a backend, and remove those that it stored. Files of a "
        "process that is at work are left to it.",
    )
    purging = actions.add_parser("purge", help="remove metrics for good", description="Remove metrics for good.")
    for action in (listing, showing, replay, purging):
        action.add_argument("path", type=Path, help="a spool folder or a file of dead letters")
    showing.add_argument(
        "-n", "--limit", type=int, default=20, metavar="N", help="show so many, 0 for all (default: 20)"
    )
    replay.add_argument(
        "--to", required=True, metavar="BACKEND", help="a URL ('sqlite:///metrics.db') or an import path"
    )
    for action in (replay, purging):
        action.add_argument("--name", metavar="BACKEND", help="only what was meant for the backend of this name")
    purging.add_argument(
        "--older-than", type=moment, metavar="TIME", help="only what was spooled before: 30d ago, ISO time"
    )
    purging.add_argument("--force", action="store_true", help="also from files of a process that is at work")
    purging.add_argument("-y", "--yes", action="store_true", help="do not ask")
    for action, run in ((listing, list_path), (showing, show), (replay, replay_path), (purging, purge_path)):
        action.set_defaults(run=lambda arguments, run=run: _run(run, arguments))


def _run(action: Any, arguments: argparse.Namespace) -> int:
    if not arguments.path.exists():
        say(f"there is nothing at {arguments.path}")
        return 1
    try:
        return int(action(arguments))
    except ConfigurationError as exc:
        say(str(exc))
        return 2
    except (OSError, sqlite3.Error) as exc:
        if isinstance(exc, BrokenPipeError):
            raise
        say(f"{arguments.path}: {exc}")
        return 1


def list_path(arguments: argparse.Namespace) -> int:
    """Print a table of the files."""
    screen = Screen(sys.stdout)
    path: Path = arguments.path
    letters = path / LETTERS if path.is_dir() else path
    refused = sum(1 for _ in deadletter.read(letters)) if letters.exists() else 0
    files = inspect_folder(path) if path.is_dir() else []
    if files:
        heads = ("file", "backend", "metrics", "bytes", "oldest", "state")
        print(render(screen, heads, [_row(file) for file in files]))
        print()
    waiting = f"{plural(sum(file.rows for file in files), 'metric')} waiting, " if path.is_dir() else ""
    print(f"{waiting}{plural(refused, 'dead letter')}")
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Print metrics, with what is known of why they are here."""
    for document in islice(_documents(arguments.path), arguments.limit or None):
        print(json.dumps(document, default=str))
    return 0


def replay_path(arguments: argparse.Namespace) -> int:
    """Send what lies there."""
    from time_execution.cli.replay import replay

    outcome = replay(arguments.path, arguments.to, name=arguments.name)
    say(outcome.told())
    return 0 if outcome.is_complete() else 1


def purge_path(arguments: argparse.Namespace) -> int:
    """Remove what lies there, if that is really wanted."""
    if not arguments.yes and not _is_confirmed(f"Remove metrics from {arguments.path} for good?"):
        say("nothing was removed; --yes removes without asking")
        return 1
    path: Path = arguments.path
    if path.is_dir():
        removed = purge(path, older_than=_age(arguments), name=arguments.name, force=arguments.force)
        say(f"{plural(removed, 'metric')} removed")
        busy = [file for file in inspect_folder(path) if file.has_owner and file.rows]
        if busy and not arguments.force:
            say(f"{plural(len(busy), 'file')} of processes at work left alone; --force would remove from these, too")
        return 0
    if arguments.older_than is not None or arguments.name is not None:
        raise ConfigurationError("a file of dead letters is removed as a whole: leave out --older-than and --name")
    removed = sum(1 for _ in deadletter.read(path))
    for each in (path, path.with_name(f"{path.name}.1")):
        each.unlink(missing_ok=True)
    say(f"{plural(removed, 'dead letter')} removed")
    return 0


def _row(file: SpoolFile) -> tuple[str, ...]:
    age = "-" if file.oldest is None else f"{duration(max(0.0, time.time() - file.oldest) * 1e3)} ago"
    state = file.problem or (f"process {file.pid} is at work" if file.has_owner else "left behind")
    return file.path.name, file.name, count(file.rows), count(file.bytes), age, state


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    if path.is_dir() or path.suffix == ".db":
        yield from (_document(metric) for metric in read(path))
        path = path / LETTERS if path.is_dir() else path
    if path.suffix != ".db":
        for letter in deadletter.read(path):
            head = {"refused": to_iso(letter.time), "reason": letter.reason, "detail": letter.detail}
            yield {**head, **_document(letter.metric)}


def _document(metric: Metric) -> dict[str, Any]:
    fields = dict(metric)
    timestamp = fields.get("timestamp")
    if isinstance(timestamp, (int, datetime)):
        fields["timestamp"] = to_iso(timestamp)
    return {"id": metric.id, **fields}


def _is_confirmed(question: str) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    try:
        return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False


def _age(arguments: argparse.Namespace) -> float | None:
    if arguments.older_than is None:
        return None
    return float((datetime.now(timezone.utc) - arguments.older_than).total_seconds())
