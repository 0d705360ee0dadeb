"""Packets over UDP: quick, and at most once, for no server answers them."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from time_execution.exceptions import BackendUnavailable, BatchTooLarge

if TYPE_CHECKING:
    from time_execution.backends.influxdb.options import Options

# What an Ethernet frame takes, less what headers and tunnels need: a packet in several frames is lost with any of them.
_MAX_PACKET = 1400


class Packets:
    """A socket, opened for one server; several threads may send at once.

    Args:
        options: Where to.
        most: The largest packet that the server reads, in bytes.
    """

    def __init__(self, options: Options, *, most: int) -> None:
        self._server = options.server
        self._most = most
        port = options.udp_port or 0
        try:
            kind, *_, address = socket.getaddrinfo(options.host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(kind, socket.SOCK_DGRAM)
        except OSError as exc:
            raise BackendUnavailable(f"{self._server} cannot be reached; check host") from exc
        self._socket.settimeout(options.timeout)
        try:
            # Connected, so that the kernel tells of packets that nobody listened to.
            self._socket.connect(address)
        except OSError as exc:
            self._socket.close()
            raise BackendUnavailable(f"{self._server} cannot be reached; check host") from exc

    def send(self, parts: Sequence[bytes], *, frame: tuple[bytes, bytes, bytes]) -> None:
        """Send parts, as many in a packet as fit into 1400 bytes; one that does not fit goes alone.

        Args:
            parts: What must stay together.
            frame: What stands before, between and after the parts of a packet.

        Raises:
            BatchTooLarge: When a part is larger than any packet; nothing was sent.
            BackendUnavailable: When the kernel refuses a packet, or says that nobody listens.
        """
        packets = list(_packed(parts, frame))
        if any(len(packet) > self._most for packet in packets):
            raise BatchTooLarge(f"a metric is larger than a packet to {self._server} may be")
        try:
            for packet in packets:
                self._socket.send(packet)
        except ConnectionRefusedError as exc:
            raise BackendUnavailable(f"nobody listens to {self._server}; check host and udp_port") from exc
        except OSError as exc:
            why = exc.strerror or type(exc).__name__
            raise BackendUnavailable(f"the system sends nothing to {self._server} ({why}); check host") from exc

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _packed(parts: Iterable[bytes], frame: tuple[bytes, bytes, bytes]) -> Iterable[bytes]:
    before, between, after = frame
    waiting: list[bytes] = []
    size = around = len(before) + len(after)
    for part in parts:
        if waiting and size + len(part) > _MAX_PACKET:
            yield before + between.join(waiting) + after
            waiting, size = [], around
        waiting.append(part)
        size += len(part) + len(between)
    if waiting:
        yield before + between.join(waiting) + after


class LinePackets:
    """Line protocol to the UDP listener of InfluxDB 1.x, whose precision must be ours."""

    def __init__(self, options: Options) -> None:
        self._packets = Packets(options, most=65_507)

    def send(self, lines: Sequence[str]) -> None:
        """Send lines; returns when the kernel has them.

        Raises:
            BackendError: As `Packets.send` does.
        """
        self._packets.send([line.encode() for line in lines], frame=(b"", b"\n", b"\n"))

    def close(self) -> None:
        """Close the socket."""
        self._packets.close()
