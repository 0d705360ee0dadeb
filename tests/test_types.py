"""`Metric`: a dict with attributes that travel with it."""

from __future__ import annotations

import copy
import pickle

import pytest

from time_execution.types import Metric, _restore_metric

FULL = Metric({"name": "a", "route": "/"}, kind="gauge", unit="B", id="f-1", labels=("route",))
PLAIN = Metric({"name": "a"})


def attributes(metric):
    return metric.kind, metric.unit, metric.id, metric.labels


@pytest.mark.parametrize(
    "duplicate", [Metric.copy, copy.copy, copy.deepcopy, lambda metric: pickle.loads(pickle.dumps(metric))]
)
@pytest.mark.parametrize("metric", [FULL, PLAIN], ids=["full", "plain"])
def test_every_copy_keeps_the_attributes(metric, duplicate):
    """Kind, unit, id and labels are no fields, and go where the fields go."""
    found = duplicate(metric)
    assert type(found) is Metric
    assert found == metric
    assert attributes(found) == attributes(metric)
    assert vars(found) == vars(metric), "what was not set takes no room"


def test_what_an_earlier_release_pickled_has_no_labels():
    """A process of another release may send metrics here."""
    found = _restore_metric({"name": "a"}, "gauge", "B", "f-1")
    assert attributes(found) == ("gauge", "B", "f-1", ())


def test_labels_are_no_part_of_the_document():
    """A document holds fields only."""
    assert dict(FULL) == {"name": "a", "route": "/"}
    assert FULL == {"name": "a", "route": "/"}
