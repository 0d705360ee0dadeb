"""The decorator on Celery tasks: above and below ``@app.task``, bound or not, called at once and by a real worker."""

from __future__ import annotations

import contextlib
import types

import pytest

from tests.celery_apps import make_app, result_of, start_worker
from tests.kept import Kept, kept_fixture  # noqa: F401 - a fixture is asked for by name
from time_execution import settings, time_execution


def celery_hook(response, exception, metric, func, func_args, func_kwargs):  # noqa: PLR0917 - as users write it
    """Add what the seed's example adds."""
    return {"name": metric.get("name"), "value": metric.get("value"), "success": exception is None}


time_execution_celery = time_execution(extra_hooks=[celery_hook])


tries: list[int] = []


def who(self, x):
    """Say which task this is."""
    return [self.name, self.request.id is not None, x]


def fail():
    """Fail."""
    raise LookupError("no")


def make_tasks(app):
    """Return tasks of one application, written in every order, by name."""
    tasks = types.SimpleNamespace()

    @app.task(shared=False, name="add")
    @time_execution_celery
    def add(a, b=1):
        """Add."""
        return a + b

    @time_execution
    @app.task(shared=False, name="multiply")
    def multiply(a, b=1):
        """Multiply."""
        return a * b

    @app.task(shared=False, bind=True, name="again", max_retries=3)
    @time_execution
    def again(self):
        tries.append(1)
        if len(tries) < 3:
            raise self.retry(countdown=0)
        return len(tries)

    @app.task(shared=False, name="in place")
    @time_execution(extra_hooks=[celery_hook])
    def in_place(**kwargs):
        return True

    @app.task(shared=False, name="alone")
    @time_execution(extra_hooks=[celery_hook], disable_default_hooks=True)
    def alone(**kwargs):
        return True

    tasks.who_above = app.task(shared=False, bind=True, name="who_above")(time_execution(who))
    tasks.who_below = time_execution(app.task(shared=False, bind=True, name="who_below")(who))
    tasks.fail_above = app.task(shared=False, name="fail_above")(time_execution(fail))
    tasks.fail_below = time_execution(app.task(shared=False, name="fail_below")(fail))
    tasks.__dict__.update(add=add, multiply=multiply, again=again, in_place=in_place, alone=alone)
    return tasks


@pytest.fixture(name="tasks", params=["eager", "worker"], scope="module")
def tasks_fixture(request):
    """Return the tasks of an application that runs them at once, or in a worker with a broker in memory."""
    eager = request.param == "eager"
    app = make_app(f"tests-{request.param}", eager=eager)
    tasks = make_tasks(app)
    with contextlib.nullcontext() if eager else start_worker(app):
        yield tasks
    app.close()


def run(task, *args, **kwargs):
    """Send a task and wait for what becomes of it."""
    return result_of(task.delay(*args, **kwargs))


def last_parts(kept):
    """Return the last parts of the series' names."""
    return [name.rpartition(".")[2] for name in kept.names]


pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def test_task_above_the_decorator_is_measured(tasks, kept: Kept):
    """`@app.task` over `@time_execution`: the task keeps its name, and each run is a metric."""
    assert tasks.add(1, b=5) == 6
    assert run(tasks.add, 1, b=2).result == 3
    assert (tasks.add.name, tasks.add.__doc__) == ("add", "Add.")
    assert last_parts(kept) == ["add", "add"]
    assert kept.metrics[-1]["success"] is True


def test_task_below_the_decorator_stays_the_task_and_is_measured(tasks, kept: Kept):
    """`@time_execution` over `@app.task`: what comes out is the task that the worker knows."""
    assert tasks.multiply.app.tasks["multiply"].name == tasks.multiply.name
    assert run(tasks.multiply, 3, b=4).result == 12
    assert tasks.multiply(2, b=2) == 4
    assert tasks.multiply.s(5, b=6).apply().result == 30
    assert last_parts(kept) == ["multiply"] * 3


@pytest.mark.parametrize("order", ["above", "below"])
def test_bound_task_gets_itself(tasks, kept: Kept, order):
    """With `bind=True` the task is the first argument, and its request is the current one."""
    task = getattr(tasks, f"who_{order}")
    assert run(task, 5).result == [f"who_{order}", True, 5]
    assert last_parts(kept) == ["who"]


@pytest.mark.parametrize("order", ["above", "below"])
def test_failing_task_fails_as_undecorated(tasks, kept: Kept, order):
    """The result is a failure with the task's own exception, and the hook sees it."""
    settings.configure(hooks=[celery_hook])
    result = run(getattr(tasks, f"fail_{order}"))
    assert result.failed()
    assert isinstance(result.result, LookupError)
    assert [metric["success"] for metric in kept.metrics] == [False]


def test_retried_task_is_measured_at_each_try(tasks, kept: Kept):
    """A task that asks for another try has a metric for each, and ends well."""
    tries.clear()
    assert run(tasks.again).result == 3
    assert last_parts(kept) == ["again"] * 3


def test_parameters_of_the_decorator_work_on_tasks(tasks, kept: Kept):
    """Hooks in place, beside the default ones and without them, as the older library's documentation shows."""
    settings.configure(hooks=[lambda **_: {"default": True}])
    assert run(tasks.in_place, a=1).result is True
    assert run(tasks.alone, a=1).result is True
    assert [(metric.get("default"), metric["success"]) for metric in kept.metrics] == [(True, True), (None, True)]
