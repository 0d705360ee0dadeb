"""Plans: what is compiled for each version of the settings, and which calls are measured at all."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.kept import Kept, kept_fixture  # noqa: F401 - a fixture is asked for by name
from time_execution import flush, settings, stats, time_execution
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import ConfigurationError
from time_execution.plan import Target
from time_execution.types import Metric


def test_plan_is_compiled_once_for_a_version(kept: Kept):
    """A target keeps its plan until the settings change."""
    target = Target(None, "a.b")
    plan = target.refresh()
    assert target.refresh() is plan
    settings.configure(origin="shop")
    assert target.refresh() is not plan


def test_plan_of_an_override_does_not_replace_the_processes(kept: Kept):
    """Leaving a block with settings of its own leaves the plan that held before."""
    target = Target(None, "a.b")
    plan = target.refresh()
    with settings(origin="inside"):
        assert target.refresh().metric(0, 0, 0)["origin"] == "inside"
        assert target.refresh() is target.refresh()
    assert target.refresh() is plan


@pytest.mark.parametrize(
    ("changes", "fast"),
    [
        ({}, True),
        ({"origin": "shop"}, True),
        ({"hooks": [lambda **_: None]}, False),
        ({"sample_rate": 0.5}, False),
        ({"enabled": False}, False),
        ({"exclude": ["a.*"]}, False),
        ({"exclude": ["b.*"]}, True),
    ],
)
def test_fast_way_is_for_one_queue_without_hooks(changes, fast):
    """Only what nobody has to see is appended to the queue by the call itself."""
    settings.configure(backends=[ThreadedBackend(Kept())], **changes)
    plan = Target(None, "a.b").refresh()
    assert (plan.version == plan.serial) is fast
    settings.configure(backends=[])


def test_two_queues_and_a_direct_backend_all_get_the_metric():
    """Each backend has every metric, however it is written to."""
    stores = [Kept(), Kept(), Kept()]
    queues = [ThreadedBackend(store, bulk_timeout=0.01) for store in stores[:2]]
    settings.configure(backends=[*queues, stores[2]])

    @time_execution
    def work():
        return 1

    for _ in range(3):
        work()
    assert all(queue.flush(10) for queue in queues)
    assert [len(store.metrics) for store in stores] == [3, 3, 3]
    assert {tuple(store.metrics[0]) for store in stores} == {("name", "value", "hostname", "timestamp")}


def test_draft_makes_the_metric_that_the_caller_would_have_made():
    """The worker's metric has the fields of the eager one, and the time the call ended."""
    settings.configure(duration_field="ms", origin="shop", hostname="web-1")
    metric = Target(None, "a.b").refresh().metric(1_000_000, 3_500_000, 7)
    assert type(metric) is Metric
    assert (metric.kind, metric.unit, metric.id) == ("timing", None, None)
    assert metric == {"name": "a.b", "ms": 2.5, "hostname": "web-1", "origin": "shop", "timestamp": 3_500_007}


def test_metrics_of_a_plan_are_independent():
    """A hook that changes one metric changes no other."""
    backend = Kept()

    def spoil(func_args, metric, **_):
        if not func_args[0]:
            return
        metric["extra"] = metric["value"]
        metric["name"] = "renamed"
        del metric["hostname"]

    settings.configure(backends=[backend], hooks=[spoil])

    @time_execution(name="a.b")
    def work(spoiled):
        return spoiled

    work(True)
    work(False)
    assert list(backend.metrics[1]) == ["name", "value", "hostname", "timestamp"]
    assert backend.names == ["renamed", "a.b"]


# ---- which calls are measured --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["app.views.list", "app.models.save", "lib.load"]),
        ({"include": ["app.*"]}, ["app.views.list", "app.models.save"]),
        ({"exclude": ["*.save"]}, ["app.views.list", "lib.load"]),
        ({"include": ["app.*", "lib.*"], "exclude": ["app.views.*"]}, ["app.models.save", "lib.load"]),
        ({"include": ["nothing"]}, []),
        ({"exclude": ["*"]}, []),
        ({"include": ["APP.*"]}, []),
        ({"include": "lib.[lx]oad"}, ["lib.load"]),
    ],
)
def test_include_and_exclude_are_patterns_of_names(filters, names):
    """What matches `include`, or anything when it is empty, and does not match `exclude`, is measured."""
    backend = Kept()
    settings.configure(backends=[backend], **filters)
    for name in ("app.views.list", "app.models.save", "lib.load"):
        assert time_execution(name=name)(lambda: 7)() == 7
    assert backend.names == names


def test_filters_can_change_under_a_decorated_function(kept: Kept):
    """What is filtered out now is measured again when the filter goes."""
    work = time_execution(name="a.b")(lambda: 1)
    settings.configure(exclude=["a.*"])
    work()
    settings.configure(exclude=[])
    work()
    assert kept.names == ["a.b"]


