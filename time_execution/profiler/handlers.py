"""Where records go besides the backends of the settings: to a stream, to logging, to RabbitMQ.

A handler is known by its shape, see `time_execution.profiler.types.Handler`; those here extend `BaseHandler`. What one
raises never reaches the profiled call.
"""

from __future__ import annotations

import logging
import sys
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TextIO

from time_execution.argument_check import check_counts, check_seconds
from time_execution.complaint import kind_of
from time_execution.exceptions import ConfigurationError
from time_execution.profiler._instrument import ERROR_RAISED
from time_execution.profiler._text import OutputFormatter, text_of
from time_execution.profiler._trouble import changing, checked_logger
from time_execution.types import NAME, Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from time_execution.profiler.types import LoggerLike, Record

__all__ = [
    "AsyncImpProfHandler",
    "BaseHandler",
    "ImpProfHandler",
    "LoggerHandler",
    "NamedLoggerHandler",
    "OutputFormatter",
    "StreamHandler",
    "SyncBaseHandler",
]

OWN_LOGGER = "PHANOS"
"""The logger of a `LoggerHandler` that is given none; it writes to the standard output, whatever its level."""


class BaseHandler(ABC):
    """What handlers may extend.

    Args:
        handler_name: By which it is deleted.

    Raises:
        ConfigurationError: When the name is no text, or empty.
    """

    def __init__(self, handler_name: str) -> None:
        given: Any = handler_name
        if not isinstance(given, str) or not given:
            raise ConfigurationError(f"handler_name must be a text that is not empty, got {kind_of(given)}")
        self.handler_name = handler_name

    @abstractmethod
    def handle(self, records: list[Record], profiler_name: str = "profiler") -> None:
        """Take records.

        Args:
            records: Of one metric, in the order in which they were measured. The list is the handler's own; the
                records are not, and others get them as they are left.
            profiler_name: The metric's name.
        """

    def __repr__(self) -> str:
        """Return the class and the name."""
        return f"{type(self).__name__}({self.handler_name!r})"


SyncBaseHandler = BaseHandler


class StreamHandler(BaseHandler):
    """Write each record as a line of text to a stream, and flush it.

    Records that come together are one call of the stream's ``write``. As thread-safe as that; blocks as long as it
    does.

    Args:
        handler_name: By which it is deleted.
        output: A text stream, which stays the caller's to close; None for what ``sys.stdout`` is when it is written to.

    Raises:
        ConfigurationError: When `output` cannot be written to.
    """

    def __init__(self, handler_name: str, output: TextIO | None = None) -> None:
        super().__init__(handler_name)
        if output is not None and not callable(getattr(output, "write", None)):
            raise ConfigurationError(f"output must be a text stream, not {type(output).__name__}")
        self.output = output

    def handle(self, records: list[Record], profiler_name: str = "profiler") -> None:
        """Write records.

        Raises:
            OSError: When the stream cannot be written to.
            ValueError: When it is closed.
        """
        output: Any = sys.stdout if self.output is None else self.output
        text = f"{text_of(profiler_name, records)}\n"
        try:
            output.write(text)
        except UnicodeEncodeError:  # raised before anything is written
            output.write(text.encode("ascii", "backslashreplace").decode())
        flush = getattr(output, "flush", None)
        if flush is not None:
            flush()


class LoggerHandler(BaseHandler):
    """Log records as text, those that come together as one message of several lines.

    Thread-safe and fork-safe, as logging is. Blocks as long as the logger's handlers do.

    Args:
        handler_name: By which it is deleted.
        logger: A logger; None for one called ``PHANOS`` that writes to the standard output.
        level: The level to log at: a number.

    Raises:
        ConfigurationError: When there is no such logger or level.
    """

    def __init__(self, handler_name: str, logger: LoggerLike | None = None, level: int = logging.DEBUG) -> None:
        super().__init__(handler_name)
        self.level = _checked_level(level)
        self.logger = _own_logger() if logger is None else checked_logger(logger)

    def handle(self, records: list[Record], profiler_name: str = "profiler") -> None:
        """Log records, if the logger takes the level."""
        if self.logger.isEnabledFor(self.level):
            self.logger.log(self.level, "%s", text_of(profiler_name, records))


class NamedLoggerHandler(LoggerHandler):
    """A `LoggerHandler` that is given the name of its logger.

    Args:
        handler_name: By which it is deleted.
        logger_name: As `logging.getLogger` takes it.
        level: The level to log at: a number.

    Raises:
        ConfigurationError: When the name is no text, or there is no such level.
    """

    def __init__(self, handler_name: str, logger_name: str, level: int = logging.DEBUG) -> None:
        if not isinstance(logger_name, str):
            raise ConfigurationError(f"logger_name must be a text, not {type(logger_name).__name__}")
        super().__init__(handler_name, logging.getLogger(logger_name), level)


