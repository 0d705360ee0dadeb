"""Keeps what hooks and backends raise away from the measured call, and counts it.

A broad ``except`` stands where others' code is called and nowhere else: in `Step`, and once each in a plan's loops over
hooks and over backends, where the call that `Step.attempt` adds would show in what a measured call costs.

What the application's own signal handlers raise is not theirs, and passes: an alarm set around a call must end it.
"""

from __future__ import annotations

import threading

# The module `signal` makes an enumeration member of each answer, which takes many times as long.
from _signal import NSIG, getsignal  # type: ignore[import-not-found]
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from time_execution.quietlog import QuietLog
from time_execution.signature import inside_partials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType

    from typing_extensions import Self

_MAX_KINDS = 1000
_MAX_CHAIN = 100  # exceptions that one came from; each recursion that wraps anew would otherwise pay for all below
# What Python itself writes to an exception, past any override of its class; the cause before what setting it changes.
_PARTS: list[Any] = [
    vars(BaseException)[name] for name in ("__cause__", "__context__", "__suppress_context__", "__traceback__")
]


class Faults:
    """Counts what went wrong on the call path, by who and what; thread-safe, and bounded in memory.

    Attributes:
        log: Where it is told; one line for each kind in a window.
    """

    def __init__(self) -> None:
        self.log = QuietLog()
        self._lock = threading.RLock()
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def count(self, kind: str, label: str, error: str) -> None:
        """Count one fault.

        Args:
            kind: ``hook`` or ``backend``.
            label: Which of them.
            error: The exception's class name, or what happened.
        """
        key = (kind, label, error)
        with self._lock:
            if key not in self._counts and len(self._counts) >= _MAX_KINDS:
                key = (kind, "other", "other")
            self._counts[key] += 1

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return ``{"hook": {"label: error": count}, "backend": {…}}``."""
        found: dict[str, dict[str, int]] = {"hook": {}, "backend": {}}
        with self._lock:
            for (kind, label, error), count in self._counts.items():
                found.setdefault(kind, {})[f"{label}: {error}"] = count
        return found

    def clear(self) -> None:
        """Set all counts to zero, and forget what was logged."""
        with self._lock:
            self._counts.clear()
        self.log.forget()

    def after_fork(self) -> None:
        """Start from zero in a forked child, with locks of its own."""
        self._lock = threading.RLock()
        self._counts.clear()
        self.log.after_fork()


faults = Faults()


class Failed:
    """What `Step.attempt` returns when the call raised.

    Attributes:
        error: The exception's class name.
    """

    __slots__ = ("error",)

    def __init__(self, error: str) -> None:
        self.error = error


class Step:
    """A hook or a backend, called so that what it raises stops here, is counted, and is logged once a window.

    What is no `Exception` passes: ``KeyboardInterrupt``, ``SystemExit``, ``CancelledError``, ``GeneratorExit``. So does
    what a signal handler raised, once it is counted. Immutable and thread-safe.

    Args:
        call: What is called.
        kind: ``hook`` or ``backend``.
        label: Which of them, for counters and log lines.
        raises: Let everything through; for tests.
        told: What log lines call it, if that is not its kind, which counters go by.
        following: The step after this one, where a measured call goes from one to the next: a loop over a tuple would
            cost it an iterator.
    """

    __slots__ = ("_kind", "_told", "call", "following", "label", "raises")

    def __init__(
        self,
        call: Callable[..., Any],
        *,
        kind: Literal["hook", "backend"],
        label: str,
        raises: bool,
        told: str = "",
        following: Self | None = None,
    ) -> None:
        self.call = call
        self.label = label
        self.raises = raises
        self.following = following
        self._kind = kind
        self._told = told or kind

    def attempt(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the call returns, or `Failed`."""
        try:
            return self.call(*args, **kwargs)
        except Exception as exc:  # noqa: BLE001 - answers for others' code
            return self.fail(exc)

    async def attempt_async(self, kwargs: dict[str, Any]) -> Any:
        """Await the call and return what it returns, or `Failed`."""
        try:
            return await self.call(**kwargs)
        except Exception as exc:  # noqa: BLE001 - answers for others' code
            return self.fail(exc)

    def fail(self, exc: Exception) -> Failed:
        """Count and log an exception, and return its name.

        Raises:
            Exception: The same one, when a signal handler raised it or ``settings.raise_errors`` is set.
        """
        error = type(exc).__name__
        faults.count(self._kind, self.label, error)
        if self.raises or is_from_signal(exc):
            try:
                raise exc
            finally:
                del exc  # whose traceback now holds this frame
        key = f"{self._told}.{self.label}.{error}"
        faults.log.tell(key, f"{self._told} {self.label} raised {error}; it is skipped")
        return Failed(error)


class Untouched:
    """Sets an exception, and those it came from, back to what they were, should a hook have raised one of them again.

    Python then cuts whoever is raised out of the chain of the one being handled.
    """

    __slots__ = ("_states",)

    def __init__(self, exc: BaseException | None) -> None:
        states: dict[int, tuple[BaseException, list[Any]]] = {}
        waiting = [exc]
        while waiting and len(states) < _MAX_CHAIN:
            link = waiting.pop()
            if link is not None and id(link) not in states:
                state = [part.__get__(link) for part in _PARTS]
                states[id(link)] = link, state
                waiting += state[:2]  # the context is looked at first
        self._states = states.values()

    def __enter__(self) -> None:
        """Nothing is left to do."""

    def __exit__(self, *_: object) -> None:
        """Set them back."""
        for exc, state in self._states:
            for part, value in zip(_PARTS, state, strict=True):
                part.__set__(exc, value)


def label_of(thing: Any) -> str:
    """Return the label of a hook or a backend: the name of the function, or of the object's class."""
    thing = inside_partials(thing)
    return str(getattr(thing, "__qualname__", None) or type(thing).__qualname__)


def is_from_signal(exc: Exception) -> bool:
    """Whether a signal handler of the application raised it, which Python runs in the main thread wherever that is."""
    if threading.current_thread() is not threading.main_thread():
        return False
    ran = set()
    entry = exc.__traceback__
    while entry is not None:
        ran.add(entry.tb_frame.f_code)
        entry = entry.tb_next
    return not ran.isdisjoint(_handlers())


def _handlers() -> Iterator[CodeType]:
    """Yield the code of each signal handler that is written in Python."""
    for number in range(1, NSIG):
        handler: Any = getsignal(number)
        if not callable(handler):  # it is ignored, or left to the system
            continue
        handler = inside_partials(handler)
        for candidate in (handler, getattr(type(handler), "__call__", None)):  # noqa: B004 - its code is asked
            code = getattr(candidate, "__code__", None)
            if code is not None:
                yield code
