"""What a decorated call costs, in each of the ways that a call can take, and that this does not grow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.bench.floor import floor, floor_async, floor_generator, noop, noop_async, noop_generator
from tests.bench.measure import Pair, Table, Window, awaiting, calling, compare
from time_execution import settings, time_execution, write_metric
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.threaded import ThreadedBackend

BURST = 1000
WINDOW = 300
_BACKLOG = 5000


class NullWriter(BaseMetricsBackend):
    """Has a plain ``write``, and forgets what it is handed."""

    def write(self, name, **data):
        pass


class NullBatches(BaseMetricsBackend):
    """Takes batches, and forgets them."""

    def write_many(self, metrics):
        return None


def observing_hook(*, response, exception, metric, func, func_args, func_kwargs):
    """Look, and add nothing."""
    return


def adding_hook(**_):
    """Add a field, being called with all of what a hook gets in one dict."""
    return {"answer": 42}


class Case(NamedTuple):
    """One way that a call can take.

    Attributes:
        label: Names it in the table.
        window: Calls what is measured.
        floor: Calls what it is held against.
        goal: The most that the ratio should be; None where none was set.
        queued: The queues that metrics go to, each of which must have had and lost none.
        calls: The calls of a window.
        steady: Let the worker keep up by pausing between windows, instead of waiting until the queue is empty.
    """

    label: str
    window: Window
    floor: Window
    goal: float | None = None
    queued: tuple[ThreadedBackend, ...] = ()
    calls: int = WINDOW
    steady: bool = False


def run(case: Case, repeats: int) -> Pair:
    """Measure a case.

    Raises:
        RuntimeError: When a metric was lost on the way.
    """
    pair = compare(
        case.floor, case.window, calls=case.calls, repeats=repeats * WINDOW // case.calls, between=lambda: _pause(case)
    )
    for backend in case.queued:
        backend.flush()
        found = backend.stats()
        if found["delivered"] != found["offered"] or not found["delivered"]:
            raise RuntimeError(f"{case.label}: {found['offered']} metrics offered, {found['delivered']} delivered")
    return pair


def _pause(case: Case) -> None:
    for backend in case.queued:
        if not case.steady:
            backend.flush()
        while backend.stats()["queued"] > _BACKLOG:
            time.sleep(0.001)
    if case.steady:
        time.sleep(0.001)


def queues(count: int = 1) -> tuple[ThreadedBackend, ...]:
    """Put so many queues in force, with their defaults, and return them."""
    found = tuple(ThreadedBackend(NullBatches()) for _ in range(count))
    settings.configure(backends=found, hooks=())
    return found


def _direct(backend: Any, *hooks: Callable[..., Any]) -> None:
    settings.configure(backends=(backend,), hooks=hooks)


# ---- the cases: each configures what it needs, when it is made ------------------------------------------------------


def bare() -> Case:
    return Case("not decorated", calling(noop), calling(floor(noop)))


def no_backend() -> Case:
    settings.configure(backends=(), hooks=())
    return Case("no backend", calling(time_execution(noop)), calling(floor(noop)))


def disabled() -> Case:
    settings.configure(backends=(NullWriter(),), hooks=(), enabled=False)
    return Case("switched off", calling(time_execution(noop)), calling(floor(noop)))


def threaded_burst() -> Case:
    queued = queues()
    window = calling(time_execution(noop))
    return Case("threaded, bursts", window, calling(floor(noop)), goal=1.0, queued=queued, calls=BURST)


def threaded_steady() -> Case:
    queued, clock = queues(), time.thread_time_ns
    window, base = calling(time_execution(noop), clock), calling(floor(noop), clock)
    return Case("threaded, steady flow, CPU", window, base, goal=1.0, queued=queued, steady=True)


def threaded_async_burst() -> Case:
    queued = queues()
    window, base = awaiting(time_execution(noop_async)), awaiting(floor_async(noop_async))
    return Case("threaded, async, bursts", window, base, goal=1.0, queued=queued, calls=BURST)


def threaded_async_steady() -> Case:
    queued, clock = queues(), time.thread_time_ns
    window = awaiting(time_execution(noop_async), clock)
    base = awaiting(floor_async(noop_async), clock)
    return Case("threaded, async, steady flow, CPU", window, base, goal=1.0, queued=queued, steady=True)


def threaded_generator() -> Case:
    queued = queues()
    measured, base = time_execution(noop_generator), floor_generator(noop_generator)
    window = calling(lambda: [*measured()])
    return Case("threaded, generator of one item", window, calling(lambda: [*base()]), queued=queued)


def threaded_twice() -> Case:
    queued = queues(2)
    return Case("two threaded backends", calling(time_execution(noop)), calling(floor(noop)), queued=queued)


def threaded_block() -> Case:
    queued, base = queues(), floor(noop)

    def measured() -> None:
        with time_execution.block("bench.block"):
            pass

    return Case("threaded, block()", calling(measured), calling(base), queued=queued)


def threaded_write_metric() -> Case:
    queued = queues()
    window = calling(lambda: write_metric("bench.value", value=1.5))
    return Case("threaded, write_metric()", window, calling(floor(noop)), queued=queued)


def direct_writer() -> Case:
    _direct(NullWriter())
    return Case("direct, write()", calling(time_execution(noop)), calling(floor(noop)))


def direct_batches() -> Case:
    _direct(NullBatches())
    return Case("direct, write_many()", calling(time_execution(noop)), calling(floor(noop)))


def hook_observing() -> Case:
    _direct(NullWriter(), observing_hook)
    window = calling(time_execution(noop))
    return Case("one hook, direct write()", window, calling(floor(noop)), goal=3.0)


def hook_adding() -> Case:
    _direct(NullWriter(), adding_hook)
    return Case("one hook that adds, direct write()", calling(time_execution(noop)), calling(floor(noop)))


def hook_threaded() -> Case:
    queued = queues()
    settings.configure(hooks=(observing_hook,))
    return Case("one hook, threaded", calling(time_execution(noop)), calling(floor(noop)), queued=queued)


def hook_async() -> Case:
    _direct(NullWriter(), observing_hook)
    window, base = awaiting(time_execution(noop_async)), awaiting(floor_async(noop_async))
    return Case("one hook, direct write(), async", window, base, goal=3.0)


CASES = (
    bare,
    no_backend,
    disabled,
    threaded_burst,
    threaded_steady,
    threaded_async_burst,
    threaded_async_steady,
    threaded_generator,
    threaded_block,
    threaded_write_metric,
    threaded_twice,
    hook_threaded,
    direct_writer,
    direct_batches,
    hook_observing,
    hook_adding,
    hook_async,
)


def override(repeats: int) -> Pair:
    """Measure a call inside ``with settings(...)``."""
    case = threaded_burst()
    with settings(origin="bench"):
        return run(case, repeats)


def calls_table(repeats: int) -> Table:
    """Measure every case."""
    table = Table("calls", "A call", "floor, ns", "call, ns", "ratio", "median", "goal")
    for make in CASES:
        case = make()
        _add(table, case.label, run(case, repeats), case.goal)
        settings.reset()
    _add(table, "threaded, inside with settings(...)", override(repeats), None)
    settings.reset()
    return table


def _add(table: Table, label: str, pair: Pair, goal: float | None) -> None:
    figures = (f"{pair.floor:.0f}", f"{pair.cost:.0f}", f"{pair.ratio:.2f}", f"{pair.median:.2f}")
    table.add(label, *figures, "" if goal is None else f"{goal:.1f}")


# ---- that it does not grow ------------------------------------------------------------------------------------------


class Growth(NamedTuple):
    """The ratio to the floor of a call into a queue: at first, after many settings changes, among many functions."""

    at_first: float
    after_changes: float
    among_functions: float


def growth(repeats: int, *, changes: int, functions: int) -> Growth:
    """Measure one function again after so many calls of `settings.configure` and among so many decorated functions."""
    case = threaded_burst()
    found = [run(case, repeats).ratio for _ in grow(case, changes=changes, functions=functions)]
    settings.reset()
    return Growth(*found)


def grow(case: Case, *, changes: int, functions: int) -> Iterator[None]:
    """Yield at first, after so many calls of `settings.configure`, and among so many functions that were called."""
    settings.configure(origin="origin")  # from the start, since one field more is more work
    yield
    for number in range(changes):
        settings.configure(origin=f"origin-{number % 7}")
    yield
    kept = [time_execution(_another(number)) for number in range(functions)]
    for number, function in enumerate(kept):
        function()
        if number % BURST == 0:
            _pause(case)
    yield


def _another(number: int) -> Callable[[], int]:
    def function() -> int:
        return number

    function.__qualname__ = f"function_{number}"
    return function


def growth_table(repeats: int, *, changes: int = 10_000, functions: int = 20_000) -> Table:
    """Measure growth, and put it beside what was at first."""
    found = growth(repeats, changes=changes, functions=functions)
    table = Table("growth", "A call into a queue", "ratio to the floor", "to the first", "goal")
    table.add("at first", f"{found.at_first:.2f}", "1.00", "")
    for label, ratio in (
        (f"after {changes:,} settings.configure()", found.after_changes),
        (f"and among {functions:,} decorated functions", found.among_functions),
    ):
        table.add(label, f"{ratio:.2f}", f"{ratio / found.at_first:.2f}", "1.25")
    return table
