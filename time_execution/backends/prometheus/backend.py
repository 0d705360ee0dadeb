"""`PrometheusBackend`: adds metrics up, and shows the totals to whoever scrapes, or pushes them."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.address import address_of
from time_execution.argument_check import (
    check_counts,
    check_ports,
    check_seconds,
    check_switches,
    check_timeouts,
    check_use,
)
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.prometheus import options
from time_execution.backends.prometheus.delivery_stats import DeliveryStats
from time_execution.backends.prometheus.exporter import Exporter
from time_execution.backends.prometheus.exposition import attach, render, wsgi_app
from time_execution.backends.prometheus.mapping import Mapper
from time_execution.backends.prometheus.pushgateway import Pushgateway
from time_execution.backends.prometheus.shared import SharedStore
from time_execution.backends.prometheus.store import MemoryStore, Store
from time_execution.backends.prometheus.tally import Tally
from time_execution.backends.prometheus.turn import Turn
from time_execution.exceptions import BackendError, BackendUnavailable, ConfigurationError
from time_execution.file_path import to_file
from time_execution.forking import hold_forks_up
from time_execution.guard import Step
from time_execution.quietlog import QuietLog
from time_execution.types import STORED, Metric, Reject, Result

if TYPE_CHECKING:
    from pathlib import Path
    from urllib.parse import SplitResult

_ALONE = (
    "Prometheus metrics are added up in a forked process by itself: give path, a file that processes share, so that "
    "each of them shows the totals of all"
)
_MOST_LETTERS = 200
_JOB = "time_execution"
_PUSH_INTERVAL = 15.0
_TIMEOUT = 10.0
_CLASH = Reject("name clash", "its name is taken by metrics of another kind; rename one of them")


class PrometheusBackend(BaseMetricsBackend):
    """Add metrics up for Prometheus: timings to histograms and counters, numbers to gauges and counters.

    Timings go to ``function_duration_seconds{function}`` and ``function_calls_total{function, outcome}``, counters and
    events to ``<name>_total``, other numbers to a gauge of their own name. Nothing leaves the process by itself: the
    totals are served at ``port``, shown by ``registry`` or `exposition`, or pushed. With ``path``, all processes that
    name the same file add to the same totals, and each of them shows them all.

    A batch is added when `write_many` returns, in full or not at all. Thread-safe; fork-safe: a child begins at zero,
    or goes on with the file. Writing waits for the file only, and where a push is due, for the gateway.

    Args:
        labels: The fields that become labels. No other does: each value makes a series of its own.
        namespace: Put before each name, with ``_``.
        buckets: The upper bounds of the histogram's buckets, in seconds.
        max_series: The most series that have a name and labels of their own; metrics beyond are added up as
            ``__overflow__``, and counted by ``timeexecution_series_overflow_total``.
        path: A file that processes share; by default the totals are this process's own.
        registry: A ``prometheus_client.CollectorRegistry`` to show the totals in; by default one of its own.
        port: Serve at this port, from the first metric on; whichever of several processes gets hold of it.
        address: What to listen on; by default 127.0.0.1.
        exporter_token: Serve only those who send it as a bearer token.
        pushgateway: The URL of a Pushgateway to push to: every `push_interval`, when flushed, and at the end.
        job: The label ``job`` of what is pushed; by default ``time_execution``.
        instance: The label ``instance`` of what is pushed; by default the host's name.
        username: For the gateway, if it wants basic authentication.
        password: The same.
        push_interval: The least pause between two pushes, in seconds; by default 15.
        exemplars: Whether the fields ``trace_id`` and ``span_id`` make a call an example of its bucket.
        ttl: A series goes when nothing was added to it for so many seconds; None for never.
        value_field: The field that holds the number, if `settings.duration_field` renames it.
        self_metrics: What returns the accounting of delivery, usually `time_execution.stats`, to be shown, too.
        timeout: The longest wait for each read from the gateway, or for another process at the file, in seconds; by
            default 10.

    Attributes:
        registry: Where the totals are shown.
        path: The shared file, absolute; None when there is none.

    Raises:
        ConfigurationError: When an argument is wrong, or of no use without another one, or no file can ever be written
            at the path.

    Example:
        >>> backend = PrometheusBackend()
        >>> backend.write("queue.length", value=3)
        >>> print(backend.exposition()[0].decode().splitlines()[2])
        queue_length 3.0
    """

    wants_nanoseconds: ClassVar[bool] = True
    repr_fields: ClassVar[tuple[str, ...]] = ("path", "port", "address")

    def __init__(
        self,
        *,
        labels: str | Sequence[str] = (),
        namespace: str = "",
        buckets: Sequence[float] = options.BUCKETS,
        max_series: int = 10_000,
        path: str | os.PathLike[str] | None = None,
        registry: Any = None,
        port: int | None = None,
        address: str | None = None,
        exporter_token: str | None = None,
        pushgateway: str | None = None,
        job: str | None = None,
        instance: str | None = None,
        username: str | None = None,
        password: str | None = None,
        push_interval: float | None = None,
        exemplars: bool = True,
        ttl: float | None = None,
        value_field: str = "value",
        self_metrics: Callable[[], Mapping[str, Any]] | None = None,
        timeout: float | None = None,
    ) -> None:
        check_switches(exemplars=exemplars)
        options.check_text("value_field", value_field)
        bounds, prefix, fields = options.buckets_of(buckets), options.namespace_of(namespace), options.labels_of(labels)
        self.path = None if path is None else to_file(path)
        self.port, self.address = port, "127.0.0.1" if address is None else address
        self._exporter = self._make_exporter(address, exporter_token)
        timeout = _timeout_of(timeout, is_used=pushgateway is not None or path is not None)
        group: dict[str, Any] = {"job": job, "instance": instance, "login": (username, password)}
        self._gateway = _make_gateway(pushgateway, fields, interval=push_interval, timeout=timeout, **group)
        self._mapper = Mapper(labels=fields, bounds=bounds, exemplars=exemplars, value_field=value_field)
        self._delivery = _make_delivery(self_metrics)
        self._store = _make_store(self.path, max_series, ttl=ttl, timeout=timeout)
        self.registry = attach(self._store, registry, namespace=prefix, bounds=bounds)
        self._log, self._upkeep, self._is_alone = QuietLog(), Turn(), False
        hold_forks_up(self)

    def _make_exporter(self, address: str | None, token: str | None) -> Exporter | None:
        if self.port is None:
            check_use("without port", address=address, exporter_token=token)
            return None
        check_ports(port=self.port)
        options.check_text("address", address, is_optional=True)
        options.check_text("exporter_token", token, is_optional=True)
        return Exporter(lambda: wsgi_app(self.registry), address=self.address, port=self.port, token=token)

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return address, port, token and path of ``prometheus://:token@127.0.0.1:9464//run/metrics.db``."""
        found = address_of(url)
        if found.username is not None or len(found.hosts) > 1:
            raise ConfigurationError("write it prometheus://host:port/path, or prometheus://:token@host:port/path")
        given: dict[str, Any] = {} if found.password is None else {"exporter_token": found.password}
        for host in found.hosts:
            given |= {"address": host.name} | ({} if host.port is None else {"port": host.port})
        path = "/".join(found.path)
        absolute = url.path.startswith("//")
        return given | ({"path": f"/{path}" if absolute else path} if path else {})

    def write_many(self, metrics: Sequence[Metric]) -> list[Result] | None:
        """Add a batch up; returns when all of it counts, or is rejected for want of a number or for its name.

        Raises:
            BackendUnavailable: When the file cannot be written to; nothing of the batch counts then.
        """
        tally, found = self._mapper.tally(metrics)
        refused = self._store.add(tally) if tally else set()
        if self._gateway is not None and tally:
            self._gateway.note()
        if self._is_alone:
            self._is_alone = False  # once in a process: it may be meant so
            self._log.tell("alone", _ALONE)
        # Whatever it raises, the batch counts already: sent again, it would count twice.
        Step(self.idle, kind="backend", label="PrometheusBackend", raises=False).attempt()
        if refused:
            _, name, _ = min(refused)
            self._log.tell("clash", f"Prometheus metrics called {name[:_MOST_LETTERS]!r} are refused: {_CLASH.detail}")
        elif not any(isinstance(series, Reject) for series in found):
            return None
        return [series if isinstance(series, Reject) else _CLASH if series in refused else STORED for series in found]

    def idle(self) -> None:
        """Serve if nobody does, push if it is time, tell of delivery; one thread does it, and none waits for it.

        A push blocks its thread for up to `timeout` seconds, for connecting and for each read.
        """
        with self._upkeep.take(0.0) as is_ours:
            if not is_ours:
                return
            if self._delivery is not None:
                self._tell_of(self._delivery)
            self._serve()
            if self._gateway is not None:
                self._gateway.push_if_due(self.registry)

    def _tell_of(self, delivery: DeliveryStats) -> None:
        news = Step(delivery.news, kind="backend", label="PrometheusBackend.self_metrics", raises=False).attempt()
        if isinstance(news, Tally) and news:
            with contextlib.suppress(BackendError):  # what is not told now is told with the next look
                self._store.add(news)
                delivery.told()

    def serve(self) -> bool:
        """Serve at `port` from now on, unless another process does; returns whether this one does.

        The first metric does the same, so only a process that measures nothing itself calls it. Where the port is
        taken, every second batch or idle moment of the worker tries again, so that one process is followed by another.
        """
        with self._upkeep.take() as is_ours:
            return self._serve() if is_ours else bool(self._exporter)

    def _serve(self) -> bool:
        exporter = self._exporter
        if exporter is None:
            return False
        trouble = None if exporter.start() else exporter.trouble
        if trouble is not None and not (self.path is not None and trouble.errno == errno.EADDRINUSE):
            where = f"{self.address}:{self.port}"
            self._log.tell("exporter", f"cannot serve Prometheus metrics at {where}: {_why(trouble)}")
        return bool(exporter)

    def exposition(self, accept: str | None = None) -> tuple[bytes, str]:
        """Return the totals, and the content type, for a ``/metrics`` route of your own.

        Args:
            accept: The request's ``Accept`` header, which asks for the text format or for OpenMetrics; only the latter
                has exemplars.
        """
        return render(self.registry, accept)

    def push(self) -> None:
        """Push the totals to the gateway now; blocks up to `timeout` seconds for connecting and for each read.

        Raises:
            BackendUnavailable: When that failed; its class says how.
            BackendRejected: When the gateway will never take these totals.
            ConfigurationError: When there is no `pushgateway`.
        """
        if self._gateway is None:
            raise ConfigurationError("push() has no meaning without pushgateway")
        with self._upkeep.take() as is_ours:
            if not is_ours:
                raise BackendUnavailable("called from within a push")
            self._gateway.push(self.registry)

    def stats(self) -> dict[str, Any]:
        """Return ``series``, ``overflowed``, ``clashes``, ``errors``, ``push_failures`` and ``serving``."""
        store, gateway = self._store, self._gateway
        return {
            "series": len(store),
            "overflowed": store.overflowed,
            "clashes": store.clashes,
            "errors": store.errors,
            "push_failures": 0 if gateway is None else gateway.failures,
            "serving": bool(self._exporter),
        }

    def flush(self, timeout: float | None = None) -> bool:
        """Push what is new, if there is a gateway; False when that failed, or took too long.

        Called by a signal handler in the middle of a push of the same thread, it is False at once. The time limits the
        wait for another thread, and then connecting and each read: a gateway that answers byte by byte takes longer.
        """
        if self._gateway is None:
            return True
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._upkeep.take(timeout) as is_ours:
            left = None if deadline is None else deadline - time.monotonic()
            return is_ours and self._gateway.push_if_new(self.registry, left)

    def close(self, timeout: float | None = None) -> None:
        """Push what is new, stop serving and close the file; idempotent, and undone by the next batch."""
        self.flush(timeout)
        if self._exporter is not None:
            self._exporter.stop()
        self._store.close()

    def fork_locks(self) -> tuple[threading.RLock, ...]:
        """Return no lock: what is done under ours may take as long as the network does."""
        return ()

    def after_fork(self) -> None:
        """Begin afresh in a forked child; the parent goes on serving and pushing."""
        self._upkeep = Turn()
        self._is_alone = self.path is None
        self._log.after_fork()
        for part in (self._store, self._exporter, self._gateway, self._delivery):
            if part is not None:
                part.after_fork()


