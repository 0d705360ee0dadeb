"""The one `settings` object: what is configured, for the whole process and for the block or task at hand.

Settings are published as immutable snapshots. A measured call never reads them: it compares a version, and compiles
its plan anew when that changed (`time_execution.plan`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import threading

# The module `socket` is a tenth of what importing this package takes, and its function is this one.
from _socket import gethostname
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from time_execution import config
from time_execution.backends.base import QueuedBackend
from time_execution.exceptions import ConfigurationError
from time_execution.forking import on_fork
from time_execution.guard import Step, faults, label_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextvars import Token
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

_OVERRIDDEN = -1
_versions = itertools.count(1)


class Snapshot:
    """The settings at one moment, with their backends and hooks resolved; its settings never change.

    Attributes:
        version: Never equal to another snapshot's; at least 1.
        values: The settings.
        owned: The backends that we built from a class, an import path or a URL, and so must close.
        outer: For a block's settings, what was in force around it; taken up again by what outlives the block.
        ended: Whether that block was left.
        sinks: The backends ready to be called; the pipeline makes them of it at first need.
        plans: What measured things made of a block's settings; they end with it.
    """

    __slots__ = ("ended", "hostname", "outer", "owned", "plans", "sinks", "values", "version")

    def __init__(self, values: config.Values, owned: tuple[Any, ...] = ()) -> None:
        self.version = next(_versions)
        self.values = values
        self.owned = owned
        self.sinks: Any = None
        self.plans: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self.outer: Snapshot | None = None
        self.ended = False
        self.hostname = values.hostname or gethostname()


class Live:
    """What a measured call compares with: the version of the settings in force everywhere.

    While any ``with settings(...)`` is open in some thread or task, the version matches no plan, and every call asks
    which snapshot holds in its own context.
    """

    __slots__ = ("_blocks", "lock", "snapshot", "version")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._blocks: dict[Snapshot, int] = {}
        self.snapshot = Snapshot(config.Values())
        self.version = self.snapshot.version

    def __reduce__(self) -> str:
        """Be found by name, where a measured function is loaded that cloudpickle pickled whole."""
        return "live"

    def publish(self, snapshot: Snapshot) -> None:
        """Put a snapshot in force."""
        self._watch_forks()
        with self.lock:
            self.snapshot = snapshot
            faults.log.interval = snapshot.values.log_interval
            self._compare_with()

    def enter(self, block: Snapshot) -> None:
        """Note that a block with settings of its own was entered, by the calling thread."""
        self._watch_forks()
        with self.lock:
            self._blocks[block] = threading.get_ident()
            self._compare_with()

    def leave(self, block: Snapshot) -> None:
        """Note that a block was left, in whatever thread."""
        with self.lock:
            self._blocks.pop(block, None)
            self._compare_with()

    def after_fork(self) -> None:
        """Begin afresh in a forked child, where no other thread's blocks are open and no lock of theirs is held.

        Backends that are written to directly are told; what has a queue is told by that.
        """
        self.lock = threading.RLock()
        survivor = threading.get_ident()
        self._blocks = {block: ident for block, ident in self._blocks.items() if ident == survivor}
        self._compare_with()
        in_force = [backend for snapshot in (self.snapshot, *self._blocks) for backend in snapshot.values.backends]
        for backend in {id(backend): backend for backend in in_force}.values():
            tell = getattr(backend, "after_fork", None)
            if callable(tell) and not isinstance(backend, QueuedBackend):
                Step(tell, kind="backend", label=label_of(backend), raises=False).attempt()

    def _compare_with(self) -> None:
        self.version = _OVERRIDDEN if self._blocks else self.snapshot.version

    def _watch_forks(self) -> None:
        on_fork(faults.after_fork)  # first: backends may fail as they are told
        on_fork(self.after_fork)


live = Live()
_override: ContextVar[Snapshot | None] = ContextVar("time_execution_settings", default=None)


def current() -> Snapshot:
    """Return the snapshot in force in this thread or task."""
    return _open(_override.get()) or live.snapshot


def _open(snapshot: Snapshot | None) -> Snapshot | None:
    """Return a block's settings; where a task outlives its block, those of the next around it that is open."""
    while snapshot is not None and snapshot.ended:
        snapshot = snapshot.outer
    return snapshot


