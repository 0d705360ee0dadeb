"""What the tests of message brokers share: a relay that loses what a broker says, and metrics to tell apart."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import threading
import time

from time_execution.exceptions import BackendDenied, BackendUnavailable
from time_execution.formats.json import encode
from time_execution.testing.hostile import HOSTILE_KEYS, HOSTILE_NAMES, hostile_values

DEADLINE = 60.0


class Relay:
    """Forwards TCP connections, and does to what the server answers as it is told.

    Args:
        port: Of the server, on 127.0.0.1; None speaks SOCKS 5 and goes where each client asks.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        lost: How often an answer was lost.
    """

    def __init__(self, port=None):
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._answers = threading.Event()
        self._answers.set()
        self._lose = 0
        self._wanted = b""
        self._is_open = True
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._is_open = False
        self._answers.set()
        self._listener.close()

    def hold(self):
        """Keep back what the server says from now on."""
        self._answers.clear()

    def release(self):
        """Let go of what was kept back."""
        self._answers.set()

    def lose_answer(self, containing=b""):
        """Throw the next answer away that holds some bytes, and hang up on both sides."""
        self._wanted = containing
        self._lose = 1

    def _accept(self):
        while self._is_open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, contextlib.suppress(OSError):
            port = self._target or _socks_port(client)
            with socket.create_connection(("127.0.0.1", port)) as server:
                self._pump(client, server)

    def _pump(self, client, server):
        while self._is_open:
            ready, _, _ = select.select([client, server], [], [], 0.05)
            for source in ready:
                if source is server and not self._answers.is_set():
                    time.sleep(0.005)  # what is held back stays in the socket, which is ready all the time
                    continue
                data = source.recv(65536)
                if not data:
                    return
                if source is server and self._lose and self._wanted in data:
                    self._lose = 0
                    self.lost += 1
                    return
                (client if source is server else server).sendall(data)


def _socks_port(client):
    """Take a client's wish by SOCKS 5 (RFC 1928), without a login; return the port."""
    _, methods = client.recv(2)
    client.recv(methods)
    client.sendall(b"\x05\x00")
    kind = client.recv(4)[3]
    client.recv({1: 4, 4: 16}[kind] if kind != 3 else client.recv(1)[0])
    (port,) = struct.unpack(">H", client.recv(2))
    client.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01" + struct.pack(">H", port))
    return port


def hostile_metrics(count):
    """Return so many flat dicts with the names, keys and values that are hardest to keep, and a number each."""
    values = list(hostile_values().values())
    return [
        {
            "name": HOSTILE_NAMES[number % len(HOSTILE_NAMES)],
            "value": number / 8,
            HOSTILE_KEYS[number % len(HOSTILE_KEYS)]: values[number % len(values)],
            "number": number,
            "text": f"n{number}",
            "flag": number % 2 == 0,
            "nothing": None,
            "timestamp": 1_700_000_000_000_000_000 + number * 1000,
        }
        for number in range(count)
    ]


def assert_same(found, written):
    """Assert that documents are what was written, field by field, types included."""
    by_number = {document["number"]: document for document in found}
    assert len(found) == len(by_number) == len(written)
    for fields in written:
        document = by_number[fields["number"]]
        expected = json.loads(encode(fields))
        expected["timestamp"] = document["timestamp"]
        assert _typed(document) == _typed(expected)
        assert document["timestamp"].endswith("Z")
        assert len(document["timestamp"]) == len("2023-11-14T22:13:20.000001Z")


def _typed(document):
    return {key: (type(value), value) for key, value in document.items()}


class Stream:
    """Writes numbered metrics from a thread of its own, at a steady pace, until it is stopped.

    Attributes:
        count: How many were written.
        waits: How long each write took, in seconds.
    """

    def __init__(self, delivery, *, pause=0.002):
        self._delivery = delivery
        self._pause = pause
        self._stop = threading.Event()
        self.count = 0
        self.waits = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(DEADLINE)

    def _run(self):
        while not self._stop.wait(self._pause):
            started = time.perf_counter()
            self._delivery.write("stream", value=self.count, number=self.count)
            self.waits.append(time.perf_counter() - started)
            self.count += 1

    def reach(self, count):
        """Wait until so many were written."""
        wait_until(lambda: self.count >= count)

    def p99(self):
        """Return how long all but a hundredth of the writes took at the most, in seconds."""
        return p99(self.waits)


def p99(waits):
    """Return what all but a hundredth of some figures are at the most."""
    return sorted(waits)[int(len(waits) * 0.99)]


def insist(act):
    """Return what `act` does once the server finds the time to answer; on a busy machine it may not at first."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            return act()
        except BackendUnavailable as exc:
            if isinstance(exc, BackendDenied) or time.monotonic() > deadline:
                raise


def wait_until(predicate, timeout=DEADLINE):
    """Wait for something to come about; fail when it does not."""
    deadline = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)
