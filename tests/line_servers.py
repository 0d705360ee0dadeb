"""Servers in this process for lines that nobody answers: datagrams and streams, over IP and Unix sockets."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

DEADLINE = 10.0
_KINDS = {
    "udp": socket.SOCK_DGRAM,
    "tcp": socket.SOCK_STREAM,
    "unix": socket.SOCK_DGRAM,
    "unixstream": socket.SOCK_STREAM,
}


class LineServer:
    """Receives from entering to leaving the ``with`` block.

    Args:
        protocol: As `time_execution.line_socket.Protocol`.
        path: For a Unix socket.
        port: 0 for any that is free.
        family: Of addresses, without a path.
        serve: What to do with the connection to a stream; by default it is read to its end, then closed.

    Attributes:
        received: Each datagram, or all that a connection brought.
        connections: How many connections there were.
    """

    def __init__(self, protocol, *, path=None, port=0, family=socket.AF_INET, serve=None):
        self.protocol = protocol
        self.path = path
        self.port = port
        self.received = []
        self.connections = 0
        self.changed = threading.Condition()
        self.closing = threading.Event()
        self._serve = serve or self.read_all
        self._socket = socket.socket(family if path is None else socket.AF_UNIX, _KINDS[protocol])
        if path is None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", port))
            self.port = self._socket.getsockname()[1]
        else:
            self._socket.bind(str(path))
        self._is_stream = _KINDS[protocol] == socket.SOCK_STREAM
        if self._is_stream:
            self._socket.listen(64)
        self._socket.settimeout(0.05)
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def place(self):
        """The constructor arguments of a backend that writes here."""
        if self.path is not None:
            return {"protocol": self.protocol, "path": str(self.path)}
        return {"host": "127.0.0.1", "port": self.port, "protocol": self.protocol}

    def read_all(self, connection):
        """Read a connection to its end and close it."""
        data = b""
        with connection, contextlib.suppress(OSError):
            while not self.closing.is_set():
                try:
                    more = connection.recv(65536)
                except TimeoutError:
                    continue
                data += more
                if not more:
                    self.keep(data)
                    return

    def keep(self, data):
        """Remember what came."""
        with self.changed:
            self.received.append(data)
            self.changed.notify_all()

    def wait_for(self, found):
        """Wait until a function of this server returns something true, and return that."""
        with self.changed:
            assert self.changed.wait_for(lambda: found(self), DEADLINE), self.received[-3:]
            return found(self)

    @property
    def lines(self):
        """All lines that came, without ends."""
        with self.changed:
            return [line for data in self.received for line in data.decode().split("\n") if line]

    def settled_lines(self):
        """Return the lines of all datagrams that were sent by now: what is sent last is received last."""
        mark = f"mark-{time.monotonic_ns()}".encode()
        if not self._is_stream:
            with socket.socket(self._socket.family, socket.SOCK_DGRAM) as sender:
                sender.sendto(mark, self._socket.getsockname())
            self.wait_for(lambda server: mark in server.received)
            with self.changed:
                self.received.remove(mark)
        return self.lines

    def _run(self):
        while not self.closing.is_set():
            try:
                if not self._is_stream:
                    self.keep(self._socket.recv(1 << 20))
                    continue
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with self.changed:
                self.connections += 1
                self.changed.notify_all()
            connection.settimeout(0.05)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self._thread.join(DEADLINE)
        self._socket.close()


def reset(connection):
    """Close a connection with RST, whatever was read."""
    connection.recv(10)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def free_port():
    """Return a port on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