class Settings:
    """What is configured; read its attributes, change them with `configure` or for a block with ``with settings(...)``.

    Attributes:
        backends: Where metrics go: instances, in order.
        hooks: What runs after each measured call, in order.
        duration_field: The name under which the duration is stored; ``value`` unless set.
        origin: Stored as ``origin`` with each timing, when set.
        hostname: Stored with each timing; this machine's name unless set.
        raise_errors: Let exceptions of hooks and direct backends reach the caller; for tests only.
        enabled: False makes decorators, blocks and `write_metric` do nothing.
        sample_rate: The share of calls and blocks that are measured, 0 to 1; the others run undisturbed.
        include: Patterns (`fnmatch`) of the names of calls and blocks to measure; empty for all.
        exclude: Patterns of their names not to measure.
        log_interval: One log line for each kind of trouble with a hook or a direct backend in so many seconds; for the
            whole process, never for a block.
    """

    def configure(self, source: Mapping[str, Any] | str | Path | None = None, /, **changes: Any) -> None:
        """Change settings for the whole process: keys given replace, others stay.

        With nothing given, read the environment (``TIME_EXECUTION_*``), then ``[tool.time_execution]`` in
        ``pyproject.toml`` or ``[time_execution]`` in ``setup.cfg``; should none of them name a backend and none be
        set yet, metrics are kept in the SQLite file ``metrics.db`` of the working directory. The variable
        ``TIME_EXECUTION_CONFIG`` names another file; ``TIME_EXECUTION_DISABLED=1`` keeps everything off, whatever is
        configured.
        Thread-safe. Blocks while a backend that an earlier call built itself is closed.

        Args:
            source: A mapping of settings, or the path of a TOML or cfg file; keyword arguments win over it.
            **changes: Settings by name.

        Raises:
            ConfigurationError: When a setting is unknown or its value is wrong.
            MissingExtraError: When a backend needs a client that is not installed.
        """
        found = _read(source)
        if source is None and not changes:
            found = config.discover()
            if "backends" not in found and not live.snapshot.values.backends:
                found["backends"] = config.defaults_when_nothing()
        # Not under the lock: making a backend imports modules and opens files, which may wait for anything.
        changed = _resolve(found | config.validate(changes), live.snapshot)
        with live.lock:
            before, after = live.snapshot, _derive(live.snapshot, changed)
            live.publish(after)
        _close(backend for backend in before.owned if not _is_among(backend, after.owned))

    def __call__(self, **changes: Any) -> Override:
        """Return a context manager that changes settings for a block, in this thread or task only.

        Threads started inside do not inherit it; asyncio tasks created inside do. Changes that `configure` makes
        meanwhile do not show in the block. Backends that it made of a class, a path or a URL are closed at its end.

        Raises:
            ConfigurationError: When a setting is unknown, its value is wrong, or it holds for whole processes only.
        """
        if "log_interval" in changes:
            msg = "settings(): log_interval: it holds for the whole process, so it is set by settings.configure()"
            raise ConfigurationError(msg)
        return Override(config.validate(changes, source="settings()"))

    def reset(self) -> None:
        """Forget everything configured, and close the backends that we built."""
        with live.lock:
            before = live.snapshot
            live.publish(Snapshot(config.Values()))
        _close(before.owned)

    if TYPE_CHECKING:  # so that a misspelt name is an error to a type checker
        backends: tuple[Any, ...]
        hooks: tuple[Callable[..., Any], ...]
        duration_field: str
        origin: str | None
        hostname: str
        raise_errors: bool
        enabled: bool
        sample_rate: float
        include: tuple[str, ...]
        exclude: tuple[str, ...]
        log_interval: float
    else:

        def __getattr__(self, name: str) -> Any:
            """Return a setting as it is in force here."""
            if name == "hostname":
                return current().hostname
            if name in config.FIELDS:
                return getattr(current().values, name)
            msg = f"there is no setting {name!r}; there are {', '.join(config.FIELDS)}"
            raise AttributeError(msg)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a setting that is assigned would not be checked."""
        msg = f"settings.{name} cannot be assigned; use settings.configure({name}=...)"
        raise AttributeError(msg)

    def __repr__(self) -> str:
        """Return the settings; backends show no secrets."""
        return current().values.shown("Settings")


class Override:
    """Settings for a block. Not to be shared between threads; may be entered again after it was left.

    Entering makes the backends that were given as a class, a path or a URL, and leaving closes them: both may block.

    Raises:
        ConfigurationError: When entered while it is open, or when a hook or backend cannot be made.
        MissingExtraError: When a backend needs a client that is not installed.
    """

    def __init__(self, changes: dict[str, Any]) -> None:
        self._changes = changes
        self._token: Token[Snapshot | None] | None = None
        self._snapshot: Snapshot | None = None

    def __enter__(self) -> Self:
        """Put the changed settings in force in this context."""
        if self._token is not None:
            msg = "this settings() block is open already"
            raise ConfigurationError(msg)
        base = current()
        self._snapshot = _derive(base, _resolve(self._changes, base), inherit=False)
        self._snapshot.outer = _open(_override.get())  # one that has ended is not kept alive
        self._token = _override.set(self._snapshot)
        live.enter(self._snapshot)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Restore what was in force before, and close what this block built."""
        token, snapshot = self._token, self._snapshot
        if token is None or snapshot is None:
            return
        self._token = self._snapshot = None
        snapshot.ended = True
        live.leave(snapshot)
        # In another context than the one it was entered in, as under some frameworks, there is nothing to reset:
        # what is left there has ended, and `current` passes over it.
        with contextlib.suppress(ValueError):
            _override.reset(token)
        _close(snapshot.owned)


