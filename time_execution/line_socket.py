"""Sockets for lines of text that no protocol answers: datagrams, and streams whose end says that all was read.

Failures come as the exceptions of `time_execution.exceptions`, in words that name the server and what to do.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, get_args

from time_execution.argument_check import check_ports, check_timeouts
from time_execution.exceptions import (
    BackendDenied,
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    BatchTooLarge,
    ConfigurationError,
)

Protocol = Literal["udp", "tcp", "unix", "unixstream"]

# Of the field in a Unix socket's address, less the byte that ends it; Linux has a few more than the BSDs.
_MOST_PATH_BYTES = 107 if sys.platform == "linux" else 103
# A connected UDP socket would send to the old address for ever when a host moves.
_LOOK_UP_AGAIN = 300.0
_ERRORS: dict[int | None, tuple[type[BackendError], str]] = {
    errno.ECONNREFUSED: (BackendUnavailable, "nobody listens there: start it, or mend the address"),
    errno.ENOENT: (BackendUnavailable, "there is no such socket: start it, or mend the path"),
    errno.ECONNRESET: (BackendUnavailable, "it broke the connection: see its log, or mend the address"),
    errno.EPIPE: (BackendUnavailable, "it broke the connection: see its log, or mend the address"),
    errno.ENOBUFS: (BackendUnavailable, "the system has no room for more just now"),
    errno.EAGAIN: (BackendUnavailable, "it takes no more just now"),
    errno.EPROTOTYPE: (BackendDenied, "that socket is of another kind: try protocol 'unix' or 'unixstream'"),
    errno.EACCES: (BackendDenied, "this process has no permission to write there"),
    errno.EPERM: (BackendDenied, "this process has no permission to write there"),
    errno.EMSGSIZE: (BatchTooLarge, "the packet is larger than the system sends"),
}


class Place(NamedTuple):
    """Where a server listens.

    Attributes:
        protocol: ``unix`` is a Unix socket for datagrams, ``unixstream`` one for streams.
        host: Empty with a path.
        port: 0 with a path.
        path: Of the Unix socket; empty without one.
    """

    protocol: Protocol
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_stream(self) -> bool:
        """Whether what is sent arrives in order and without bounds between packets."""
        return self.protocol in {"tcp", "unixstream"}

    def __str__(self) -> str:
        """Return it as a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol}://{self.path or f'{host}:{self.port}'}"


def place_of(protocol: Any, *, host: Any, port: Any, path: Any) -> Place:
    """Return where constructor arguments say that a server listens.

    Args:
        protocol: One of `Protocol`; None for ``unix`` with a path and ``udp`` without one.
        host: A name or an IP address; not looked at with a path.
        port: Not looked at with a path.
        path: Of a Unix socket, or None.

    Raises:
        ConfigurationError: When an argument is wrong, or does not go with another one.
    """
    if protocol is None:
        protocol = "udp" if path is None else "unix"
    if not isinstance(protocol, str) or protocol not in get_args(Protocol):
        raise ConfigurationError(f"protocol must be one of {', '.join(get_args(Protocol))}")
    if protocol.startswith("unix"):
        if not isinstance(path, (str, os.PathLike)) or not isinstance(text := os.fspath(path), str) or not text:
            raise ConfigurationError(f"path must be the path of a socket, which protocol {protocol!r} needs")
        if not _is_short(text):
            raise ConfigurationError(f"path must be at most {_MOST_PATH_BYTES} bytes long, as Unix sockets have it")
        if not hasattr(socket, "AF_UNIX"):
            raise ConfigurationError(f"protocol {protocol!r} is not to be had: this system has no Unix sockets")
        return Place(protocol, path=text)  # type: ignore[arg-type]
    if path is not None:
        raise ConfigurationError(f"path goes with protocol 'unix' or 'unixstream', not with {protocol!r}")
    if not isinstance(host, str) or not _is_host(host):
        raise ConfigurationError("host must be the name or the IP address of one host")
    check_ports(port=port)
    return Place(protocol, host, port)  # type: ignore[arg-type]


