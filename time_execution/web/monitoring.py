"""`Monitoring`: what ``init_app`` sets up besides the framework's own part, the same for all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from time_execution import logs
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.exceptions import MissingExtraError
from time_execution.hooks.request_id import request_id_hook
from time_execution.monitor.monitor import monitor
from time_execution.monitor.requests import RequestTracker, seed_ids
from time_execution.quietlog import QuietLog
from time_execution.settings import settings
from time_execution.web.site import Site

if TYPE_CHECKING:
    from time_execution.web.options import Options

_log = QuietLog()


class Monitoring:
    """The monitoring of one application. Thread-safe and fork-safe.

    Made by ``init_app``, which may be called in the parent of forked workers: what a process must do for itself, each
    does at its first request.

    Args:
        options: What it goes by.
        db: An engine or a URL of SQLAlchemy's, or what has an engine: see `use_database`.

    Attributes:
        options: As given.
        site: Answers at our paths.
        tracker: Measures the requests.
        title: The name at the head of the dashboard's pages; to be set before its first request.

    Raises:
        ConfigurationError: When an option, or a variable of the environment, is wrong.
    """

    def __init__(self, options: Options, db: Any = None) -> None:
        self.options = options
        self.title = "Monitoring"
        access = options.access()
        self.tracker = RequestTracker(
            statistics=monitor.requests,
            hooks=options.hooks,
            trust_request_id=options.trust_request_id,
            enabled=monitor.options.request_logging,
        )
        if db is not None:
            self.use_database(db)
        _add_backends(options)
        if options.tag_calls and request_id_hook not in settings.hooks:
            settings.configure(hooks=[*settings.hooks, request_id_hook])
        self.site = Site(
            access, prefix=options.prefix, dashboard=self._dashboard, health=monitor.health, metrics=_exposition
        )
        self._steps: list[Callable[[], object]] = [seed_ids]  # some servers fork without Python being told
        if options.sampler:
            self._steps.append(self._start_sampler)
        self._pid = 0

    def use_database(self, db: Any, *, name: str = "database") -> None:
        """Check from time to time whether a database answers, and store errors there, too.

        Raises:
            ConfigurationError: When it is no database.
            MissingExtraError: When SQLAlchemy is not installed.
        """
        from time_execution.monitor.checks import DatabaseCheck  # noqa: PLC0415 - for those who have one

        monitor.register_health_check(name, DatabaseCheck(db))
        if self.options.logs:
            logs.add_db_handler(db)

    def at_first_request(self, step: Callable[[], object]) -> None:
        """Have something done once in each process, before its first request; what it raises is logged."""
        self._steps.append(step)

    def prepare(self) -> None:
        """Do what a process has to do before its first request; nothing at later ones."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            for step in self._steps:
                try:
                    step()
                except Exception as exc:  # noqa: BLE001 - the request that happens to be first has no part in it
                    what = f"{type(exc).__name__}: {exc}"
                    _log.tell(f"prepare.{type(exc).__name__}", f"monitoring could not be set up in full: {what}")

    def _start_sampler(self) -> None:
        try:
            monitor.start()
        except MissingExtraError:
            _log.tell("psutil", "the machine is not sampled: pip install 'timeexecution[monitor]'")
            monitor.configure(system_metrics=False)
            monitor.start()

    def _dashboard(self) -> Any:
        try:
            from time_execution.web.dashboard.site import Dashboard  # noqa: PLC0415 - for those who look at it
        except MissingExtraError as exc:
            _log.tell("dashboard", f"there is no dashboard: {exc}")
            return None
        chosen = logs.current_options()
        folder = str(chosen.log_dir) if chosen.log_files else None
        return Dashboard(str(_store_of(self.options)), prefix=self.site.prefix or "", logs=folder, title=self.title)


def _all_backends() -> Iterator[Any]:
    """Yield the backends of the settings, and those behind their queues."""
    for backend in settings.backends:
        inner = backend
        while inner is not None:
            yield inner
            inner = getattr(inner, "backend", None)


def _first(kind: type) -> Any:
    return next((backend for backend in _all_backends() if isinstance(backend, kind)), None)


def _store_of(options: Options) -> Path:
    found = _first(SQLiteBackend)
    return Path(options.store or "metrics.db") if found is None else Path(found.path)


def _add_backends(options: Options) -> None:
    """Add what the settings lack: a store for the dashboard, and totals for Prometheus."""
    missing: list[dict[str, Any]] = []
    if options.store is not None and _first(SQLiteBackend) is None:
        missing.append({"class": "sqlite", "path": str(options.store), "threaded": True})
    prometheus = _prometheus()
    if prometheus is not None and _first(prometheus) is None:
        # A file, so that whichever worker process is scraped shows the totals of all.
        path = _store_of(options).with_suffix(".prometheus.db")
        missing.append({"class": "prometheus", "path": str(path), "threaded": True})
    if missing:
        settings.configure(backends=[*settings.backends, *missing])


def _prometheus() -> Any:
    """Return the class of Prometheus' backends; None where its client is not installed."""
    try:
        from time_execution.backends.prometheus import PrometheusBackend  # noqa: PLC0415 - not everybody has its client
    except MissingExtraError:
        return None
    return PrometheusBackend


def _exposition(accept: str | None) -> tuple[bytes, str] | None:
    """Return what there is to scrape; None when there is nothing."""
    kind = _prometheus()
    found = None if kind is None else _first(kind)
    return None if found is None else found.exposition(accept)
