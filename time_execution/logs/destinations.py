"""Where lines go: which destinations a set of options asks for, and how each is made.

Each stands behind a queue and a worker of its own, so that none of them waits for another one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from time_execution.exceptions import ConfigurationError, MissingExtraError
from time_execution.file_path import to_file
from time_execution.formats.log_line import ECS_PRIVATE, REQUEST_ID, TextLine, ecs_line, flat_line
from time_execution.logs.options import DEFAULT_FORMAT
from time_execution.record_output import RecordLog, RecordStream, console_queue, file_queue, server_queue
from time_execution.source_backends import register

if TYPE_CHECKING:
    from time_execution.backends.threaded import ThreadedBackend
    from time_execution.logs.options import Options
    from time_execution.types import Metric

_MIB = 1024 * 1024
_LOG: dict[str, Any] = {"max_bytes": 10 * _MIB, "backup_count": 5}
_STRUCTURED: dict[str, Any] = {"max_bytes": 20 * _MIB, "backup_count": 5}
_ERRORS: dict[str, Any] = {"is_daily": True, "backup_count": 30}
_OPTIONS = {
    "webhook_url": "SLACK_WEBHOOK_URL",
    "bot_token": "SLACK_BOT_TOKEN",
    "host": "SMTP_HOST",
    "sender": "SMTP_FROM",
    "recipients": "SMTP_TO",
}
"""What arguments of backends are called among the options."""


class Destination(NamedTuple):
    """Something that takes records.

    Attributes:
        name: What it is: ``console``, ``log``, ``error_log``, ``structured_log``, ``database``, ``slack`` or ``mail``.
        level: The least level of the lines that it takes.
        backend: Its queue.
    """

    name: str
    level: int
    backend: ThreadedBackend

    @property
    def is_local(self) -> bool:
        """Whether no server is asked."""
        return self.name in {"console", "log", "error_log", "structured_log"}

    @property
    def is_notice(self) -> bool:
        """Whether people are told by it."""
        return self.name in {"slack", "mail"}


Wanted = Mapping[Hashable, Callable[[], Destination]]
"""What makes each destination, by all that it is made with: what is wanted twice is made once."""


class Console(RecordStream):
    """The standard output."""


class AppLog(RecordLog):
    """``<app>.log``: all lines, as text."""


class ErrorLog(RecordLog):
    """``<app>_error.log``: those that are errors, as text, a file a day."""


class StructuredLog(RecordLog):
    """``<app>_structured.json``: all lines, as JSON."""


def text_line(options: Options) -> TextLine:
    """Return what makes lines of text; the id of a request ends them where nobody says where it should stand."""
    is_ours = options.log_format == DEFAULT_FORMAT
    return TextLine(options.log_format, suffix=REQUEST_ID if is_ours else None)


def private_fields(options: Options) -> dict[str, str]:
    """Return which fields that no file shows lines need, and the attributes of `logging.LogRecord` they hold."""
    return text_line(options).private | (ECS_PRIVATE if options.log_profile == "ecs" else {})


def wanted(options: Options) -> Wanted:
    """Return what makes the destinations that a set of options asks for; makes nothing.

    Raises:
        ConfigurationError: When no file can ever be written in the folder.
    """
    found: dict[Hashable, Callable[[], Destination]] = {}
    text = text_line(options)
    if options.log_console:
        found["console", options.log_format] = partial(_console, text)
    if options.log_files:
        ecs: Callable[[Metric], str] = partial(ecs_line, service=options.app_name)
        structured = ecs if options.log_profile == "ecs" else flat_line
        for name, ending, kind, line, turning in (
            ("log", ".log", AppLog, text, _LOG),
            ("error_log", "_error.log", ErrorLog, text, _ERRORS),
            ("structured_log", "_structured.json", StructuredLog, structured, _STRUCTURED),
        ):
            path = to_file(options.file(ending), key="LOG_DIR")
            form = options.log_profile if name == "structured_log" else options.log_format
            make = partial(kind, path, line=line, **turning)
            found[name, path, form, options.app_name] = partial(_file, name, make)
    found.update(_notices(options))
    return found


def database(target: Any, table: str, app: Any) -> Destination:
    """Return the destination that is a table of a database.

    Raises:
        ConfigurationError: When the target is no database.
        MissingExtraError: When SQLAlchemy is not installed.
    """
    from time_execution.backends.sqlalchemy import SQLAlchemyBackend  # noqa: PLC0415 - needs SQLAlchemy

    return _registered("database", logging.ERROR, server_queue(SQLAlchemyBackend(target, table, app=app)))


def _console(line: TextLine) -> Destination:
    return _registered("console", logging.NOTSET, console_queue(Console("stdout", line=line)))


def _file(name: str, make: Callable[[], RecordLog]) -> Destination:
    level = logging.ERROR if name == "error_log" else logging.NOTSET
    return _registered(name, level, file_queue(make()))


def _notices(options: Options) -> Iterator[tuple[Hashable, Callable[[], Destination]]]:
    """Yield what makes the destinations by which people are told, with the limits that both have."""
    limits: dict[str, Any] = {"interval": options.notice_interval, "rate": options.notice_rate}
    sender: dict[str, Any] = {}
    if options.slack_webhook_url is not None:
        sender = {"webhook_url": options.slack_webhook_url}
    elif options.slack_bot_token is not None:
        sender = {"bot_token": options.slack_bot_token, "channel": options.slack_channel_id}
    if sender:
        yield ("slack", *sender.items(), *limits.values()), partial(_slack, **sender, **limits)
    if options.smtp_host is not None:
        server = {
            "host": options.smtp_host,
            "port": options.mail_port,
            "username": options.smtp_username,
            "password": options.smtp_password,
            "sender": options.smtp_from,
            "recipients": options.smtp_to,
            "starttls": options.smtp_starttls and not options.smtp_ssl,
            "ssl": options.smtp_ssl,
        }
        yield ("mail", *server.items(), *limits.values()), partial(_mail, **server, **limits)


def _slack(**arguments: Any) -> Destination:
    from time_execution.backends.slack import SlackBackend  # noqa: PLC0415 - needs slack_sdk

    return _registered("slack", logging.CRITICAL, server_queue(_made(SlackBackend, arguments)))


def _mail(**arguments: Any) -> Destination:
    from time_execution.backends.smtp import SMTPBackend  # noqa: PLC0415 - few send mail

    return _registered("mail", logging.CRITICAL, server_queue(_made(SMTPBackend, arguments)))


def _made(kind: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Return a backend; what it says of a wrong argument is said of the option."""
    try:
        return kind(**arguments)
    except MissingExtraError:
        raise
    except ConfigurationError as exc:
        key, _, complaint = str(exc).partition(" ")
    raise ConfigurationError(f"{_OPTIONS.get(key, key)} {complaint}")


def _registered(name: str, level: int, backend: ThreadedBackend) -> Destination:
    register(backend)
    return Destination(name, level, backend)
