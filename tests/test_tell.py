"""The short way of a call that hooks or direct backends see: what hooks do to the metric is what backends get."""

from __future__ import annotations

import asyncio

import pytest

from tests.kept import Kept
from time_execution import settings, stats, time_execution, write_metric
from time_execution.backends.base import BaseMetricsBackend
from time_execution.pipeline import this_thread

CORE = ["name", "value", "hostname", "timestamp"]


class KeptBatches(BaseMetricsBackend):
    """Keeps every batch it is handed."""

    def __init__(self) -> None:
        self.metrics: list[dict] = []

    def write_many(self, metrics):
        self.metrics.extend(map(dict, metrics))


class OwnSelf:
    """Calls its own self as a core field is called."""

    def __init__(self) -> None:
        self.metrics: list[dict] = []

    def write(value, name, **data):
        value.metrics.append({"name": name, **data})


def measured():
    return 1


def swap(old, new):
    """Return a hook that puts one field in the place of another, so that their number stays."""

    def hook(*, metric, **_):
        metric[new] = metric.pop(old)

    return hook


@pytest.mark.parametrize("field", CORE[1:])
def test_hook_may_replace_a_core_field(field):
    """The number of fields is what it was, and yet these are others."""
    kept, batches = Kept(), KeptBatches()
    settings.configure(backends=[kept, batches], hooks=[swap(field, "other")])
    time_execution(name="measured")(measured)()
    assert [sorted(metric) for metric in kept.metrics + batches.metrics] == [sorted({*CORE, "other"} - {field})] * 2
    assert stats()["errors"]["backend"] == {}


def test_hook_may_put_the_name_elsewhere():
    """The series keeps it all the same."""
    kept = Kept()
    settings.configure(backends=[kept], hooks=[swap("name", "other")])
    time_execution(name="measured")(measured)()
    assert [(metric["name"], metric["other"]) for metric in kept.metrics] == [("measured", "measured")]


@pytest.mark.parametrize("changes", [{}, {"duration_field": "duration"}, {"origin": "here"}])
def test_fields_are_those_of_the_settings(changes):
    """Whether a metric is spelt out or unpacked, all of its fields arrive."""
    kept = Kept()
    settings.configure(backends=[kept], hooks=[], **changes)
    time_execution(name="measured")(measured)()
    duration = changes.get("duration_field", "value")
    wanted = {"name", "hostname", "timestamp", duration, *({"origin"} if "origin" in changes else ())}
    assert [set(metric) for metric in kept.metrics] == [wanted]


def test_key_error_of_a_backend_is_its_own():
    """It is counted once, and the backend is called once."""
    calls = []

    class Lossy:
        def write(self, name, **data):
            calls.append(name)
            raise KeyError(name)

    settings.configure(backends=[Lossy()], hooks=[])
    time_execution(name="measured")(measured)()
    assert calls == ["measured"]
    assert list(stats()["errors"]["backend"].values()) == [1]


def test_backend_whose_self_is_called_as_a_core_field_gets_it_with_an_underscore():
    """The field steps aside, as any other would."""
    odd = OwnSelf()
    settings.configure(backends=[odd], hooks=[])
    time_execution(name="measured")(measured)()
    assert [sorted(metric) for metric in odd.metrics] == [["hostname", "name", "timestamp", "value_"]]


def test_hooks_and_backends_are_called_in_the_order_of_the_settings():
    """Also where backends of different shapes are mixed, and whichever way the metric takes."""
    order = []

    def backend(label, *, method):
        def note(self, *_, **__):
            order.append(label)

        return type(label, (), {method: note})()

    def hook(label):
        return lambda **_: order.append(label)

    backends = [backend("a", method="write"), backend("b", method="write_many"), backend("c", method="write")]
    settings.configure(backends=backends, hooks=[hook("one"), hook("two")])
    time_execution(name="measured")(measured)()
    write_metric("by hand", value=1)
    assert "".join(order) == "onetwoabcabc"


@pytest.mark.parametrize("culprit", ["hook", "backend"])
def test_what_is_no_exception_leaves_the_thread_as_it_was(culprit):
    """The next call is measured again."""
    kept = Kept()

    def leave(*_, **__):
        raise SystemExit

    broken = type("Broken", (), {"write": leave})()
    hooks, backends = ([leave], [kept]) if culprit == "hook" else ([], [broken])
    settings.configure(backends=backends, hooks=hooks)
    decorated = time_execution(name="measured")(measured)
    with pytest.raises(SystemExit):
        decorated()
    assert this_thread.place.within is None
    settings.configure(backends=[kept], hooks=[])
    assert decorated() == 1
    assert kept.names == ["measured"]


def test_coroutine_takes_the_same_way():
    """Two calls that wait for each other leave two metrics, each with what the hook found."""
    kept = Kept()
    settings.configure(backends=[kept], hooks=[lambda response, **_: {"answer": response}])

    @time_execution(name="measured")
    async def pause(value):
        await asyncio.sleep(0)
        return value

    async def both():
        return await asyncio.gather(pause(1), pause(2))

    assert asyncio.run(both()) == [1, 2]
    assert [metric["answer"] for metric in kept.metrics] == [1, 2]
