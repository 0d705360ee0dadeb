"""What a scrape shows, parsed by prometheus_client's own parsers."""

from __future__ import annotations

import time

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from time_execution.types import Metric

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
DURATION = "function_duration_seconds"
CALLS = "function_calls_total"


def timing(name="f", value=1.0, **fields):
    return Metric({"name": name, "value": value, "hostname": "h", "timestamp": time.time_ns(), **fields})


def samples_in(text):
    """Return the samples of a text exposition by name and labels; fail where one is there twice."""
    pairs = [
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in parse_text(text)
        for sample in family.samples
    ]
    found = dict(pairs)
    assert len(found) == len(pairs), "a series is there twice"
    return found


def samples(backend):
    """Return what a backend shows now."""
    return samples_in(backend.exposition()[0].decode())


def shown(backend, name, /, **labels):
    """Return one number that a backend shows; None when it does not."""
    return samples(backend).get((name, frozenset(labels.items())))


def shown_calls(backend):
    """Return the calls of each function, whatever came of them."""
    found = {}
    for (name, labels), value in samples(backend).items():
        if name == CALLS:
            function = dict(labels)["function"]
            found[function] = found.get(function, 0) + value
    return found


def families(backend):
    """Return the families of the OpenMetrics exposition by name."""
    return {family.name: family for family in parse_openmetrics(backend.exposition(OPENMETRICS)[0].decode())}
