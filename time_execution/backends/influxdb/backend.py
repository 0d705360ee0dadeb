"""`InfluxBackend`: takes batches from any thread, and writes them to InfluxDB in the protocol of its version."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from time_execution.address import address_of
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.influxdb import options as asked
from time_execution.backends.influxdb.moments import Moments
from time_execution.backends.influxdb.options import Options
from time_execution.backends.influxdb.portion import send_all
from time_execution.backends.influxdb.udp import LinePackets
from time_execution.exceptions import ConfigurationError
from time_execution.formats.line_protocol import LineEncoder, NoPointError
from time_execution.types import Metric, Reject, Result, Results

if TYPE_CHECKING:
    from urllib.parse import SplitResult

# Connections of a parent process, kept from being collected: their clean-up may wait for a lock that a thread of the
# parent held.
_inherited: list[object] = []


class _Connection(Protocol):
    """What sends points, and is made at the first."""

    def send(self, points: Sequence[Any]) -> None: ...

    def close(self) -> None: ...


class InfluxBackend(BaseMetricsBackend):
    """Write metrics to InfluxDB 0.8, 1.x, 2.x or 3.x, or to what speaks one of their protocols.

    The measurement is the metric's name, ``hostname`` and ``origin`` are tags, all else fields; see
    `time_execution.formats.line_protocol` and ``docs/backends/influxdb.rst``. `write_many` blocks until the server has
    confirmed the batch (over UDP: until the kernel has it). Thread-safe and fork-safe; connects with the first metric,
    and again with the first after `close`.

    Args:
        host: A name or an IP address, which may have a port; by default ``localhost``.
        database: Where to, by default ``metrics``; with protocol 2.x the bucket, unless `bucket` names it.
        use_udp: Send packets to `udp_port`, at most once and unanswered, instead of requests to `port`.
        port: Of the HTTP API; by default 8086.
        udp_port: By default 8089, and 4444 with protocol 0.8.
        username: None sends no credentials.
        password: Belongs to it.
        protocol: ``0.8``, ``1.x``, or ``2.x`` for the API of InfluxDB 2 and 3.
        url: Of the server, with protocol 2.x; in place of host, port and tls.
        org: The organization, with protocol 2.x.
        bucket: Where to, with protocol 2.x.
        token: What shows that we may, with protocol 2.x.
        tags: Names of fields that become tags, beside ``hostname`` and ``origin``.
        precision: Of timestamps; by default ``ns``, with protocol 0.8 ``ms``, and ``s`` with its UDP.
        integers: Write integers as integers, not as floats.
        retention_policy: Where to in the database, with protocol 1.x; the database's default otherwise.
        consistency: How many nodes of a cluster must confirm, with protocol 1.x.
        create_database: Create the database if there is none, with protocols 0.8 and 1.x; by default true.
        gzip: Compress requests.
        tls: Speak HTTPS.
        ca_certs: The file of certificates that vouch for the server; the system's otherwise.
        verify_certs: False believes any server.
        timeout: The longest wait for the server to connect, and to answer, in seconds.
        value_field: The field that holds the number, if `settings.duration_field` renames it.

    Raises:
        ConfigurationError: When an argument is wrong, or of no use for the protocol or beside another one.
        MissingExtraError: When the client of that protocol is not installed.
    """

    wants_nanoseconds: ClassVar[bool] = True
    repr_fields: ClassVar[tuple[str, ...]] = ("protocol", "server", "target")

    def __init__(
        self,
        host: str | None = None,
        database: str | None = None,
        *,
        use_udp: bool = False,
        port: int | None = None,
        udp_port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        protocol: asked.Protocol = "1.x",
        url: str | None = None,
        org: str | None = None,
        bucket: str | None = None,
        token: str | None = None,
        tags: Sequence[str] = (),
        precision: asked.Precision | None = None,
        integers: bool = False,
        retention_policy: str | None = None,
        consistency: asked.Consistency | None = None,
        create_database: bool | None = None,
        gzip: bool = False,
        tls: bool = False,
        ca_certs: str | os.PathLike[str] | None = None,
        verify_certs: bool = True,
        timeout: float = 10.0,
        value_field: str = "value",
    ) -> None:
        arguments = locals()
        self._options = options = Options(**{name: arguments[name] for name in asked.NAMES})
        self.protocol, self.server, self.target = options.protocol, options.server, options.target
        self._moments = Moments()
        self._connect, self._point = _ways(options, self._moments)
        self._begin()

    def _begin(self) -> None:
        """Set what belongs to one process."""
        self._lock = threading.RLock()
        self._connection: _Connection | None = None
        self._process = os.getpid()  # last: another thread that sees it must not find the parent's connection

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return host, port, login and database of ``influxdb://user:secret@host:8086/database``."""
        address = address_of(url)
        if len(address.hosts) > 1 or len(address.path) > 1:
            raise ConfigurationError("a URL of InfluxDB has one host and one database: influxdb://host:8086/database")
        found: dict[str, Any] = dict(address.login)
        for host in address.hosts:
            found |= {"host": host.name} if host.port is None else {"host": host.name, "port": host.port}
        return found | dict(zip(("database",), address.path, strict=False))

    def write_many(self, metrics: Sequence[Metric]) -> Results:
        """Write a batch; blocks until the server has answered.

        Returns:
            A result for each metric. What the server refuses is a `Reject` with its words, and so is a metric without
            anything that InfluxDB could store; the others are stored.

        Raises:
            BackendError: When nothing of the batch was stored.
        """
        now = time.time_ns()
        self._moments.forget_old()
        points: list[Any] = []
        refused: dict[int, Result] = {}
        for index, metric in enumerate(metrics):
            try:
                points.append(self._point(metric, now))
            except NoPointError as exc:
                refused[index] = Reject("no number", str(exc))
        results = send_all(self._send, points)
        if not refused:
            return results
        others = iter(results)
        return [refused.get(index) or next(others) for index in range(len(metrics))]

    def close(self, timeout: float | None = None) -> None:  # noqa: ARG002 - nothing here waits for others
        """Close the connection; idempotent. A later batch opens it again."""
        self.after_fork()
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def after_fork(self) -> None:
        """Forget the parent's connection without closing it; done by the child's first batch, too."""
        if self._process != os.getpid():
            if self._connection is not None:
                _inherited.append(self._connection)
            self._begin()

    def _send(self, points: Sequence[Any]) -> None:
        self.after_fork()
        connection = self._connection
        if connection is None:
            with self._lock:
                connection = self._connection = self._connection or self._connect()
        connection.send(points)


