"""Delivered throughput on the real servers, against the official client alone: ``python -m tests.bench.services``.

A race is a module ``service_<product>`` with a class `Race`. Its raw side sends batches that were built before, with
the client alone, each confirmed. Ours drains the same metrics out of a full queue: the worker makes the batches, the
backend encodes and sends them, and every metric is accounted for. Both sides take turns on one server.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tests.bench.__main__ import insert
from tests.bench.bench_sqlite import BATCH, batches, make_metrics
from tests.bench.measure import Table
from tests.services.conftest import PORTS
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.types import Metric

GOAL = 0.90
_PATIENCE = 300.0


class Race(Protocol):
    """What each module offers."""

    def __init__(self, batches: list[list[Metric]], port: int) -> None:
        """Build what the official client sends."""

    def raw(self) -> None:
        """Send all of it, and return when all is confirmed."""

    def backend(self) -> BaseMetricsBackend:
        """Return a fresh backend for the same kind of place."""

    def stored(self) -> int:
        """Return how many records the server holds."""

    def clean(self) -> None:
        """Empty the place."""


class Product(NamedTuple):
    """A race: its name in the table, its module, its server, its class, and what is to be reached.

    No goal is set where the client's side has nothing left to do but to send.
    """

    title: str
    module: str
    server: str
    race: str = "Race"
    goal: float | None = GOAL


PRODUCTS = {
    "elasticsearch": Product("Elasticsearch 9.5, documents", "service_elasticsearch", "elasticsearch-9"),
    "elasticsearch-lines": Product(
        "Elasticsearch 9.5, finished lines", "service_elasticsearch", "elasticsearch-9", "RaceOfLines", None
    ),
    "influxdb": Product("InfluxDB 1.6, points", "service_influxdb", "influxdb"),
    "influxdb-lines": Product("InfluxDB 1.6, finished lines", "service_influxdb", "influxdb", "RaceOfLines", None),
    "kafka": Product("Kafka 4.1, finished records", "service_kafka", "kafka"),
    "rabbitmq": Product("RabbitMQ 3.10, documents", "service_rabbitmq", "rabbitmq"),
    "rabbitmq-messages": Product(
        "RabbitMQ 3.10, finished messages", "service_rabbitmq", "rabbitmq", "RaceOfMessages", None
    ),
}


def gated(backend: BaseMetricsBackend) -> threading.Event:
    """Hold a backend back until the gate that is returned opens, so that the queue is full by then."""
    gate = threading.Event()
    name = "write_batches" if backend.batches_at_once > 1 else "write_many"
    send = getattr(backend, name)

    def write(metrics):
        gate.wait(_PATIENCE)
        return send(metrics)

    setattr(backend, name, write)
    return gate


def race_for(product: Product, count: int) -> Any:
    """Return a race with so many metrics."""
    module = importlib.import_module(f"tests.bench.{product.module}")
    return getattr(module, product.race)(batches(make_metrics(count)), PORTS[product.server])


def delivered_in(race: Race, count: int) -> float:
    """Return the seconds that a delivery takes from a full queue to the last confirmation.

    Raises:
        RuntimeError: When not all metrics were delivered.
    """
    backend = race.backend()
    gate = gated(backend)
    delivery = ThreadedBackend(backend, queue_maxsize=2 * count, max_bytes=None, bulk_size=BATCH, bulk_timeout=0.0)
    delivery.bulk_write(make_metrics(count))
    gc.collect()  # of what making the metrics left, as before the client's turn
    started = time.perf_counter()
    gate.set()
    is_done = delivery.flush(_PATIENCE)
    taken = time.perf_counter() - started
    stats = delivery.stats()
    delivery.close(10.0)
    if not is_done or stats["delivered"] != count:
        raise RuntimeError(f"{stats['delivered']} of {count} were delivered: {stats['last_error']}")
    return taken


def run(name: str, count: int, rounds: int) -> tuple[float, float, float]:
    """Return the best rates of the raw client and of ours, in metrics a second, and the median of their ratios.

    Raises:
        RuntimeError: When the server does not hold what was sent.
    """
    race = race_for(PRODUCTS[name], count)
    raws, ours = [], []
    for number in range(rounds + 1):
        gc.collect()
        race.clean()
        started = time.perf_counter()
        race.raw()
        raw = time.perf_counter() - started
        _check(race, count, "the client")
        race.clean()
        taken = delivered_in(race, count)
        _check(race, count, "the backend")
        if number:  # the first round warms both sides and the server up
            raws.append(raw)
            ours.append(taken)
    race.clean()
    ratios = [raw / taken for raw, taken in zip(raws, ours, strict=True)]
    return count / min(raws), count / min(ours), statistics.median(ratios)


def _check(race: Race, count: int, who: str) -> None:
    stored = race.stored()
    if stored != count:
        raise RuntimeError(f"the server holds {stored} of the {count} metrics that {who} sent")


def services_table(names: list[str], count: int, rounds: int) -> Table:
    """Race each product."""
    table = Table("services", "Server", "client, metrics/s", "ours, metrics/s", "ratio", "goal")
    for name in names:
        raw, ours, ratio = run(name, count, rounds)
        goal = PRODUCTS[name].goal
        table.add(PRODUCTS[name].title, f"{raw:,.0f}", f"{ours:,.0f}", f"{ratio:.2f}", f"{goal:.2f}" if goal else "-")
    return table


def main() -> int:
    """Race, print, and write down."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.services", description=__doc__)
    parser.add_argument("--only", action="append", choices=PRODUCTS, metavar="NAME", help="a product; may be repeated")
    parser.add_argument("--count", type=int, default=50_000, help="metrics in a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default: %(default)s)")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="put the table into a document")
    options = parser.parse_args()
    text = services_table(options.only or list(PRODUCTS), options.count, options.rounds).render()
    print(text)
    if options.write is not None:
        document = options.write.read_text(encoding="utf-8")
        options.write.write_text(insert(document, "services", text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
