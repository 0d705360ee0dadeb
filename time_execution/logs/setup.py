"""What is in force of the log: its options, its destinations, and the loggers that feed them; one for each process.

The first line sets it up, from the environment; `configure` and its like change it. Importing this does nothing.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from time_execution.config import expect
from time_execution.forking import on_fork
from time_execution.guard import Step
from time_execution.logs.destinations import Destination, database, private_fields, wanted
from time_execution.logs.handler import RecordHandler, Routes
from time_execution.logs.options import Options, check, level_number, options_of
from time_execution.logs.record import RecordMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from time_execution.backends.threaded import ThreadedBackend

_CLOSING = 5.0
_LEAVING = 1.0


class Setup:
    """All state of the log. Thread-safe and fork-safe.

    Attributes:
        application: The logger of the application; None until it is set up.
        on_change: Called when that is another one, or none any more.
    """

    def __init__(self) -> None:
        self.application: logging.Logger | None = None
        self.on_change: Callable[[], None] = lambda: None
        self._lock = threading.RLock()
        self._given: dict[str, Any] = {}
        self._options = Options()
        self._made: dict[Hashable, Destination] = {}
        self._added: dict[Hashable, Destination] = {}
        self._handler: RecordHandler | None = None
        self._attached: weakref.WeakSet[logging.Logger] = weakref.WeakSet()

    def ready(self) -> logging.Logger:
        """Return the logger of the application, once everything is set up.

        Raises:
            ConfigurationError: When an option of the environment is wrong.
        """
        return self.application or self._set_up({})

    def options(self) -> Options:
        """Return the options in force, once everything is set up."""
        self.ready()
        return self._options

    def configure(self, given: dict[str, Any]) -> None:
        """Put options in force, and close what is not wanted any more."""
        self._set_up(check(given), anew=True)

    def _set_up(self, checked: dict[str, Any], *, anew: bool = False) -> logging.Logger:
        on_fork(self._after_fork)
        with self._lock:
            if self.application is not None and not anew:  # another thread was here first
                return self.application
            given = self._given | checked
            options = options_of(given)
            made = self._make(options)
            before, self._made = self._made, made
            self._given, self._options = given, options
            gone = self._publish()
            application = self._adopt(options)
        if gone is not None and made != before:
            gone.wait_until_left(_LEAVING)
        _close(destination.backend for key, destination in before.items() if made.get(key) is not destination)
        return application

    def _make(self, options: Options) -> dict[Hashable, Destination]:
        """Return the destinations that options ask for; those that are open stay, and if one fails, none is new."""
        made: dict[Hashable, Destination] = {}
        fresh: list[ThreadedBackend] = []
        try:
            for key, make in wanted(options).items():
                known = self._made.get(key)
                if known is not None and not known.backend.is_closed():
                    made[key] = known
                else:
                    made[key] = make()
                    fresh.append(made[key].backend)
        except BaseException:
            _close(fresh)
            raise
        return made

    def _publish(self) -> Routes | None:
        """Have lines go where they should from now on; returns where they went before."""
        if self._handler is None:
            self._handler = RecordHandler()
        before = self._handler.routes
        maker = RecordMaker(self._options.flask_env, private_fields(self._options))
        self._handler.routes = Routes(maker, [*self._made.values(), *self._added.values()])
        return before

    def _adopt(self, options: Options) -> logging.Logger:
        """Make a logger the application's, in place of the one before."""
        application = logging.getLogger(options.app_name)
        if self.application is not None and self.application is not application:
            self._detach(self.application)
            self.application.setLevel(logging.NOTSET)
        application.setLevel(max(1, options.log_level))  # 0 would leave it to the loggers above
        application.disabled = False  # as `logging.config` leaves those that it does not know
        self._attach(application)
        if self.application is not application:
            self.application = application
            self.on_change()
        return application

    def attach(self, target: logging.Logger, level: int | None) -> None:
        """Have a logger feed the destinations."""
        self.ready()
        with self._lock:
            if level is not None:
                target.setLevel(level)
            self._attach(target)

    def _attach(self, target: logging.Logger) -> None:
        if self._handler is not None and self._handler not in target.handlers:
            target.addHandler(self._handler)
            self._attached.add(target)
            self._handler.may_repeat = len(self._attached) > 1

    def _detach(self, target: logging.Logger) -> None:
        if self._handler is not None:
            target.removeHandler(self._handler)
        self._attached.discard(target)

    def add_database(self, target: Any, table: str, app: Any) -> None:
        """Have errors go into a table."""
        self.ready()
        key = ("database", target if isinstance(target, str) else id(target), table, id(app))
        with self._lock:
            known = self._added.get(key)
            if known is None or known.backend.is_closed():
                self._added[key] = database(target, table, app)
                self._publish()

    def notices(self) -> list[ThreadedBackend]:
        """Return the queues of what people are told by."""
        self.ready()
        return [destination.backend for destination in list(self._made.values()) if destination.is_notice]

    def reset(self) -> None:
        """Forget everything, and close all destinations."""
        with self._lock:
            gone = [*self._made.values(), *self._added.values()]
            for target in list(self._attached):
                self._detach(target)
            if self.application is not None:
                self.application.setLevel(logging.NOTSET)
            self.application, self._handler = None, None
            self.on_change()
            self._given, self._options, self._made, self._added = {}, Options(), {}, {}
        _close(destination.backend for destination in gone)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()


