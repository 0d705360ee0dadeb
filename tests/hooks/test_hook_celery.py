"""The Celery hooks in real tasks, run eagerly and by a real worker on the in-memory broker."""

from __future__ import annotations

import os
import sys
from multiprocessing import current_process
from unittest.mock import MagicMock

import pytest

from time_execution import time_execution
from time_execution.hooks import CeleryHook, celery_hook


def test_seed_fields_of_a_plain_call(outcome) -> None:
    """The fields are those of the seed's hook."""
    process = {"process_name": current_process().name, "process_pid": os.getpid()}
    core = {"name": "app.view", "value": 1.5}
    assert celery_hook(**outcome()) == {**core, "success": True, **process}
    assert celery_hook(**outcome(exception=ValueError())) == {**core, "success": False, **process}


def test_outside_of_tasks_the_extended_hook_adds_the_process_only(outcome) -> None:
    """Without Celery, or outside of a task, nothing of a task is claimed."""
    fields = CeleryHook()(**outcome())
    assert fields == {"success": True, "process_name": current_process().name, "process_pid": os.getpid()}


def test_extended_hook_does_without_celery(outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Celery is not loaded, it is not missed."""
    monkeypatch.delitem(sys.modules, "celery", raising=False)
    assert set(CeleryHook()(**outcome())) == {"success", "process_name", "process_pid"}


@pytest.fixture
def app():
    """A Celery application with the in-memory broker."""
    pytest.importorskip("celery")
    from tests.celery_apps import make_app

    app = make_app("tests", eager=True)
    yield app
    app.close()


def test_tasks_as_the_seed_writes_them(app, measured) -> None:
    """A reusable decorator, one in place, and one without the default hooks, on bound tasks."""
    metrics = measured(lambda **context: {"default": True})
    time_execution_celery = time_execution(extra_hooks=[celery_hook])

    @app.task(bind=True)
    @time_execution_celery
    def reusable(self, **kwargs):
        return True

    @app.task(bind=True)
    @time_execution(extra_hooks=[celery_hook])
    def in_place(self, **kwargs):
        return True

    @app.task(bind=True)
    @time_execution(extra_hooks=[celery_hook], disable_default_hooks=True)
    def alone(self, **kwargs):
        raise ValueError

    assert reusable.delay(a=1).get() is True
    assert in_place.delay().get() is True
    assert alone.delay().failed()
    assert [metric["success"] for metric in metrics] == [True, True, False]
    assert [metric.get("default") for metric in metrics] == [True, True, None]
    assert all(metric["process_pid"] == os.getpid() for metric in metrics)
    assert all(isinstance(metric["value"], float) for metric in metrics)


def test_eager_task_is_known_and_so_is_what_it_calls(app, measured) -> None:
    """The extended hook names the task, its id and its retries, also on the functions it calls."""
    metrics = measured(CeleryHook())
    helper = time_execution(lambda: None)

    @app.task(bind=True, name="jobs.flaky", max_retries=2)
    @time_execution
    def flaky(self):
        helper()
        if self.request.retries < 2:
            raise self.retry(countdown=0)
        return self.request.id

    result = flaky.apply(task_id="id-1")
    assert result.get() == "id-1"
    assert {metric["task_id"] for metric in metrics} == {"id-1"}
    assert {metric["task"] for metric in metrics} == {"jobs.flaky"}
    # Eager retries nest: the inner attempt ends first.
    assert sorted(metric["retries"] for metric in metrics) == [0, 0, 1, 1, 2, 2]
    helper()
    assert "task_id" not in metrics[-1]


def test_real_worker_tells_queue_and_host(app, measured) -> None:
    """A worker that takes the task from a queue adds the queue and its own name."""
    from tests.celery_apps import result_of, start_worker

    app.conf.task_always_eager = False
    metrics = measured(CeleryHook())

    @app.task(name="jobs.add")
    @time_execution
    def add(a, b):
        return a + b

    app.conf.task_routes = {"jobs.add": {"queue": "sums"}}
    app.amqp.queues.select_add("sums")
    with start_worker(app, queues=["sums"]):
        result = result_of(add.apply_async((2, 3)))
    assert result.result == 5
    (metric,) = metrics
    assert metric["task"] == "jobs.add"
    assert metric["task_id"] == result.id
    assert metric["retries"] == 0
    assert metric["queue"] == "sums"
    assert metric["worker"]
    assert metric["success"] is True


@pytest.mark.parametrize("complete", [True, False])
def test_decorator_above_a_task_names_its_function(app, measured, complete: bool) -> None:
    """Also while the application is not complete, and the task a promise of one."""
    metrics = measured()
    if complete:
        app.finalize()

    @time_execution
    @app.task(shared=False)  # with this application only
    def outer(a):
        return a + 1

    assert outer(1) == 2
    assert outer.delay(2).get() == 3
    assert {metric["name"] for metric in metrics} == {
        f"{__name__}.test_decorator_above_a_task_names_its_function.outer"
    }
    assert len(metrics) == 2


@pytest.mark.parametrize("kind", ["mock", "own class"])
def test_what_merely_looks_like_a_task_is_measured_as_what_it_is(measured, kind: str) -> None:
    """A mock answers to any name, and a class of the application's may have ``delay`` and ``run`` of its own."""
    metrics = measured()

    class Job:
        __slots__ = ()

        def __call__(self):
            return 1

        def run(self):
            return 2

        def delay(self):
            return 3

    job = MagicMock(return_value=1) if kind == "mock" else Job()
    assert time_execution(job)() == 1
    assert len(metrics) == 1
