"""What the answer to a bulk request says of each metric.

The format: https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from time_execution.backends.search.clash import Clashes, is_clash
from time_execution.exceptions import BackendDenied, BackendUnavailable
from time_execution.formats.redaction import REDACTOR
from time_execution.types import STORED, Reject, Result, Retry, Stored

FILTER = "errors,items.*.status,items.*.error"
"""What to ask the server for: the rest, ids and shards, is most of an answer, and read by nobody."""

_DUPLICATE = Stored(duplicate=True)
_CONFLICT = 409
_TOO_MANY = 429
_FIRST_REFUSAL = 400
_FIRST_FAILURE = 500
_MAX_DETAIL = 500
_PAUSE = 30.0
# Refusals that are no fault of the metric: the index or the user is not ready, and once it is, the metric is welcome.
_PLACES: Mapping[str, str] = {
    "cluster_block_exception": "writing is blocked, as when a disk is nearly full; free space, or remove the block",
    "index_closed_exception": "the index is closed; open it",
    "index_not_found_exception": "there is no such index, and it may not be made; see action.auto_create_index",
    "security_exception": "this user may not write there; it needs create_doc and auto_configure on the index",
    "validation_exception": "it cannot make the index; see its limit of shards",
}
_PIPELINE = "there is no such ingest pipeline; check the option pipeline"


def results_of(answer: Mapping[str, Any], ids: Sequence[str], *, clashes: Clashes, server: str) -> list[Result]:
    """Return what became of each metric, in order.

    Args:
        answer: The answer, at least what `FILTER` names.
        ids: The ``_id`` of each metric that was sent.
        clashes: What is known of them from before; changed.
        server: Names the product and its nodes, for messages.

    Raises:
        BackendDenied: When none was taken, for reasons that lie with the index or the user.
        BackendUnavailable: When that is no answer to a bulk request.
    """
    try:
        if answer.get("errors") is False:
            clashes.forget(ids)
            return [STORED] * len(ids)
        items = [{**next(iter(item.values()))} for item in answer.get("items", ())]
    except (AttributeError, StopIteration, TypeError):
        raise BackendUnavailable(f"{server} answered something that is no answer to a bulk request") from None
    places = [_place_of(item) for item in items]
    if items and all(places):
        raise BackendDenied(f"{server}: {places[0]}")
    # A server may answer for fewer than were sent, and says nothing of the others.
    return [_result_of(*of, clashes) for of in zip(items, places, ids, strict=False)]


def _result_of(item: Mapping[str, Any], place: str, key: str, clashes: Clashes) -> Result:
    status = item.get("status")
    if not isinstance(status, int) or status >= _FIRST_FAILURE or status == _TOO_MANY:
        return Retry(_kind_of(item) or f"status {status}")
    if status < _FIRST_REFUSAL or status == _CONFLICT:
        clashes.forget((key,))
        return _DUPLICATE if status == _CONFLICT else STORED
    if place:
        return Retry(_kind_of(item), after=_PAUSE)
    if is_clash(_kind_of(item), _reason_of(item)) and not clashes.is_hopeless(key):
        return Retry(_kind_of(item))
    clashes.forget((key,))
    return Reject(_kind_of(item) or f"status {status}", _detail_of(item))


def _place_of(item: Mapping[str, Any]) -> str:
    """Return what to do where an item was refused because of where it was to go; nothing for any other."""
    status = item.get("status")
    if not isinstance(status, int) or not _FIRST_REFUSAL <= status < _FIRST_FAILURE:
        return ""
    kind = _kind_of(item)
    if kind == "illegal_argument_exception" and _reason_of(item).startswith("pipeline with id"):
        return _PIPELINE
    return _PLACES.get(kind, "")


def _kind_of(item: Mapping[str, Any]) -> str:
    error = item.get("error")
    kind = error.get("type") if isinstance(error, Mapping) else None
    return kind if isinstance(kind, str) else ""


def _reason_of(item: Mapping[str, Any]) -> str:
    error = item.get("error")
    return str(error.get("reason") or "") if isinstance(error, Mapping) else ""


def _detail_of(item: Mapping[str, Any]) -> str:
    """Return the server's words, which go beside the metric that they may quote, into the dead letters."""
    error = item.get("error")
    cause = error.get("caused_by") if isinstance(error, Mapping) else None
    deeper = cause.get("reason") if isinstance(cause, Mapping) else None
    words = ": ".join(str(part) for part in (_kind_of(item), _reason_of(item), deeper) if part)
    return REDACTOR.redact_text(words, max_text=_MAX_DETAIL)
