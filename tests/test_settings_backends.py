"""Backends in the settings: made in every way, and closed by whoever made them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.kept import Kept
from tests.owned_backends import FailingClose, Owned, hook, make_owned, nothing_made, work  # noqa: F401 - see above
from time_execution import settings, stats
from time_execution.exceptions import ConfigurationError


@pytest.mark.parametrize(
    "spec",
    [Owned, make_owned, f"{__name__}.Owned", {"class": f"{__name__}.Owned"}],
    ids=["class", "factory", "import path", "dict"],
)
def test_backend_that_we_made_is_ours_to_close(spec):
    """A backend built from a class, factory or path is written to, and closed once when it is replaced."""
    settings.configure(backends=[spec])
    backend = settings.backends[0]
    work()
    assert backend.metrics == ["work"]
    settings.configure(origin="shop")
    assert (settings.backends, backend.closed) == ((backend,), 0)
    settings.configure(backends=[])
    assert backend.closed == 1
    settings.reset()
    assert backend.closed == 1
    assert len(backend.made) == 1


def test_backend_handed_in_is_the_callers_to_close():
    """An instance is used and never closed by us."""
    backend = Owned()
    settings.configure(backends=[backend])
    with settings(backends=[backend]):
        pass
    settings.configure(backends=[])
    settings.reset()
    assert backend.closed == 0


def test_backend_of_ours_that_is_handed_in_again_stays_ours():
    """Reading the backends and configuring them anew closes none of them, until they go."""
    settings.configure(backends=[Owned])
    backend = settings.backends[0]
    settings.configure(backends=[*settings.backends, Kept()])
    assert backend.closed == 0
    settings.configure(backends=[])
    assert backend.closed == 1


def test_url_makes_a_backend(tmp_path):
    """A URL is enough to keep metrics in a file."""
    settings.configure(backends=[f"sqlite:///{tmp_path / 'metrics.db'}"])
    work()
    (backend,) = settings.backends
    assert backend.flush(10)
    assert backend.stats()["delivered"] == 1
    settings.reset()
    assert backend.is_closed()


def test_reset_forgets_everything_and_closes_what_is_ours():
    """After reset() it is as if nothing had been configured."""
    settings.configure(backends=[Owned], origin="shop", hooks=[hook], enabled=False)
    backend = Owned.made[0]
    settings.reset()
    assert (settings.backends, settings.hooks, settings.origin, settings.enabled) == ((), (), None, True)
    assert backend.closed == 1


@pytest.mark.parametrize(
    ("wrong", "closed"),
    [({"backends": [Owned, "no.such.Backend"]}, [1]), ({"backends": [Owned], "hooks": ["no.such.hook"]}, [])],
    ids=["backends", "hooks"],
)
@pytest.mark.parametrize("how", [settings.configure, settings], ids=["configure", "block"])
def test_what_was_built_before_a_mistake_is_closed(how: Callable[..., Any], wrong, closed):
    """A configuration that fails leaves no backend open behind it, and makes none for hooks that are wrong."""
    with pytest.raises(ConfigurationError):
        how(**wrong).__enter__()
    assert [backend.closed for backend in Owned.made] == closed


def test_backend_that_cannot_be_closed_keeps_no_other_open():
    """Closing goes on past one that raises, new settings hold, and the failure is counted."""
    settings.configure(backends=[FailingClose, Owned])
    first, second = Owned.made
    settings.configure(backends=[])
    assert (first.closed, second.closed, settings.backends) == (1, 1, ())
    assert stats()["errors"]["backend"] == {"FailingClose: OSError": 1}
