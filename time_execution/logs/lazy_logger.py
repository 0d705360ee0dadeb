"""`logger` and `get_logger`: loggers of the standard library that set the log up with their first use."""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING, Any

from time_execution.config import expect
from time_execution.logs.setup import setup

if TYPE_CHECKING:
    _Base = logging.Logger
else:
    _Base = object

_OWN = ("_above", "_below", "_found")
# What is called for each line: found at the proxy itself once it is known whose it is.
_CALLED = ("debug", "info", "warning", "error", "critical", "exception", "log", "isEnabledFor")
_ATTRIBUTES = frozenset({"name", "level", "parent", "propagate", "handlers", "disabled", "filters", "manager"})
# Not a WeakSet: one cannot be looked through while another thread adds to it.
_living: dict[int, weakref.ref[LazyLogger]] = {}


class LazyLogger(_Base):
    """Stands for a logger, the application's or one below it, and has all that it has.

    Which one that is shows when it is used, so that it may be made before anything is configured; the numbers of the
    levels are known without that. Thread-safe and fork-safe, as `logging` is; pickled by its name.

    Args:
        below: Its name under that of the application; empty for the application's own.
    """

    CRITICAL = logging.CRITICAL
    ERROR = logging.ERROR
    WARNING = logging.WARNING
    INFO = logging.INFO
    DEBUG = logging.DEBUG

    def __init__(self, below: str = "") -> None:
        self._below = below
        self._above: logging.Logger | None = None
        self._found: logging.Logger | None = None
        key, living = id(self), _living
        living[key] = weakref.ref(self, lambda _: living.pop(key, None))

    @property
    def real(self) -> logging.Logger:
        """The logger itself.

        Raises:
            ConfigurationError: When a variable of the environment is wrong.
        """
        above = setup.application or setup.ready()
        found = self._found
        if found is None or above is not self._above:
            found = logging.getLogger(self._name_below(above.name)) if self._below else above
            self._found, self._above = found, above  # in this order: another thread may look amid this
            self.__dict__.update({name: getattr(found, name) for name in _CALLED})
            if setup.application is not above:  # it became another one meanwhile
                self.forget()
        return found

    def forget(self) -> None:
        """Look again for whom it stands with its next use."""
        self._above = self._found = None
        for name in _CALLED:
            self.__dict__.pop(name, None)

    def _name_below(self, application: str) -> str:
        is_below = self._below == application or self._below.startswith(f"{application}.")
        return self._below if is_below else f"{application}.{self._below}"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return what the logger has under a name."""
            # Whoever looks at anything there is, as pytest does, asks for what no logger has: that is no use of it.
            if name.startswith("__") or (setup.application is None and not _has(name)):
                raise AttributeError(name)
            return getattr(self.real, name)

        def __setattr__(self, name: str, value: Any) -> None:
            """Set what the logger has under a name, such as ``propagate``."""
            if name in _OWN:
                object.__setattr__(self, name, value)
            else:
                setattr(self.real, name, value)
                self.__dict__.pop(name, None)

        def __delattr__(self, name: str) -> None:
            """Delete it."""
            delattr(self.real, name)
            self.__dict__.pop(name, None)

    def __repr__(self) -> str:
        """Return which logger it stands for, as far as that is known; sets nothing up."""
        return f"<LazyLogger for {self._found!r}>" if self._found else f"<LazyLogger {self._below or '(application)'}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the name below the application's, which another process may have called otherwise."""
        return get_logger, (self._below or None,)


def _has(name: str) -> bool:
    """Whether loggers have something of a name."""
    return name in _ATTRIBUTES or hasattr(logging.getLoggerClass(), name)


logger = LazyLogger()
"""The application's logger, named by ``APP_NAME``."""

_loggers: dict[str, LazyLogger] = {}
_MOST = 10_000


def _forget_all() -> None:
    for reference in list(_living.values()):
        found = reference()
        if found is not None:
            found.forget()


setup.on_change = _forget_all


def get_logger(name: str | None = None) -> LazyLogger:
    """Return a logger below the application's, whose lines go where the application's do; or that one itself.

    Reads and makes nothing: which logger it stands for shows when it is used.

    Args:
        name: ``billing`` for ``<app>.billing``; one that begins with the application's name already is taken as it is.

    Raises:
        ConfigurationError: When the name is no text, or empty.

    Example:
        >>> get_logger() is logger, get_logger("billing")
        (True, <LazyLogger billing>)
    """
    if name is None:
        return logger
    given: object = name
    is_right = isinstance(given, str) and bool(given)
    expect("a text that is not empty, or None", given, where="get_logger()", is_right=is_right)
    found = _loggers.get(name)
    if found is None:
        if len(_loggers) >= _MOST:  # names made at run time must not pile up here as they do in `logging`
            _loggers.clear()
        found = _loggers[name] = LazyLogger(name)
    return found
