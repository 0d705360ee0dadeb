"""The call tree: right under exceptions, recursion, threads, tasks and generators that end in any order."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from types import SimpleNamespace

import pytest

from time_execution import block, time_execution
from time_execution.hooks import call_tree_hook
from time_execution.hooks.call_tree import _innermost

HERE = f"{__name__}."


@pytest.fixture(autouse=True)
def nothing_leaks():
    """No test leaves a call behind in the context it ran in."""
    assert _innermost.get() is None
    yield
    assert _innermost.get() is None


@time_execution
def leaf() -> None:
    pass


@time_execution
def branch(*, times: int = 1) -> None:
    for _ in range(times):
        leaf()


def tree(metrics) -> list[tuple[str, str | None, int]]:
    """Name, parent and depth of each metric, names shortened to their last part."""
    return [
        (metric["name"].rpartition(".")[2], metric.get("parent", "-").rpartition(".")[2] or None, metric["depth"])
        for metric in metrics
    ]


def test_parent_root_and_depth(measured) -> None:
    """Each call names its caller, the outermost call and its depth; the outermost has no parent."""
    metrics = measured(call_tree_hook)

    @time_execution
    def trunk():
        branch(times=2)

    trunk()
    root = metrics[-1]["name"]
    assert [(metric["name"], metric.get("parent"), metric["root"], metric["depth"]) for metric in metrics] == [
        (f"{HERE}leaf", f"{HERE}branch", root, 2),
        (f"{HERE}leaf", f"{HERE}branch", root, 2),
        (f"{HERE}branch", root, root, 1),
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
    assert roots == {(name, name) for name in (f"{HERE}{test_tasks_do_not_mix.__name__}.outer_{x}" for x in "ab")}


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


# ---- generators ----------------------------------------------------------------------------------------------------


@time_execution
def numbers(count: int = 2):
    for number in range(count):
        leaf()
        yield number


def test_generator_is_the_caller_of_its_own_calls_only(measured) -> None:
    """What the consumer calls between two items is the consumer's."""
    metrics = measured(call_tree_hook)

    @time_execution
    def consume():
        for _ in numbers():
            branch()

    consume()
    assert tree(metrics) == [
        ("leaf", "numbers", 2),
        ("leaf", "branch", 2),
        ("branch", "consume", 1),
        ("leaf", "numbers", 2),
        ("leaf", "branch", 2),
        ("branch", "consume", 1),
        ("numbers", "consume", 1),
        ("consume", "-", 0),
    ]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_generators_may_end_in_any_order(measured, order) -> None:
    """Interleaved generators keep their own calls and leave nothing behind, in whatever order they end."""
    metrics = measured(call_tree_hook)
    running = [numbers(3) for _ in range(3)]
    for generator in running:
        next(generator)
    for generator in reversed(running):
        next(generator)
    leaf()
    for index in order:
        running[index].close()
    assert _innermost.get() is None
    leaf()
    assert tree(metrics)[:6] == [("leaf", "numbers", 1)] * 6
    assert tree(metrics)[6:] == [("leaf", "-", 0), *[("numbers", "-", 0)] * 3, ("leaf", "-", 0)]


def test_generator_that_ends_in_another_thread_leaves_no_parent_behind(measured) -> None:
    """Closed elsewhere, it is neither a parent here nor kept alive by ever longer chains."""
    metrics = measured(call_tree_hook)

    def run() -> None:
        for _ in range(50):
            generator = numbers()
            next(generator)
            closing = threading.Thread(target=generator.close)
            closing.start()
            closing.join()
        call = _innermost.get()
        length = 0
        while call is not None:
            call, length = call.previous, length + 1
        assert length <= 1
        leaf()

    contextvars.copy_context().run(run)
    assert tree(metrics)[-1] == ("leaf", "-", 0)


def test_abandoned_generator_leaves_nothing_behind(measured) -> None:
    """A generator that is never finished is closed by the collector."""
    metrics = measured(call_tree_hook)
    generator = numbers()
    next(generator)
    del generator
    gc.collect()
    assert _innermost.get() is None
    assert tree(metrics) == [("leaf", "numbers", 1), ("numbers", "-", 0)]


def test_async_generator_is_the_caller_of_its_own_calls_only(measured) -> None:
    """The same holds for asynchronous generators, across awaits."""
    metrics = measured(call_tree_hook)

    @time_execution
    async def fetch():
        await asyncio.sleep(0)

    @time_execution
    async def pages():
        for number in range(2):
            await fetch()
            yield number

    @time_execution
    async def consume():
        async for _ in pages():
            await asyncio.sleep(0)
            leaf()

    asyncio.run(consume())
    assert tree(metrics) == [
        ("fetch", "pages", 2),
        ("leaf", "consume", 1),
        ("fetch", "pages", 2),
        ("leaf", "consume", 1),
        ("pages", "consume", 1),
        ("consume", "-", 0),
    ]
