"""Many roots at once, in threads and tasks: no tree takes in what belongs to another, and no record is lost."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from time_execution.profiler import Profiler, metrics
from time_execution.profiler.tree import MethodTreeNode, running

_DEADLINE = 30
HERE = "test_profiler_concurrency"


def test_hundreds_of_roots_in_threads_never_mix(own, collector):
    """Each of them is handed over whole: its own children, under its own name, and nothing else."""
    barrier = threading.Barrier(8)
    number_of = metrics.Histogram("number", "tests", "n", labels=["thread"])
    own.add_metric(number_of)

    def make(name):
        def root(thread):
            for turn in range(5):
                child(thread, turn)

        def child(thread, turn):
            number_of.observe(turn, {"thread": thread})

        root.__qualname__, child.__qualname__ = f"Owner{name}.root", f"Owner{name}.child"
        child = own.profile(child)
        return own.profile(root)

    roots = [make(name) for name in range(8)]

    def run(thread):
        barrier.wait(_DEADLINE)
        for _ in range(50):
            roots[thread](str(thread))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    assert len(collector.handed) == 8 * 50 * 2
    for name, records in collector.handed:
        owner = records[0]["item"]
        assert {record["item"] for record in records} == {owner}
        assert Counter(record["method"] for record in records) == (
            {f"{owner}:root.child": 5, f"{owner}:root": 1} if name == "time_profiler" else {f"{owner}:root.child": 5}
        )
        if name == "number":
            assert [record["value"][1] for record in records] == [0, 1, 2, 3, 4]
            assert {record["labels"]["thread"] for record in records} == {owner.removeprefix("Owner")}


def test_hundreds_of_roots_in_tasks_never_mix(own, collector):
    """Tasks that take turns at every step keep to their own trees."""
    label = metrics.Counter("steps", "tests", "n", labels=["root"])
    own.add_metric(label)

    @own.profile
    async def child(root):
        await asyncio.sleep(0)
        label.inc(1, {"root": root})
        await asyncio.sleep(0)

    @own.profile
    async def root(number):
        await child(str(number))
        await asyncio.gather(child(str(number)), child(str(number)))

    async def main():
        await asyncio.gather(*(root(number) for number in range(300)))

    asyncio.run(main())
    steps = [records for name, records in collector.handed if name == "steps"]
    times = [records for name, records in collector.handed if name == "time_profiler"]
    assert len(steps) == len(times) == 300
    assert sorted(int(records[0]["labels"]["root"]) for records in steps) == list(range(300))
    assert all(len({record["labels"]["root"] for record in records}) == 1 for records in steps)
    assert all([record["method"] for record in records] == [f"{HERE}:root.child"] * 3 for records in steps)
    assert all(len(records) == 4 for records in times)


def test_a_task_started_inside_a_root_is_its_child(own, collector):
    """It is recorded with the root as long as that runs."""

    @own.profile
    async def child():
        await asyncio.sleep(0)

    @own.profile
    async def root():
        await asyncio.create_task(child())

    asyncio.run(root())
    ((_, records),) = collector.handed
    assert [record["method"] for record in records] == [f"{HERE}:root.child", f"{HERE}:root"]


def test_a_child_that_outlives_its_root_is_handled_at_its_own_end(own, collector):
    """Nothing of it is lost, whether it began before its root ended or after."""
    held = asyncio.Event()
    count = metrics.Counter("count", "tests", "n")
    own.add_metric(count)

    @own.profile
    def leaf():
        count.inc()

    @own.profile
    async def child():
        await held.wait()
        leaf()

    @own.profile
    async def root(tasks):
        tasks.append(asyncio.create_task(child()))
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(child()))

    async def main():
        tasks = []
        await root(tasks)
        assert collector.methods == [f"{HERE}:root"]
        held.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    child_ = f"{HERE}:root.child"
    assert Counter(collector.methods) == {f"{HERE}:root": 1, f"{child_}.leaf": 4, child_: 2}
    assert sum(len(records) for name, records in collector.handed if name == "count") == 2


def test_a_metric_used_after_the_root_is_handled_at_once(own, collector):
    """In a task that no profiled call runs in any more."""
    count = metrics.Counter("count", "tests", "n")
    own.add_metric(count)

    @own.profile
    def root():
        return contextvars.copy_context()

    root().run(count.inc)
    name, (record,) = collector.handed[-1]
    assert (name, record["method"]) == ("count", f"{HERE}:root")


def test_a_call_that_has_itself_called_again_keeps_its_context_short(own, collector):
    """A function that schedules itself for ever would otherwise have an ever longer name."""
    turns = 0

    @own.profile
    def nested():
        asyncio.get_running_loop().call_soon(poll)

    @own.profile
    def poll():
        nonlocal turns
        turns += 1
        if turns < 100:
            nested()
        else:
            done.set()

    async def main():
        poll()
        await done.wait()

    done = asyncio.Event()
    asyncio.run(main())
    assert len(collector.records) == 100 + 99
    assert max(map(len, collector.methods)) < len(f"{HERE}:poll.nested.poll.nested.poll.nested")


def test_a_call_that_has_itself_called_again_keeps_no_call_before_it(own):
    """However often it does so, what is known of ended calls does not grow."""
    living = []

    @own.profile
    def tick(turn):
        if turn % 100 == 0:
            gc.collect()
            living.append(sum(type(each) is MethodTreeNode for each in gc.get_objects()))
        loop = asyncio.get_running_loop()
        loop.call_soon(*((tick, turn - 1) if turn else (ended.set,)))

    async def main():
        asyncio.get_running_loop().call_soon(tick, 300)
        await asyncio.wait_for(ended.wait(), _DEADLINE)

    ended = asyncio.Event()
    asyncio.run(main())
    assert len(living) == 4
    assert living[-1] <= living[0] + 2


def test_callbacks_that_are_set_at_once_all_stay(own):
    """None is lost to another that is set in another thread."""
    names = ("before_root_func", "before_func", "after_func", "after_root_func")
    barrier = threading.Barrier(len(names))

    class Given(dict[str, Any]):
        """Callbacks, while which are read others are set."""

        def keys(self):
            found = super().keys()
            time.sleep(0.02)
            return found

        __iter__ = None

    own.callbacks = Given()

    def put(name):
        barrier.wait(_DEADLINE)
        setattr(own, name, lambda *_: None)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(put, names))
    assert set(own.callbacks) == set(names)


def test_a_metric_of_two_profilers_belongs_to_the_last(own, collector):
    """Deleted from the first, it is recorded by the second all the same."""
    second = Profiler()
    second.config(job="second")
    second.add_handler(collector)
    count = metrics.Counter("count", "tests", "n")
    own.add_metric(count)
    second.add_metric(count)
    own.delete_metric("count")
    count.inc()
    assert [name for name, _ in collector.handed] == ["count"]


def test_threads_in_a_copied_context_add_to_the_tree(own, collector):
    """As `asyncio.to_thread` does it; the records of many at once arrive complete."""

    @own.profile
    def leaf(barrier):
        barrier.wait(_DEADLINE)

    @own.profile
    async def root():
        barrier = threading.Barrier(4)
        await asyncio.gather(*(asyncio.to_thread(leaf, barrier) for _ in range(4)))

    for _ in range(20):
        asyncio.run(root())
    assert Counter(collector.methods) == {f"{HERE}:root.leaf": 80, f"{HERE}:root": 20}
    assert len(collector.handed) == 20


def test_threads_that_outlive_the_root_lose_nothing(own, collector):
    """Whether a record comes before, while or after the root hands over, it is handed over once."""
    go = threading.Event()

    @own.profile
    def leaf():
        pass

    def work():
        go.wait(_DEADLINE)
        for _ in range(200):
            leaf()

    @own.profile
    def root():
        threads = [threading.Thread(target=contextvars.copy_context().run, args=(work,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        go.set()
        return threads

    for thread in root():
        thread.join(_DEADLINE)
    assert Counter(collector.methods) == {f"{HERE}:root.leaf": 1200, f"{HERE}:root": 1}


def test_two_profilers_keep_their_own_trees(own, collector):
    """A call of one inside a call of the other is a root of its own, and the first goes on where it was."""
    other, seen = Profiler(), type(collector)("other")
    other.config(job="other")
    other.add_handler(seen)

    @own.profile
    def innermost():
        pass

    @other.profile
    def between():
        innermost()

    @own.profile
    def outermost():
        between()
        innermost()

    outermost()
    assert seen.methods == [f"{HERE}:between"]
    assert collector.methods == [f"{HERE}:outermost.innermost"] * 2 + [f"{HERE}:outermost"]


def test_a_coroutine_that_is_closed_elsewhere_leaves_no_call_behind(own, collector):
    """Ended in another context than it began in, it does not stay the innermost call of either."""

    @own.profile
    async def waits():
        await asyncio.Event().wait()

    coroutine = waits()
    contextvars.copy_context().run(lambda: asyncio.run(_step(coroutine)))
    coroutine.close()
    assert running.get() is None
    assert collector.methods == [f"{HERE}:waits"]


async def _step(coroutine):
    coroutine.send(None)


TREES = st.recursive(st.just(()), lambda children: st.lists(children, max_size=4).map(tuple), max_leaves=30)


@given(st.lists(TREES, min_size=1, max_size=4))
def test_contexts_are_the_paths_of_the_tree(trees):
    """Whatever calls what, in concurrent tasks, each call's context is its path, and each root comes with its tree."""
    profiler = Profiler()
    profiler.config(job="tests")
    handed = []

    class Handler:
        handler_name = "h"

        def handle(self, records, profiler_name):
            handed.append([record["method"] for record in records])

    profiler.add_handler(Handler())

    def call_of(number):
        async def step(tree):
            await asyncio.sleep(0)
            for branch in tree:
                await step(branch)

        step.__name__, step.__qualname__ = f"step{number}", f"Owner.step{number}"
        step = profiler.profile(step)
        return step

    def paths(tree, path, name):
        below = [found for branch in tree for found in paths(branch, f"{path}.{name}", name)]
        return [*below, path]

    async def main():
        await asyncio.gather(*(call_of(number)(tree) for number, tree in enumerate(trees)))

    asyncio.run(main())
    expected = [paths(tree, f"Owner:step{number}", f"step{number}") for number, tree in enumerate(trees)]
    assert sorted(handed) == sorted(expected)
