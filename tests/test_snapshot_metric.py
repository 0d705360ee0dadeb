"""The copy of a metric that a queue keeps: plain, detached, and with the attributes beside its fields."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from time_execution.formats.snapshot import snapshot_fields, snapshot_metric
from time_execution.testing.hostile import hostile_values
from time_execution.types import Metric

PLAIN = {"name": "a", "value": 1.5, "hostname": "h", "timestamp": datetime(2026, 1, 2, tzinfo=timezone.utc)}
ODD = {**PLAIN, "items": [1, object()], 7: {"key": {3}}}


class Loud(Metric):
    """Complains when it is read by its own methods."""

    def _refuse(self, *_):
        raise AssertionError("a user's code ran")

    __iter__ = __len__ = __getitem__ = items = keys = values = copy = _refuse


@pytest.mark.parametrize("fields", [PLAIN, ODD, {}], ids=["plain", "odd", "empty"])
@pytest.mark.parametrize("kind", [dict, Metric, Loud])
def test_copy_has_the_fields_and_the_weight_of_any_snapshot(kind, fields):
    """Whether it is quick to copy or not, and without a line of a user's class."""
    metric = kind(fields)
    copy, size = snapshot_metric(metric)
    assert type(copy) is Metric
    assert (dict(copy), size) == snapshot_fields(metric)
    assert dict(copy) == snapshot_fields(dict(fields))[0]


@pytest.mark.parametrize("fields", [PLAIN, ODD], ids=["plain", "odd"])
def test_copy_keeps_kind_unit_and_labels(fields):
    """They are attributes, so that documents stay as they are; the id is delivery's to give."""
    copy, _ = snapshot_metric(Metric(fields, kind="gauge", unit="B", id="x-1", labels=("items",)))
    assert (copy.kind, copy.unit, copy.id, copy.labels) == ("gauge", "B", None, ("items",))
    assert (Metric(fields, kind="timing").kind, snapshot_metric(fields)[0].kind) == ("timing", "timing")


@pytest.mark.parametrize("labels", [["a"], "a", None, (5,), "object that raises"])
def test_labels_that_are_none_do_not_travel(labels):
    """Anybody may set the attribute; no code of what is no tuple of names runs."""
    metric = Metric(PLAIN)
    metric.labels = hostile_values()[labels] if labels == "object that raises" else labels
    assert snapshot_metric(metric)[0].labels == ()


def test_copy_is_detached():
    """What the caller changes afterwards does not show."""
    fields = {**PLAIN, "items": [1]}
    copy, _ = snapshot_metric(fields)
    fields["name"] = "b"
    fields["items"].append(2)
    assert (copy["name"], copy["items"]) == ("a", [1])
