"""The wrappers of what is tracked: for entry points and for their parts, one for each kind of callable.

With nothing configured, a call of a plain function or a coroutine function pays for the line only; everything else, and
every call that backends hear of, is a `Run`. As with other measured things, a wrapper has the globals of the function
that it wraps, and uses none of them.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from time import perf_counter_ns
from typing import Any, ClassVar

from time_execution.settings import live
from time_execution.tracker.line import MANY, Line
from time_execution.tracker.tracked import EntryRun, Run, Tracked

_Maker = Callable[[Any, Any], Callable[..., Any]]


def _entry_function(func: Callable[..., Any], tracked: Tracked) -> Callable[..., Any]:
    settings, clock, recorder, key, make = live, perf_counter_ns, tracked.recorder, tracked.key, Line
    run, anything = _run, BaseException

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if tracked.idle != settings.version:
            return run(tracked, func, args, kwargs)
        line = make()
        token = recorder.enter(line)
        started = clock()
        try:
            response = func(*args, **kwargs) if kwargs else func(*args)
        except anything as exc:
            recorder.end_failed(line, token, key, clock() - started, exc)
            raise
        recorder.end(line, token, key, clock() - started)
        return response

    return wrapper


def _entry_coroutine(func: Callable[..., Any], tracked: Tracked) -> Callable[..., Any]:
    settings, clock, recorder, key, make = live, perf_counter_ns, tracked.recorder, tracked.key, Line
    run, anything = _run_async, BaseException

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        if tracked.idle != settings.version:
            return await run(tracked, func, args, kwargs)
        line = make()
        token = recorder.enter(line)
        started = clock()
        try:
            response = await (func(*args, **kwargs) if kwargs else func(*args))
        except anything as exc:
            recorder.end_failed(line, token, key, clock() - started, exc)
            raise
        recorder.end(line, token, key, clock() - started)
        return response

    return wrapper


def _part_function(func: Callable[..., Any], tracked: Tracked) -> Callable[..., Any]:
    settings, clock, recorder, key, label = live, perf_counter_ns, tracked.recorder, tracked.key, tracked.label
    run, size, many = _run, len, MANY

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if tracked.idle != settings.version:
            return run(tracked, func, args, kwargs)
        line = recorder.get()  # not bound outside: what `pickle` takes by value may not hold a context variable
        if line is None or not line.is_open:
            recorder.warn_outside(label)
            return func(*args, **kwargs)
        started = clock()
        try:
            return func(*args, **kwargs) if kwargs else func(*args)
        finally:
            elapsed = clock() - started
            # What `Line.add` would do; it may have ended meanwhile.
            if line.is_open and size(line) < many:  # type: ignore[redundant-expr]
                line.append((key, elapsed, None))
            else:
                recorder.add(line, label, key, elapsed)

    return wrapper


def _part_coroutine(func: Callable[..., Any], tracked: Tracked) -> Callable[..., Any]:
    settings, clock, recorder, key, label = live, perf_counter_ns, tracked.recorder, tracked.key, tracked.label
    run, size, many = _run_async, len, MANY

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        if tracked.idle != settings.version:
            return await run(tracked, func, args, kwargs)
        line = recorder.get()
        if line is None or not line.is_open:
            recorder.warn_outside(label)
            return await func(*args, **kwargs)
        started = clock()
        try:
            return await (func(*args, **kwargs) if kwargs else func(*args))
        finally:
            elapsed = clock() - started
            if line.is_open and size(line) < many:  # type: ignore[redundant-expr]
                line.append((key, elapsed, None))
            else:
                recorder.add(line, label, key, elapsed)

    return wrapper


def _awaitable(func: Callable[..., Any], tracked: Tracked) -> Callable[..., Any]:
    """Wrap a plain function around a coroutine function: it may return a coroutine, a task, or the result itself."""
    run = _run_awaitable

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return run(tracked, func, args, kwargs)

    return wrapper


def _generator(func: Callable[..., Generator[Any, Any, Any]], tracked: Tracked) -> Callable[..., Any]:
    closed, exhausted, anything = GeneratorExit, StopIteration, BaseException

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        run = tracked.run_type(tracked, (func, args, kwargs))
        response = thrown = closing = None
        try:
            generator, sent = func(*args, **kwargs), None
            while (
                True
            ):  # what ``yield from`` does, with the consumer's line in its place while the consumer has control
                value = generator.send(sent) if thrown is None else generator.throw(thrown)
                sent = thrown = None
                run.pause()
                try:
                    sent = yield value
                except closed as exc:
                    closing = exc
                except anything as exc:  # thrown in by the consumer, and meant for the generator
                    thrown = exc
                run.resume()
                if closing is not None:  # not in the handler above, where it would become a context
                    generator.close()
                    raise closing
        except exhausted as stop:
            response = stop.value
        except closed:  # which is no failure
            run.end()
            raise
        except anything as exc:
            run.end(exception=exc)
            raise
        finally:  # an exception holds this frame: were it held in turn, both would outlive their use
            thrown = closing = None
        run.end(response=response)
        return response

    return wrapper


def _generator_coroutine(func: Callable[..., Generator[Any, Any, Any]], tracked: Tracked) -> Callable[..., Any]:
    return types.coroutine(_generator(func, tracked))


def _async_generator(func: Callable[..., AsyncGenerator[Any, Any]], tracked: Tracked) -> Callable[..., Any]:
    closed, exhausted, anything = GeneratorExit, StopAsyncIteration, BaseException

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        run = tracked.run_type(tracked, (func, args, kwargs), awaits=True)
        error = thrown = closing = None
        try:
            generator, sent = func(*args, **kwargs), None
            while True:
                value = await (generator.asend(sent) if thrown is None else generator.athrow(thrown))
                sent = thrown = None
                run.pause()
                try:
                    sent = yield value
                except closed as exc:
                    closing = exc
                except anything as exc:
                    thrown = exc
                run.resume()
                if closing is not None:
                    await generator.aclose()
                    raise closing
        except exhausted:
            return
        except closed:
            raise
        except anything as exc:
            error = exc
            raise
        finally:
            try:
                await run.end_async(exception=error)
            finally:
                error = thrown = closing = None

    return wrapper


def _run(tracked: Tracked, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    run = tracked.run_type(tracked, (func, args, kwargs))
    try:
        response = func(*args, **kwargs)
    except BaseException as exc:
        run.end(exception=exc)
        raise
    run.end(response=response)
    return response


async def _run_async(tracked: Tracked, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    run = tracked.run_type(tracked, (func, args, kwargs), awaits=True)
    try:
        response = await func(*args, **kwargs)
    except BaseException as exc:
        await run.end_async(exception=exc)
        raise
    await run.end_async(response=response)
    return response


def _run_awaitable(tracked: Tracked, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    run = tracked.run_type(tracked, (func, args, kwargs), awaits=True)
    try:
        response = func(*args, **kwargs)
    except BaseException as exc:
        run.end(exception=exc)
        raise
    if inspect.iscoroutine(response):
        run.pause()
        return _await(run, response)
    if callable(getattr(response, "add_done_callback", None)):  # a task or a future: the caller's to keep
        run.pause()
        response.add_done_callback(functools.partial(_settle, run))
    else:
        run.end(response=response)
    return response


async def _await(run: Run, awaitable: Any) -> Any:
    run.resume()
    try:
        response = await awaitable
    except BaseException as exc:
        await run.end_async(exception=exc)
        raise
    await run.end_async(response=response)
    return response


def _settle(run: Run, future: Any) -> None:
    """End the run of a task or a future that is done; were it asked for its exception, that would count as handling."""
    from asyncio import CancelledError  # noqa: PLC0415 - whoever makes tasks has loaded it

    run.resume()
    exception = CancelledError() if future.cancelled() else getattr(future, "_exception", None)
    run.end(response=None if exception is not None else future.result(), exception=exception)


_OTHERS: dict[str, _Maker] = {
    "awaitable": _awaitable,
    "generator": _generator,
    "generator coroutine": _generator_coroutine,
    "asynchronous generator": _async_generator,
}


class Entry(Tracked):
    """An entry point."""

    __slots__ = ()
    run_type: ClassVar[type[Run]] = EntryRun
    wrappers: ClassVar[Mapping[str, _Maker]] = {
        **_OTHERS,
        "function": _entry_function,
        "coroutine": _entry_coroutine,
    }


class Part(Tracked):
    """A part of what entry points do: a function that they call, or a block of code."""

    __slots__ = ()
    wrappers: ClassVar[Mapping[str, _Maker]] = {
        **_OTHERS,
        "function": _part_function,
        "coroutine": _part_coroutine,
    }