@pytest.mark.parametrize("queued", [False, True])
def test_sample_rate_is_the_share_that_is_measured_and_is_stored(queued):
    """About that share arrives, and says so, so that counts can be scaled up; results are never sampled."""
    store = Kept()
    backend: Any = ThreadedBackend(store, bulk_timeout=0.01) if queued else store
    settings.configure(backends=[backend], sample_rate=0.25)
    work = time_execution(name="a.b")(lambda: 7)
    random.seed(20)
    assert {work() for _ in range(2000)} == {7}
    assert not queued or backend.flush(10)
    assert 400 < len(store.metrics) < 600
    assert {metric["sample_rate"] for metric in store.metrics} == {0.25}


@pytest.mark.parametrize(("rate", "count"), [(0.0, 0), (0, 0), (1.0, 50), (1, 50)])
def test_sample_rate_has_exact_ends(rate, count):
    """None at 0 and all at 1, where the metric has no field for it."""
    backend = Kept()
    settings.configure(backends=[backend], sample_rate=rate)
    work = time_execution(name="a.b")(lambda: 7)
    for _ in range(50):
        work()
    assert len(backend.metrics) == count
    assert all("sample_rate" not in metric for metric in backend.metrics)


def test_hooks_do_not_run_for_calls_that_are_not_measured():
    """What is not drawn pays for nothing."""
    ran = []
    settings.configure(backends=[Kept()], hooks=[lambda **_: ran.append(1)], sample_rate=0.0)
    time_execution(name="a.b")(lambda: 7)()
    assert ran == []


@pytest.mark.parametrize("call", ["function", "coroutine", "generator", "block"])
def test_each_of_two_queues_gets_every_metric(call):
    """Without hooks or a direct backend as well, where a call leaves nothing but its readings."""
    stores = Kept(), Kept()
    settings.configure(backends=[ThreadedBackend(store, bulk_timeout=0.01) for store in stores])

    @time_execution(name="function")
    def function():
        pass

    @time_execution(name="coroutine")
    async def coroutine():
        pass

    @time_execution(name="generator")
    def generator():
        yield

    def block():
        with time_execution.block("block"):
            pass

    calls = {
        "function": function,
        "coroutine": lambda: asyncio.run(coroutine()),
        "generator": lambda: list(generator()),
        "block": block,
    }
    for _ in range(3):
        calls[call]()
    assert flush(10.0)
    assert [store.names for store in stores] == [[call] * 3] * 2


@pytest.mark.parametrize("how", ["returns", "raises", "awaits"])
@pytest.mark.parametrize("taken", [None, "", "gone"])
def test_name_that_a_hook_takes_away_is_given_back(how, taken):
    """No store could tell whose metric it is; on every way from the call to the backends."""

    def hook(metric, **_):
        if taken == "gone":
            del metric["name"]
        else:
            metric["name"] = taken

    async def awaited(**_):
        pass

    kept = Kept()
    settings.configure(backends=[kept], hooks=[hook, awaited] if how == "awaits" else [hook])

    @time_execution(name="work")
    def work():
        if how == "raises":
            raise ValueError

    @time_execution(name="work")
    async def work_later():
        pass

    if how == "raises":
        with pytest.raises(ValueError, match=r"^$"):
            work()
    elif how == "awaits":
        asyncio.run(work_later())
    else:
        work()
    assert kept.names == ["work"]


def test_field_of_a_hook_that_is_called_as_the_backends_self_steps_aside():
    """It is no keyword that ``write`` could take."""
    kept = Kept()
    settings.configure(backends=[kept], hooks=[lambda **_: {"self": 1}])
    time_execution(lambda: None)()
    (metric,) = kept.metrics
    assert metric["self_"] == 1
    assert stats()["errors"]["backend"] == {}


@pytest.mark.parametrize("extra", [{}, {"rows": 1}], ids=["core fields", "more fields"])
def test_backend_that_calls_the_name_otherwise_gets_it_all_the_same(extra):
    """The series is the first argument, whatever that is called."""
    written = []

    class Otherwise:
        def write(self, series, **data):
            written.append((series, data.keys() - {"value", "hostname", "timestamp"}))

    settings.configure(backends=[Otherwise()], hooks=[lambda **_: extra])
    time_execution(name="work")(lambda: None)()
    time_execution(name="work")(lambda: None)()
    assert written == [("work", extra.keys())] * 2


def test_name_of_the_wrong_type_is_shown_by_its_type():
    """A series is named by a text."""
    with pytest.raises(ConfigurationError, match="the name of a series: expected a text that is not empty, got an int"):
        time_execution(name=5)(len)  # type: ignore[call-overload]
