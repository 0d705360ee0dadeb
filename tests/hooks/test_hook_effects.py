"""What hooks may do to a metric and to the calls that they make themselves, on each of the ways to them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.kept import Kept
from time_execution import settings, stats, time_execution
from time_execution.exceptions import ConfigurationError
from time_execution.hooks import ArgumentsHook, celery_hook


def without_name(metric, **_):
    del metric["name"]


def nameless(**_):
    return {"name": None}


def empty_name(metric, **_):
    metric["name"] = ""


def emptied(metric, **_):
    metric.clear()


def around(**_):
    _, _, metric = yield
    metric["name"] = None


async def awaited(**_):
    return {"name": None}


def measured(*hooks: Any, sample_rate: float = 1.0, asynchronous: bool = False) -> dict[str, Any]:
    """Return the one metric of a call that hooks have seen."""
    settings.configure(backends=[kept := Kept()], hooks=list(hooks), sample_rate=sample_rate)
    if asynchronous:

        @time_execution(name="series")
        async def coroutine():
            pass

        asyncio.run(coroutine())
    else:
        time_execution(name="series")(lambda: None)()
    (metric,) = kept.metrics
    return metric


@pytest.mark.parametrize("hook", [without_name, nameless, empty_name, emptied])
@pytest.mark.parametrize("sample_rate", [1.0, 0.9999999], ids=["fast", "slow"])
def test_series_gets_its_name_back(hook, sample_rate):
    """A metric without a name could be stored by nobody."""
    assert measured(hook, sample_rate=sample_rate)["name"] == "series"
    assert measured(hook, lambda **_: {"more": 1}, sample_rate=sample_rate)["name"] == "series"


@pytest.mark.parametrize("hook", [around, awaited, nameless])
def test_series_of_a_coroutine_gets_its_name_back(hook):
    """However the hook is written."""
    assert measured(hook, asynchronous=True)["name"] == "series"


def test_extra_hooks_may_be_a_single_one():
    """As in the settings, a list of one needs no brackets, and an import path will do."""
    settings.configure(backends=[kept := Kept()])
    time_execution(extra_hooks=lambda **_: {"seen": 1})(lambda: None)()
    time_execution(extra_hooks="time_execution.hooks.celery_hook")(lambda: None)()
    time_execution(extra_hooks=("time_execution.hooks.celery_hook",))(lambda: None)()
    assert [metric.get("seen", metric.get("success")) for metric in kept.metrics] == [1, True, True]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"extra_hooks": [3]}, r"extra_hooks\[0\]: expected a callable"),
        ({"extra_hooks": 3}, r"extra_hooks\[0\]: expected a callable"),
        ({"extra_hooks": [lambda a: None]}, r"extra_hooks\[0\]: it cannot be called"),
        ({"disable_default_hooks": "x"}, "disable_default_hooks: expected True or False, got a str"),
        ({"get_fqn": 3}, "get_fqn: expected a callable, got an int"),
        ({"get_fqn": lambda _: None}, "name of a series: expected a text that is not empty, got None"),
        ({"name": 3}, "name of a series: expected a text that is not empty, got an int"),
        ({"name": ""}, "name of a series: expected a text that is not empty, got an empty str"),
    ],
)
def test_wrong_parameter_is_refused(options, complaint):
    """What would be found by nobody but the reader of a chart is said when decorating."""
    with pytest.raises(ConfigurationError, match=complaint):
        time_execution(**options)(lambda: None)


@pytest.mark.parametrize("name", [3, None, ""])
def test_block_without_a_name_is_refused(name):
    """A series is a text."""
    with pytest.raises(ConfigurationError, match="name of a series"):
        time_execution.block(name)


@pytest.mark.parametrize("field", ["value", "name", "hostname", "timestamp"])
def test_core_field_of_a_block_is_refused(field):
    """It would take the place of what the block measures."""
    with pytest.raises(ConfigurationError, match=f"{field} cannot be given"):
        time_execution.block("b", **{field: 1})


def test_core_fields_of_a_block_are_those_of_the_settings():
    """Where the duration has another name, that one is taken."""
    settings.configure(backends=[kept := Kept()], duration_field="duration")
    with time_execution.block("b", value=1):
        pass
    assert kept.metrics[0]["value"] == 1
    with pytest.raises(ConfigurationError, match="duration cannot be given"):
        time_execution.block("b", duration=1)


def test_celery_hook_adds_no_duration_of_another_name():
    """Where the duration has another name, there is no ``value``."""
    settings.configure(backends=[kept := Kept()], hooks=[celery_hook], duration_field="duration")
    time_execution(lambda: None)()
    assert "value" not in kept.metrics[0]
    assert kept.metrics[0]["success"] is True
    assert kept.metrics[0]["duration"] >= 0


def test_task_that_an_async_hook_started_is_measured_once_the_hook_has_ended():
    """A hook may start what runs for as long as the program does."""
    started: list[Any] = []
    measured_once, hook_ended = asyncio.Event(), asyncio.Event()

    @time_execution(name="job")
    async def job():
        pass

    async def forever():
        await job()  # the hook is waiting still
        measured_once.set()
        await hook_ended.wait()
        await job()

    async def starting(func, **_):
        if not started:
            started.append(asyncio.ensure_future(forever()))
            await measured_once.wait()

    @time_execution(name="work", extra_hooks=[starting])
    async def work():
        pass

    async def main():
        await work()
        hook_ended.set()
        await started[0]

    settings.configure(backends=[kept := Kept()])
    asyncio.run(main())
    assert kept.names == ["work", "job"]
    assert stats()["errors"]["hook"] == {"job: reentrant": 1}


@pytest.mark.parametrize("sample_rate", [1.0, 0.9999999])
def test_plain_function_that_an_async_hook_calls_is_measured(sample_rate):
    """Asynchronous hooks are not awaited for it, so that it cannot go on without end."""

    @time_execution(name="helper")
    def helper():
        pass

    @time_execution(name="async helper")
    async def async_helper():
        pass

    async def calling(func, **_):
        helper()
        await async_helper()

    @time_execution(name="work", extra_hooks=[calling])
    async def work():
        pass

    settings.configure(backends=[kept := Kept()], sample_rate=sample_rate)
    asyncio.run(work())
    assert kept.names == ["helper", "work"]
    assert stats()["errors"]["hook"] == {"async helper: reentrant": 1}


def test_async_hooks_are_awaited_for_a_generator_that_is_closed():
    """To be closed is no failure, and nothing waits for it to pass."""
    seen = []

    async def awaited_too(exception, **_):
        await asyncio.sleep(0)
        seen.append(exception)

    @time_execution
    async def numbers():
        yield 1
        yield 2

    async def main():
        running = numbers()
        await running.asend(None)
        await running.aclose()

    settings.configure(backends=[kept := Kept()], hooks=[awaited_too])
    asyncio.run(main())
    assert (seen, len(kept.metrics)) == ([None], 1)


def test_arguments_are_those_that_the_call_left():
    """The hook runs when the call has ended, so what the function did to a list shows."""
    settings.configure(backends=[kept := Kept()], hooks=[ArgumentsHook()])
    time_execution(lambda items: items.clear())([1, 2])
    assert kept.metrics[0]["arguments"] == {"items": []}


def test_answer_that_cannot_be_merged_is_the_hooks_failure():
    """In each of the three shapes of hooks, the others' fields arrive."""

    def generator(**_):
        yield
        return 7

    async def asynchronous(**_):
        return 7

    metric = measured(lambda **_: 7, generator, asynchronous, lambda **_: {"more": 1}, asynchronous=True)
    assert (metric["hook_error"], metric["more"]) == ("TypeError", 1)
    assert sum(stats()["errors"]["hook"].values()) == 3
