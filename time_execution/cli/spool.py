"""Look at metrics that could not be delivered, send them, or remove them.

A path is a spool folder, or a file of dead letters: metrics that a backend refused for good. Nothing else is touched.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from time_execution.cli import letters
from time_execution.cli.bounds import whole
from time_execution.cli.letters import LetterFile, Refusal
from time_execution.cli.moments import moment
from time_execution.cli.numbers import count, duration, plural
from time_execution.cli.say import is_of_a_stream, say
from time_execution.cli.table import Screen, render
from time_execution.delivery import deadletter
from time_execution.delivery.spool import inspect_folder, purge, read
from time_execution.exceptions import ConfigurationError
from time_execution.formats.timestamp import to_iso

if TYPE_CHECKING:
    from time_execution.delivery.deadletter import DeadLetter
    from time_execution.delivery.spool import SpoolFile
    from time_execution.types import Metric

EPILOG = """\
examples:
  time-execution spool list /var/spool/shop
  time-execution spool show /var/spool/shop/dead-letters.jsonl -n 3
  time-execution spool replay /var/spool/shop --to sqlite:///metrics.db
  time-execution spool purge /var/spool/shop --older-than 30d --yes
"""


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
        "-n", "--limit", type=whole(0), default=20, metavar="N", help="show so many, 0 for all (default: 20)"
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
        action.set_defaults(run=lambda arguments, run=run: _run(run, arguments), parser=action)


def _run(action: Any, arguments: argparse.Namespace) -> int:
    try:
        return int(action(arguments))
    except ConfigurationError as exc:
        say(str(exc))
        return 2
    except Refusal as exc:
        say(str(exc))
        return 1
    except (OSError, sqlite3.Error) as exc:
        if is_of_a_stream(exc):
            raise
        say(f"{arguments.path}: {exc}")
        return 1


def list_path(arguments: argparse.Namespace) -> int:
    """Print a table of the files."""
    screen = Screen(sys.stdout)
    files, kin = _look(arguments.path)
    if files:
        heads = ("file", "backend", "metrics", "bytes", "oldest", "state")
        print(render(screen, heads, [_row(file) for file in files]))
        print()
    is_spool = files or arguments.path.is_dir()
    waiting = f"{plural(sum(file.rows for file in files), 'metric')} waiting, " if is_spool else ""
    print(f"{waiting}{plural(sum(file.letters for file in kin if not file.problem), 'dead letter')}")
    return int(_tell_problems(kin))


def show(arguments: argparse.Namespace) -> int:
    """Print metrics, with what is known of why they are here."""
    files, kin = _look(arguments.path)
    for document in islice(_documents(files, kin), arguments.limit or None):
        print(json.dumps(document, default=str))
    unread = [file for file in files if file.problem]
    for file in unread:
        say(f"{file.path}: {file.problem}")
    return int(_tell_problems(kin) or bool(unread))


def replay_path(arguments: argparse.Namespace) -> int:
    """Send what lies there."""
    from time_execution.cli.replay import replay

    _check_whole(arguments.path)
    outcome = replay(arguments.path, arguments.to, name=arguments.name)
    say(outcome.told())
    return 0 if outcome.is_complete() else 1


def purge_path(arguments: argparse.Namespace) -> int:
    """Remove what lies there, if that is really wanted."""
    path: Path = arguments.path
    _check_whole(path)
    is_folder = path.is_dir()
    if arguments.name is not None and not is_folder:
        raise ConfigurationError("dead letters tell no backend: leave out --name")
    if not arguments.yes and not _is_confirmed(f"Remove metrics from {path} for good?"):
        say("nothing was removed; --yes removes without asking")
        return 1
    if is_folder:
        removed = purge(path, older_than=_age(arguments), name=arguments.name, force=arguments.force)
        say(f"{plural(removed, 'metric')} removed")
        busy = [file for file in inspect_folder(path) if file.has_owner and file.rows]
        if busy and not arguments.force:
            say(f"{plural(len(busy), 'file')} of processes at work left alone; --force would remove from these, too")
        if arguments.name is not None:  # which letters do not tell
            return 0
        path /= deadletter.NAME
    return _purge_letters(path, arguments.older_than)


def _purge_letters(path: Path, until: datetime | None) -> int:
    """Remove the letters that were refused before a moment, all of them without one."""
    kin = letters.find_proved(path)
    removed = 0

    def judge(lines: Sequence[tuple[bytes, DeadLetter]]) -> Iterator[bytes]:
        nonlocal removed
        for line, letter in lines:
            if until is None or letter.time < until:
                removed += 1
            else:
                yield line

    letters.take_out(path, kin, judge)
    say(f"{plural(removed, 'dead letter')} removed")
    return int(_tell_problems(kin))


def _look(path: Path) -> tuple[list[SpoolFile], list[LetterFile]]:
    """Return what lies at a path: files of a spool, and files of dead letters with what is in their place.

    Raises:
        Refusal: When it is nothing of ours.
    """
    if path.is_dir():
        files, kin = inspect_folder(path), letters.find(path / deadletter.NAME)
        is_used = files or kin or any(path.glob(f"{deadletter.NAME}*"))
        if not is_used and any(path.iterdir()):
            raise Refusal(f"there is no spool in {path}")
        return files, kin
    files = [file for file in inspect_folder(path.parent) if file.path == path]
    kin = [] if files else letters.find_proved(path)
    if not (files or kin or os.path.lexists(path)):
        raise Refusal(f"there is nothing at {path}")
    return files, kin


def _check_whole(path: Path) -> None:
    """Refuse a part of something: one file of a spool, which has an owner's lock, or one that a file of letters left.

    Raises:
        Refusal: Naming the whole; or as `_look` does.
    """
    files, _ = _look(path)
    if files and not path.is_dir():
        raise Refusal(f"{path} is a file of the spool in {path.parent}: name the folder")
    head = None if path.is_dir() else letters.head_of(path)
    if head is not None:
        raise Refusal(f"{path} belongs to {head}: name that")


def _tell_problems(kin: list[LetterFile]) -> bool:
    """Say what was found in the place of letters that is none; returns whether there was any."""
    for file in kin:
        if file.problem:
            say(f"{file.path} is no file of dead letters, and was left alone: {file.problem}")
        elif file.others:
            say(f"{file.path}: {plural(file.others, 'line')} could not be read, and stayed")
    return any(file.problem or file.others for file in kin)


def _row(file: SpoolFile) -> tuple[str, ...]:
    age = "-" if file.oldest is None else f"{duration(max(0.0, time.time() - file.oldest) * 1e3)} ago"
    state = file.problem or (f"process {file.pid} is at work" if file.has_owner else "left behind")
    return file.path.name, file.name, count(file.rows), count(file.bytes), age, state


def _documents(files: list[SpoolFile], kin: list[LetterFile]) -> Iterator[dict[str, Any]]:
    for file in files:
        if not file.problem:
            yield from (_document(metric) for metric in read(file.path))
    for letter in letters.read(kin):
        head = {"refused": to_iso(letter.time), "reason": letter.reason, "detail": letter.detail}
        yield {**head, **_document(letter.metric)}


def _document(metric: Metric) -> dict[str, Any]:
    fields = dict(metric)
    timestamp = fields.get("timestamp")
    if isinstance(timestamp, (int, datetime)):
        with suppress(OverflowError):  # no moment of any calendar: shown as it is
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
