"""The ``time-execution`` command: one module a subcommand, imported when it is asked for.

A subcommand's module offers ``add_arguments(parser)``, which sets the default ``run``: a function of the parsed
arguments that returns the exit status. 0 is success, 1 a problem, 2 wrong usage, 130 an interrupt. A reader of the
output that has seen enough, as ``head`` has, is no problem.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from time_execution.cli.say import is_of_a_stream, say

_COMMANDS = {
    "run": "time the functions of a program, unmodified",
    "report": "show what each function cost",
    "tail": "follow metrics as they are stored",
    "dashboard": "serve live pages of a metrics database",
    "spool": "look at undelivered metrics, send or remove them",
    "demo": "measure a real program and show the report",
}
# Each of these runs a program whose exceptions and interrupts are the program's own affair.
_HANDS_OVER = {"run"}
_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        argv: The arguments; by default those of the process.

    Raises:
        SystemExit: For ``--help``, ``--version`` and wrong usage, as argparse does.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    parsed, unknown = _parser(arguments).parse_known_args(arguments)
    if unknown:  # said by the subcommand, with its own usage
        parsed.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if parsed.command in _HANDS_OVER:
        return int(parsed.run(parsed))
    if sys.stdout is None:
        # What is opened next would get its number, and be written to as if it were the output.
        say("cannot write: standard output is closed")
        return _FAILED
    try:
        status = int(parsed.run(parsed))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return 0
    except OSError as exc:
        if is_of_a_stream(exc):
            say(f"cannot write: {exc.strerror}")
            _discard_output()
        else:
            say(str(exc))
        return _FAILED
    return status


def _discard_output() -> None:
    """Let what waits to be written go nowhere: at its end the interpreter would try to write it once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; only the subcommand at hand is imported to describe itself."""
    parser = argparse.ArgumentParser(
        prog="time-execution",
        description="Measure what functions cost, and see the numbers.",
        epilog="time-execution COMMAND --help says more.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, summary in _COMMANDS.items():
        if name == wanted:
            module = import_module(f"{__name__}.{name}")
            command = commands.add_parser(
                name,
                help=summary,
                description=module.__doc__,
                epilog=getattr(module, "EPILOG", None),
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            command.set_defaults(parser=command)
            module.add_arguments(command)
        else:
            commands.add_parser(name, help=summary, add_help=False)
    return parser


class _Version(argparse.Action):
    """Prints the version of the installed distribution, which takes time to find, only when asked to."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("timeexecution")
        except PackageNotFoundError:
            number = "(not installed)"
        print(f"time-execution {number}")
        parser.exit()
