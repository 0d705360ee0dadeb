"""Times of calls on their way to the backends: hooks, sampling, filters and switches hold as for any call."""

from __future__ import annotations

import asyncio

from time_execution import settings
from time_execution.backends.memory import MemoryBackend
from time_execution.profiler import metrics


def test_times_go_down_the_pipeline_by_their_context(own):
    """One timing for each call, with its full resolution, named by its context; also without any handler."""
    own.delete_handlers()
    settings.configure(backends=[memory := MemoryBackend()], origin="shop")

    @own.profile
    def child():
        pass

    @own.profile
    async def root():
        child()

    asyncio.run(root())
    assert memory.names == ["test_profiler_pipeline:root.child", "test_profiler_pipeline:root"]
    assert [metric.kind for metric in memory.metrics] == ["timing"] * 2
    assert set(memory.metrics[0]) == {"name", "value", "hostname", "origin", "timestamp"}
    assert memory.metrics[1]["value"] > memory.metrics[0]["value"] > 0


def test_hooks_sampling_and_filters_hold_for_times(own, collector):
    """As for any call; the handlers get their records all the same."""

    def hook(*, response, exception, metric, func, func_args, func_kwargs):
        return {"response": response, "func": func.__name__, "args": str(func_args), "failed": exception is not None}

    async def async_hook(**_):
        await asyncio.sleep(0)
        return {"asynchronous": True}

    def around(func, func_args, func_kwargs):
        outcome = yield
        return {"around": outcome[0]}

    @own.profile
    def work(number):
        return number + 1

    @own.profile
    async def coroutine():
        return 5

    settings.configure(backends=[memory := MemoryBackend()], hooks=[hook, around])
    work(1)
    fields = {"response": 2, "func": "work", "args": "(1,)", "failed": False, "around": 2}
    assert fields.items() <= memory.metrics[0].items()
    settings.configure(hooks=[async_hook])
    asyncio.run(coroutine())
    assert memory.metrics[1]["asynchronous"] is True
    settings.configure(hooks=[], exclude=["*:work"])
    work(1)
    settings.configure(exclude=[], sample_rate=0.0)
    work(1)
    assert len(memory.metrics) == 2
    assert len(collector.records) == 4


def test_the_kill_switch_holds_for_the_profiler(own, collector, monkeypatch):
    """Neither handlers nor backends get anything while measuring is switched off."""
    metric = metrics.Counter("count", "j", "u")
    own.add_metric(metric)
    settings.configure(backends=[memory := MemoryBackend()], enabled=False)
    work = own.profile(lambda: metric.inc())  # noqa: PLW0108
    work()
    metric.inc()
    assert (collector.handed, memory.metrics) == ([], [])
    settings.configure(enabled=True)
    monkeypatch.setenv("TIME_EXECUTION_DISABLED", "1")
    own.config(job="tests")
    work()
    metric.inc()
    assert (collector.handed, memory.metrics) == ([], [])


def test_settings_of_a_block_hold_inside_it(own, collector):
    """Its backends get what is measured there, and its switch holds there."""
    work = own.profile(lambda: None)
    memory = MemoryBackend()
    with settings(backends=[memory]):
        work()
    work()
    with settings(enabled=False):
        work()
    assert (len(memory.metrics), len(collector.records)) == (1, 2)


def test_times_without_their_metric_stay_away(own):
    """Once the time metric is deleted, the pipeline gets no times either."""
    settings.configure(backends=[memory := MemoryBackend()])
    own.delete_metric("time_profiler")
    own.add_metric(metrics.Counter("count", "j", "u"))
    own.profile(lambda: None)()
    assert memory.metrics == []


def test_deep_recursion_makes_no_more_series_than_are_kept(own, monkeypatch):
    """Each depth has a context of its own; those that are remembered are bounded."""
    monkeypatch.setattr("time_execution.profiler.publisher._MOST_SERIES", 20)
    settings.configure(backends=[memory := MemoryBackend()])

    @own.profile
    def down(depth):
        if depth:
            down(depth - 1)

    down(70)
    assert len(memory.metrics) == 71
    assert len(own._series) <= 20