def _timeout_of(given: float | None, *, is_used: bool) -> float:
    if not is_used:
        check_use("without pushgateway or path", timeout=given)
    timeout = _TIMEOUT if given is None else given
    check_timeouts(timeout=timeout)
    return timeout


def _make_gateway(
    url: str | None,
    labels: Mapping[str, str],
    *,
    job: str | None,
    instance: str | None,
    login: tuple[str | None, str | None],
    interval: float | None,
    timeout: float,
) -> Pushgateway | None:
    username, password = login
    if url is None:
        unread = {"job": job, "instance": instance, "username": username, "password": password}
        check_use("without pushgateway", **unread, push_interval=interval)
        return None
    job = _JOB if job is None else job
    interval = _PUSH_INTERVAL if interval is None else interval
    options.check_text("job", job)
    check_seconds(push_interval=interval)
    options.check_group(labels)
    bare, credentials = options.gateway_of(url, username, password)
    return Pushgateway(
        bare, job=job, instance=options.instance_of(instance), login=credentials, interval=interval, timeout=timeout
    )


def _make_delivery(source: Callable[[], Mapping[str, Any]] | None) -> DeliveryStats | None:
    if source is None:
        return None
    if not callable(source):
        raise ConfigurationError(f"self_metrics must be callable, not {type(source).__name__}")
    return DeliveryStats(source)


def _make_store(path: Path | None, max_series: int, *, ttl: float | None, timeout: float) -> Store:
    check_counts(max_series=max_series)
    if ttl is not None:
        check_seconds(ttl=ttl)
    if path is None:
        return MemoryStore(max_series, ttl=ttl)
    return SharedStore(path, max_series, ttl=ttl, timeout=timeout)


def _why(trouble: OSError) -> str:
    if trouble.errno == errno.EADDRINUSE:
        return "another process does; its answers lack this one's metrics, unless both name the same file in path"
    what = trouble.strerror or type(trouble).__name__
    return what if trouble.errno == errno.EAGAIN else f"{what}; check port and address"
