"""`OTLPBackend`: sums metrics up into series, and sends these to an OpenTelemetry collector."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from socket import gethostname
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.argument_check import check_counts
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.otlp import options
from time_execution.backends.otlp.message import (
    HOST_NAME,
    Verdict,
    Window,
    check_attributes,
    refusal_of,
    request_of,
    verdict_of,
)
from time_execution.backends.otlp.series import Batch, Key, Levels, Points, SeriesMaker
from time_execution.backends.otlp.transport import Answer, Transport
from time_execution.exceptions import BatchTooLarge, ConfigurationError
from time_execution.http_answer import is_success
from time_execution.quietlog import QuietLog
from time_execution.types import STORED, Metric, Reject, Result

if TYPE_CHECKING:
    from urllib.parse import SplitResult

# Those that the semantic conventions advise for requests, and below them a few for functions, which are shorter.
DEFAULT_BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025),
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
_INSTANCE = "service.instance.id"
_TOO_LARGE = 413
_MINUTE_NS = 60_000_000_000


class OTLPBackend(BaseMetricsBackend):
    """Send metrics to an OpenTelemetry collector, or to whatever else takes OTLP over HTTP (protobuf).

    Timings become the histogram ``function.duration`` in seconds, with the function as ``code.function.name`` and, when
    the call failed, ``error.type``; counters and events monotonic sums; gauges and values gauges, of their own names.
    A batch is one request, and is stored when the server says so: `write_many` blocks until then. Where arguments are
    silent, the ``OTEL_*`` variables of the specification are read, at construction.

    Cumulative sums, the default, are those of this process since its first metric: a request that is sent again after a
    lost answer counts nothing twice. Delta sums are those of a batch; then, such a request may count twice.
    Thread-safe: one request at a time. Fork-safe: a child has its own sums, connection and ``service.instance.id``.

    Args:
        endpoint: Where the collector is, such as ``http://collector:4318``; ``/v1/metrics`` is added unless it ends so.
        headers: Sent with each request, such as an API key; never shown.
        timeout: The longest wait for a connection, and for each read of an answer, in seconds; by default that of a
            variable, or 10.
        temporality: ``cumulative`` or ``delta``.
        resource: Attributes of the resource, over those of ``OTEL_RESOURCE_ATTRIBUTES``.
        service_name: The resource's ``service.name``.
        compression: ``gzip``, unless a variable says otherwise, or ``none``.
        attributes: The fields that become attributes of points; each combination of their values is a series.
        buckets: Upper bounds of the histogram's buckets, in seconds.
        max_series: So many series are told apart; further ones count together, marked ``otel.metric.overflow``.
        tls: Whether an endpoint without a scheme is spoken to by TLS.
        ca_certs: A file of the certificates to trust, by default those of the system.
        client_cert: A file with the certificate to show.
        client_key: A file with the key of that, if it is not in the same file.
        value_field: The field whose number is the value, if `settings.duration_field` renames it.

    Attributes:
        endpoint: Where requests go, without user, password, path and query.
        temporality: ``cumulative`` or ``delta``.

    Raises:
        ConfigurationError: When an argument or a variable is wrong; it names which.
        MissingExtraError: When the module is imported without the extra ``otlp``.
    """

    wants_nanoseconds: ClassVar[bool] = True
    repr_fields: ClassVar[tuple[str, ...]] = ("endpoint", "temporality")

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        headers: Mapping[str, str] | str | None = None,
        timeout: float | None = None,
        temporality: options.Temporality | None = None,
        resource: Mapping[str, Any] | str | None = None,
        service_name: str | None = None,
        compression: options.Compression | None = None,
        attributes: Sequence[str] = (),
        buckets: Sequence[float] = DEFAULT_BUCKETS,
        max_series: int = 2000,
        tls: bool | None = None,
        ca_certs: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        value_field: str = "value",
    ) -> None:
        _check(max_series, value_field)
        if tls is None and endpoint is not None and "://" not in str(endpoint):
            tls = any((ca_certs, client_cert, client_key))
        address = options.endpoint_of(endpoint, tls=tls)
        self.endpoint, self.temporality = address.shown, options.temporality_of(temporality)
        self._bounds = options.bounds_of(buckets)
        self._resource = options.resource_of(resource, service_name)
        check_attributes(self._resource, key="resource")
        self._timeout = options.timeout_of(timeout)
        self._transport = Transport(
            address,
            options.headers_of(headers),
            timeout=self._timeout,
            compression=options.compression_of(compression),
            context=options.context_of(ca_certs, client_cert, client_key, is_needed=address.url.startswith("https:")),
        )
        host = None if HOST_NAME in self._resource else gethostname()
        names = options.names_of(attributes)
        self._series = SeriesMaker(names, self._bounds, max_series=max_series, value_field=value_field, host=host)
        self._is_disabled = options.is_disabled()
        self._begin()

    def _begin(self) -> None:
        """Set what belongs to one process, and to the sums that it counts."""
        self._lock = threading.RLock()
        self._log = QuietLog()
        self._discarded = self._warnings = self._overflowed = self._refused_points = 0
        self._series.clear()
        self._sums: dict[Key, Points] = {}
        self._start: int | None = None
        self._until = 0
        process = os.getpid()
        self._shared = {_INSTANCE: str(uuid.uuid4()), "process.pid": process, **self._resource}
        self._process = process  # last: another thread that sees it must not find what is the parent's

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return the endpoint of ``otlp://user:password@host:4318/path``; spoken to by TLS with ``tls=true``."""
        return {"endpoint": f"{url.netloc}{url.path}"} if url.netloc else {}

    def write_many(self, metrics: Sequence[Metric]) -> list[Result]:
        """Send what a batch comes to in one request; blocks until the server has answered.

        Returns:
            For each metric whether the server has it; those without a number, negative amounts, and what the server
            refuses are rejected. Which points it refused a server does not say: for so many points, the largest, the
            metrics are rejected, so that none is called stored that is not. Cumulative sums are rejected only together
            with all points, since the next request repeats them.

        Raises:
            BatchTooLarge: When the server refuses the request; smaller ones find the metric that is to blame.
            BackendUnavailable: When it does not answer, asks for a pause, or refuses us.
        """
        self.after_fork()
        with self._lock:
            if self._is_disabled:
                self._discarded += len(metrics)
                return [STORED] * len(metrics)
            batch = self._series.sort(metrics)
            results: list[Result] = [STORED] * len(metrics)
            for place, reject in batch.rejects.items():
                results[place] = reject
            if batch.points:
                for places, reject in self._send(batch):
                    for place in places:
                        results[place] = reject
            self._overflowed += batch.overflowed  # not of a batch that is sent again
            return results

    def stats(self) -> dict[str, int]:
        """Return ``series``, ``overflowed`` (metrics beyond `max_series`), ``warnings`` (of the server), and more.

        ``refused_points`` are those of totals that it did not take, ``discarded`` the metrics that were thrown away
        because of ``OTEL_SDK_DISABLED``.
        """
        return {
            "series": len(self._series),
            "overflowed": self._overflowed,
            "warnings": self._warnings,
            "refused_points": self._refused_points,
            "discarded": self._discarded,
        }

    def close(self, timeout: float | None = None) -> None:
        """Close the connection; idempotent. A later batch opens it again, and sums go on.

        Args:
            timeout: The longest wait for another thread that is sending, in seconds; None for the backend's own. One
                that sends for longer keeps the connection.
        """
        self.after_fork()
        if self._lock.acquire(timeout=self._timeout if timeout is None else max(0.0, timeout)):
            try:
                self._transport.close()
            finally:
                self._lock.release()

    def after_fork(self) -> None:
        """Begin anew in a child, whose sums and connection are its own; done by the child's first batch, too."""
        if self._process != os.getpid():
            self._transport.forget()
            self._begin()

    def _send(self, batch: Batch) -> list[tuple[list[int], Reject]]:
        """Send a batch; return which of its metrics the server refused."""
        window = self._window(batch)
        points = {key: self._with_sum(key, found) for key, found in batch.points.items()}
        message = request_of(
            points,
            window,
            temporality=self.temporality,
            resource=self._shared,
            bounds=self._bounds,
            version=_version(),
        )
        answer = self._transport.post(message)
        sources = batch.point_sources()
        if not is_success(answer.status):
            return [(sources[0], _refused(answer, alone=len(sources) == len(sources[0]) == 1))]
        verdict = verdict_of(answer.kind, answer.body)
        self._warnings += bool(verdict.words) and not verdict.rejected
        detail = f"{verdict.rejected} of {len(sources)} points refused: {verdict.words}"
        if verdict.rejected < len(sources):
            self._commit(window, points, has_sums=batch.last > 0)
            sources = self._heed(verdict, batch, len(sources))
        largest = sorted(sources, key=len, reverse=True)[: verdict.rejected]
        return [(places, Reject("partial_success", detail)) for places in largest]

    def _heed(self, verdict: Verdict, batch: Batch, count: int) -> list[list[int]]:
        """Return what a server that refused some of so many points can have lost; of the rest, tell what it said.

        What it refused of cumulative sums is in the totals of the next request, so it is not lost.
        """
        if self.temporality != "cumulative":
            return batch.point_sources()
        levels = batch.point_sources(of_gauges=True)
        repeated = verdict.rejected - len(levels)
        if repeated > 0:
            self._refused_points += repeated
            told = f"the OTLP server refused {verdict.rejected} of {count} points, its own log says why"
            self._log.tell("partial_success", f"{told}; the next totals have what these counted")
        return levels

    def _window(self, batch: Batch) -> Window:
        """Return the time that a batch speaks of: that of its metrics, though never before what was sent already.

        Consumers of sums drop points that go back in time; so metrics that come late count in the time after.
        """
        now = time.time_ns()
        if self._until > now + _MINUTE_NS:  # the clock was set back; new sums begin, as after a restart
            self._sums, self._start, self._until = {}, None, 0
        end = min(batch.last, now)
        start = self._until or max(0, min(int(batch.first), end) - 1) if batch.last else now
        since = self._start if self.temporality == "cumulative" and self._start is not None else start
        return Window(since, max(end, start + 1))

    def _with_sum(self, key: Key, points: Points) -> Points:
        """Return the points of a batch, in which cumulative sums hold all that was sent before."""
        before: Any = self._sums.get(key)
        return points if before is None or isinstance(points, Levels) else points.after(before)

    def _commit(self, window: Window, points: Mapping[Key, Points], *, has_sums: bool) -> None:
        """Take note of what the server has."""
        if not has_sums:
            return
        self._until = window.end
        self._start = window.start if self._start is None else self._start
        if self.temporality == "cumulative":
            self._sums.update((key, found) for key, found in points.items() if not isinstance(found, Levels))


def _refused(answer: Answer, *, alone: bool) -> Reject:
    """Return what a refusal means for a single metric.

    Raises:
        BatchTooLarge: When there were several: one of them may be to blame.
    """
    said = f"the OTLP server answered {answer.status}"
    if not alone:
        raise BatchTooLarge(f"{said}: the batch is too large, or a metric in it is refused")
    reason = "too_large" if answer.status == _TOO_LARGE else "refused"
    return Reject(reason, f"{said}: {refusal_of(answer.kind, answer.body)}".rstrip(": "))


def _check(max_series: int, value_field: str) -> None:
    check_counts(max_series=max_series)
    if not isinstance(value_field, str):
        raise ConfigurationError(f"value_field must be a str, not {type(value_field).__name__}")


@lru_cache(maxsize=1)
def _version() -> str:
    try:
        return version("timeexecution")
    except PackageNotFoundError:  # run from a checkout
        return ""
