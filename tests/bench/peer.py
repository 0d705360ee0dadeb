"""Measure another library against the floor, in the environment that it is installed in; `peers` runs this.

Run as ``python peer.py <folder of the project> <library> <repeats>``; the figures are printed as JSON. Standard library
only, but for the library itself.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

# The project's folder is on the path for its benchmarks only: timeexecution 8.4.3 is imported by the same name as ours.
sys.path[0] = sys.argv[1]
from tests.bench.floor import floor, noop  # noqa: E402
from tests.bench.measure import Pair, calling, compare  # noqa: E402

del sys.path[0]

Measured = Iterator[tuple[str, Pair]]


def against_floor(measured: Callable[[], object], repeats: int, **options: Any) -> Pair:
    return compare(calling(floor(noop)), calling(measured), calls=options.pop("calls", 300), repeats=repeats, **options)


def timeexecution(repeats: int) -> Measured:
    package: Any = importlib.import_module("time_execution")
    threaded: Any = importlib.import_module("time_execution.backends.threaded")
    base: Any = importlib.import_module("time_execution.backends.base")

    class Null(base.BaseMetricsBackend):
        def write(self, name, **data):
            pass

        def bulk_write(self, metrics):
            pass

    def hook(**_):
        return None

    package.settings.configure(backends=[Null()], hooks=[], hostname="bench")
    measured = package.time_execution(noop)
    yield "direct backend", against_floor(measured, repeats)
    package.settings.configure(backends=[Null()], hooks=[hook], hostname="bench")
    yield "one hook, direct backend", against_floor(measured, repeats)
    backend = threaded.ThreadedBackend(Null, queue_maxsize=10_000)
    package.settings.configure(backends=[backend], hooks=[], hostname="bench")

    def drain() -> None:
        while not backend._queue.empty():
            time.sleep(0.001)

    yield "threaded, bursts", against_floor(measured, max(20, repeats // 10), calls=1000, between=drain)
    for number in range(10_000):
        package.settings.configure(backends=[Null()], hooks=[], hostname=f"bench-{number % 7}")
    yield "direct, after 10,000 configure()", against_floor(measured, 3, calls=50)


def prometheus_client(repeats: int) -> Measured:
    library: Any = importlib.import_module("prometheus_client")
    histogram = library.Histogram("bench_seconds", "What is measured", registry=library.CollectorRegistry())
    yield "Histogram.time()", against_floor(histogram.time()(noop), repeats)


def opentelemetry(repeats: int) -> Measured:
    logging.disable(logging.CRITICAL)  # a reader that is asked before it has a provider says so
    metrics: Any = importlib.import_module("opentelemetry.sdk.metrics")
    export: Any = importlib.import_module("opentelemetry.sdk.metrics.export")

    class Discarding(export.MetricExporter):
        def export(self, *_: object, **__: object) -> object:
            return export.MetricExportResult.SUCCESS

        def force_flush(self, *_: object, **__: object) -> bool:
            return True

        def shutdown(self, *_: object, **__: object) -> None:
            pass

    readers = {
        "in-memory reader": export.InMemoryMetricReader(),
        "periodic reader": export.PeriodicExportingMetricReader(Discarding(), export_interval_millis=1000),
    }
    for label, reader in readers.items():
        provider = metrics.MeterProvider(metric_readers=[reader])
        record = provider.get_meter("bench").create_histogram("bench.seconds", unit="s").record
        attributes = {"function": "bench.noop"}

        def measured(record: Any = record, attributes: Any = attributes) -> None:
            started = time.perf_counter()
            try:
                noop()
            finally:
                record(time.perf_counter() - started, attributes)

        yield f"Histogram.record(), {label}", against_floor(measured, repeats)
        provider.shutdown()


def datadog(repeats: int) -> Measured:
    library: Any = importlib.import_module("datadog.dogstatsd.base")
    for label, options in {"each call sent": {}, "buffered": {"disable_buffering": False}}.items():
        client = library.DogStatsd(host="127.0.0.1", port=9, disable_telemetry=True, **options)
        yield f"timed(), {label}", against_floor(client.timed("bench.seconds")(noop), repeats)


LIBRARIES = {
    "timeexecution": timeexecution,
    "prometheus_client": prometheus_client,
    "opentelemetry-sdk": opentelemetry,
    "datadog": datadog,
}

if __name__ == "__main__":
    print(json.dumps(list(LIBRARIES[sys.argv[2]](int(sys.argv[3])))), flush=True)
    os._exit(0)  # timeexecution 8.4.3 has a thread that keeps the process from ending
