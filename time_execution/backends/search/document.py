"""The body of a bulk request: two lines of JSON for each metric, finished, so that the client encodes nothing.

The format: https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from time_execution.formats.json import document, encode_value, nanoseconds_text
from time_execution.formats.snapshot import snapshot_fields
from time_execution.types import TIMESTAMP, Metric

if TYPE_CHECKING:
    from time_execution.backends.search.index import IndexNames

STREAM_TIMESTAMP = "@timestamp"
_TEXTS = {str}
_SCALARS = {str, int, float, bool, type(None), datetime}
# The server takes ids of up to 512 bytes; these need no escape either.
_plain_id = re.compile(r"[0-9A-Za-z_-]{1,512}").fullmatch


class BulkBody:
    """Writes metrics as the body of a bulk request that creates each of them once; thread-safe.

    Args:
        names: Says which index each metric goes to.
        doc_type: The document type, for servers that want one.
        is_stream: Whether the documents go to a data stream, and need ``@timestamp``.
    """

    def __init__(self, names: IndexNames, doc_type: str, *, is_stream: bool) -> None:
        self._names = names
        self._doc_type = doc_type
        self._is_stream = is_stream

    def lines(self, metrics: Sequence[Metric], ids: Sequence[str], *, is_typed: bool) -> str:
        """Return the lines for a batch.

        Args:
            metrics: Not changed.
            ids: For each the ``_id`` of its document, as `ids_of` made it.
            is_typed: Whether the server wants a document type.
        """
        now = time.time_ns()
        doc_type = self._doc_type if is_typed else None
        parts = []
        for metric, key in zip(metrics, ids, strict=True):
            moment = metric.get(TIMESTAMP, now)
            fields = lawful(metric)
            text = document(fields, timestamp=now)
            if self._is_stream and STREAM_TIMESTAMP not in fields:
                text = f'{{"{STREAM_TIMESTAMP}":{_moment_text(moment)},{text[1:]}'
            parts.append(f'{_head(self._names.at(moment), doc_type)}{key}"}}}}\n{text}\n')
        return "".join(parts)


def ids_of(metrics: Sequence[Metric]) -> list[str]:
    """Return an ``_id`` for each metric: its own where it has one, so that the server knows it when it comes again."""
    return [_id_of(metric.id) if metric.id else uuid.uuid4().hex for metric in metrics]


def lawful(metric: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a metric whose fields every server takes: itself in the usual case.

    Names: a dot becomes ``_``, since servers take it for the way into an object, and one of ``http.status`` would clash
    with a field ``http``. A name that is empty or white space, or begins with ``_``, as those the server keeps for
    itself, gets ``_`` behind it, and another one while the name is taken.

    Values: in a list that holds things of several kinds, as one of numbers that was cut and says so, all become texts,
    since a server that meets the field for the first time refuses it otherwise.

    Example:
        >>> lawful({"name": "a", "http.status": 200, "_id": 1, "sizes": [1, "2"]})
        {'name': 'a', 'http_status': 200, '_id_': 1, 'sizes': ['1', '2']}
    """
    if set(map(type, metric)) != _TEXTS or not set(map(type, metric.values())) <= _SCALARS:
        metric = snapshot_fields(metric)[0]
        metric = {key: _even(value) if type(value) is list else value for key, value in metric.items()}
    names = _lawful_names(tuple(metric))
    return metric if names is None else dict(zip(names, metric.values(), strict=True))


def _even(items: list[Any]) -> list[Any]:
    """Return a list of a snapshot: itself if its items are of one kind, at any depth; else one of texts."""
    return items if len(_kinds_in(items)) <= 1 else _texts_of(items)


def _kinds_in(items: list[Any]) -> set[type]:
    """Return the kinds of what is in a list, None aside; an integer is a number like any other."""
    kinds: set[type] = set()
    for item in items:
        if type(item) is list:
            kinds |= _kinds_in(item)
        elif item is not None:
            kinds.add(float if type(item) is int else type(item))
    return kinds


def _texts_of(items: list[Any]) -> list[Any]:
    return [
        _texts_of(item)
        if type(item) is list
        else item
        if item is None or type(item) is str
        else encode_value(item).strip('"')
        for item in items
    ]


@lru_cache(maxsize=256)
def _lawful_names(keys: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the names for a metric with these keys, None when they may stay as they are."""
    if all(_is_lawful(key) for key in keys):
        return None
    taken = {key for key in keys if _is_lawful(key)}
    names = []
    for key in keys:
        name = key if _is_lawful(key) else key.replace(".", "_")
        if not _is_lawful(name):
            name = f"{name}_"
        while name is not key and name in taken:
            name = f"{name}_"
        taken.add(name)
        names.append(name)
    return tuple(names)


def _is_lawful(key: str) -> bool:
    return "." not in key and key[:1] != "_" and bool(key.strip())


@lru_cache(maxsize=256)
def _head(index: str, doc_type: str | None) -> str:
    """Return the action line up to the id."""
    typed = "" if doc_type is None else f',"_type":{json.dumps(doc_type)}'
    return f'{{"create":{{"_index":{json.dumps(index)}{typed},"_id":"'


def _id_of(key: str) -> str:
    return key if _plain_id(key) else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _moment_text(moment: object) -> str:
    return encode_value(nanoseconds_text(moment) if type(moment) is int else moment)
