"""The `settings` object: merging, blocks with settings of their own, whose backends are closed, what may not grow."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from tests.kept import Kept, kept_fixture  # noqa: F401 - a fixture is asked for by name
from time_execution import settings, time_execution, write_metric
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import ConfigurationError
from time_execution.guard import faults
from time_execution.settings import live


class Owned:
    """A backend that says when it is closed; made without arguments."""

    made: ClassVar[list[Owned]] = []

    def __init__(self) -> None:
        self.metrics: list[str] = []
        self.closed = 0
        Owned.made.append(self)

    def write(self, name, **data):
        self.metrics.append(name)

    def close(self):
        self.closed += 1


class FailingClose(Owned):
    """A backend that cannot be closed."""

    def close(self):
        super().close()
        raise OSError("close")


def make_owned() -> Owned:
    """Make one, as a factory does."""
    return Owned()


@pytest.fixture(autouse=True)
def _nothing_made():
    Owned.made.clear()


@time_execution(name="work")
def work():
    """Do nothing, measured."""
    return 7


def hook(**_):
    """Add a field."""
    return {"hooked": True}


# ---- configure -----------------------------------------------------------------------------------------------------


def test_defaults_are_those_that_are_documented():
    """Unconfigured, nothing is written and everything would be measured."""
    assert (settings.backends, settings.hooks) == ((), ())
    assert (settings.duration_field, settings.origin, settings.raise_errors) == ("value", None, False)
    assert (settings.enabled, settings.sample_rate, settings.include, settings.exclude) == (True, 1.0, (), ())
    assert settings.hostname
    assert settings.log_interval == 10.0


def test_keys_given_replace_and_others_stay(kept: Kept):
    """Calls of configure() add up, key by key."""
    settings.configure(origin="shop", hooks=[hook])
    settings.configure(duration_field="ms")
    settings.configure(origin="other")
    assert settings.backends == (kept,)
    assert (settings.origin, settings.duration_field, settings.hooks) == ("other", "ms", (hook,))
    settings.configure(origin=None, hooks=[])
    assert (settings.origin, settings.hooks) == (None, ())


def test_mapping_and_keywords_come_together(kept: Kept):
    """Keyword arguments win over the mapping."""
    settings.configure({"origin": "mapping", "hostname": "web-1"}, origin="keyword")
    assert (settings.origin, settings.hostname) == ("keyword", "web-1")


def test_file_is_read(tmp_path):
    """A TOML file given by its path is a source of settings."""
    path = tmp_path / "metrics.toml"
    path.write_text('[time_execution]\norigin = "file"\nduration_field = "ms"\n')
    settings.configure(path, origin="keyword")
    assert (settings.origin, settings.duration_field) == ("keyword", "ms")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"originn": "x"}, "origin"),
        ({"backends": [object()]}, "backends"),
        ({"backends": ["no.such.module.Backend"]}, "backends"),
        ({"backends": [42]}, "int"),
        ({"hooks": ["nothing"]}, "hooks"),
        ({"hooks": [42]}, "int"),
        ({"duration_field": ""}, "duration_field"),
        ({"duration_field": "name"}, "duration_field"),
        ({"origin": 42}, "int"),
        ({"enabled": "yes"}, "str"),
        ({"sample_rate": 2}, "sample_rate"),
        ({"sample_rate": float("nan")}, "sample_rate"),
        ({"sample_rate": True}, "bool"),
        ({"include": [1]}, "include"),
        ({"log_interval": -1}, "log_interval"),
        ({"raise_errors": 1}, "int"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
@pytest.mark.parametrize("how", [settings.configure, settings], ids=["configure", "block"])
def test_wrong_settings_are_refused_at_once_and_change_nothing(kept: Kept, how: Callable[..., Any], changes, says):
    """The error names the key or the type, and what held before still holds (B9)."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        block = how(**{"origin": "half", **changes} if "origin" not in changes else changes)
        block.__enter__()
    assert isinstance(caught.value, ValueError)
    assert (settings.origin, settings.backends) == (None, (kept,))
    work()
    assert kept.names == ["work"]


def test_unknown_setting_is_no_attribute_and_none_can_be_assigned():
    """Reading or setting a misspelt name fails, and so does setting a right one."""
    with pytest.raises(AttributeError, match="originn"):
        _ = settings.originn  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="configure"):
        settings.origin = "shop"
    assert settings.origin is None


def test_representation_shows_the_settings_in_force(kept: Kept):
    """In a console one sees what is configured."""
    settings.configure(origin="shop")
    assert "origin='shop'" in repr(settings)
    assert "Kept" in repr(settings)


