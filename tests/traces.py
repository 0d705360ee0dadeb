"""What a test may leave in a process for those after it, and how it is taken back."""

from __future__ import annotations

import logging
import sys

from time_execution.quietlog import QuietLog

LoggerStates = dict["str | None", "tuple[int, list[logging.Handler]]"]


def states_of_loggers() -> LoggerStates:
    """Return the level and the handlers of each logger by its name, of the root by None."""
    states: LoggerStates = {None: (logging.root.level, logging.root.handlers.copy())}
    for name, logger in logging.root.manager.loggerDict.copy().items():
        if isinstance(logger, logging.Logger):
            states[name] = (logger.level, logger.handlers.copy())
    return states


def restore_loggers(states: LoggerStates) -> None:
    """Give loggers their levels back, those that are new none, and take away handlers that came since."""
    for name, (level, handlers) in states_of_loggers().items():
        former_level, former_handlers = states.get(name, (logging.NOTSET, []))
        logger = logging.getLogger(name)
        if level != former_level:
            logger.setLevel(former_level)
        for handler in handlers:
            if handler not in former_handlers:
                logger.removeHandler(handler)


def start_windows_anew() -> None:
    """Forget what modules told within the last seconds, which would keep the same line of a later test back."""
    for name, module in sys.modules.copy().items():
        if name.startswith("time_execution."):
            log = vars(module).get("_log")
            if isinstance(log, QuietLog):
                log.forget()
