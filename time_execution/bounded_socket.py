"""Sockets that wait for an answer as a whole, for clients whose time-outs are those of a single read.

A server that sends a byte now and then would hold such a client for ever, one that never comes to an end would fill
the memory.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from typing import Any

from time_execution.exceptions import ConfigurationError

_MOST_BYTES = 1024 * 1024
_SHORTEST = 0.001


class _Bounded:
    """Counts time and bytes of what is read from a socket, since it was made or `renew` was called."""

    _until: float | None = None
    _room = _MOST_BYTES

    def renew(self) -> None:
        """Begin to count anew, for another answer."""
        self._until, self._room = None, _MOST_BYTES

    def recv_into(self, *args: Any, **options: Any) -> int:
        """Read as the socket does, for as long as the socket's time-out all reads together; hang up when that fails.

        Raises:
            TimeoutError: When the time is over.
            ConnectionError: When there are more bytes than any answer has.
        """
        sock: Any = self
        longest: float | None = sock.gettimeout()
        if longest is None:
            return int(super().recv_into(*args, **options))  # type: ignore[misc]  # of the socket that this is
        now = time.monotonic()
        if self._until is None:
            self._until = now + longest
        try:
            sock.settimeout(max(_SHORTEST, self._until - now))
            count = int(super().recv_into(*args, **options))  # type: ignore[misc]  # as above
            self._room -= count
            if self._room < 0:
                raise ConnectionError("the answer comes to no end")
        except OSError:
            os.close(sock.detach())  # clients that fail while they read leave their sockets to the collector
            raise
        sock.settimeout(longest)
        return count


class BoundedSocket(_Bounded, socket.socket):
    """A socket of which an answer is waited for as long as its time-out, all reads together; for one thread."""

    @classmethod
    def of(cls, sock: socket.socket) -> BoundedSocket:
        """Return a socket in place of another, which is of no use any more."""
        longest = sock.gettimeout()
        made = cls(sock.family, sock.type, sock.proto, fileno=sock.detach())
        made.settimeout(longest)
        return made


class _BoundedTLSSocket(_Bounded, ssl.SSLSocket):
    """As `BoundedSocket`, for TLS."""


def tls_context(ca_certs: str | os.PathLike[str] | None = None) -> ssl.SSLContext:
    """Return what checks certificates and hosts' names, and makes sockets as `BoundedSocket` is one.

    Args:
        ca_certs: A file of the authorities to trust; None for the system's.

    Raises:
        ConfigurationError: When the file cannot be read, or is none of certificates.
    """
    try:
        context = ssl.create_default_context(cafile=ca_certs)
    except (OSError, TypeError, ValueError) as exc:  # `ssl.SSLError` is an `OSError`
        raise ConfigurationError("ca_certs must be a PEM file of certificates that can be read") from exc
    context.sslsocket_class = _BoundedTLSSocket
    return context
