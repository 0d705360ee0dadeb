"""Who called whom: links the metric of a call to the measured call that it was made from."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR
from typing import TYPE_CHECKING, Any

from time_execution.naming import name_of
from time_execution.signature import inside_partials
from time_execution.types import NAME

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import CodeType, FrameType

    from time_execution.types import HookOutcome

PARENT = "parent"
ROOT = "root"
DEPTH = "depth"


class _Call:
    """A measured call that is under way in some context.

    Attributes:
        name: Its series.
        root: The name of the outermost call around it.
        depth: How many calls there are around it.
        previous: What was innermost in this context before.
        generator: The code of a generator function, whose call is left and entered again until it is exhausted.
        ended: Whether it is over; a generator may end in another context than it began in.
    """

    __slots__ = ("depth", "ended", "generator", "name", "previous", "root")

    def __init__(self, func: Any, name: str, parent: _Call | None, previous: _Call | None) -> None:
        self.name = name
        self.root: str = name if parent is None else parent.root
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.previous = previous
        self.generator = _generator_code(func)
        self.ended = False


_innermost: ContextVar[_Call | None] = ContextVar("time_execution.call_tree", default=None)


def call_tree_hook(
    *, func: Any, func_args: Any, func_kwargs: Any, series: str | None = None
) -> Generator[None, HookOutcome, dict[str, Any] | None]:
    """Add ``parent`` (series of the measured caller; absent at the root), ``root`` (series) and ``depth`` (0 there).

    The caller is known by context: a task started by a measured coroutine counts as called by it, also when that has
    returned; a new thread begins a tree of its own, unless it runs in a copied context, as `asyncio.to_thread` does.
    What a consumer calls between two items of a generator is not called by the generator. Series are named as the
    decorator or the block names them; that a hook renames one when it ends comes too late for what it called.
    Thread-safe.
    """
    parent = _caller()
    name = series or _name_of(func)
    if name is None:  # nobody can be told by whom they were called
        outcome = yield
        return _fields(str(outcome[2].get(NAME)), parent)
    call = _Call(func, name, parent, _unless_ended(_innermost.get()))
    _innermost.set(call)
    try:
        yield
    finally:
        call.ended = True
        # Generators need not end in the order in which they began, nor where they did.
        if _innermost.get() is call:
            _innermost.set(_unless_ended(call.previous))
    return _fields(call.name, parent)


def _name_of(func: Any) -> str | None:
    """Return the series of something measured, as far as it tells: for who runs hooks without naming the series."""
    name: str | None = name_of(func) if callable(func) else getattr(func, "name", None)
    return name


def _fields(name: str, parent: _Call | None) -> dict[str, Any]:
    if parent is None:
        return {ROOT: name, DEPTH: 0}
    return {PARENT: parent.name, ROOT: parent.root, DEPTH: parent.depth + 1}


def _caller() -> _Call | None:
    """Return the innermost call of this context, passing over generators that are not running just now."""
    call = _innermost.get()
    while call is not None and call.generator is not None and (call.ended or not _is_running(call.generator)):
        call = call.previous
    return call


def _unless_ended(call: _Call | None) -> _Call | None:
    """Return a call, or the last before it that is no generator that is over."""
    while call is not None and call.generator is not None and call.ended:
        call = call.previous
    return call


def _is_running(code: CodeType) -> bool:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way to tell a running generator from a waiting one
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False


def _generator_code(func: Any) -> CodeType | None:
    func = inside_partials(func)
    code: CodeType | None = getattr(func, "__code__", None) or getattr(type(func).__call__, "__code__", None)
    return code if code is not None and code.co_flags & (CO_GENERATOR | CO_ASYNC_GENERATOR) else None
