"""Show what each function cost: calls, errors, and the time it took; below, numbers of other kinds, in their units.

Files are metrics databases, or the JSON lines, CSV and Parquet files of the backends, of Timer and of ErrorCatcher;
what they are is told by their content. Several are reported as one.
Times are inclusive: a function's time contains that of the functions it calls. Percentiles are at most 2 % off.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from time_execution.cli.bounds import whole
from time_execution.cli.figures import SORTS, choose, document, iso, print_csv, print_tables
from time_execution.cli.moments import moment
from time_execution.cli.numbers import count, plural
from time_execution.cli.say import Progress, say
from time_execution.exceptions import MissingExtraError
from time_execution.report import MOST_ROWS, DatabaseError, opened, read, resources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from time_execution.report import FunctionStats, Opened, Resources

EPILOG = """\
examples:
  time-execution report metrics.db --sort p95 --limit 10
  time-execution report metrics.db --since 1h --pattern 'shop.*'
  time-execution report logs/timing.log logs/error.log
  time-execution report metrics.db --html report.html
  time-execution report metrics.db --csv > report.csv
"""
_TABLE_LIMIT = 30
_PAGE_LIMIT = 500
_ALIKE = 5
_ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_KILLED = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "files", nargs="*", metavar="FILE", default=["metrics.db"], help="what to read (default: metrics.db)"
    )
    parser.add_argument("-s", "--sort", choices=SORTS, default="total", help="what to sort by (default: %(default)s)")
    parser.add_argument("-r", "--reverse", action="store_true", help="sort the other way round: least first")
    parser.add_argument(
        "-n",
        "--limit",
        type=whole(0),
        metavar="N",
        help=f"show so many functions, and so many others, 0 for all (default: {_TABLE_LIMIT}; page: {_PAGE_LIMIT})",
    )
    add_filters(parser)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print JSON")
    forms.add_argument("--csv", action="store_true", help="print CSV")
    forms.add_argument("--html", metavar="FILE", help="write a page with plots that works without a network")
    parser.add_argument("--no-backups", action="store_true", help="leave FILE.1, FILE.2.gz and so on alone")
    parser.add_argument(
        "--value-field",
        metavar="FIELD",
        default="value",
        help="where JSON lines, CSV and Parquet have the duration (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Describe the options that say which metrics count."""
    parser.add_argument("-p", "--pattern", metavar="PATTERN", help="functions whose name matches ('shop.*')")
    parser.add_argument("--since", type=moment, metavar="TIME", help="from then on: 15m, 1h, 7d ago, or an ISO time")
    parser.add_argument("--until", type=moment, metavar="TIME", help="up to then")


def run(arguments: argparse.Namespace) -> int:
    """Print or write the report; one of nothing is a report, too, but for the table."""
    if arguments.html is not None and _is_one_of(arguments.html, arguments.files):
        say(f"{arguments.html} is what is reported; name another file for the page")
        return 1
    progress = Progress("reading")
    try:
        with (
            _tidy_endings(),
            opened(
                *arguments.files,
                backups=not arguments.no_backups,
                value_field=arguments.value_field,
                progress=lambda number: progress.show(plural(number, "metric")),
            ) as found,
        ):
            progress.clear()
            _tell(found)
            return _report(arguments, found)
    except (DatabaseError, MissingExtraError) as exc:
        progress.clear()
        say(str(exc))
        return 1


def _report(arguments: argparse.Namespace, found: Opened) -> int:
    whole = {"since": arguments.since, "until": arguments.until, "pattern": arguments.pattern}
    stats = read(found.database, **whole, **({"most": None} if found.is_copy else {}))
    if not stats:
        name = ", ".join(arguments.files)
        say(f"nothing to report: {name} has no metric{_of_which(arguments)}{_hint(arguments, found.database)}")
    taken = resources(found.database, **whole, most=None if found.is_copy else MOST_ROWS)
    limit = _effective_limit(arguments)
    chosen = choose(stats, sort=arguments.sort, reverse=arguments.reverse, limit=limit, taken=taken)
    if arguments.html is not None:
        return _write_page(arguments, found, stats, chosen, taken)
    if arguments.json:
        about = {"files": arguments.files} if found.is_copy else {"database": found.database}
        about |= {"since": iso(arguments.since), "until": iso(arguments.until)}
        print(json.dumps(about | document(chosen, taken), indent=2))
    elif arguments.csv:
        print_csv(chosen, taken)
    elif stats:
        print_tables(stats, chosen, sort=arguments.sort, taken=taken)
        if taken and not found.is_copy and sum(row.calls for row in stats) > MOST_ROWS:
            print(f"cpu, memory and rss are of the latest {count(MOST_ROWS)} metrics")
    return 0


def _is_one_of(name: str, others: Sequence[str]) -> bool:
    """Whether a file is one of some others, by whatever name."""
    known = [each for each in others if os.path.exists(each)]  # noqa: PTH110 - `Path` raises for what is no name at all
    return os.path.exists(name) and any(os.path.samefile(name, each) for each in known)  # noqa: PTH110, PTH121 - as above


def _tell(found: Opened) -> None:
    """Say what was left out of the files."""
    for path, number in found.skipped.items():
        say(f"{path}: passed over {plural(number, 'line')} that tell{'s' if number == 1 else ''} of no metric")
    for path in found.cut:
        say(f"{path} IS NOT WHOLE: the file is cut off or damaged; what follows that place is missing from the report")
    for path, number in found.rolled_up.items():
        say(f"{path}: {plural(number, 'metric')} are kept in sums only, and left out beside other files")


@contextmanager
def _tidy_endings() -> Iterator[None]:
    """Let the signals that end a process unwind it first, so that temporary files go."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _end) for number in _ENDINGS if signal.getsignal(number) is signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: object) -> None:
    raise SystemExit(_KILLED + number)


def _effective_limit(arguments: argparse.Namespace) -> int | None:
    if arguments.limit is not None:
        return int(arguments.limit)
    if arguments.html is not None:
        return _PAGE_LIMIT
    return None if arguments.json or arguments.csv else _TABLE_LIMIT


def _of_which(arguments: argparse.Namespace) -> str:
    parts = []
    if arguments.pattern:
        parts.append(f" of a name that matches {arguments.pattern!r}")
    if arguments.since or arguments.until:
        parts.append(" in that time")
    return "".join(parts)


def _hint(arguments: argparse.Namespace, database: str) -> str:
    """Return names that the pattern may have meant, if it is the pattern that leaves nothing."""
    if not arguments.pattern:
        return ""
    from difflib import get_close_matches

    names = [row.name for row in read(database, since=arguments.since, until=arguments.until)]
    words = arguments.pattern.strip("*").lower()
    alike = [name for name in names if words in name.lower()] or get_close_matches(words, names, _ALIKE)
    return f"; names like it: {', '.join(alike[:_ALIKE])}" if alike else ""


def _write_page(
    arguments: argparse.Namespace,
    found: Opened,
    stats: list[FunctionStats],
    chosen: list[FunctionStats],
    taken: Mapping[str, Resources],
) -> int:
    from time_execution.cli.page import Told, page

    told = Told(
        database=found.database,
        files=arguments.files,
        stats=stats,
        chosen=chosen,
        taken=taken,
        since=arguments.since,
        until=arguments.until,
        pattern=arguments.pattern,
        cut=found.cut,
    )
    text = page(told)
    try:
        Path(arguments.html).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as exc:
        say(f"cannot write {arguments.html}: {exc.strerror or exc}")
        return 1
    say(f"the report is in {arguments.html}; open it in a browser")
    return 0
