"""`Timer` and `ErrorCatcher` on one function share the id of a call, and with nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import threading
from collections import Counter

import pytest

from time_execution import settings
from time_execution.timer import call_id


def fail(n=0):
    raise ValueError(n)


def through(func):
    """Another library's decorator."""

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        return func(*args, **kwargs)

    return wrapper


def call(function, *args):
    with contextlib.suppress(ValueError):
        function(*args)


def ids(records):
    return [record["call_id"] for record in records]


ORDERS = {
    "catcher above": lambda catcher, timer: lambda func: catcher(timer(func)),
    "timer above": lambda catcher, timer: lambda func: timer(catcher(func)),
    "another between": lambda catcher, timer: lambda func: catcher(through(timer(func))),
    "another between, timer above": lambda catcher, timer: lambda func: timer(through(catcher(func))),
    "others around": lambda catcher, timer: lambda func: through(catcher(through(timer(through(func))))),
}


@pytest.fixture(params=ORDERS)
def both(written, request):
    """Decorate with both, in each order."""
    return ORDERS[request.param](written.catcher(), written.timer(results_format=None))


def test_both_records_of_a_call_have_one_id(written, both):
    """Whichever is above, and whatever is between, the two records of one call belong together."""
    failing = both(fail)
    for number in range(20):
        call(failing, number)
    timings, errors = written.timings(), written.errors()
    assert len(set(ids(timings))) == 20
    assert ids(timings) == ids(errors)
    assert [record["arguments"] for record in timings] == [record["arguments"] for record in errors]
    assert call_id._handed_over.get() is None


def test_each_level_of_a_recursion_has_an_id_of_its_own(written, both):
    """A function that calls itself is measured at each level, and no two levels share an id."""

    def down(n):
        if n == 0:
            raise ValueError
        down_measured(n - 1)

    down_measured = both(down)
    call(down_measured, 10)
    timings, errors = written.timings(), written.errors()
    assert len(set(ids(timings))) == 11
    assert ids(timings) == ids(errors)


def test_threads_do_not_share_ids(written, both):
    """Calls in many threads at once have ids of their own, each shared by the two records of the call."""
    failing, together = both(fail), threading.Barrier(8)

    def work(number):
        together.wait(20)
        for step in range(100):
            call(failing, number * 1000 + step)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    timings = {record["call_id"]: record["arguments"] for record in written.timings()}
    errors = {record["call_id"]: record["arguments"] for record in written.errors()}
    assert len(timings) == 800
    assert timings == errors


async def work_in_turns(measured, n):
    await asyncio.sleep(0.001 * (n % 5))
    if n % 7 == 0:
        await asyncio.gather(measured(n * 10_000 + 1), return_exceptions=True)
    raise ValueError(n)


def run_in_tasks(decorate):
    async def work(n):
        await work_in_turns(measured, n)

    async def main():
        await asyncio.gather(*map(measured, range(1, 301)), return_exceptions=True)

    measured = decorate(work)
    asyncio.run(main())


@pytest.mark.parametrize("order", ["catcher above", "timer above"])
def test_tasks_share_the_id_of_their_own_call(written, order):
    """The same for hundreds of tasks that interleave."""
    run_in_tasks(ORDERS[order](written.catcher(), written.timer(results_format=None)))
    timings = {record["call_id"]: record["arguments"] for record in written.timings()}
    assert len(timings) == 300 + 300 // 7
    assert timings == {record["call_id"]: record["arguments"] for record in written.errors()}


