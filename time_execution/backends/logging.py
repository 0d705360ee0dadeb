"""`LoggingBackend`: hands metrics to the standard library's logging, and so to whatever an application logs with."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.backends.base import BaseMetricsBackend
from time_execution.exceptions import ConfigurationError
from time_execution.formats.json import document
from time_execution.formats.snapshot import snapshot_fields
from time_execution.types import STORED, Metric, Result

if TYPE_CHECKING:
    from urllib.parse import SplitResult


class LoggingBackend(BaseMetricsBackend):
    """Log each metric: a line of JSON as the message, the fields as the record's attribute ``metric``.

    Counts as stored when the logger has taken it, also where the logger's level or a filter leaves it out. Thread-safe
    and fork-safe, as logging is. Blocks as long as the handlers do.

    Args:
        logger: A logger or its name.
        level: The level of the records: a number, or a name such as ``INFO``.

    Raises:
        ConfigurationError: When the level is unknown, or the logger is neither.

    Example:
        >>> LoggingBackend("shop.metrics", level="DEBUG")
        LoggingBackend(logger=<Logger shop.metrics (WARNING)>, level=10)
    """

    repr_fields: ClassVar[tuple[str, ...]] = ("logger", "level")

    def __init__(
        self,
        logger: str | logging.Logger | logging.LoggerAdapter[Any] = "time_execution.metrics",
        *,
        level: int | str = logging.INFO,
    ) -> None:
        if isinstance(logger, str):
            logger = logging.getLogger(logger)
        if not callable(getattr(logger, "log", None)):
            raise ConfigurationError(f"logger must be a logger or its name, not {type(logger).__name__}")
        self.logger = logger
        self.level = _level(level)

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return the logger's name in ``logging://shop.metrics?level=INFO``; without one, nothing."""
        return {"logger": url.netloc} if url.netloc else {}

    def write_many(self, metrics: Sequence[Metric]) -> Iterator[Result]:
        """Log a batch, a record each; what a handler raises leaves those before it logged."""
        is_enabled = self.logger.isEnabledFor(self.level)
        now = time.time_ns()
        for metric in metrics:
            if is_enabled:
                fields, _ = snapshot_fields(metric)
                self._log(document(metric, timestamp=now), {"metric": fields})
            yield STORED

    def _log(self, text: str, attributes: dict[str, Any]) -> None:
        logger: Any = self.logger
        options: Any = {"extra": attributes}
        # An adapter puts attributes of its own in the place of those it is given, so each is asked for them here.
        while isinstance(logger, logging.LoggerAdapter):
            text, options = logger.process(text, options)
            options["extra"] = attributes = {**(options.get("extra") or {}), **attributes}
            logger = logger.logger
        logger.log(self.level, text, **options)


def _level(level: int | str) -> int:
    number = logging.getLevelName(level.upper()) if isinstance(level, str) else level
    if type(number) is not int:
        raise ConfigurationError("level must be a number or the name of a level of logging, such as INFO")
    return number
