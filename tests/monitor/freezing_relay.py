"""A TCP relay to a real server that stops passing answers on when a client sends a certain word."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_PAUSE = 0.02
_PATIENCE = 20.0


class FreezingRelay:
    """Listens on 127.0.0.1 from entering to leaving the ``with`` block.

    Args:
        port: Of the server, on this machine.
        word: What a client has to send for its answers to stop.
        drip: Sent to it from then on, again and again, until it hangs up; empty for silence.

    Attributes:
        port: Where it listens.
        frozen: Set when a client has sent the word.
        left: Set when such a client has hung up.
    """

    def __init__(self, port, word, drip=b""):
        self._server, self._word, self._drip = port, word, drip
        self.frozen, self.left, self._closing = threading.Event(), threading.Event(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._accepting.start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        _close(self._listener)
        self._accepting.join(_PATIENCE)  # it may have taken one more
        for made in self._open:
            _close(made)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            try:
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                client.close()
                continue
            self._open.append(server)
            is_frozen = threading.Event()
            threading.Thread(target=self._ask, args=(client, server, is_frozen), daemon=True).start()
            threading.Thread(target=self._answer, args=(server, client, is_frozen), daemon=True).start()

    def _ask(self, client, server, is_frozen):
        try:
            while data := client.recv(65_536):
                if self._word in data:
                    is_frozen.set()
                    self.frozen.set()
                    threading.Thread(target=self._drop, args=(client,), daemon=True).start()
                if not is_frozen.is_set():
                    server.sendall(data)
        except OSError:
            pass
        if is_frozen.is_set():
            self.left.set()
        server.close()

    def _drop(self, client):
        try:
            while self._drip and not self._closing.wait(_PAUSE):
                client.sendall(self._drip)
        except OSError:
            self.left.set()

    def _answer(self, server, client, is_frozen):
        try:
            while (data := server.recv(65_536)) and not is_frozen.is_set():
                client.sendall(data)
        except OSError:
            pass


def _close(connection):
    with suppress(OSError):  # the other side was quicker
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
