"""What `configure` merges with what, and which settings a task has whose blocks end around it."""

from __future__ import annotations

import asyncio

import pytest

from tests.kept import Kept, kept_fixture  # noqa: F401 - a fixture is asked for by name
from tests.owned_backends import Owned, nothing_made, work  # noqa: F401 - see there
from time_execution import settings


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch, tmp_path):
    """Go to a folder without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("BACKENDS", "ORIGIN", "HOSTNAME", "CONFIG", "DISABLED"):
        monkeypatch.delenv(f"TIME_EXECUTION_{name}", raising=False)


@pytest.mark.parametrize("source", [(), ({"duration_field": "ms"},)], ids=["keywords", "mapping"])
def test_environment_is_read_only_where_nothing_is_given(kept: Kept, monkeypatch, source):
    """Code that names a setting sets that, whatever the environment or a file says of others."""
    monkeypatch.setenv("TIME_EXECUTION_ORIGIN", "environment")
    settings.configure(*source, hostname="h")
    assert (settings.hostname, settings.origin, settings.backends) == ("h", None, (kept,))
    settings.configure()
    assert (settings.hostname, settings.origin, settings.backends) == ("h", "environment", (kept,))


def test_default_database_is_for_those_who_have_no_backend(kept: Kept, tmp_path):
    """Asking again for what is configured anywhere takes nothing away."""
    settings.configure()
    assert settings.backends == (kept,)
    settings.reset()
    settings.configure()
    assert [type(backend).__name__ for backend in settings.backends] == ["ThreadedBackend"]
    assert "metrics.db" in repr(settings)


def test_keywords_win_over_a_source(tmp_path):
    """Of a mapping and of a file."""
    (tmp_path / "a.toml").write_text("[time_execution]\norigin = 'file'\nhostname = 'file'\n")
    for source in ({"origin": "mapping", "hostname": "file"}, "a.toml"):
        settings.configure(source, origin="keyword")
        assert (settings.origin, settings.hostname) == ("keyword", "file")


class Equal(Owned):
    """A backend that says it equals all others."""

    def __eq__(self, other):
        return True

    __hash__ = None  # type: ignore[assignment]


def test_backend_that_equals_another_is_not_taken_for_it():
    """Of two that were built, the one that is not handed in again is closed."""
    settings.configure(backends=[Equal, Equal])
    first, second = Owned.made
    settings.configure(backends=[first])
    assert (first.closed, second.closed) == (0, 1)
    settings.configure(backends=[Equal()])
    assert (first.closed, second.closed) == (1, 1)


def test_task_whose_block_ended_has_the_settings_of_the_next_around_it(kept: Kept):
    """However many of them end before it does, and in whatever order; at last it follows the process."""
    stores = [Kept() for _ in range(3)]
    ended: list[asyncio.Event] = []

    async def late():
        for event in ended:
            work()
            await event.wait()
        work()

    async def main():
        ended.extend(asyncio.Event() for _ in range(3))
        outer, middle, inner = (settings(backends=[store]) for store in stores)
        with outer:
            middle.__enter__()
            with inner:
                task = asyncio.create_task(late())
                await asyncio.sleep(0)
            ended[0].set()
            await asyncio.sleep(0)
            middle.__exit__(None, None, None)
            ended[1].set()
            await asyncio.sleep(0)
        ended[2].set()
        await task

    asyncio.run(main())
    assert [len(store.metrics) for store in (*stores, kept)] == [1, 1, 1, 1]


def test_blocks_that_end_at_once_leave_the_task_at_the_outermost_that_is_open(kept: Kept):
    """One that ended in between is passed over."""
    outside, inside = Kept(), Kept()

    async def late(ended):
        await ended.wait()
        work()

    async def main():
        ended = asyncio.Event()
        with settings(backends=[outside]):
            with settings(backends=[inside]), settings(origin="innermost"):
                task = asyncio.create_task(late(ended))
                await asyncio.sleep(0)
            ended.set()
            await task

    asyncio.run(main())
    assert [len(store.metrics) for store in (outside, inside, kept)] == [1, 0, 0]
