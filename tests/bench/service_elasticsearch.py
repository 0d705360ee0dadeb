"""Elasticsearch: the official client's `bulk` with the operations of each batch ready."""

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from typing import Any

from elasticsearch import Elasticsearch

from time_execution.backends.elasticsearch import ElasticsearchBackend
from time_execution.formats.json import document
from time_execution.types import Metric

_TIMEOUT = 60.0


class Race:
    """The client's `bulk`, one request for each batch: dicts, as its users write them.

    Both sides write documents with ids into one index, which has our template.
    """

    def __init__(self, batches: list[list[Metric]], port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._index = "time-execution-bench"
        self._operations = [[line for metric in batch for line in self._lines(metric)] for batch in batches]

    def _lines(self, metric: Metric) -> list[Any]:
        fields = document(metric, timestamp=time.time_ns())
        return self.prepared({"create": {"_index": self._index, "_id": uuid.uuid4().hex[:24]}}, fields)

    def prepared(self, action: dict[str, Any], fields: str) -> list[Any]:
        """Return what the client is handed for one document."""
        return [action, json.loads(fields)]

    def raw(self) -> None:
        """Send all batches, and look at what the server says of each."""
        with Elasticsearch(self._url, request_timeout=_TIMEOUT) as client:
            for operations in self._operations:
                assert client.bulk(operations=operations)["errors"] is False

    def backend(self) -> ElasticsearchBackend:
        """Return a backend for the same index."""
        return ElasticsearchBackend(self._url, self._index, index_pattern="{index}", timeout=_TIMEOUT)

    def stored(self) -> int:
        """Return how many documents the index holds."""
        self._call("POST", f"/{self._index}/_refresh")
        return int(self._call("GET", f"/{self._index}/_count")["count"])

    def clean(self) -> None:
        """Make the index anew, under the backend's template."""
        with self.backend() as backend:
            backend.write("first", value=1)
        self._call("DELETE", f"/{self._index}")
        self._call("PUT", f"/{self._index}")

    def _call(self, method: str, path: str) -> dict[str, Any]:
        request = urllib.request.Request(f"{self._url}{path}", method=method)
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            return json.loads(answer.read())


class RaceOfLines(Race):
    """The same with finished lines, for which the client encodes nothing."""

    def prepared(self, action: dict[str, Any], fields: str) -> list[Any]:
        """Return the two lines."""
        return [json.dumps(action), fields]
