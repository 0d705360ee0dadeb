"""Ready-made hooks where what they look at is odd: overridden, absent, there twice, or over already."""

from __future__ import annotations

import functools
import sys
from types import SimpleNamespace

import pytest

from tests.hooks.call_trees import leaf, nothing_leaks, tree  # noqa: F401 - a fixture applies by being here
from time_execution import time_execution
from time_execution.hooks import CeleryHook, ExceptionHook, call_tree_hook, status_code_hook


class HiddenError(Exception):
    """Does not want its arguments to be looked at."""

    @property
    def args(self):  # type: ignore[override]
        """Raise."""
        raise RuntimeError("looked at")

    def __str__(self):
        raise RuntimeError("shown")


def test_message_is_made_past_what_an_exception_overrides(outcome) -> None:
    """None of its class's code runs."""
    fields = ExceptionHook(message=True)(**outcome(exception=HiddenError("no such user", 5)))
    assert fields == {"error_type": f"{__name__}.HiddenError", "error_message": "no such user, 5"}


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"status_code": 404, "code": 500}, 404),
        ({"status_code": None, "code": 500}, 500),
        ({"code": "E12", "response": SimpleNamespace(status_code=429)}, 429),
        ({"code": 400, "response": SimpleNamespace(status_code=429)}, 400),
    ],
)
def test_status_of_an_exception_is_the_first_that_is_one(outcome, attributes, status) -> None:
    """In the order that the hook documents."""
    error = ValueError()
    vars(error).update(attributes)
    assert status_code_hook(**outcome(exception=error)) == {"status_code": status}


def test_task_without_a_delivery_is_one_all_the_same(outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was called by hand came by no queue."""
    request = SimpleNamespace(id="7f", retries=0, delivery_info=None, hostname=None)
    celery = SimpleNamespace(current_task=SimpleNamespace(name="shop.pay", request=request))
    monkeypatch.setitem(sys.modules, "celery", celery)  # type: ignore[arg-type]
    fields = CeleryHook()(**outcome())
    assert {name: fields[name] for name in fields if not name.startswith("process")} == {
        "success": True,
        "task": "shop.pay",
        "task_id": "7f",
        "retries": 0,
    }


def test_partial_of_a_generator_is_not_the_caller_between_its_items(measured) -> None:
    """As the generator itself is not."""
    metrics = measured(call_tree_hook)

    def numbers(count):
        for number in range(count):
            leaf()
            yield number

    for _ in time_execution(name="numbers")(functools.partial(numbers, 1))():
        leaf()
    assert tree(metrics) == [("leaf", "numbers", 1), ("leaf", "-", 0), ("numbers", "-", 0)]


def test_generator_that_is_over_is_nobodys_caller(measured) -> None:
    """Not even while the same function runs again, unmeasured, and another waits that began in between."""
    metrics = measured(call_tree_hook)

    @time_execution(name="numbers")
    def numbers():
        yield
        leaf()

    @time_execution(name="other")
    def other():
        yield

    first, between = numbers(), other()
    next(first)
    next(between)
    list(first)
    metrics.clear()
    list(numbers.__wrapped__())  # type: ignore[attr-defined]
    assert tree(metrics) == [("leaf", "-", 0)]
    between.close()