def test_log_interval_is_what_the_log_keeps_to():
    """The pause between two lines of one kind is the one configured."""
    settings.configure(log_interval=0.0)
    assert faults.log.interval == 0.0
    settings.reset()
    assert faults.log.interval == 10.0


# ---- backends of every kind, and whose they are --------------------------------------------------------------------


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
    "wrong", [{"backends": [Owned, "no.such.Backend"]}, {"backends": [Owned], "hooks": ["no.such.hook"]}], ids=str
)
@pytest.mark.parametrize("how", [settings.configure, settings], ids=["configure", "block"])
def test_what_was_built_before_a_mistake_is_closed(how: Callable[..., Any], wrong):
    """A configuration that fails leaves no backend open behind it."""
    with pytest.raises(ConfigurationError):
        how(**wrong).__enter__()
    assert [backend.closed for backend in Owned.made] in ([], [1])


def test_backend_that_cannot_be_closed_keeps_no_other_open():
    """Closing goes on past one that raises, and new settings hold in any case."""
    settings.configure(backends=[FailingClose, Owned])
    first, second = Owned.made
    with contextlib.suppress(OSError):  # whether it is told is not the point
        settings.configure(backends=[])
    assert (first.closed, second.closed, settings.backends) == (1, 1, ())


# ---- with settings(...) --------------------------------------------------------------------------------------------


def test_block_overrides_and_restores(kept: Kept):
    """Inside hold the changed settings, after it what held before, also after an exception."""
    inside = Kept()
    with pytest.raises(ZeroDivisionError), settings(backends=[inside], origin="inside"):
        assert settings.origin == "inside"
        work()
        write_metric("written")
        1 / 0  # noqa: B018 - it is to raise
    assert settings.origin is None
    work()
    assert (inside.names, kept.names) == (["work", "written"], ["work"])


def test_blocks_nest(kept: Kept):
    """An inner block changes only what it names."""
    with settings(origin="outer", hostname="h"):
        with settings(origin="inner"):
            work()
        work()
    work()
    assert [(m.get("origin"), m["hostname"] == "h") for m in kept.metrics] == [
        ("inner", True),
        ("outer", True),
        (None, False),
    ]


def test_block_may_be_entered_again_but_not_while_it_is_open(kept: Kept):
    """One object is one block at a time."""
    block = settings(origin="inside")
    with block:
        work()
        with pytest.raises(ConfigurationError, match="open"):
            block.__enter__()
        assert settings.origin == "inside"
    with block:
        work()
    work()
    assert [metric.get("origin") for metric in kept.metrics] == ["inside", "inside", None]


def test_backend_made_for_a_block_is_closed_with_it():
    """A class given to a block is constructed when it is entered, and closed when it is left."""
    block = settings(backends=[Owned])
    assert Owned.made == []
    with block:
        work()
        assert Owned.made[0].closed == 0
    assert [(backend.metrics, backend.closed) for backend in Owned.made] == [(["work"], 1)]
    with block:
        pass
    assert len(Owned.made) == 2


def test_block_does_not_close_what_it_inherits():
    """What configure() built outlives a block that changes something else."""
    settings.configure(backends=[Owned])
    with settings(origin="inside"):
        work()
    assert Owned.made[0].closed == 0


def test_configure_during_a_block_shows_after_it(kept: Kept):
    """A block keeps the settings it was entered with; the process gets the new ones."""
    with settings(origin="inside"):
        settings.configure(origin="new", hostname="h")
        assert (settings.origin, settings.hostname == "h") == ("inside", False)
    assert (settings.origin, settings.hostname) == ("new", "h")


def test_threads_do_not_see_a_block_of_another(kept: Kept):
    """A thread started inside a block, and one that runs beside it, follow the process's settings."""
    inside = Kept()
    seen: list[Any] = []

    def other():
        work()
        seen.append(settings.origin)

    with settings(backends=[inside], origin="inside"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)
        work()
    assert (seen, inside.names, kept.names) == ([None], ["work"], ["work"])


