"""A backend that keeps what it is handed, and the ways that a metric can take from a call to it."""

from __future__ import annotations

from typing import Any

import pytest

from time_execution import flush, settings
from time_execution.backends.threaded import ThreadedBackend


class Kept:
    """Keeps every metric it is handed; no relation of our base class, as any custom backend may be."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, Any]] = []

    def write(self, name: str, **data: Any) -> None:
        self.metrics.append({"name": name, **data})

    @property
    def names(self) -> list[str]:
        """The series written so far, in order."""
        return [metric["name"] for metric in self.metrics]


class Way:
    """One way through the pipeline: what is configured, and what arrived.

    Attributes:
        measures: Whether anything arrives at all.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.measures = name != "off"
        self._store = Kept()

    def configure(self) -> None:
        """Configure this way for the whole process."""
        queued = self.name.startswith("queued")
        hooks: list[Any] = [plain_hook, generator_hook] if "hooked" in self.name else []
        hooks += [async_hook] if "async" in self.name else []
        backend = ThreadedBackend(self._store, bulk_timeout=0.01) if queued else self._store
        settings.configure(backends=[backend], hooks=hooks, enabled=self.measures)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """What arrived, once all of it has."""
        assert flush(10.0)
        return self._store.metrics

    def expect(self, *names: str) -> None:
        """Assert that exactly these series were written, or none where nothing is measured."""
        found = [metric["name"].rpartition(".")[2] for metric in self.metrics]
        assert found == (list(names) if self.measures else [])


def plain_hook(metric, **_):
    """Add a field."""
    return {"plain": metric["name"]}


def generator_hook(func, func_args, func_kwargs):
    """Add a field, having seen the call begin."""
    _response, exception, _metric = yield
    return {"outcome": "ok" if exception is None else type(exception).__name__}


async def async_hook(**_):
    """Add a field where it is awaited."""
    return {"awaited": True}


WAYS = ("direct", "queued", "hooked", "queued hooked", "async hooked", "off")


@pytest.fixture(name="way", params=WAYS)
def way_fixture(request: pytest.FixtureRequest) -> Way:
    """Configure each way in turn."""
    way = Way(request.param)
    way.configure()
    return way


@pytest.fixture(name="kept")
def kept_fixture() -> Kept:
    """Configure a backend that is written to directly, without hooks."""
    backend = Kept()
    settings.configure(backends=[backend])
    return backend
