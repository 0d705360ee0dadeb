"""The contract, as far as it can be true of a store that adds metrics up and keeps none of them.

Metrics that the contract writes by hand are gauges, whose names lose what Prometheus does not allow; its batches are
timings, whose names are labels and come back as they were.
"""

from __future__ import annotations

import os
import re

import pytest

pytest.importorskip("prometheus_client")

from tests.backends.prometheus_totals import CALLS, DURATION, samples
from time_execution.backends.prometheus import PrometheusBackend
from time_execution.testing import BackendContract

_HAND_WRITTEN = re.compile(r"shop\.orders|[a-d]-\d+")


class AggregatingContract(BackendContract):
    """What the contract asks of a store that adds up."""

    keeps_each = False  # adding up is the point
    keeps_fields = False  # fields are labels, if they are on the list
    keeps_moments = False  # those of the scrapes count
    keeps_order = False

    def read_back(self, backend):
        found = samples(backend)
        rows = []
        for (name, labels), value in found.items():
            function = dict(labels).get("function", "")
            if name == CALLS and dict(labels)["outcome"] == "ok":
                milliseconds = found[f"{DURATION}_sum", frozenset({("function", function)})] * 1000
                rows += [{"name": function, "value": round(milliseconds, 9)}] * round(value)
            elif not labels and not name.startswith("timeexecution_"):
                rows.append({"name": name, "value": value})
        return rows

    def stored_name(self, name):
        if _HAND_WRITTEN.fullmatch(name):
            return re.sub("[.-]", "_", name)
        return name.encode("utf-8", "backslashreplace").decode()


class TestMemory(AggregatingContract):
    """Totals of this process."""

    survives_fork = False  # a child adds up its own

    @pytest.fixture
    def backend(self):
        return PrometheusBackend()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX locks")
class TestShared(AggregatingContract):
    """Totals in a file."""

    survives_fork = False  # a gauge goes with its process; that counters stay is shown by `test_prometheus_shared`
    secrets = ("hunter2",)

    @pytest.fixture
    def backend(self, tmp_path):
        with PrometheusBackend(path=tmp_path / "metrics.db", port=1, exporter_token="hunter2") as backend:
            yield backend
