"""Serve the dashboard of a metrics database, live, for a browser. Ctrl-C ends it.

Without a password it serves this machine only. The database need not be there yet: pages fill as soon as it is.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from time_execution.argument_check import check_ports
from time_execution.cli.say import say
from time_execution.exceptions import ConfigurationError
from time_execution.extra import extra

if TYPE_CHECKING:
    from collections.abc import Mapping

    from time_execution.web.dashboard.password import Password

EPILOG = """\
environment:
  TIME_EXECUTION_DASHBOARD_PASSWORD_HASH       what --hash-password printed
  TIME_EXECUTION_DASHBOARD_PASSWORD_HASH_FILE  a file that holds that

examples:
  time-execution dashboard metrics.db --open
  time-execution dashboard --hash-password > dashboard.password
  time-execution dashboard metrics.db --host 0.0.0.0 --password-file dashboard.password
"""
VARIABLE = "TIME_EXECUTION_DASHBOARD_PASSWORD_HASH"
_USAGE = 2
_THREADS = 8
_MOST_CONNECTIONS = 200
_MOST_BODY = 64 * 1024
# Seconds: whoever sends a request more slowly than that is not waited for.
_PATIENCE = 30
_PROXY_HEADERS = {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}
_OTHERS = 0o077


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("file", nargs="?", default="metrics.db", help="the database (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8765, help="the port, 0 for any free one (default: %(default)s)")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="ask for the password, or the hash, in FILE")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="the folder with the log files to show")
    parser.add_argument("--title", help="the name at the head of each page (default: that of the database's folder)")
    parser.add_argument("--trusted-proxy", metavar="ADDRESS", help="believe what a proxy there says of its clients")
    parser.add_argument("--open", action="store_true", help="open the browser")
    parser.add_argument("--hash-password", action="store_true", help="read a password, print its hash, and end")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    try:
        if arguments.hash_password:
            return _print_hash()
        server = serve(arguments, os.environ)
    except ConfigurationError as exc:
        say(str(exc))
        return _USAGE
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    address = f"http://{host}:{server.effective_port}/"
    say(f"the dashboard of {arguments.file} is at {address} (Ctrl-C ends it)")
    if arguments.open:
        import webbrowser

        webbrowser.open(address)
    server.run()
    return 0


def serve(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Any:
    """Return the server, listening, not yet at work.

    Args:
        arguments: What the command line says.
        environment: Where the hash of a password may be.

    Raises:
        ConfigurationError: When it would be open to others without a password, or the password is none.
        MissingExtraError: When what serves pages is not installed.
        OSError: When the address cannot be listened at.
    """
    with extra("dashboard"):
        import waitress.server
    from time_execution.web.dashboard.standalone import Standalone, is_loopback

    password = _password(arguments.password_file, environment)
    if password is None and not is_loopback(arguments.host):
        raise ConfigurationError(
            f"{arguments.host} can be reached from other machines: a password is needed, "
            f"by --password-file or {VARIABLE} (--hash-password makes one)"
        )
    if password is None and arguments.trusted_proxy is not None:
        raise ConfigurationError("behind a proxy a password is needed: who asks is not on this machine")
    logs = None if arguments.logs is None else str(arguments.logs)
    title = arguments.title or Path(arguments.file).absolute().parent.name or "Monitoring"
    application = Standalone(arguments.file, logs=logs, title=title, password=password)
    proxied = {"trusted_proxy": arguments.trusted_proxy, "trusted_proxy_headers": _PROXY_HEADERS}
    return waitress.server.create_server(
        application,
        host=arguments.host,
        port=arguments.port,
        threads=_THREADS,
        connection_limit=_MOST_CONNECTIONS,
        channel_timeout=_PATIENCE,
        cleanup_interval=_PATIENCE // 2,
        max_request_body_size=_MOST_BODY,
        ident=None,  # what answers is nobody's business
        clear_untrusted_proxy_headers=True,
        **(proxied if arguments.trusted_proxy is not None else {}),
    )


def _password(path: Path | None, environment: Mapping[str, str]) -> Password | None:
    """Return what visitors are asked for; None when nothing says so.

    Raises:
        ConfigurationError: When it cannot be read, or is none.
    """
    from time_execution.web.dashboard.password import PREFIX, Password, hash_password

    if path is not None:
        text = _line(path, "--password-file")
        return Password(text if text.startswith(PREFIX) else hash_password(text))
    hashed = environment.get(VARIABLE, "")
    if not hashed and environment.get(f"{VARIABLE}_FILE"):
        hashed = _line(Path(environment[f"{VARIABLE}_FILE"]), f"{VARIABLE}_FILE")
    return Password(hashed) if hashed else None


def _line(path: Path, key: str) -> str:
    try:
        text = path.read_text("utf-8").partition("\n")[0].rstrip("\r")
        is_open = bool(path.stat().st_mode & _OTHERS)
    except (OSError, UnicodeError) as exc:
        raise ConfigurationError(f"{key}: cannot read {path}") from exc
    if not text:
        raise ConfigurationError(f"{key}: the first line of {path} is empty")
    if is_open and os.name == "posix":
        say(f"{path} can be read by others: chmod 600 {path}")
    return text


def _print_hash() -> int:
    from time_execution.web.dashboard.password import hash_password

    if sys.stdin is not None and sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("The same again: ") != password:
            raise ConfigurationError("these were two passwords")
    else:
        password = "" if sys.stdin is None else sys.stdin.readline().rstrip("\r\n")
    print(hash_password(password))
    return 0


def _port(text: str) -> int:
    try:
        port = int(text)
        check_ports(port=port or 1)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no port") from exc
    return port