def _read(source: Mapping[str, Any] | str | Path | None) -> dict[str, Any]:
    if source is None:
        return {}
    if isinstance(source, Mapping):
        return config.validate(source)
    is_path = isinstance(source, (str, os.PathLike))
    config.expect("a mapping of settings or the path of a file", source, where="settings.configure()", is_right=is_path)
    return config.from_file(source)


class _Changes(NamedTuple):
    """Settings to change.

    Attributes:
        values: By name, with backends and hooks that are ready.
        built: The backends that were made for it.
    """

    values: dict[str, Any]
    built: tuple[Any, ...]


def _resolve(changes: Mapping[str, Any], base: Snapshot) -> _Changes:
    """Return changes with their hooks and backends made, for what they will be merged with."""
    values, built = dict(changes), ()
    if config.is_disabled():
        values["enabled"] = False
    # Hooks before backends: a mistake in one of them must leave no backend built and open.
    if "hooks" in values:
        values["hooks"] = config.resolve_hooks(values["hooks"])
    if "backends" in values:
        specs = values["backends"]
        duration_field = values.get("duration_field", base.values.duration_field)
        backends = values["backends"] = config.resolve_backends(specs, duration_field=duration_field)
        built = tuple(backend for backend, spec in zip(backends, specs, strict=True) if backend is not spec)
    return _Changes(values, built)


def _derive(base: Snapshot, changed: _Changes, *, inherit: bool = True) -> Snapshot:
    """Return a snapshot with changes, and with what it owns."""
    owned = base.owned if inherit else ()
    if "backends" in changed.values:
        # One that an earlier call built and that is handed in again stays ours.
        owned = (*changed.built, *(backend for backend in owned if _is_among(backend, changed.values["backends"])))
    return Snapshot(dataclasses.replace(base.values, **changed.values), owned)


def _is_among(backend: Any, backends: tuple[Any, ...]) -> bool:
    return any(backend is other for other in backends)


def _close(backends: Iterable[Any]) -> None:
    for backend in backends:
        config.close_backend(backend)


settings = Settings()
