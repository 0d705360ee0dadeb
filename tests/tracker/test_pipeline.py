"""What backends and hooks hear of tracked calls, and when they hear nothing."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timezone

import pytest

from tests.tracker.lines import tracking
from time_execution import settings, stats
from time_execution.backends.memory import MemoryBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.testing import capture_metrics


def program():
    """Return an entry point with a part, a timer and notes, and its lines."""
    tracker, lines = tracking()

    @tracker.track
    def part():
        return 1

    @tracker("shop.main")
    def main():
        with tracker.timer("shop.block"):
            part()
        tracker.set_identifier("request_id", "r-1")
        tracker.set_metric("shop.rows", 17)
        tracker.set_metric("shop.load", 0.5)
        tracker.set_metric("shop.full", True)
        tracker.set_metric("shop.error", "KeyError")
        tracker.set_metric("shop.none", float("nan"))
        return 5

    return main, part, lines


@pytest.mark.parametrize("queued", [False, True])
def test_every_latency_and_number_is_a_metric(queued):
    """Each timed name has its metric, and each number one of its own, with the identifiers; the line is written too."""
    main, part, lines = program()
    memory = MemoryBackend()
    backend = ThreadedBackend(memory) if queued else memory
    with settings(backends=[backend], origin="shop", hostname="web-1"):
        assert main() == 5
    backend.flush()
    assert memory.names == [part.fqn, "shop.block", "shop.main", "shop.rows", "shop.load", "shop.full"]
    assert [metric.kind for metric in memory.metrics] == ["timing"] * 3 + ["value"] * 3
    timings, numbers = memory.metrics[:3], memory.metrics[3:]
    latencies = lines.one["latencies"].values()
    assert [int(timing["value"] * 1000) / 1000 for timing in timings] == pytest.approx(list(latencies), abs=0.0011)
    assert [number["value"] for number in numbers] == [17, 0.5, 1]
    assert timings[2]["request_id"] == "r-1"
    assert timings[2]["shop.error"] == "KeyError"
    assert "request_id" not in timings[0]
    for metric in memory.metrics:
        assert (metric["hostname"], metric["origin"]) == ("web-1", "shop")
    for number in numbers:
        assert set(number) == {"name", "value", "hostname", "origin", "timestamp", "request_id"}
    if not queued:
        age = datetime.now(timezone.utc) - numbers[0]["timestamp"]
        assert 0 <= age.total_seconds() < 60
    if queued:
        backend.close()


def test_series_are_the_given_names_or_the_qualified_ones():
    """A function without a given name has the series that `time_execution` would give it, and says so."""
    main, part, _ = program()
    assert main.fqn == "shop.main"
    assert part.fqn == f"{__name__}.program.part"
    assert part.get_fqn() == part.fqn


def test_notes_called_as_core_fields_get_an_underscore():
    """No identifier takes the place of a field that every metric has, whatever that is called."""
    tracker, lines = tracking()

    @tracker("main")
    def main():
        for name in ("name", "value", "hostname", "timestamp", "origin", "ms", "name_", "own"):
            tracker.set_identifier(name, "mine")
        tracker.set_metric("number", 1)

    with capture_metrics(duration_field="ms") as captured:
        main()
    timing, number = captured
    assert (timing["name"], number["name"], number["value"]) == ("main", "number", 1)
    for metric in (timing, number):
        for field in ("name__", "name_", "value_", "hostname_", "timestamp_", "origin_", "ms_", "own"):
            assert metric[field] == "mine"
        assert isinstance(metric["timestamp"], datetime)
    assert timing["ms"] >= 0
    assert lines.one["name"] == "mine"


def test_hooks_run_around_every_tracked_call():
    """Plain, generator and asynchronous hooks see functions, timers and their outcomes, as for measured functions."""
    tracker, _ = tracking()
    error, seen = ValueError("no"), []

    def plain(*, response, exception, metric, func, func_args, func_kwargs):
        seen.append((metric["name"], response, exception, func_args, func_kwargs))
        return {"plain": True}

    def around(func, func_args, func_kwargs):
        yield
        return {"around": True}

    async def awaited(**_):
        await asyncio.sleep(0)
        return {"awaited": True}

    @tracker.track("part")
    async def part(a, *, fails):
        if fails:
            raise error
        return a

    @tracker("main")
    async def main(fails):
        async with tracker.timer("block"):
            return await part(5, fails=fails)

    with capture_metrics(hooks=[plain, around, awaited]) as captured:
        assert asyncio.run(main(False)) == 5
        with pytest.raises(ValueError, match="no") as caught:
            asyncio.run(main(True))
    assert caught.value is error
    assert error.__context__ is None
    assert seen[:3] == [
        ("part", 5, None, (5,), {"fails": False}), ("block", None, None, (), {}), ("main", 5, None, (False,), {}),
    ]  # fmt: skip
    assert [found[2] for found in seen[3:]] == [error] * 3
    assert all(metric["plain"] and metric["around"] and metric["awaited"] for metric in captured)


def test_hooks_and_backends_that_fail_reach_nobody():
    """Neither the call nor its line suffers from a hook or a backend that raises; both are counted."""
    main, _, lines = program()

    class Broken:
        def write(self, name, **data):
            raise RuntimeError("backend")

    def broken(**_):
        raise LookupError("hook")

    with settings(backends=[Broken()], hooks=[broken]):
        assert main() == 5
    assert len(lines) == 1
    assert stats()["errors"]["hook"] == {
        "test_hooks_and_backends_that_fail_reach_nobody.<locals>.broken: LookupError": 3
    }
    (found,) = stats()["errors"]["backend"].values()
    assert found == 6


def test_the_line_is_written_whatever_the_settings_leave_out():
    """Kill switch, filters and sampling are for backends; the line is not theirs."""
    main, _part, lines = program()
    for changes, expected in (
        ({"enabled": False}, []),
        ({"exclude": ["shop.*", "*part"]}, []),
        ({"include": ["shop.block"]}, ["shop.block"]),
        ({"sample_rate": 0.0}, ["shop.rows", "shop.load", "shop.full"]),
    ):
        with capture_metrics(**changes) as captured:
            assert main() == 5
            assert main() == 5
        assert captured.names == expected * 2
    assert len(lines) == 8
    assert all(len(line["latencies"]) == 3 for line in lines.read)


def test_settings_that_change_between_calls_hold_for_the_next_one():
    """Each call asks what is in force: nothing configured, a backend, another one, none."""
    main, _, lines = program()
    first, second = MemoryBackend(), MemoryBackend()
    main()
    for backends in ([first], [second], []):
        settings.configure(backends=backends)
        main()
    with settings(backends=[first]):
        main()
    assert [len(store.metrics) for store in (first, second)] == [12, 6]
    assert len(lines) == 5


def test_parts_outside_of_an_entry_point_are_metrics_all_the_same():
    """The warning is about the line; what was measured goes where it is configured to go."""
    _main, part, _ = program()
    tracker, _ = tracking()

    def use():
        assert part() == 1
        with tracker.timer("block"):
            pass
        tracker.set_timer("elsewhere", 12.5)
        tracker.set_metric("number", 1)

    with capture_metrics() as captured, pytest.warns(RuntimeWarning, match="outside"):
        use()
    assert captured.names == [part.fqn, "block", "elsewhere"]
    assert captured.one("elsewhere")["value"] == 12.5


def test_latencies_that_were_measured_elsewhere_are_metrics():
    """`set_timer` hands the backends the duration that it was given."""
    tracker, lines = tracking()

    @tracker("main")
    def main():
        tracker.set_timer("elsewhere", 12.5)

    memory = MemoryBackend()
    backend = ThreadedBackend(memory)
    with settings(backends=[backend]):
        main()
    backend.close()
    assert memory.names == ["elsewhere", "main"]
    assert memory.metrics[0]["value"] == 12.5
    assert lines.one["latencies"]["elsewhere"] == 12.5


def test_every_kind_of_callable_is_measured_once():
    """Generators of both kinds, coroutines, tasks and timers have one metric a call, with their errors."""
    tracker, lines = tracking()

    @tracker("generator")
    def generator():
        yield 1

    @tracker("async generator")
    async def async_generator():
        yield 1

    @tracker("coroutine")
    async def coroutine():
        return [item async for item in async_generator()]

    @tracker("failing")
    def failing():
        raise KeyError("x")

    with capture_metrics(hooks=["time_execution.hooks.exception_hook"]) as captured:
        assert list(generator()) == [1]
        generator_left = generator()
        next(generator_left)
        generator_left.close()
        assert asyncio.run(coroutine()) == [1]
        with contextlib.suppress(KeyError):
            failing()
    assert captured.names == ["generator", "generator", "async generator", "coroutine", "failing"]
    assert [metric.get("error_type") for metric in captured] == [None] * 4 + ["KeyError"]
    assert len(lines) == 5


def test_a_hook_that_calls_a_tracked_function_does_not_start_over():
    """Such a call has a line, no metric, and is counted, as other measured calls in hooks are."""
    tracker, lines = tracking()
    inner = tracker("inner")(lambda: None)
    main = tracker("main")(lambda: None)

    def hook(**_):
        inner()

    with capture_metrics(hooks=[hook]) as captured:
        main()
    assert captured.names == ["main"]
    assert stats()["errors"]["hook"] == {"inner: reentrant": 1}
    assert len(lines) == 2
