"""A batch as one array of documents: the same as document by document."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from tests.strategies import same
from time_execution.formats import json as subject
from time_execution.formats.json import document, documents
from time_execution.formats.snapshot import snapshot_metric
from time_execution.testing.hostile import hostile_values
from time_execution.types import Metric

NOW = 1_700_000_000_000_001_999


def one_by_one(metrics):
    """Return the array that `document` makes of them."""
    return f"[{','.join(document(metric, timestamp=NOW) for metric in metrics)}]"


@given(st.lists(strategies.metrics(), max_size=5))
def test_an_array_holds_the_documents(metrics):
    """To the letter, whatever a queue lets through."""
    snapshots = [snapshot_metric(metric)[0] for metric in metrics]
    before = [metric.copy() for metric in snapshots]
    assert documents(snapshots, timestamp=NOW) == one_by_one(snapshots)
    assert same([dict(metric) for metric in snapshots], [dict(metric) for metric in before])


@pytest.mark.parametrize("name", list(hostile_values()))
@pytest.mark.parametrize("is_snapshot", [True, False])
def test_a_hostile_value_spoils_no_neighbour(name, is_snapshot):
    """Nor does it matter should it be no snapshot for once."""
    plain, hostile = Metric({"name": "a", "timestamp": NOW}), Metric({"name": "b", "field": hostile_values()[name]})
    if is_snapshot:
        hostile = snapshot_metric(hostile)[0]
    text = documents([plain, hostile, plain], timestamp=NOW)
    first, second, third = json.loads(text)
    assert first == third == json.loads(document(plain))
    assert second["name"] == "b"
    text.encode()


def test_orjson_is_not_needed(monkeypatch):
    """Without it the array is the same."""
    metrics = [Metric({"name": "a", "value": 1.5, "ok": True}), Metric({"name": "b", "timestamp": NOW})]
    monkeypatch.setitem(sys.modules, "orjson", None)
    subject._array_writer.cache_clear()
    try:
        assert subject._array_writer()([]) is None
        assert documents(metrics, timestamp=NOW) == one_by_one(metrics)
    finally:
        subject._array_writer.cache_clear()


def test_an_empty_batch_is_an_empty_array():
    """Not nothing."""
    assert documents([], timestamp=NOW) == "[]"
