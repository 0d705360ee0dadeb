"""A metric that a backend fails on without saying so keeps nothing behind it: case D6; an outage costs no metric.

Backends that answer for each metric need none of this; it is for those that store a whole batch or raise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.faults.harness import FaultBackend, check_conservation, quick, wait_for
from time_execution.delivery.portion import _PROOFS
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BackendUnavailable
from time_execution.types import Metric

Choke = Callable[[Sequence[Metric]], None]


class Poisoned(FaultBackend):
    """Stores a whole batch, or raises for the metrics whose values it cannot take."""

    def __init__(self, *poison: int, error: type[Exception] = KeyError) -> None:
        super().__init__()
        self.poison = set(poison)
        self.error = error

    def write_many(self, metrics: Sequence[Metric]) -> Any:
        """Raise when one of the values is poison; store nothing then."""
        self.attempts.append([metric["value"] for metric in metrics])
        if self.poison & set(self.attempts[-1]):
            raise self.error("no idea which")
        self.keep(metrics)


class OneByOne(Poisoned):
    """Takes one metric at a time."""

    write_many = None  # type: ignore[assignment]

    def write(self, name: str, **data: Any) -> None:
        """Raise when the value is poison."""
        Poisoned.write_many(self, [Metric({"name": name, **data})])


def _sent(backend: Any, count: int, **options: Any) -> dict[str, Any]:
    with quick(backend, **({"bulk_timeout": 60.0} | options)) as delivery:  # batches are whole, but for the last
        for value in range(count):
            delivery.write("poison.test", value=value)
        assert delivery.flush(20.0), delivery.stats()
        stats = delivery.stats()
    check_conservation(stats, offered=count, pending=0)
    return stats


@pytest.mark.parametrize("kind", [Poisoned, OneByOne])
@pytest.mark.parametrize("poison", [0, 7, 36, 90])
def test_one_poisonous_metric_is_dropped_and_all_others_are_stored(kind, poison):
    """Wherever it lies, whether batches are stored whole or one by one (D6)."""
    backend = kind(poison)
    stats = _sent(backend, 100, bulk_size=40)
    assert backend.values() == [value for value in range(100) if value != poison]
    assert stats["dropped"] == {"KeyError": 1}


def test_several_poisonous_metrics_are_dropped_and_the_rest_keeps_its_order():
    """Neighbours among them, since one cannot vouch for the other."""
    backend = Poisoned(3, 4, 50, 51, 52)
    stats = _sent(backend, 100, bulk_size=64)
    assert backend.values() == [value for value in range(100) if value not in backend.poison]
    assert stats["dropped"] == {"KeyError": 5}


def test_a_poisonous_metric_is_kept_among_the_dead_letters(tmp_path):
    """With the error's class as the reason, and its document."""
    letters = tmp_path / "dead.jsonl"
    stats = _sent(Poisoned(5), 20, dead_letters=letters)
    assert stats["dead_letters"] == 1
    assert '"KeyError"' in letters.read_text()
    assert '"value":5' in letters.read_text().replace(" ", "")


def test_a_metric_whose_neighbours_fail_as_well_stays():
    """As in an outage: nobody can vouch for it, so nothing is given up, and only the first few may change places."""
    backend = FaultBackend([RuntimeError] * 40)
    stats = _sent(backend, 30, bulk_size=16)
    assert sorted(backend.values()[:8]) == list(range(8))
    assert backend.values()[8:] == list(range(8, 30))
    assert stats["dropped"] == {}


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_a_backend_that_fails_at_random_costs_no_metric(share):
    """Whatever fails alone does so by chance, and so do its neighbours, which is what clears it."""
    draw = random.Random(20261122)
    backend = FaultBackend()
    backend._then = lambda metrics: _fail_at_random(draw.random() < share, backend, metrics)
    stats = _sent(backend, 300, bulk_size=20, retry=Backoff(base=0.0005, cap=0.001))
    assert stats["dropped"] == {}
    assert sorted(backend.values()) == list(range(300))


def _fail_at_random(fails, backend, metrics):
    if fails:
        raise RuntimeError
    backend.keep(metrics)


def test_a_poisonous_metric_that_is_alone_stays_until_others_come():
    """A backend that never stored anything since may just as well be down."""
    backend = Poisoned(0)
    with quick(backend) as delivery:
        delivery.write("poison.test", value=0)
        assert wait_for(delivery, lambda: len(backend.attempts) > 5)
        assert delivery.stats()["pending"] == 1
        for value in range(1, 10):
            delivery.write("poison.test", value=value)
        assert delivery.flush(10.0)
        assert delivery.stats()["dropped"] == {"KeyError": 1}
    assert backend.values() == list(range(1, 10))


@pytest.mark.parametrize("error", [BackendUnavailable, ConnectionResetError, TimeoutError])
def test_a_plain_outage_does_not_make_batches_smaller(error):
    """When the error says that the backend is away, the same batch goes again, whole."""
    backend = FaultBackend([error] * 10)
    stats = _sent(backend, 8, bulk_size=8)
    assert backend.attempts == [list(range(8))] * 11
    assert stats["retries"] == 10


def test_an_error_that_passes_leaves_batches_as_large_as_they_were():
    """Twice is no pattern."""
    backend = FaultBackend([KeyError, KeyError])
    _sent(backend, 8, bulk_size=8)
    assert backend.attempts == [list(range(8))] * 3


@pytest.mark.parametrize("bulk_size", [64, 100], ids=["power of two", "any size"])
def test_batches_are_whole_again_soon_after_an_obscure_outage(bulk_size):
    """They double with each success up to a whole one, so a queue that has grown long meanwhile drains fast."""
    backend = FaultBackend([RuntimeError] * 12)
    _sent(backend, 400, bulk_size=bulk_size, queue_maxsize=1000)
    sizes = [len(attempt) for attempt in backend.attempts[12:]]
    assert sizes[0] == 1
    assert max(sizes) == bulk_size
    assert sorted(backend.values()) == list(range(400))


def test_what_was_stored_during_the_search_does_not_convict_a_metric_alone():
    """An outage that goes on after a moment of health costs nothing."""
    backend = FaultBackend([RuntimeError] * 9 + [None] + [RuntimeError] * 30)
    stats = _sent(backend, 64, bulk_size=64)
    assert sorted(backend.values()) == list(range(64))
    assert stats["dropped"] == {}


def test_an_outage_convicts_no_metric_however_often_it_had_failed_alone():
    """A suspect that fails once more since the backend is away, as the error says, is kept (D6)."""
    backend = FaultBackend()
    suspect = {0}
    alone: list[int] = []

    def choke(metrics):
        values = [metric["value"] for metric in metrics]
        if not suspect & set(values):
            backend.keep(metrics)
        elif len(values) == 1:
            alone.append(1)
            raise KeyError("which") if len(alone) <= _PROOFS else BackendUnavailable("away")
        else:
            raise KeyError("which")

    backend._then = choke
    with quick(backend, bulk_size=64, bulk_timeout=60.0) as delivery:
        for value in range(64):
            delivery.write("poison.test", value=value)
        assert wait_for(delivery, lambda: len(alone) > _PROOFS + 1)
        assert delivery.stats()["dropped"] == {}
        suspect.clear()
        assert delivery.flush(10.0)
    assert sorted(backend.values()) == list(range(64))