def test_blocks_of_many_threads_keep_apart(kept: Kept):
    """Each thread's calls go where its own block says, however they interleave."""
    start = threading.Barrier(4, timeout=10)
    stores = [Kept() for _ in range(4)]

    def run(store):
        start.wait()
        for _ in range(50):
            with settings(backends=[store]):
                work()
            work()

    threads = [threading.Thread(target=run, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [len(store.metrics) for store in stores] == [50] * 4
    assert len(kept.metrics) == 200
    assert live.overrides == 0


def test_tasks_keep_apart_and_inherit(kept: Kept):
    """A task has its own block; one made inside a block has that block's settings."""
    stores = [Kept() for _ in range(3)]

    async def child():
        await asyncio.sleep(0)
        work()

    async def run(store):
        with settings(backends=[store]):
            for _ in range(5):
                await asyncio.sleep(0)
                work()
            await asyncio.create_task(child())
        work()

    async def main():
        await asyncio.gather(*map(run, stores))

    asyncio.run(main())
    assert [len(store.metrics) for store in stores] == [6, 6, 6]
    assert len(kept.metrics) == 3


def test_task_that_outlives_its_block_follows_the_process_again(kept: Kept):
    """After the block is left, calls and metrics by hand of such a task both go where the process's go."""
    inside = Kept()

    async def late(left):
        work()
        await left.wait()
        work()
        write_metric("written")
        with settings(origin="other"):
            work()

    async def main():
        left = asyncio.Event()
        with settings(backends=[inside]):
            task = asyncio.create_task(late(left))
            await asyncio.sleep(0)
        work()
        left.set()
        await task

    asyncio.run(main())
    assert (inside.names, kept.names) == (["work"], ["work", "work", "written", "work"])


def test_block_left_in_another_context_restores_the_process(kept: Kept):
    """A block entered in one context and left in another, as some fixtures do, leaves no trace on others' calls."""
    block = settings(backends=[Owned])
    contextvars.copy_context().run(block.__enter__)
    with contextlib.suppress(ValueError):  # the standard library's complaint about the context may pass
        block.__exit__(None, None, None)
    assert live.overrides == 0
    assert Owned.made[0].closed == 1
    work()
    assert kept.names == ["work"]


# ---- many settings, many functions, many threads -------------------------------------------------------------------


def test_configure_from_many_threads_ends_in_one_consistent_state(kept: Kept):
    """Settings changed at the same time all arrive, each key with one of the values that were set."""

    def run(key):
        for n in range(100):
            settings.configure(**{key: f"{key}{n}"})
            work()

    threads = [threading.Thread(target=run, args=(key,)) for key in ("origin", "hostname", "duration_field")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (settings.origin, settings.hostname, settings.duration_field) == (
        "origin99",
        "hostname99",
        "duration_field99",
    )
    assert len(kept.metrics) == 300


def test_old_settings_are_let_go(kept: Kept):
    """A function that was called keeps nothing of the settings before, so that backends can be collected."""
    import weakref

    backend = Kept()
    settings.configure(backends=[backend])
    work()
    gone = weakref.ref(backend)
    del backend
    settings.configure(backends=[kept])
    work()
    gc.collect()
    assert gone() is None


def cost(function: Callable[[], Any]) -> float:
    """Return what a call costs this thread, in units of a piece of plain Python that is timed in turns with it."""

    def reference():
        metric = {"name": "a", "value": time.perf_counter_ns()}
        metric.update(metric)
        return metric

    best = {function: float("inf"), reference: float("inf")}
    for _ in range(25):
        for timed, shortest in best.items():
            started = time.thread_time()
            for _ in range(1000):
                timed()
            best[timed] = min(shortest, time.thread_time() - started)
    return best[function] / best[reference]


def slowdown(function: Callable[[], Any], first: float) -> float:
    """Return how much more calls cost than at first; asks a few times, since a busy machine disturbs one."""
    return min(cost(function) / first for _ in range(3))


@pytest.mark.serial
@pytest.mark.parametrize("queued", [True, False], ids=["queued", "direct"])
def test_call_costs_the_same_after_ten_thousand_changes_and_with_twenty_thousand_functions(queued):
    """Nothing in a call grows with what was configured or decorated before: at most 1.25 times the first."""

    class Null:
        def write(self, name, **data):
            pass

    backend: Any = ThreadedBackend(Null(), queue_maxsize=10**6, max_bytes=None) if queued else Null()
    settings.configure(backends=[backend])

    def make(n):
        @time_execution(name=f"function{n}")
        def function():
            pass

        return function

    function = make(0)
    first = max(cost(function) for _ in range(2))
    for n in range(10_000):
        settings.configure(origin=str(n % 10))
    assert slowdown(function, first) <= 1.25
    functions = [make(n) for n in range(20_000)]
    for other in functions:
        other()
    assert slowdown(function, first) <= 1.25
    settings.configure(backends=[])