def _ways(options: Options, moments: Moments) -> tuple[Callable[[], _Connection], Callable[[Metric, int], Any]]:
    """Return how to connect, and how to make a point of a metric and the present moment.

    Imports what the protocol needs, and nothing else: who writes to 2.x need not have the client of 1.x.
    """
    if options.protocol == asked.OLD:
        from time_execution.backends.influxdb import v08  # noqa: PLC0415

        columns = v08.PointEncoder(value_field=options.value_field, precision=options.precision or "ms")
        old = v08.PointPackets if options.use_udp else v08.Connection
        return partial(old, options), columns.point
    connect: Callable[[Options], _Connection]
    if options.use_udp:
        connect = LinePackets
    elif options.protocol == asked.LINES:
        from time_execution.backends.influxdb import v1  # noqa: PLC0415

        connect = v1.Connection
    else:
        from time_execution.backends.influxdb import v2  # noqa: PLC0415

        connect = v2.Connection
    return partial(connect, options), _line_encoder(options, moments).line


def _line_encoder(options: Options, moments: Moments) -> LineEncoder:
    try:
        return LineEncoder(
            tags=options.tags,
            value_field=options.value_field,
            precision=options.precision or "ns",
            integers=options.integers,
            one_line=options.protocol == asked.API_2,
            place=moments.place,
        )
    except ValueError as exc:
        raise ConfigurationError(f"tags: {exc}") from exc
