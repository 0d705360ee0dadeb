"""Backends that could store nothing: their methods never run, or do not take what they are called with.

Delivery would count each metric as delivered, or try it again for minutes; so they are refused when configured.
"""

from __future__ import annotations

import functools
import logging

import pytest

from time_execution import settings
from time_execution.backends.base import BaseMetricsBackend, batch_sender, single_sender, way_to_write
from time_execution.backends.logging import LoggingBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import ConfigurationError
from time_execution.types import STORED, Metric


async def _asynchronous(*args, **kwargs): ...


async def _asynchronous_generator(*args, **kwargs):
    yield


def _generator(*args, **kwargs):
    yield


class _Callable:
    async def __call__(self, *args, **kwargs): ...


NEVER_RUN = [
    ({"write": _asynchronous}, r"write\(\) of B is asynchronous; backends are synchronous"),
    ({"write": _asynchronous_generator}, r"write\(\) of B is asynchronous"),
    ({"write": staticmethod(functools.partial(_asynchronous, 1))}, r"write\(\) of B is asynchronous"),
    ({"write": _Callable()}, r"write\(\) of B is asynchronous"),
    ({"bulk_write": _asynchronous}, r"bulk_write\(\) of B is asynchronous"),
    ({"write_many": _asynchronous}, r"write_many\(\) of B is asynchronous"),
    ({"write_many": _asynchronous_generator}, r"write_many\(\) of B is asynchronous"),
    ({"write": _generator}, r"write\(\) of B is a generator, whose body would never run"),
    ({"bulk_write": _generator}, r"bulk_write\(\) of B is a generator"),
]
DO_NOT_TAKE = [
    ({"write": lambda self, name, value: None}, r"write\(\) of B must take \(name, \*\*data\): .*unexpected keyword"),
    (
        {"write": lambda self, name, value, hostname, timestamp: None},
        r"must take \(name, \*\*data\): .*any other field",
    ),
    ({"write": lambda self, **data: None}, r"must take \(name, \*\*data\): too many positional"),
    ({"bulk_write": lambda self: None}, r"bulk_write\(\) of B must take a batch: too many positional"),
    ({"write_many": lambda self, metrics, other: None}, r"write_many\(\) of B must take a batch: missing"),
]


@pytest.mark.parametrize("base", [object, BaseMetricsBackend])
@pytest.mark.parametrize(("methods", "message"), NEVER_RUN + DO_NOT_TAKE)
def test_a_backend_that_could_store_nothing_is_refused(methods, message, base):
    """Alone, behind a queue, and wherever batches are sent to it."""
    cls = type("B", (base,), methods)
    for refuse in (
        lambda: settings.configure(backends=[cls()]),
        lambda: settings.configure(backends=[cls]),
        lambda: settings.configure(backends=[{"class": cls, "bulk_size": 5}]),
        lambda: ThreadedBackend(cls()),
        lambda: batch_sender(cls()),
        lambda: single_sender(cls()),
    ):
        with pytest.raises(ConfigurationError, match=message):
            refuse()
    assert settings.backends == ()


@pytest.mark.parametrize(
    ("methods", "way"),
    [
        ({"write": lambda self, name, **data: None}, "write"),
        ({"write": lambda self, name, /, **data: None}, "write"),
        ({"write": lambda self, *args, **data: None}, "write"),
        ({"write": lambda self, name, value=None, **rest: None}, "write"),
        ({"write": lambda self, name, duration, **rest: None}, "write"),
        ({"bulk_write": lambda self, metrics: None, "write": _asynchronous}, "bulk_write"),
        ({"write_many": _generator}, "write_many"),
        ({"write_many": lambda self, metrics: None, "bulk_write": _asynchronous}, "write_many"),
    ],
)
def test_what_can_work_is_taken(methods, way):
    """A field may have a parameter of its own, results may be yielded, and what is never called may be anything."""
    backend = type("B", (), methods)()
    assert way_to_write(backend) == way
    settings.configure(backends=[backend])
    assert settings.backends == (backend,)


class Kept(BaseMetricsBackend):
    """Keeps what it is handed."""

    def __init__(self):
        self.moments = []

    def write(self, name, **data):
        self.moments.append(data["timestamp"].isoformat())


def test_a_moment_beyond_the_calendar_loses_no_metric(caplog):
    """A backend that wants datetimes gets the nearest that there is, and the metrics beside it are stored."""
    backend = Kept()
    batch = [Metric({"name": "a", "timestamp": moment}) for moment in (10**30, -(10**30), 0)]
    assert list(batch_sender(backend)(batch) or ()) == [STORED] * 3
    assert backend.moments == [
        "9999-12-31T23:59:59.999999+00:00",
        "0001-01-01T00:00:00+00:00",
        "1970-01-01T00:00:00+00:00",
    ]
    caplog.set_level(logging.INFO)
    with ThreadedBackend(LoggingBackend()) as delivery:
        delivery.write("far", timestamp=10**30)
        assert delivery.flush(10)
        assert delivery.stats()["delivered"] == 1
    assert '"timestamp":"9999-12-31T23:59:59.999999Z"' in caplog.text
