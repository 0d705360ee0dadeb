"""`MemoryBackend`: a list of snapshots, bounded where asked for."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from time_execution.backends.memory import MemoryBackend
from time_execution.exceptions import ConfigurationError
from time_execution.types import Metric


def test_metrics_are_dicts_that_keep_their_attributes():
    """A metric equals its dict, and kind, unit, id and labels are kept beside."""
    backend = MemoryBackend()
    given = Metric({"name": "a", "value": 1, "timestamp": 0}, kind="gauge", unit="B", id="0f-1", labels=("x",))
    backend.write_many([given])
    (found,) = backend.metrics
    assert found == {"name": "a", "value": 1, "timestamp": datetime(1970, 1, 1, tzinfo=timezone.utc)}
    assert (found.kind, found.unit, found.id, found.labels) == ("gauge", "B", "0f-1", ("x",))


def test_names_and_clear():
    """Names come in order of arrival, and the list can be emptied."""
    backend = MemoryBackend()
    for name in "bab":
        backend.write(name)
    assert backend.names == ["b", "a", "b"]
    metrics = backend.metrics
    backend.clear()
    assert backend.metrics == []
    backend.write("c")
    assert metrics is backend.metrics, "who holds the list sees what comes"


def test_the_latest_are_kept():
    """With maxlen, older metrics give way, within a batch as well."""
    backend = MemoryBackend(maxlen=3)
    backend.bulk_write([{"name": str(number)} for number in range(5)])
    backend.write("5")
    assert backend.names == ["3", "4", "5"]


def test_threads_that_trim_at_once_do_not_trim_too_much():
    """A thread whose turn comes after another has trimmed finds nothing left to do."""

    class Interleaved(list):
        def __delitem__(self, key):
            super().__delitem__(slice(None, -10))  # the other thread
            super().__delitem__(key)

    backend = MemoryBackend(maxlen=10)
    backend.metrics = Interleaved()
    for number in range(20):
        backend.write(str(number))
        assert backend.names == [str(kept) for kept in range(max(0, number - 9), number + 1)]


@pytest.mark.parametrize("maxlen", [0, -1, 1.5, "3", True])
def test_a_wrong_bound_is_refused(maxlen):
    """Case B9: the message names the key and the type, not the value."""
    with pytest.raises(ConfigurationError, match="maxlen must be a whole number of at least 1"):
        MemoryBackend(maxlen=maxlen)


def test_a_number_beyond_the_calendar_is_kept():
    """A timestamp that is no moment is no reason to lose a metric."""
    backend = MemoryBackend()
    backend.write("a", timestamp=10**30)
    assert backend.metrics[0]["timestamp"] == 10**30
