"""Backends that sources have for themselves, beside those of the settings: a timer's files, a profiler's broker.

What is registered here is flushed, counted and closed with the configured ones. What is shared is found again by what
it stands for, so that two decorators that name one file write to it through one queue.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any

from time_execution.exceptions import ConfigurationError
from time_execution.forking import on_fork

_lock = threading.RLock()
_living: dict[int, weakref.ref[Any]] = {}
_shared: weakref.WeakValueDictionary[Hashable, Any] = weakref.WeakValueDictionary()
_options: weakref.WeakKeyDictionary[Any, object] = weakref.WeakKeyDictionary()


def register(backend: Any) -> None:
    """Have a backend flushed, counted and closed with those of the settings, for as long as it lives. Thread-safe."""
    key, living = id(backend), _living
    living[key] = weakref.ref(backend, lambda _: living.pop(key, None))


def registered() -> list[Any]:
    """Return the registered backends that live, in the order in which they came; closed ones have counts, too."""
    return [backend for reference in list(_living.values()) if (backend := reference()) is not None]


def shared(key: Hashable, options: object, make: Callable[[], Any]) -> Any:
    """Return the backend that stands for a key, registered; made at the first need and after it was closed.

    It lives as long as somebody refers to it. Thread-safe and fork-safe.

    Args:
        key: What it stands for, the absolute path of a file for instance.
        options: What it is made with; compared by ``==``.
        make: Makes it.

    Raises:
        ConfigurationError: When it is in use with other options.
    """
    on_fork(_after_fork)
    with _lock:
        backend = _shared.get(key)
        if backend is None or _is_closed(backend):
            backend = _shared[key] = make()
            _options[backend] = options
            register(backend)
        elif _options[backend] != options:
            raise ConfigurationError(f"{key} is written to already, with other options: {_options[backend]}")
        return backend


def _is_closed(backend: Any) -> bool:
    is_closed = getattr(backend, "is_closed", None)
    return callable(is_closed) and is_closed() is True


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.RLock()