@pytest.mark.parametrize("order", ["another between", "another between, timer above", "others around"])
def test_tasks_made_by_a_plain_function_have_ids_of_their_own(written, order):
    """What a plain function makes may be awaited anywhere: no id is shared then, least of all with another call."""
    run_in_tasks(ORDERS[order](written.catcher(), written.timer(results_format=None)))
    timings, errors = ids(written.timings()), ids(written.errors())
    assert len({*timings, *errors}) == len(timings) + len(errors) == 2 * (300 + 300 // 7)
    assert call_id._handed_over.get() is None


def test_call_that_is_made_twice_at_once_shares_its_id_once(written):
    """A decorator between that calls in two tasks has one call under the catcher's id, and another with its own."""

    def twice(func):
        @functools.wraps(func)
        async def wrapper(n):
            await asyncio.gather(asyncio.create_task(func(n)), asyncio.create_task(func(n)))

        return wrapper

    @written.catcher()
    @twice
    @written.timer()
    async def work(n):
        raise ValueError(n)

    async def main():
        with pytest.raises(ValueError, match="1"):
            await work(1)

    asyncio.run(main())
    timings, errors = ids(written.timings()), ids(written.errors())
    assert len(set(timings)) == 2
    assert errors[0] in timings


def test_generators_that_interleave_do_not_share_ids(written):
    """Two generators of one function that are advanced in turn keep their own ids."""

    @written.catcher()
    @written.timer()
    def count(n):
        yield n
        yield n
        raise ValueError(n)

    running = [count(number) for number in range(5)]
    for _ in range(3):
        for generator in running:
            with contextlib.suppress(ValueError):
                next(generator)
    timings = {record["call_id"]: record["arguments"] for record in written.timings()}
    assert len(timings) == 5
    assert timings == {record["call_id"]: record["arguments"] for record in written.errors()}


def test_methods_share_their_id(written):
    """Methods of every kind share it as functions do."""
    catcher, timer = written.catcher(), written.timer()

    class Thing:
        @catcher
        @timer
        def method(self):
            raise ValueError

        @classmethod
        @catcher
        @timer
        def made(cls):
            raise ValueError

        @catcher
        @timer
        @staticmethod
        def helper():
            raise ValueError

    for function in (Thing().method, Thing.made, Thing.helper):
        call(function)
    assert len(set(ids(written.timings()))) == 3
    assert ids(written.timings()) == ids(written.errors())


def test_call_past_the_catcher_has_an_id_of_its_own(written):
    """The timed function that is called directly is another call, whatever the catcher left undone."""
    timed = written.timer()(fail)

    @functools.wraps(timed)
    def sometimes(n):
        if n == 0:
            raise ValueError("not called on")
        return timed(n)

    caught = written.catcher()(sometimes)
    call(caught, 0)
    assert call_id._handed_over.get() is None
    call(timed, 1)
    call(caught, 2)
    timings, errors = written.timings(), written.errors()
    assert len(timings) == len(errors) == 2
    assert len({*ids(timings), *ids(errors)}) == 3
    assert timings[1]["call_id"] == errors[1]["call_id"]


def test_construction_of_a_class_is_timed_and_caught(written):
    """Both decorators of a class measure the same construction, and share its id."""

    @written.catcher()
    @written.timer()
    class Divided:
        def __init__(self, n):
            self.n = n or fail()

    assert Divided(1).n == 1
    call(Divided, 0)
    timings, (error,) = written.timings(), written.errors()
    assert [timing["outcome"] for timing in timings] == ["ok", "ValueError"]
    assert error["call_id"] == timings[1]["call_id"]


def test_calls_that_a_decorator_between_makes_first_are_others(written):
    """What is measured before the timed function is reached, itself once more or another, does not get its id."""
    other = written.timer(name="other")(lambda: None)

    def with_calls_before(func):
        @functools.wraps(func)
        def wrapper(n):
            other()
            if n:
                call(caught, n - 1)
            return func(n)

        return wrapper

    caught = written.catcher()(with_calls_before(written.timer(name="timed")(fail)))
    call(caught, 3)
    found = {record["call_id"]: (record["function"], record["arguments"]) for record in written.timings()}
    assert len(found) == 8
    errors = {record["call_id"]: record["arguments"] for record in written.errors()}
    assert len(errors) == 4
    assert errors.items() <= {(key, arguments) for key, (_, arguments) in found.items()}
    assert {found[key][0] for key in errors} == {"timed"}


def test_ids_that_nobody_takes_do_not_pile_up(written):
    """Generators that are begun and never come to the function below leave a bounded number of ids behind."""

    def never(func):
        @functools.wraps(func)
        def wrapper():
            yield 1
            yield from func()

        return wrapper

    caught = written.catcher()(never(written.timer()(lambda: iter(()))))
    running = [caught() for _ in range(500)]

    def advance():
        assert [next(generator) for generator in running] == [1] * 500
        return call_id._handed_over.get().depth

    assert contextvars.copy_context().run(advance) < 60


def test_cached_call_leaves_no_id_behind(written):
    """A cache between the two answers without calling on; nobody finds the id later."""

    @written.catcher()
    @functools.lru_cache
    @written.timer()
    def double(n):
        return 2 * n

    assert (double(2), double(2)) == (4, 4)
    assert call_id._handed_over.get() is None
    assert len(written.timings()) == 1


def test_timer_that_is_sampled_out_leaves_its_id_to_nobody(written):
    """Where only the timer is switched off, a call that the function makes past the catcher does not get its id."""

    def work(n):
        if n:
            with settings(exclude=[]):
                call(timed, 0)
        raise ValueError(n)

    timed = written.timer(name="timed")(work)
    caught = written.catcher()(timed)
    with settings(exclude=["timed"]):
        call(caught, 1)
    (timing,), (error,) = written.timings(), written.errors()
    assert timing["call_id"] != error["call_id"]


@pytest.mark.parametrize("without", ["outputs", "name"])
def test_recursion_under_a_catcher_that_does_nothing(written, without):
    """A catcher below that has nobody to tell takes no id, and no level of a recursion finds the one of another."""

    def down(n):
        return n and down_measured(n - 1)

    nothing = {"log_to_file": False} if without == "outputs" else {}
    down_measured = written.timer(name="timed")(written.catcher(**nothing)(down))
    with settings(exclude=[] if without == "outputs" else ["*down"]):
        assert down_measured(9) == 0
    assert len(set(ids(written.timings()))) == 10


def test_two_timers_have_two_ids(written):
    """A function under two timers has two records with an id each, and the catcher above shares the first one's."""
    caught = written.catcher()(written.timer()(written.timer()(fail)))
    call(caught)
    counts = Counter(ids(written.timings()))
    assert sorted(counts.values()) == [1, 1]
    assert written.errors()[0]["call_id"] in counts


def test_sanitizer_that_calls_the_function_takes_no_id(written):
    """What a sanitizer calls is no part of the call that it cleans texts for, which keeps its id."""
    busy = []

    def clean(text):
        if not busy:
            busy.append(1)
            call(failing)
            busy.clear()
        return text

    failing = written.timer(sanitize_func=clean, results_format=None)(written.catcher()(fail))
    call(failing, 5)
    assert len(ids(written.timings())) == 1
    assert ids(written.timings()) == ids(written.errors())


def test_sanitizer_that_ends_the_program_leaves_no_id_behind(written):
    """An interrupt before a call begins passes, and the next call has an id of its own."""

    def clean(text):
        raise KeyboardInterrupt

    caught = written.catcher()(fail)
    with pytest.raises(KeyboardInterrupt):
        written.timer(sanitize_func=clean, results_format=None)(caught)(5)
    assert call_id._handed_over.get() is None
