"""What goes wrong beside a measured call: hooks and backends that fail in every way, and configurations of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.calls import NOTHING
from tests.kept import Kept
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import BackendRejected


class NoTruth:
    """Has no truth value."""

    def __bool__(self):
        raise RuntimeError("no truth")


def raises(**_):
    """Fail."""
    raise RuntimeError("hook")


def raises_while_handling(**_):
    """Fail in the middle of handling a failure."""
    try:
        NOTHING["hook"]
    except KeyError:
        raise RuntimeError("hook")  # noqa: B904 - the implicit context is the point


def raises_the_same(exception, **_):
    """Raise the function's own exception again, from within a handler."""
    if isinstance(exception, Exception):
        try:
            NOTHING["hook"]
        except KeyError:
            raise exception  # noqa: B904 - a hook may be as careless
    return {}


def raises_from_the_same(exception, **_):
    """Raise something else because of the function's exception."""
    raise RuntimeError("hook") from exception


def rewrites_the_chain(exception, **_):
    """Raise the function's exception as if something else had caused it."""
    if isinstance(exception, Exception):
        raise exception from RuntimeError("hook")
    return {}


def before(func, func_args, func_kwargs):
    """Fail before the call."""
    raise RuntimeError("hook")
    yield


def after(func, func_args, func_kwargs):
    """Fail after the call."""
    yield
    raise RuntimeError("hook")


def after_the_same(func, func_args, func_kwargs):
    """Raise the function's own exception after the call."""
    _response, exception, _metric = yield
    return raises_the_same(exception)


def returns_without_truth(func, func_args, func_kwargs):
    """Return what cannot be asked whether it is anything."""
    yield
    return NoTruth()


async def awaits(**_):
    """Fail where it is awaited."""
    raise RuntimeError("hook")


async def awaits_the_same(exception, **_):
    """Raise the function's own exception where it is awaited."""
    return raises_the_same(exception)


def returns_rubbish(**_):
    """Return what cannot be merged."""
    return [1, 2, 3]


def spoils(metric, **_):
    """Leave nothing of the metric but what cannot be written."""
    metric.clear()
    metric[("not", "a", "name")] = object()


def recurses(**given):
    """Go on until it cannot."""
    return recurses(**given)


HOOKS = (
    raises,
    raises_while_handling,
    raises_the_same,
    raises_from_the_same,
    rewrites_the_chain,
    before,
    after,
    after_the_same,
    returns_without_truth,
    awaits,
    awaits_the_same,
    returns_rubbish,
    spoils,
    recurses,
)


class ApiError(Exception):
    """As clients have them: not a child of their transport errors, and not made from text alone."""

    def __init__(self, status: int, *, body: bytes) -> None:
        super().__init__(status, body)


class Bad:
    """A backend that raises what it was made with."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def write(self, name, **data):
        raise self.error


class BadBatch(BaseMetricsBackend):
    """A backend for batches that raises what it was made with."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def write_many(self, metrics):
        raise self.error


class BadResults(BaseMetricsBackend):
    """A backend whose answers make no sense."""

    def write_many(self, metrics):
        return 42


class Same:
    """A backend that raises whatever its caller's exception is."""

    def write(self, name, **data):
        current = sys.exc_info()[1]
        if isinstance(current, Exception):
            raise current from RuntimeError("backend")
        raise RuntimeError("backend")


ERRORS = (OSError("down"), ApiError(429, body=b"slow down"), BackendRejected("no"), RecursionError(), StopIteration(1))
BACKENDS: tuple[Callable[[], Any], ...] = (
    *(lambda error=error: Bad(error) for error in ERRORS),
    *(lambda error=error: BadBatch(error) for error in ERRORS),
    BadResults,
    Same,
)


def configurations():
    """Return ways to configure, each with something wrong in it, by name."""
    for hook in HOOKS:
        yield hook.__name__, lambda hook=hook: {"hooks": [hook, lambda **_: {"last": 1}], "backends": [Kept()]}
    yield "all hooks", lambda: {"hooks": HOOKS, "backends": [Kept()]}
    for number, make in enumerate(BACKENDS):
        yield f"backend {number}", lambda make=make: {"backends": [make(), Kept()]}
    yield "everything", lambda: {"hooks": HOOKS, "backends": [make() for make in BACKENDS]}
    yield "queued", lambda: {"hooks": HOOKS, "backends": [ThreadedBackend(Bad(OSError()), shutdown_timeout=0.1)]}
    yield "queued alone", lambda: {"backends": [ThreadedBackend(Kept(), shutdown_timeout=0.1)]}


CONFIGURATIONS = dict(configurations())
WRONG = pytest.mark.parametrize("wrong", CONFIGURATIONS, ids=str)
