"""The application of the demonstration: a small shop in Flask, whose functions take real time and fail in real ways.

It keeps its goods in SQLite, asks a payment service over TCP, and has two faults that its owner has not found yet: a
search without an index, and goods without a weight.
"""

from __future__ import annotations

import contextlib
import random
import socket
import socketserver
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from time_execution.decorator import time_execution
from time_execution.logs import get_logger

_GOODS = 20_000
_WORDS = (
    "amber",
    "basalt",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "garnet",
    "harbour",
    "indigo",
    "juniper",
    "kelp",
    "lumen",
)
_WITHOUT_WEIGHT = 97
_PAYMENT_TIMEOUT = 2.0
# How long the payment service takes, in seconds: as a rule, and in its bad times.
_QUICK, _SLOW = 0.004, 0.18
_BAD_TIME_EVERY, _BAD_TIME = 90.0, 20.0
_DECLINED = 0.03


class PaymentDeclinedError(Exception):
    """The customer's card was refused."""


class PaymentService:
    """Another company's service: a TCP server on the loopback interface that answers ``ok`` or ``declined``.

    It is slow for 20 of every 90 seconds, as such services are.

    Args:
        seed: Of its decisions.
    """

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - no secret
        opened = time.monotonic()

        class Handler(socketserver.StreamRequestHandler):
            """Answers one order."""

            def handle(self) -> None:
                """Take a moment, then decide."""
                self.rfile.readline()
                is_bad = (time.monotonic() - opened) % _BAD_TIME_EVERY > _BAD_TIME_EVERY - _BAD_TIME
                time.sleep((_SLOW if is_bad else _QUICK) * chance.uniform(0.5, 1.5))
                with contextlib.suppress(OSError):  # who asked may be gone
                    self.wfile.write(b"declined\n" if chance.random() < _DECLINED else b"ok\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address: tuple[str, int] = ("127.0.0.1", self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="payment-service", daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


class Shop:
    """What the shop can do; each method is measured. Thread-safe: every call has a connection of its own.

    Args:
        database: The file of its goods; written anew.
        payment: Where the payment service listens.
    """

    def __init__(self, database: Path, payment: tuple[str, int]) -> None:
        self._database = database
        self._payment = payment
        self._log = get_logger()
        self._stock()

    @time_execution(name="shop.find_goods")
    def find_goods(self, words: str) -> list[dict[str, Any]]:
        """Return goods whose name holds some words; reads all of them, which is one of the shop's faults."""
        return self._rows("SELECT id, name, price FROM goods WHERE name LIKE ? LIMIT 20", f"%{words}%")

    @time_execution(name="shop.load_article")
    def load_article(self, number: int) -> dict[str, Any] | None:
        """Return one article; None when there is none."""
        found = self._rows("SELECT id, name, price, grams FROM goods WHERE id = ?", number)
        return found[0] if found else None

    @time_execution(name="shop.shipping_price")
    def shipping_price(self, article: dict[str, Any]) -> float:
        """Return what sending it costs; fails for goods without a weight, which is the other fault."""
        price: float = round(3.9 + article["grams"] * 0.002, 2)
        return price

    @time_execution(name="shop.recommend")
    def recommend(self, number: int) -> list[dict[str, Any]]:
        """Return goods that may please as well."""
        return self._rows(
            "SELECT id, name, price FROM goods WHERE id IN (?, ?, ?)", number + 1, number * 7 % _GOODS, 42
        )

    @time_execution(name="shop.order")
    def order(self, number: int) -> dict[str, Any]:
        """Order an article.

        Raises:
            LookupError: When there is none.
            PaymentDeclinedError: When the customer's bank says no.
        """
        article = self.load_article(number)
        if article is None:
            raise LookupError(f"no article {number}")
        total = article["price"] + self.shipping_price(article)
        self._pay(total)
        self._log.info("order of %s for %.2f", article["name"], total)
        return {"article": article, "total": total}

    @time_execution(name="shop.pay")
    def _pay(self, amount: float) -> None:
        with socket.create_connection(self._payment, timeout=_PAYMENT_TIMEOUT) as connection:
            connection.sendall(f"{amount:.2f}\n".encode())
            answer = connection.recv(100)
        if answer.strip() != b"ok":
            raise PaymentDeclinedError(f"a payment of {amount:.2f} was declined")

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self._database)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]

    def _stock(self) -> None:
        goods = (
            (number, f"{_WORDS[number % 12]} {_WORDS[number // 12 % 12]} no. {number}", 2 + number % 90, _grams(number))
            for number in range(1, _GOODS + 1)
        )
        with closing(sqlite3.connect(self._database)) as connection, connection:
            connection.execute("CREATE TABLE goods (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, grams INTEGER)")
            connection.executemany("INSERT INTO goods VALUES (?, ?, ?, ?)", goods)


def _grams(number: int) -> int | None:
    return None if number % _WITHOUT_WEIGHT == 0 else 50 + number % 900


def application(shop: Shop) -> Flask:
    """Return the shop's web application, not monitored yet."""
    app = Flask("shop")

    @app.get("/")
    def home() -> Response:
        return jsonify(articles=[shop.load_article(number) for number in (1, 2, 3)])

    @app.get("/search")
    def search() -> Response:
        return jsonify(shop.find_goods(request.args.get("q", "")))

    @app.get("/articles/<int:number>")
    def article(number: int) -> Any:
        found = shop.load_article(number)
        if found is None:
            return jsonify(error="no such article"), 404
        return jsonify(found | {"shipping": shop.shipping_price(found), "others": shop.recommend(number)})

    @app.post("/orders/<int:number>")
    def order(number: int) -> Any:
        try:
            return jsonify(shop.order(number)), 201
        except LookupError as exc:
            return jsonify(error=str(exc)), 404
        except PaymentDeclinedError as exc:
            app.logger.warning("%s", exc)
            return jsonify(error="payment declined"), 402

    return app


class _Quiet(WSGIRequestHandler):
    """Keeps connections open, and says nothing of requests: the dashboard does."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def serve(app: Flask, port: int) -> BaseWSGIServer:
    """Serve an application on the loopback interface, on threads of its own; returns once it listens.

    Raises:
        OSError: When the port is taken.
    """
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    threading.Thread(target=server.serve_forever, name="shop", daemon=True).start()
    return server
