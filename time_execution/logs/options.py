"""What can be set of the log: by code, or by the environment; with checks and defaults. Nothing is read at import."""

from __future__ import annotations

import logging
import os
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from time_execution.argument_check import check_counts, check_ports, check_seconds, check_switches
from time_execution.complaint import Place, UnfitError, suggestion
from time_execution.config import expect
from time_execution.config.options import read_secret
from time_execution.config.text import convert, split_list
from time_execution.exceptions import ConfigurationError
from time_execution.formats.log_line import TextLine
from time_execution.record_output import absolute

DEFAULT_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
_SECRETS = frozenset({"slack_webhook_url", "slack_bot_token", "smtp_username", "smtp_password"})
_FILE = "_FILE"
_SUBMISSION_PORT, _TLS_PORT = 587, 465
# The name of a logger and of files in a folder: nothing that leads out of it.
_APP_NAME = re.compile(r"\w(?:[\w .@+-]{0,98}[\w@+-])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the log goes by; immutable, and its `repr` shows no secret.

    Each has an environment variable: its name in capitals. The four that are secret may also be in a file, whose path
    is in the variable with ``_FILE`` after its name.

    Attributes:
        log_level: The least level of lines that are recorded, as a number.
        log_format: The line of text, as `logging` has it in its ``%`` style.
        log_dir: The folder of the files, absolute.
        log_profile: The names of the fields in the structured file: ``flat`` or ``ecs``.
        log_console: Whether lines go to the standard output.
        log_files: Whether they go to files.
        flask_env: What records have as ``environment``.
        app_name: The name of the logger, and the beginning of the names of files.
        slack_webhook_url: Where messages to Slack go; or else
        slack_bot_token: who sends them, and
        slack_channel_id: to which channel.
        smtp_host: The server that takes mail; None for no mail.
        smtp_port: Its port; by default 587, or 465 with `smtp_ssl`.
        smtp_username: Who sends; None for nobody in particular.
        smtp_password: What proves that.
        smtp_from: The sender's address.
        smtp_to: Those of the recipients.
        smtp_starttls: Whether the connection is encrypted once it is made.
        smtp_ssl: Whether it is from the beginning.
        notice_interval: Seconds within which a notice of one kind is sent once.
        notice_rate: How many notices are sent within that time, of all kinds together.
    """

    log_level: int = logging.INFO
    log_format: str = DEFAULT_FORMAT
    log_dir: Path = Path("logs")
    log_profile: Literal["flat", "ecs"] = "flat"
    log_console: bool = True
    log_files: bool = True
    flask_env: str = "development"
    app_name: str = "proletto"
    slack_webhook_url: str | None = field(default=None, repr=False)
    slack_bot_token: str | None = field(default=None, repr=False)
    slack_channel_id: str | None = None
    smtp_host: str | None = None
    smtp_port: int | None = None
    smtp_username: str | None = field(default=None, repr=False)
    smtp_password: str | None = field(default=None, repr=False)
    smtp_from: str | None = None
    smtp_to: tuple[str, ...] = ()
    smtp_starttls: bool = True
    smtp_ssl: bool = False
    notice_interval: float = 300.0
    notice_rate: int = 10

    @property
    def mail_port(self) -> int:
        """The port to connect to."""
        return self.smtp_port or (_TLS_PORT if self.smtp_ssl else _SUBMISSION_PORT)

    def file(self, ending: str) -> Path:
        """Return the path of a log file, such as ``logs/<app>_error.log`` for ``_error.log``."""
        return self.log_dir / f"{self.app_name}{ending}"


NAMES = tuple(item.name for item in fields(Options))


def options_of(given: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Options:
    """Return the options that code has set, else the environment, else the defaults.

    Args:
        given: By name, from `check`.
        environ: The variables; None takes those of the process.

    Raises:
        ConfigurationError: When a variable is wrong, or one option makes no sense without another.
    """
    options = {"log_dir": absolute("logs", "a path", where="LOG_DIR")} | from_environment(environ) | dict(given)
    made = Options(**options)
    for name, needed in _missing(made):
        raise ConfigurationError(f"{name.upper()} needs {needed.upper()}, which is not set")
    return made


def from_environment(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the options of the environment, checked; an empty variable is as good as none.

    Raises:
        ConfigurationError: When a variable's value is not what it takes, or a file cannot be read.
    """
    variables = os.environ if environ is None else environ
    found = {}
    for name in NAMES:
        variable = name.upper()
        text, path = variables.get(variable), variables.get(f"{variable}{_FILE}")
        place = Place(f"{variable}{_FILE}" if path else variable)
        if name in _SECRETS and path:
            if text:
                raise place.error("set it directly or by a file, not both")
            text = read_secret(path, place, name="it")
        if text:
            found[name] = _check(name, _from_text(name, text, place), called=place.where)
    return found


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options given by name, checked and in the types that `Options` has.

    Raises:
        ConfigurationError: When there is no option of a name, or a value is not what it takes.
    """
    place = Place("configure()")
    for name in given:
        if name not in NAMES:
            raise place.error(f"there is no option {name!r}{suggestion(name, NAMES)}")
    return {name: _check(name, value, called=f"configure(): {name}") for name, value in given.items()}


def level_number(level: Any, *, where: str) -> int:
    """Return a level, given by its number or its name, as a number.

    Raises:
        ConfigurationError: When there is no such level.
    """
    number = level
    if isinstance(level, str):
        number = int(level) if level.isdecimal() else logging.getLevelName(level.strip().upper())
    wanted = "a level of logging: a number, or a name such as INFO"
    expect(wanted, level, where=where, is_right=type(number) is int and number >= 0)
    return int(number)


def _missing(options: Options) -> list[tuple[str, str]]:
    """Return which options need which others that are not set."""
    pairs = [
        ("smtp_host", "smtp_from"),
        ("smtp_host", "smtp_to"),
        ("smtp_username", "smtp_password"),
        ("slack_bot_token", "slack_channel_id"),
    ]
    if options.slack_webhook_url is not None:  # then the token is of no importance
        pairs.pop()
    return [(name, needed) for name, needed in pairs if getattr(options, name) and not getattr(options, needed)]


def _from_text(name: str, text: str, place: Place) -> Any:
    """Return what a variable says, in the type of the option; texts are judged by `_check`."""
    if name == "smtp_to":
        return split_list(text)
    hint = typing.get_type_hints(Options)[name]
    if name == "log_level" or hint not in {bool, int, float, int | None}:
        return text
    try:
        return convert(text, bool if hint is bool else float if hint is float else int, name=name)
    except UnfitError as exc:
        complaint = f"expected {exc.wanted}, got {exc.got}"
    raise place.error(complaint)


def _check(name: str, value: Any, *, called: str) -> Any:
    check_one: Callable[[Any, str], Any] = _CHECKS.get(name, _optional_text)
    return check_one(value, called)


def _optional_text(value: Any, called: str) -> str | None:
    is_text = isinstance(value, str) and bool(value.strip())
    expect("a text that is not empty, or None", value, where=called, is_right=value is None or is_text)
    return None if value is None else str(value)


def _text(value: Any, called: str) -> str:
    expect("a text that is not empty", value, where=called, is_right=isinstance(value, str) and bool(value.strip()))
    return str(value)


def _format(value: Any, called: str) -> str:
    expect("a text", value, where=called, is_right=isinstance(value, str))
    try:
        TextLine(value)
    except ValueError as exc:
        complaint = str(exc)
    else:
        return str(value)
    raise Place(called).error(complaint)


def _app_name(value: Any, called: str) -> str:
    wanted = "a name of letters, digits and ' ._@+-', 100 at most, for a logger and for files"
    expect(wanted, value, where=called, is_right=isinstance(value, str) and bool(_APP_NAME.fullmatch(value)))
    return str(value)


def _profile(value: Any, called: str) -> str:
    expect("'flat' or 'ecs'", value, where=called, is_right=value in {"flat", "ecs"} if type(value) is str else False)
    return str(value)


def _flag(value: Any, called: str) -> bool:
    check_switches(**{called: value})
    return bool(value)


def _port(value: Any, called: str) -> int | None:
    if value is not None:
        check_ports(**{called: value})
    return None if value is None else int(value)


def _recipients(value: Any, called: str) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else [None]
    is_right = all(isinstance(item, str) and item.strip() for item in items)
    expect("an address or a list of them", value, where=called, is_right=is_right)
    return tuple(items)


def _seconds(value: Any, called: str) -> float:
    check_seconds(**{called: value})
    return float(value)


def _count(value: Any, called: str) -> int:
    check_counts(**{called: value})
    return int(value)


_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "log_level": lambda value, called: level_number(value, where=called),
    "log_format": _format,
    "log_dir": lambda value, called: absolute(value, "the path of a folder", where=called),
    "log_profile": _profile,
    "flask_env": _text,
    "app_name": _app_name,
    "smtp_port": _port,
    "smtp_to": _recipients,
    "notice_interval": _seconds,
    "notice_rate": _count,
} | dict.fromkeys(("log_console", "log_files", "smtp_starttls", "smtp_ssl"), _flag)
