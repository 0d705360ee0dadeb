"""InfluxDB 1.x: a bare `InfluxDBClient` with its points, or the lines of them, ready."""

from __future__ import annotations

import uuid
from typing import Any

from time_execution.backends.influxdb import InfluxBackend
from time_execution.formats.line_protocol import LineEncoder
from time_execution.types import Metric

from time_execution.backends.influxdb.v1 import InfluxDBClient  # isort: skip - imported there without its warnings

_LOGIN = {"username": "timeexecution", "password": "secret-of-influxdb"}


class Race:
    """The client's usual way: ``write_points`` of dicts, of which it makes lines; one request for each batch."""

    protocol = "json"

    def __init__(self, batches: list[list[Metric]], port: int) -> None:
        self._port = port
        self._batches = [self.prepared(batch) for batch in batches]
        self._database = ""
        self._client = InfluxDBClient("127.0.0.1", port, timeout=60, retries=1, **_LOGIN)

    def prepared(self, batch: list[Metric]) -> list[Any]:
        """Return what the client is handed for a batch."""
        return [
            {
                "measurement": metric["name"],
                "tags": {"hostname": metric["hostname"]},
                "time": number,
                "fields": {"value": metric["value"]},
            }
            for metric, number in zip(batch, map(_nanoseconds, batch), strict=True)
        ]

    def raw(self) -> None:
        """Send all points, each batch confirmed before the next."""
        for batch in self._batches:
            self._client.write_points(batch, protocol=self.protocol, database=self._database)

    def backend(self) -> InfluxBackend:
        """Return a backend for the same database."""
        return InfluxBackend("127.0.0.1", self._database, port=self._port, timeout=60.0, **_LOGIN)

    def stored(self) -> int:
        """Return how many points the database holds."""
        found = self._client.query("SELECT COUNT(value) FROM /.*/", database=self._database)
        return sum(point["count"] for point in found.get_points())

    def clean(self) -> None:
        """Go on with a new database."""
        if self._database:
            self._client.drop_database(self._database)
        self._database = f"bench-{uuid.uuid4().hex}"
        self._client.create_database(self._database)


class RaceOfLines(Race):
    """The least that sending the same could cost: the lines are ready, and the client only joins and sends them."""

    protocol = "line"

    def prepared(self, batch: list[Metric]) -> list[Any]:
        """Return the lines of a batch."""
        encoder = LineEncoder()
        return [encoder.line(metric, _nanoseconds(metric)) for metric in batch]


def _nanoseconds(metric: Metric) -> int:
    return metric["timestamp"]
