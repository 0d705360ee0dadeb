"""The call tree: right under exceptions, recursion, threads and tasks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from types import SimpleNamespace

import pytest

from tests.hooks.call_trees import branch, leaf, nothing_leaks, tree  # noqa: F401 - a fixture applies by being here
from time_execution import block, time_execution
from time_execution.hooks import call_tree_hook
from time_execution.hooks.call_tree import _innermost


def test_parent_root_and_depth(measured) -> None:
    """Each call names its caller, the outermost call and its depth; the outermost has no parent."""
    metrics = measured(call_tree_hook)

    @time_execution
    def trunk():
        branch(times=2)

    trunk()
    root = metrics[-1]["name"]
    assert [(metric["name"], metric.get("parent"), metric["root"], metric["depth"]) for metric in metrics] == [
        (leaf.fqn, branch.fqn, root, 2),
        (leaf.fqn, branch.fqn, root, 2),
        (branch.fqn, root, root, 1),
        (root, None, root, 0),
    ]


def test_recursion_deepens(measured) -> None:
    """A function that calls itself is its own parent."""
    metrics = measured(call_tree_hook)

    @time_execution
    def down(steps):
        if steps:
            down(steps - 1)

    down(3)
    assert [metric["depth"] for metric in metrics] == [3, 2, 1, 0]
    assert metrics[0]["parent"] == metrics[0]["name"]


def test_exception_leaves_nothing_behind(measured) -> None:
    """After an exception at any depth the next call is a root again."""
    metrics = measured(call_tree_hook)

    @time_execution
    def fail(kind):
        leaf()
        raise kind

    @time_execution
    def outer(kind):
        fail(kind)

    for kind in (ValueError, KeyboardInterrupt, GeneratorExit):
        with pytest.raises(kind):
            outer(kind)
        assert _innermost.get() is None
    leaf()
    assert metrics[-1]["depth"] == 0
    assert "parent" not in metrics[-1]


def test_hook_that_is_dropped_leaves_nothing_behind() -> None:
    """A chain that gives up after this hook began closes it, and the context is as before."""
    waiting = call_tree_hook(func=leaf, func_args=(), func_kwargs={})
    next(waiting)
    assert _innermost.get() is not None
    waiting.close()
    assert _innermost.get() is None


def test_block_has_a_parent(measured) -> None:
    """A block is told its caller."""
    metrics = measured(call_tree_hook)

    @time_execution
    def outer():
        with block("part"):
            pass

    outer()
    with block("alone"):
        pass
    assert tree(metrics) == [("part", "outer", 1), ("outer", "-", 0), ("alone", "-", 0)]
    assert metrics[-1]["root"] == "alone"


def test_measured_thing_that_has_a_name_is_a_parent() -> None:
    """Something that is measured and no function is told by its name; without one it is passed over."""
    for thing, parent in ((SimpleNamespace(name="part"), "part"), (SimpleNamespace(), None)):
        around = call_tree_hook(func=thing, func_args=(), func_kwargs={})
        next(around)
        within = call_tree_hook(func=len, func_args=(), func_kwargs={})
        next(within)
        with pytest.raises(StopIteration) as inner:
            within.send((None, None, {}))
        with pytest.raises(StopIteration) as outer:
            around.send((None, None, {"name": "part"}))
        assert inner.value.value.get("parent") == parent
        assert outer.value.value == {"root": "part", "depth": 0}


# ---- threads and tasks ---------------------------------------------------------------------------------------------


def test_thread_begins_a_tree_of_its_own(measured) -> None:
    """A bare thread has no caller; one that runs in a copied context has."""
    metrics = measured(call_tree_hook)

    @time_execution
    def outer():
        context = contextvars.copy_context()
        for target in (leaf, lambda: context.run(leaf)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()

    outer()
    assert [(metric.get("parent") is not None, metric["depth"]) for metric in metrics] == [
        (False, 0),
        (True, 1),
        (False, 0),
    ]


def test_threads_do_not_mix(measured) -> None:
    """Threads in the midst of different functions see their own callers only."""
    metrics = measured(call_tree_hook)
    meeting = threading.Barrier(4, timeout=10)

    def work(number: int) -> None:
        @time_execution(name=f"outer{number}")
        def outer() -> None:
            inner()

        @time_execution(name=f"inner{number}")
        def inner() -> None:
            meeting.wait()

        for _ in range(20):
            outer()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(metrics) == 160
    assert {metric["depth"] for metric in metrics if metric["name"].startswith("inner")} == {1}
    assert {metric["depth"] for metric in metrics if metric["name"].startswith("outer")} == {0}


def test_tasks_do_not_mix(measured) -> None:
    """Tasks that take turns see their own callers, also through `to_thread`."""
    metrics = measured(call_tree_hook)

    @time_execution
    async def inner():
        await asyncio.sleep(0)
        await asyncio.to_thread(leaf)

    @time_execution
    async def outer_a():
        await inner()
        await asyncio.sleep(0)
        await inner()

    @time_execution
    async def outer_b():
        await asyncio.sleep(0)
        await inner()

    async def main():
        await asyncio.gather(*(make() for _ in range(5) for make in (outer_a, outer_b)))

    asyncio.run(main())
    rows = tree(metrics)
    assert rows.count(("inner", "outer_a", 1)) == 10
    assert rows.count(("inner", "outer_b", 1)) == 5
    assert rows.count(("leaf", "inner", 2)) == 15
    assert len(rows) == 40
    roots = {(metric["parent"], metric["root"]) for metric in metrics if metric["depth"] == 1}
    assert roots == {(name, name) for name in (f"{__name__}.{test_tasks_do_not_mix.__name__}.outer_{x}" for x in "ab")}


def test_task_is_called_by_who_started_it(measured) -> None:
    """A task that outlives the call that started it still names it, from its first call to its last."""
    metrics = measured(call_tree_hook)
    tasks = []

    @time_execution
    async def start():
        tasks.append(asyncio.create_task(work()))

    async def work():
        leaf()
        await asyncio.sleep(0)
        leaf()

    async def main():
        await start()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert tree(metrics) == [("start", "-", 0), ("leaf", "start", 1), ("leaf", "start", 1)]


def test_cancelled_task_leaves_its_siblings_alone(measured) -> None:
    """Cancelling in the midst of a call ends that call's place in the tree, and no other's."""
    metrics = measured(call_tree_hook)

    async def main():
        begun = asyncio.Event()

        @time_execution
        async def wait():
            begun.set()
            await asyncio.Event().wait()

        @time_execution
        async def outer():
            task = asyncio.create_task(wait())
            await begun.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            leaf()

        await outer()

    asyncio.run(main())
    assert tree(metrics) == [("wait", "outer", 1), ("leaf", "outer", 1), ("outer", "-", 0)]


# ---- series that are not called what their functions are -----------------------------------------------------------


def test_parent_and_root_are_series(measured) -> None:
    """A parent joins with its own series, whatever that is called: by name, by class, by task, by block."""
    metrics = measured(call_tree_hook)

    @time_execution(name="shop.leaf")
    def renamed_leaf():
        pass

    @time_execution(name="shop.cart")
    class Cart:
        def __init__(self):
            renamed_leaf()

    @time_execution(get_fqn=lambda func: f"jobs.{func.__name__}")
    async def work():
        with block("part"):
            Cart()

    asyncio.run(work())
    rows = [(metric["name"], metric.get("parent"), metric["root"], metric["depth"]) for metric in metrics]
    assert rows == [
        ("shop.leaf", "shop.cart", "jobs.work", 3),
        ("shop.cart", "part", "jobs.work", 2),
        ("part", "jobs.work", "jobs.work", 1),
        ("jobs.work", None, "jobs.work", 0),
    ]


def test_one_function_under_two_series_is_two_parents(measured) -> None:
    """The same function decorated twice is told apart by the series that was called."""
    metrics = measured(call_tree_hook)

    def calls_leaf():
        leaf()

    for name in ("first", "second"):
        time_execution(name=name)(calls_leaf)()
    assert [metric["parent"] for metric in metrics if metric["depth"] == 1] == ["first", "second"]
