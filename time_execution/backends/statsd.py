"""`StatsDBackend`: sends each metric as a line to a server of StatsD or DogStatsD, which aggregates them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.address import address_of
from time_execution.argument_check import check_counts, check_use
from time_execution.backends.base import BaseMetricsBackend
from time_execution.exceptions import BatchTooLarge, ConfigurationError
from time_execution.formats.statsd import Dialect, LineFormat
from time_execution.line_socket import LineSocket, Protocol, packed, place_of
from time_execution.types import STORED, Metric, Reject, Result

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_PORT = 8125
# What fits into an Ethernet frame by any route, and what Datadog's agent reads at once from its socket.
_MAX_BYTES = {"udp": 1432, "tcp": 65_536, "unix": 8192, "unixstream": 8192}
_LEAST_BYTES = 64


class StatsDBackend(BaseMetricsBackend):
    """Send metrics to a StatsD server over UDP, TCP or a Unix socket, as many lines in a packet as fit.

    A datagram is sent at most once, save when the system tells that nobody took it; a stream at least once, since it
    counts as stored when the server has read it and closed the connection. Nothing tells what becomes of it then.
    Thread-safe and fork-safe; blocks until packets are taken, up to `timeout` for each, or for all of a stream.

    StatsD keeps a name, a number and what kind of number it is. Moments are those of arrival, and other fields are left
    out, but for `tags`. Names are encoded as `time_execution.formats.statsd.encode_name` says.

    Args:
        host: A name or an IP address; by default ``localhost``.
        port: The server's; by default 8125.
        protocol: ``udp``, ``tcp``, ``unix`` (datagrams) or ``unixstream``; by default ``unix`` with a path, else
            ``udp``.
        path: Of the Unix socket.
        dialect: ``statsd``, or ``dogstatsd`` for Datadog's extensions: tags, events, negative gauges.
        prefix: Stands before each name, with a dot between.
        tags: With ``dogstatsd``, the fields that become tags, where a metric has them.
        constant_tags: With ``dogstatsd``, tags of every metric, such as ``env:prod``. ``env=prod`` means the same: in a
            configuration, ``env:`` points at the environment.
        max_packet_bytes: The most bytes of a packet with more than one line; by default 1432 for UDP, 8192 for Unix
            sockets. Streams have none, save Datadog's.
        confirm: Over a stream, make a connection for each batch and wait until the server closes it. Without it, one
            connection stays open, and what the server had not read when it broke is lost. By default true.
        timeout: The longest wait, in seconds.
        value_field: The field whose number is sent, if `settings.duration_field` renames it.

    Raises:
        ConfigurationError: When an argument is wrong, or does not go with another one.

    Example:
        >>> StatsDBackend("localhost", prefix="shop")
        StatsDBackend(address='udp://localhost:8125', dialect='statsd')
    """

    wants_nanoseconds: ClassVar[bool] = True
    repr_fields: ClassVar[tuple[str, ...]] = ("address", "dialect")

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        protocol: Protocol | None = None,
        path: str | None = None,
        dialect: Dialect = "statsd",
        prefix: str = "",
        tags: Sequence[str] = (),
        constant_tags: Sequence[str] = (),
        max_packet_bytes: int | None = None,
        confirm: bool | None = None,
        timeout: float = 10.0,
        value_field: str = "value",
    ) -> None:
        if path is not None:
            check_use("with path", host=host, port=port)
        address = {"host": "localhost" if host is None else host, "port": _PORT if port is None else port}
        place = place_of(protocol, **address, path=path)
        if not place.is_stream:
            check_use(f"over {place.protocol}: datagrams are never confirmed", confirm=confirm)
        self._format = LineFormat(
            dialect, prefix=prefix, tags=tags, constant_tags=constant_tags, value_field=value_field
        )
        self._is_framed = dialect == "dogstatsd" and place.protocol == "unixstream"
        if max_packet_bytes is not None:
            check_counts(least=_LEAST_BYTES, max_packet_bytes=max_packet_bytes)
            if place.is_stream and not self._is_framed:
                check_use(f"over {place.protocol}: a stream has no packets", max_packet_bytes=max_packet_bytes)
        self.address = str(place)
        self.dialect = dialect
        self._max_bytes = max_packet_bytes or _MAX_BYTES[place.protocol]
        self._socket = LineSocket(place, label="StatsD", timeout=timeout, confirm=confirm is not False)

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return host and port of ``statsd://host:8125``, or the path of ``statsd:///run/statsd.sock``.

        Raises:
            ConfigurationError: When it names several hosts, a user, or a host and a path.
        """
        address = address_of(url)
        if address.username is not None or address.password is not None:
            raise ConfigurationError("StatsD knows no users: leave out what stands before the '@'")
        if address.path:
            if address.hosts:
                raise ConfigurationError("a URL names a host or the path of a socket, not both")
            return {"path": f"/{'/'.join(address.path)}"}
        if len(address.hosts) > 1:
            raise ConfigurationError("a URL names one host")
        options: dict[str, Any] = {}
        for host in address.hosts:
            options = {"host": host.name} | ({} if host.port is None else {"port": host.port})
        return options

    def write_many(self, metrics: Sequence[Metric]) -> Iterator[Result]:
        """Send a batch, a packet at a time as the results are consumed, or all at once over a stream.

        Raises:
            BackendTimeout: When the server does not take the next packet in time.
            BackendUnavailable: When nobody listens, or the connection breaks.
            BackendDenied: When this process may not write to the socket.
        """
        made = [self._format.line(metric) for metric in metrics]
        sent = self._sent([line.encode() for line in made if isinstance(line, str)])
        for line in made:
            yield line if isinstance(line, Reject) else next(sent)

    def close(self, timeout: float | None = None) -> None:
        """Close the socket; idempotent. A later batch opens another one.

        Args:
            timeout: The longest wait for another thread that is sending, in seconds; None for the backend's own.
        """
        self._socket.close(timeout)

    def after_fork(self) -> None:
        """Forget the parent's socket."""
        self._socket.after_fork()

    def _sent(self, lines: Sequence[bytes]) -> Iterator[Result]:
        """Send lines, and yield a result for each."""
        packets = packed(lines, self._max_bytes)
        if not self._socket.place.is_stream:
            for packet in packets:
                yield from self._sent_together(packet)
        elif lines:
            self._socket.send(b"".join(map(self._framed, packets)))
            yield from repeat(STORED, len(lines))

    def _sent_together(self, lines: Sequence[bytes]) -> Iterator[Result]:
        """Send lines as one datagram, or as several where the system takes none of that size."""
        try:
            self._socket.send(b"\n".join(lines))
        except BatchTooLarge as exc:
            if len(lines) == 1:
                yield Reject("too large", str(exc))
                return
            half = len(lines) // 2
            yield from self._sent_together(lines[:half])
            yield from self._sent_together(lines[half:])
        else:
            yield from repeat(STORED, len(lines))

    def _framed(self, lines: Sequence[bytes]) -> bytes:
        """Return lines as they follow each other in a stream: Datadog's agent wants their length first."""
        packet = b"\n".join(lines) + b"\n"
        if self._is_framed:
            return struct.pack("<I", len(packet)) + packet
        return packet
