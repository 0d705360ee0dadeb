"""A search engine in this process that takes documents, and refuses them by script."""

from __future__ import annotations

import json

from tests.fault_server import Answer, FaultServer

_PRODUCT = {"X-Elastic-Product": "Elasticsearch"}


class Cluster(FaultServer):
    """Answers as Elasticsearch does, as far as the backend asks.

    Args:
        version: What it says it is.
        options: As for `FaultServer`.

    Attributes:
        version: The same.
        templates: By path.
        documents: By id.
    """

    def __init__(self, version: str = "9.5.3", **options) -> None:
        super().__init__(self.respond, **options)
        self.version = version
        self.templates: dict[str, dict] = {}
        self.documents: dict[str, dict] = {}
        self._bulks: list = []
        self._items: list = []

    @property
    def host(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def bulks(self) -> list[list[tuple[dict, dict]]]:
        """The bulk requests, each as actions with their documents."""
        return [_read(request.body) for request in self.requests if "_bulk" in request.path]

    def to_bulks(self, *answers) -> None:
        """Answer bulk requests so, one after the other; those after them are taken."""
        self._bulks = list(answers)

    def to_items(self, *statuses) -> None:
        """Answer for documents so, in turn, by a status, or one with an error's type and reason; others are taken."""
        self._items = list(statuses)

    def respond(self, request):
        """Return what the server would say."""
        path = request.path.partition("?")[0]
        if path == "/":
            return Answer(200, {"version": {"number": self.version}, "tagline": "You Know, for Search"}, _PRODUCT)
        if "template" in path:
            return self._template(request, path)
        if path.endswith("/_bulk"):
            answer = self._bulks.pop(0) if self._bulks else self._take(request.body)
            return Answer(answer.status, answer.body, {**_PRODUCT, **answer.headers}) if _is_answer(answer) else answer
        return Answer(404, {"status": 404}, _PRODUCT)

    def _template(self, request, path):
        if request.method == "PUT":
            self.templates[path] = json.loads(request.body)
            return Answer(200, {"acknowledged": True}, _PRODUCT)
        return Answer(404, {"status": 404}, _PRODUCT)

    def _take(self, body):
        items = []
        for action, document in _read(body):
            key = action["create"]["_id"]
            status = self._items.pop(0) if self._items else 201
            status, kind, reason = status if isinstance(status, tuple) else (status, "some_exception", "for a reason")
            if status == 201 and key in self.documents:
                status = 409
            if status == 201:
                self.documents[key] = document
            error = {} if status < 300 else {"error": {"type": kind, "reason": reason}}
            items.append({"create": {"status": status, **error}})
        return Answer(200, {"errors": any("error" in item["create"] for item in items), "items": items})


def _is_answer(answer) -> bool:
    return isinstance(answer, Answer)


def _read(body):
    lines = [json.loads(line) for line in body.decode().splitlines()]
    return list(zip(lines[::2], lines[1::2], strict=True))