class ImpProfHandler(BaseHandler):
    """Send records to RabbitMQ, where a consumer adds them up for Prometheus.

    A message is a JSON array of records of one job, which is its routing key. It is persistent, and sent again, with
    pauses that grow, until the server has confirmed it: records are kept for as long as the server is away, up to
    ``queue_maxsize`` of them (10 000) and ``max_bytes`` (16 MiB), and what is dropped beyond is counted. The exchange
    is used as it is; if there is none, it is made, durable.

    `handle` costs microseconds and never waits for the server; nothing here raises because of it. Thread-safe, and
    fork-safe: a child begins with nothing, and a connection of its own. What waits is sent when the program ends, for
    up to ``shutdown_timeout`` seconds (2).

    Args:
        handler_name: By which it is deleted.
        host: The server; connected to with the first records.
        port: Its port.
        user: For the login; None for ``guest``.
        password: For the login; None for ``guest``.
        heartbeat: Seconds; a whole number.
        timeout: The longest wait for an answer of the server, in seconds.
        retry_delay: The bound of the first pause after a failure, in seconds; later ones grow up to 30.
        retry: Taken for the sake of older programs: however often it fails, a message is sent again.
        exchange_name: The exchange.
        exchange_type: Of an exchange that is absent.
        logger: A logger or its name: where records of calls that raised are told, at the level DEBUG, when the profiler
            marks them (``error_raised_label``).
        **options: Of `RabbitMQBackend` (``virtual_host``, ``tls`` and so on) and of `ThreadedBackend` (``spool``,
            ``bulk_size`` and so on).

    Raises:
        ConfigurationError: When an argument is wrong, or nobody knows an option.
        MissingExtraError: When pika is not installed.
    """

    def __init__(  # noqa: PLR0917 - in the order that older programs use
        self,
        handler_name: str,
        host: str = "127.0.0.1",
        port: int = 5672,
        user: str | None = None,
        password: str | None = None,
        heartbeat: int = 47,
        timeout: float = 23.0,
        retry_delay: float = 0.137,
        retry: int = 3,
        exchange_name: str = "profiling",
        exchange_type: str = "fanout",
        logger: LoggerLike | str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(handler_name)
        check_seconds(retry_delay=retry_delay)
        check_counts(least=0, retry=retry)
        self.logger = logging.getLogger(__name__) if logger is None else checked_logger(logger)
        kind = getattr(exchange_type, "value", exchange_type)  # of an enumeration
        login = {"user": user, "password": "guest" if password is None else password}
        exchange = {"exchange": exchange_name, "exchange_type": kind}
        from time_execution.profiler._delivery import delivery_to  # noqa: PLC0415 - needs pika

        self.delivery = delivery_to(
            {"host": host, "port": port, "heartbeat": heartbeat, "timeout": timeout, **login, **exchange},
            options,
            pause=retry_delay,
        )

    def handle(self, records: list[Record], profiler_name: str = "profiler") -> None:
        """Queue copies of records, and return."""
        for record in records:
            self.delivery.enqueue(Metric({NAME: profiler_name, **record}, kind="value"))
        tell_errors(self.logger, profiler_name, records)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all records so far are delivered, or counted as dropped; False when `timeout` seconds are over."""
        return self.delivery.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Deliver what waits, for at most `timeout` seconds, and take no more; idempotent."""
        self.delivery.close(timeout)

    def stats(self) -> dict[str, Any]:
        """Return what became of the records, as `ThreadedBackend.stats` does."""
        return self.delivery.stats()


class AsyncImpProfHandler(ImpProfHandler):
    """An `ImpProfHandler` for programs that await the making of it; that one does not block either."""

    @classmethod
    async def create(cls, handler_name: str, *args: Any, **options: Any) -> AsyncImpProfHandler:
        """Return a handler, with the arguments of `ImpProfHandler`."""
        return cls(handler_name, *args, **options)


def tell_errors(logger: LoggerLike, profiler_name: str, records: Sequence[Record]) -> None:
    """Log records at the level DEBUG, if any of them is marked as one of a call that raised."""
    if any(record["labels"].get(ERROR_RAISED) for record in records):
        logger.debug("%s", text_of(profiler_name, records))


class _StandardOutput(logging.StreamHandler):  # type: ignore[type-arg]  # not before Python 3.11
    """Writes to what ``sys.stdout`` is at the moment, as a program or a test may put another in its place."""

    def __init__(self) -> None:
        logging.Handler.__init__(self, logging.DEBUG)

    @property
    def stream(self) -> Any:
        """The stream to write to."""
        return sys.stdout


def _own_logger() -> logging.Logger:
    logger = logging.getLogger(OWN_LOGGER)
    with changing():  # two at once would write each line twice
        if not any(isinstance(handler, _StandardOutput) for handler in logger.handlers):
            logger.setLevel(logging.DEBUG)
            logger.addHandler(_StandardOutput())
    return logger


def _checked_level(level: Any) -> int:
    if isinstance(level, bool) or not isinstance(level, int):
        raise ConfigurationError(f"level must be the number of a level of logging, not {type(level).__name__}")
    return level
