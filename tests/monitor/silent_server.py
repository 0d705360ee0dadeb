"""A server that takes connections and never says a word, for clients that have to give up by themselves."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_PATIENCE = 20.0


class SilentServer:
    """Listens on 127.0.0.1 from entering to leaving the ``with`` block, and closes what it took only then.

    Attributes:
        port: Where it listens.
        asked: Set as soon as a client has sent something.
        left: Set as soon as a client has hung up.
    """

    def __init__(self):
        self.asked, self.left = threading.Event(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._taken = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._accepting.start()
        return self

    def __exit__(self, *_):
        _close(self._listener)
        self._accepting.join(_PATIENCE)  # it may have taken one more
        for taken in self._taken:
            _close(taken)

    def _accept(self):
        while True:
            try:
                taken, _ = self._listener.accept()
            except OSError:
                return
            self._taken.append(taken)
            threading.Thread(target=self._read, args=(taken,), daemon=True).start()

    def _read(self, taken):
        try:
            while taken.recv(1000):
                self.asked.set()
        except OSError:
            pass
        self.left.set()


def _close(connection):
    with suppress(OSError):  # the other side was quicker
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
