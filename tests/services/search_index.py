"""What the tests of the search backends do to a server themselves, by plain HTTP, so that no client colours it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from typing import Any

from tests.faults.harness import quick
from time_execution.types import Metric

_LENIENT = "ignore_unavailable=true&allow_no_indices=true"


def numbered(count: int, **fields: object) -> list[Metric]:
    """Return so many metrics that can be told apart, with ids as delivery gives them."""
    return [Metric({"name": "a", "value": n, "number": n, **fields}, id=f"0f-{n}") for n in range(count)]


class SearchIndex:
    """An index, or the indices of several days, of one test; a ``with`` block removes them at its end.

    Args:
        port: Of the server.

    Attributes:
        name: A name that no other test has; the indices are called so, and so with a dash and a date.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.name = f"test-{uuid.uuid4().hex[:12]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    @property
    def host(self) -> str:
        """Where the server listens."""
        return f"127.0.0.1:{self.port}"

    def call(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        """Send a request and return the status and the JSON of the answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"http://{self.host}{path}", data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as exc:
            with exc:
                text = exc.read()
                return exc.code, json.loads(text) if text.startswith(b"{") else text

    def names(self) -> list[str]:
        """Return the names of the indices there are, in order."""
        _, found = self.call("GET", f"/{self.name},{self.name}-*/_alias?{_LENIENT}")
        assert isinstance(found, dict), found
        return sorted(found)

    def hits(self) -> list[dict]:
        """Return all documents with their ids and indices, at most 10 000."""
        where = f"/{self.name},{self.name}-*"
        self.call("POST", f"{where}/_refresh?{_LENIENT}")
        status, found = self.call("GET", f"{where}/_search?size=10000&{_LENIENT}", {"sort": ["_doc"]})
        assert status == 200, found
        return found["hits"]["hits"]

    def documents(self) -> list[dict]:
        """Return all documents."""
        return [hit["_source"] for hit in self.hits()]

    def numbers(self) -> list[int]:
        """Return the field ``number`` of all documents, however many there are, in order."""
        where = f"/{self.name},{self.name}-*"
        self.call("POST", f"{where}/_refresh?{_LENIENT}")
        found: list[int] = []
        query = {"sort": [{"number": "asc"}, {"timestamp": "asc"}], "_source": ["number"]}
        while True:
            status, page = self.call("GET", f"{where}/_search?size=10000&{_LENIENT}", query)
            assert status == 200, page
            hits = page["hits"]["hits"]
            found += [hit["_source"]["number"] for hit in hits]
            if len(hits) < 10_000:
                return found
            query["search_after"] = hits[-1]["sort"]

    def count(self) -> int:
        """Return how many documents there are."""
        where = f"/{self.name},{self.name}-*"
        self.call("POST", f"{where}/_refresh?{_LENIENT}")
        status, found = self.call("GET", f"{where}/_count?{_LENIENT}")
        assert status == 200, found
        return found["count"]

    def mapping(self) -> dict:
        """Return what the server makes of each field, of the first index."""
        index = self.names()[0]
        mappings = self.call("GET", f"/{index}/_mapping")[1][index]["mappings"]
        return mappings["properties"] if "properties" in mappings else next(iter(mappings.values()))["properties"]

    def remove(self) -> None:
        """Remove indices, streams and templates."""
        self.call("DELETE", f"/_data_stream/{self.name}")
        for index in self.names():
            self.call("DELETE", f"/{index}")
        for prefix in ("time-execution", "time-execution-stream"):
            self.call("DELETE", f"/_index_template/{prefix}-{self.name}")
            self.call("DELETE", f"/_template/{prefix}-{self.name}")


def race_for_mappings(index: SearchIndex, backend_class: Any) -> list[tuple[int, Any]]:
    """Let several shards see a text and a number first under one field, in five new indices; return what is stored."""
    for number in range(5):
        name = f"{index.name}-{number}"
        with backend_class(index.host, name, index_pattern="{index}") as backend:
            backend.write("warm", value=1)  # puts the template
            index.call("DELETE", f"/{name}")
            shards = {"settings": {"number_of_shards": 5, "number_of_replicas": 0}}
            assert index.call("PUT", f"/{name}", shards)[0] == 200
            with quick(backend, bulk_size=200) as queue:
                queue.bulk_write([{"name": "a", "value": n, "size": n if n % 2 else "x"} for n in range(200)])
                assert queue.flush(30) is True
                assert queue.stats()["dropped"] == {}
    return sorted((document["value"], document["size"]) for document in index.documents())


RACED = sorted((n, n if n % 2 else "x") for n in range(200) for _ in range(5))
"""What `race_for_mappings` stores when it loses nothing."""
