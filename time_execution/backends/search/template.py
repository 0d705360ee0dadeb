"""The index template: how the server is to understand the fields, so that it need not guess.

- Texts are keywords, whole values to filter and group by; beyond 1 024 characters they are kept and not indexed.
- Numbers are doubles, whole ones too: a field that first holds 3 and then 3.5 would lose its fractions otherwise.
- No text is taken for a date: the field would refuse the next text that is none.
- Objects are kept and not indexed: the keys of a dict would each take one of the 1 000 fields that an index may have.
- A text in a field of numbers is kept and not indexed, as in a list that was cut and says so. Only the value and the
  moments must be what they are said to be.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from time_execution.backends.search.document import STREAM_TIMESTAMP
from time_execution.backends.search.failure import status_of
from time_execution.backends.search.server import ELASTICSEARCH
from time_execution.types import NAME, TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from time_execution.backends.search.server import Server
    from time_execution.backends.search.wire import Wire

VERSION = 1
"""Of what is put here; one that an earlier version put is replaced, anybody else's is left alone."""

# Lucene takes no term beyond 32 766 bytes, and a character takes up to four.
_IGNORE_ABOVE = 1024
_NOT_FOUND = 404
# Above those that come with the server (100 to 500), since the pattern is the stream's very name.
_STREAM_PRIORITY = 501
# Below them, since they are for data streams. The longer of two patterns that match one index is the more precise one.
_MAX_PRIORITY = 99
_KEYWORD = {"type": "keyword", "ignore_above": _IGNORE_ABOVE}
_DOUBLE = {"type": "double"}
_SETTINGS: Mapping[str, Any] = {"index.mapping.ignore_malformed": True}
_DYNAMIC: Mapping[str, Mapping[str, Any]] = {
    "object": {"type": "object", "enabled": False},
    "string": _KEYWORD,
    "long": _DOUBLE,
    "double": _DOUBLE,
}


class Template:
    """The template for the indices of one backend.

    Args:
        wildcard: Matches their names.
        value_field: The field that holds the number.
        doc_type: The document type, for servers that want one.
        is_stream: Whether it is for a data stream of that very name.

    Attributes:
        name: What it is called on the server.
    """

    def __init__(self, wildcard: str, *, value_field: str, doc_type: str, is_stream: bool) -> None:
        self._wildcard = wildcard
        self._value_field = value_field
        self._doc_type = doc_type
        self._is_stream = is_stream
        prefix = "time-execution-stream-" if is_stream else "time-execution-"
        self.name = prefix + re.sub(r"[^a-z0-9._-]", "", wildcard).strip("-")

    def put(self, wire: Wire, server: Server) -> None:
        """Put it on a server that has none of the name, or an older one.

        Raises:
            Exception: What the client raises.
        """
        place = "_index_template" if server.has_composable_templates else "_template"
        path = f"/{place}/{self.name}"
        if self._is_due(wire, path):
            wire.request("PUT", path, self.body(server))

    def body(self, server: Server) -> dict[str, Any]:
        """Return the template in the form that a server of this version takes."""
        if server.has_composable_templates:
            template = {"mappings": self._mappings(), "settings": dict(_SETTINGS)}
            if server.product == ELASTICSEARCH and server.version >= (8, 14):
                template["settings"]["index.mapping.total_fields.ignore_dynamic_beyond_limit"] = True
            return {
                "index_patterns": [self._wildcard],
                "version": VERSION,
                "priority": _STREAM_PRIORITY if self._is_stream else min(len(self._wildcard), _MAX_PRIORITY),
                "template": template,
                "_meta": {"description": "metrics of timeexecution"},
                **({"data_stream": {}} if self._is_stream else {}),
            }
        patterns = {"index_patterns": [self._wildcard]} if server.version >= (6,) else {"template": self._wildcard}
        mappings = {self._doc_type: self._mappings()} if server.wants_type else self._mappings()
        return {**patterns, "version": VERSION, "mappings": mappings, "settings": dict(_SETTINGS)}

    def _mappings(self) -> dict[str, Any]:
        moments = {TIMESTAMP, STREAM_TIMESTAMP} if self._is_stream else {TIMESTAMP}
        return {
            "date_detection": False,
            "dynamic_templates": [
                {f"{kind}s": {"match_mapping_type": kind, "mapping": dict(mapping)}}
                for kind, mapping in _DYNAMIC.items()
            ],
            "properties": {
                **{field: {"type": "date", "ignore_malformed": False} for field in sorted(moments)},
                NAME: dict(_KEYWORD),
                self._value_field: {**_DOUBLE, "ignore_malformed": False},
            },
        }

    def _is_due(self, wire: Wire, path: str) -> bool:
        try:
            found = wire.request("GET", path)
        except Exception as exc:
            if status_of(exc) == _NOT_FOUND:
                return True
            raise
        composable = found.get("index_templates")
        there = composable[0]["index_template"] if composable else found.get(self.name, {})
        version = there.get("version")
        return isinstance(version, int) and version < VERSION
