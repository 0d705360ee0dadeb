"""What this process says of itself to whoever looks at its stores: the latest word on each topic, every few seconds.

Metrics tell what happened; a state tells how things are, and replaces the one before. It goes to every store of the
settings that keeps states (`SQLiteBackend`), also behind a queue, in the calling thread.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from time_execution import operations
from time_execution.formats.json import decode, encode
from time_execution.guard import Step, label_of
from time_execution.logs.options import Options
from time_execution.settings import current

INTERVAL = 10.0
"""Seconds from one writing to the next."""

DELIVERY, HEALTH, PROCESS = "delivery", "health", "process"

_DEEPEST = 10
_UNNAMED = Options().app_name


def write_states(
    *,
    started: float,
    monitor: Callable[[], Mapping[str, Any]],
    health: Callable[[], Mapping[str, Any]] | None = None,
) -> None:
    """Put the states of this process into every store that keeps them; without any, nothing is asked.

    Blocks for the disk; what a store raises is counted and logged.

    Args:
        started: When the process began, in seconds since the epoch.
        monitor: Returns what the monitor counts of itself.
        health: Returns the report of the health checks; None where there are none.
    """
    found = stores()
    if not found:
        return
    bodies = {DELIVERY: delivery_state(started), PROCESS: process_state(started, monitor())}
    if health is not None:
        bodies[HEALTH] = dict(health())
    for store in found:
        put = Step(store.put_state, kind="backend", label=label_of(store), raises=False)
        for topic, body in bodies.items():
            put.attempt(topic, owner(), body)


def owner() -> str:
    """Return who speaks: ``hostname:pid``."""
    return f"{current().hostname}:{os.getpid()}"


def stores() -> list[Any]:
    """Return the backends of the settings that keep states, each once, also those that stand behind others."""
    found: dict[int, Any] = {}
    for backend in current().values.backends:
        behind = backend
        for _ in range(_DEEPEST):
            if callable(getattr(behind, "put_state", None)):
                found[id(behind)] = behind
            behind = getattr(behind, "backend", None)
            if behind is None:
                break
    return list(found.values())


def delivery_state(started: float) -> dict[str, Any]:
    """Return ``hostname, pid, app, started`` (seconds since the epoch), ``errors``, and ``backends``.

    The latter is a list with what each backend's ``stats()`` says, its label under ``name``.
    """
    told = operations.stats()
    # Each by itself, since a snapshot has a bound: what backends of users count may be anything.
    backends = [{"name": label, **_plain(counts)} for label, counts in told["backends"].items()]
    return _process(started) | {"backends": backends, "errors": told["errors"]}


def _plain(counts: object) -> dict[str, Any]:
    return decode(encode(counts)) if isinstance(counts, dict) else {}


def process_state(started: float, monitor: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``hostname, pid, app, started``, ``uptime`` (seconds), ``versions`` (name -> text) and ``monitor``."""
    uptime = max(0.0, time.time() - started)
    return _process(started) | {"uptime": uptime, "versions": _versions(), "monitor": dict(monitor)}


def _process(started: float) -> dict[str, Any]:
    return {"hostname": current().hostname, "pid": os.getpid(), "app": _app(), "started": started}


def _app() -> str:
    """Return the application's name as its log has it, or would have it, for that is not set up here.

    Where nobody named it for the log, it is what its metrics have as ``origin``, should they have any.
    """
    module = sys.modules.get("time_execution.logs.setup")
    if module is not None and module.setup.application is not None:
        return str(module.current_options().app_name)
    return os.environ.get("APP_NAME") or current().values.origin or _UNNAMED


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": platform.system()}
    for name in ("timeexecution", "psutil", "flask", "django", "starlette", "fastapi"):
        if name in sys.modules or name == "timeexecution":
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return found