def _close(backends: Iterable[ThreadedBackend]) -> None:
    """Close all at once, each within its time."""
    closing = [backend for backend in backends if not backend.is_closed()]
    for backend in closing:
        Step(backend.begin_close, kind="backend", label="log", raises=False).attempt()
    for backend in closing:
        Step(backend.close, kind="backend", label="log", raises=False).attempt(_CLOSING)


setup = Setup()


def configure(**options: Any) -> None:
    """Set options of the log for the whole process: those given replace, others stay; the environment is read again.

    Destinations that are not wanted any more deliver what they have and are closed, which this waits for, five seconds
    at most; the others go on. Lines of other threads meanwhile are in the old ones or the new ones, each once.
    Thread-safe.

    Args:
        **options: The attributes of `Options`, by name. They win over the environment; None takes one back to nothing.

    Raises:
        ConfigurationError: When there is no such option, or a value or a variable is wrong; then nothing has changed.
        MissingExtraError: When a destination needs a client that is not installed.

    Example:
        >>> configure(app_name="shop", log_dir=getfixture("tmp_path"), log_console=False)
        >>> current_options().file(".log").name
        'shop.log'
        >>> reset()
    """
    setup.configure(options)


def current_options() -> Options:
    """Return the options in force, of the environment where nobody set any; they show no secret in their `repr`.

    Raises:
        ConfigurationError: When a variable of the environment is wrong.
    """
    return setup.options()


def attach(logger: logging.Logger | str, *, level: int | str | None = None) -> None:
    """Have another logger, and those below it, feed the same destinations; asking twice changes nothing. Thread-safe.

    A line that comes by several attached loggers is recorded once. Nothing else of the logger is changed, so its own
    handlers go on; ``"root"`` is the root of all.

    Args:
        logger: A logger or its name.
        level: Set the logger's level, by number or name; None leaves it as it is.

    Raises:
        ConfigurationError: When it is no logger, the level is none, or a variable of the environment is wrong.
    """
    target = logging.getLogger(logger) if isinstance(logger, str) else getattr(logger, "real", logger)
    expect("a logger or its name", logger, where="attach()", is_right=isinstance(target, logging.Logger))
    setup.attach(target, None if level is None else level_number(level, where="attach(): level"))


def add_db_handler(database: Any, *, table: str = "error_logs", app: Any = None) -> None:
    """Have lines from `ERROR` up go into a table of a database as well, which is made when it is not there.

    A worker writes to it, in connections of its own. Asking twice for one database changes nothing. Thread-safe; does
    not connect.

    Args:
        database: The ``db`` of Flask-SQLAlchemy, an engine of SQLAlchemy, which stays the caller's, or a URL.
        table: Its name.
        app: Where ``db`` belongs to several applications of Flask, the one that is meant.

    Raises:
        ConfigurationError: When it is none of these.
        MissingExtraError: When SQLAlchemy, or the driver of the database, is not installed.
    """
    setup.add_database(database, table, app)


def notice_backends() -> list[ThreadedBackend]:
    """Return the queues of what people are told by, Slack and mail, as far as they are configured; for alerts.

    What is put into them is told whatever its level. A line whose `extra` has ``_noticed=True`` is not told by them
    again.

    Raises:
        ConfigurationError: When a variable of the environment is wrong.
    """
    return setup.notices()


def reset() -> None:
    """Forget what was configured, attached and added, and close all destinations; for tests.

    The next line sets everything up anew, from the environment. Blocks for five seconds at most.
    """
    setup.reset()