class LineSocket:
    """Sends packets to one server. Thread-safe; blocks until the system, or the server, has taken them.

    A datagram counts as sent when the system has taken it and knows of no refusal; on the same machine it knows at
    once. A stream is closed after each call of `send`, which returns when the server has closed its end, too: it has
    read everything by then. A socket is made by the first packet, and anew after a failure.

    Args:
        place: Where the server listens.
        label: Names the server in messages, beside its address.
        timeout: The longest wait for each call of `send`, in seconds; looking up the host's name comes on top.
        confirm: Close streams to know that they were read; without it, one stays open, and what the server had not
            read when it broke is lost.

    Raises:
        ConfigurationError: When the timeout is none.
    """

    def __init__(self, place: Place, *, label: str, timeout: float = 10.0, confirm: bool = True) -> None:
        check_timeouts(timeout=timeout)
        self.place = place
        self._label = label
        self._timeout = timeout
        self._confirm = confirm
        self._turn = 0
        self._begin()

    def _begin(self) -> None:
        """Set what belongs to one process."""
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._stale_at = 0.0
        self._process = os.getpid()  # last: another thread that sees it must not find the parent's socket

    def send(self, data: bytes) -> None:
        """Send a datagram, or all that a stream has to take.

        Raises:
            BackendTimeout: When the server does not take it, or does not say so, in time.
            BackendUnavailable: When nobody listens, or the connection breaks: none of it may count as stored.
            BackendDenied: When this process may not write there.
            BatchTooLarge: When the system sends no datagrams of that size.
        """
        self.after_fork()
        with self._lock, self._understood():
            if not self.place.is_stream:
                self._send_datagram(data)
            elif self._confirm:
                self._send_and_wait(data)
            else:
                self._send_on(data)

    def close(self, timeout: float | None = None) -> None:
        """Close the socket; idempotent. A later packet makes a new one.

        Args:
            timeout: The longest wait for another thread to have sent, in seconds; None for the socket's own. One that
                sends for longer keeps its connection.
        """
        self.after_fork()
        if self._lock.acquire(timeout=self._timeout if timeout is None else max(0.0, timeout)):
            try:
                self._forget()
            finally:
                self._lock.release()

    def after_fork(self) -> None:
        """Begin anew in a child, which its first packet does, too; the parent's socket stays open in the parent."""
        if self._process != os.getpid():
            self._forget()
            self._begin()  # with a lock of its own: nobody may ever release the parent's here

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Give up the socket when something fails, and raise what it means."""
        try:
            yield
        except OSError as exc:
            self._forget()
            self._turn += 1
            raise self._meaning(exc) from exc

    def _meaning(self, exc: OSError) -> BackendError:
        server = f"{self._label} at {self.place}"
        if isinstance(exc, socket.gaierror):
            return BackendUnavailable(f"{server}: the host's name cannot be looked up: {exc.strerror}")
        if isinstance(exc, TimeoutError):
            waits = self.place.is_stream and self._confirm
            hint = "; if it never closes a connection, set confirm=False" if waits else ""
            return BackendTimeout(f"{server} did not take everything in {self._timeout:g} s{hint}")
        kind, what = _ERRORS.get(exc.errno, (BackendUnavailable, exc.strerror or type(exc).__name__))
        return kind(f"{server}: {what}")

    def _forget(self) -> None:
        taken, self._socket = self._socket, None
        if taken is not None:
            taken.close()

    def _send_datagram(self, data: bytes) -> None:
        if self._socket is not None and time.monotonic() >= self._stale_at:
            self._forget()
        sender = self._socket
        if sender is None:
            sender = self._socket = self._connected(socket.SOCK_DGRAM, self._timeout)
            self._stale_at = time.monotonic() + _LOOK_UP_AGAIN
        sender.send(data)
        # A refusal comes as an answer to what was sent before; from this machine it is there already.
        refusal = sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if refusal:
            raise OSError(refusal, os.strerror(refusal))

    def _send_and_wait(self, data: bytes) -> None:
        """Send over a connection of its own, and wait for the server to close it after the last byte."""
        deadline = time.monotonic() + self._timeout
        with self._connected(socket.SOCK_STREAM, self._timeout) as stream:
            stream.settimeout(_rest(deadline))
            stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)
            answer = b"?"
            while answer:  # what it says meanwhile is nobody's business
                stream.settimeout(_rest(deadline))
                answer = stream.recv(4096)

    def _send_on(self, data: bytes) -> None:
        """Send over the connection that is open, unless the server has closed it meanwhile."""
        if self._socket is not None and _is_closed(self._socket):
            self._forget()
        if self._socket is None:
            self._socket = self._connected(socket.SOCK_STREAM, self._timeout)
        self._socket.settimeout(self._timeout)
        self._socket.sendall(data)

    def _connected(self, kind: int, timeout: float) -> socket.socket:
        if kind == socket.SOCK_STREAM and not self.place.path:
            return socket.create_connection((self.place.host, self.place.port), timeout)
        family, address = self._address(kind)
        made = socket.socket(family, kind)
        try:
            made.settimeout(timeout)
            made.connect(address)
        except OSError:
            made.close()
            raise
        return made

    def _address(self, kind: int) -> tuple[int, Any]:
        if self.place.path:
            return socket.AF_UNIX, self.place.path
        found = socket.getaddrinfo(self.place.host, self.place.port, type=kind)
        # Servers for datagrams listen on IPv4 unless told otherwise; after a failure it is the next address's turn.
        found.sort(key=lambda info: info[0] != socket.AF_INET)
        family, *_, address = found[self._turn % len(found)]
        return family, address


def packed(lines: Sequence[bytes], max_bytes: int) -> Iterator[Sequence[bytes]]:
    """Yield lines in groups that, with a byte between two of them, are no longer than asked for; none is cut.

    A line that is longer by itself makes a group of its own.

    Example:
        >>> list(packed([b"one", b"two", b"three"], 7))
        [[b'one', b'two'], [b'three']]
    """
    start = size = 0
    for index, line in enumerate(lines):
        size += len(line) + 1
        if index > start and size > max_bytes + 1:
            yield lines[start:index]
            start, size = index, len(line) + 1
    if start < len(lines):
        yield lines[start:]


def _is_short(path: str) -> bool:
    try:
        return len(os.fsencode(path)) <= _MOST_PATH_BYTES
    except UnicodeError:
        return False


def _is_host(text: str) -> bool:
    """Say whether a text can be looked up: what the resolver is given is checked as the socket module encodes it."""
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return text != "" and text.isprintable() and not any(character in " /@," for character in text)


def _rest(deadline: float) -> float:
    rest = deadline - time.monotonic()
    if rest <= 0:
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    return rest


def _is_closed(stream: socket.socket) -> bool:
    """Say whether the server has closed a stream on which it never says anything."""
    stream.settimeout(0.0)
    try:
        return not stream.recv(4096)
    except BlockingIOError:
        return False
