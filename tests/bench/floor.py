"""The floor: the least that measuring a call and keeping the metric can cost in plain Python.

A `functools.wraps` wrapper, two readings of the clock, a dict of the four core fields and one `deque.append`. It has no
settings, no hooks, no backend and no bound; whoever times it empties its queue between windows, as a worker would. The
three kinds are written out: what they might share would be a call more, and with it part of what all else is held to.
Standard library only: each peer's process measures it too.
"""

from __future__ import annotations

import functools
import socket
import time
from collections import deque
from time import perf_counter_ns

HOSTNAME = socket.gethostname()
queue = deque()


def noop():
    """Do nothing: what is measured."""


async def noop_async():
    """Do nothing, asynchronously."""


def noop_generator():
    """Yield once."""
    yield


def floor(func):
    append, name = queue.append, f"{func.__module__}.{func.__qualname__}"

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        started = perf_counter_ns()
        try:
            return func(*args, **kwargs)
        finally:
            value = (perf_counter_ns() - started) / 1e6
            append({"name": name, "value": value, "hostname": HOSTNAME, "timestamp": time.time_ns()})

    return wrapper


def floor_async(func):
    append, name = queue.append, f"{func.__module__}.{func.__qualname__}"

    @functools.wraps(func)
    async def wrapper(*args, **kwargs):
        started = perf_counter_ns()
        try:
            return await func(*args, **kwargs)
        finally:
            value = (perf_counter_ns() - started) / 1e6
            append({"name": name, "value": value, "hostname": HOSTNAME, "timestamp": time.time_ns()})

    return wrapper


def floor_generator(func):
    append, name = queue.append, f"{func.__module__}.{func.__qualname__}"

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        started = perf_counter_ns()
        try:
            return (yield from func(*args, **kwargs))
        finally:
            value = (perf_counter_ns() - started) / 1e6
            append({"name": name, "value": value, "hostname": HOSTNAME, "timestamp": time.time_ns()})

    return wrapper
