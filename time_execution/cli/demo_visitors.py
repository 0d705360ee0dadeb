"""The load of the demonstration: visitors of the shop, who look around, search and order, now more, now fewer."""

from __future__ import annotations

import contextlib
import http.client
import math
import random
import threading
import time
from urllib.parse import quote

_TIMEOUT = 5.0
_WAVE = 120.0  # seconds from one rush to the next
_ARTICLES = 20_100  # a few of which are not there


class Visitors:
    """Threads that send requests to the shop until they are stopped; bounded to a rate.

    Args:
        port: Where the shop listens, on 127.0.0.1.
        rate: Requests in a second, on average, of all visitors together.
        number: How many there are.
        seed: Of what they do.

    Attributes:
        sent: How many requests were answered, with whatever status.
    """

    def __init__(self, port: int, *, rate: float, number: int, seed: int) -> None:
        self._port = port
        self._pause = number / rate
        self._end = threading.Event()
        self._lock = threading.Lock()
        self.sent = 0
        self._threads = [
            threading.Thread(target=self._visit, args=(random.Random(seed + place),), daemon=True)  # noqa: S311 - no secret
            for place in range(number)
        ]

    def start(self) -> None:
        """Let them in."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send them home, and wait until they are gone."""
        self._end.set()
        for thread in self._threads:
            thread.join(_TIMEOUT)

    def _visit(self, chance: random.Random) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT)
        with contextlib.closing(connection):
            while not self._end.wait(chance.expovariate(1.0) * self._pause / _rush(time.monotonic())):
                method, path = _wish(chance)
                try:
                    connection.request(method, path)
                    connection.getresponse().read()
                except (OSError, http.client.HTTPException):
                    connection.close()  # opened anew by the next request
                    continue
                with self._lock:
                    self.sent += 1


def _rush(now: float) -> float:
    """Return how many times the average rate is wanted at a moment: half to one and a half."""
    return 1.0 + 0.5 * math.sin(now / _WAVE * 2 * math.pi)


def _wish(chance: random.Random) -> tuple[str, str]:
    """Return what a visitor does next: method and path."""
    dice = chance.random()
    if dice < 0.2:  # noqa: PLR2004 - shares of what visitors do
        return "GET", "/"
    if dice < 0.35:  # noqa: PLR2004
        return "GET", f"/search?q={quote(chance.choice(('amber', 'cedar 1', 'no. 42', 'lumen', 'nothing like it')))}"
    number = min(int(chance.paretovariate(0.4)), _ARTICLES)
    if dice < 0.85:  # noqa: PLR2004
        return "GET", f"/articles/{number}"
    if dice < 0.98:  # noqa: PLR2004
        return "POST", f"/orders/{number}"
    return "GET", f"/wp-login.php?try={number}"
