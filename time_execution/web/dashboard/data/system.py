"""How the machine is: processor, memory, disk, files, connections, load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from time_execution.web.dashboard.data import application, processes
from time_execution.web.dashboard.data.catalogue import SYSTEM_PREFIX
from time_execution.web.dashboard.data.figures import Points, last_of
from time_execution.web.dashboard.data.page import STEP

if TYPE_CHECKING:
    from time_execution.web.dashboard.data.processes import Told
    from time_execution.web.dashboard.data.query import Query
    from time_execution.web.dashboard.data.store import Store

EMPTY: dict[str, Any] = {"times": [], "series": [], "processes": []}

GAUGES = {
    "cpu_percent": ("Processor", "%"),
    "memory_percent": ("Memory", "%"),
    "disk_percent": ("Disk", "%"),
    "open_files": ("Open files", "files"),
    "network_connections": ("Connections", "connections"),
    "load_1m": ("Load, 1 minute", "tasks"),
    "load_5m": ("Load, 5 minutes", "tasks"),
    "load_15m": ("Load, 15 minutes", "tasks"),
}
"""Key -> what it is called, and its unit; in the order in which they are shown."""

_MOST_SERIES = 40


def data(store: Store, query: Query) -> dict[str, Any]:
    """Return the levels of the system over time, and the processes that told them.

    Returns:
        ``times``, ``series`` (list of ``key``, ``label``, ``unit``, ``last``, ``points``: the mean of all machines),
        ``processes`` (list of ``owner``, ``alive``, ``updated`` (s), ``versions`` (name -> version), ``uptime`` (s)).
    """
    with store.look() as look:
        told = processes.told(look.view, processes.PROCESS, now=query.now)
    with application.course(store, query) as used:
        points = Points(used.window, query.now)
        names = [name for name in used.window.groups if name.startswith(SYSTEM_PREFIX)]
        series = [gauge(points, name.removeprefix(SYSTEM_PREFIX)) for name in _in_order(names)]
        return {
            "times": points.times,
            "series": series,
            "processes": [_process(each) for each in told],
            STEP: used.window.step,
            "warming": not used.window.is_warm,
        }


def gauge(points: Points, key: str) -> dict[str, Any]:
    """Return a gauge of the system over time: ``key``, ``label``, ``unit``, ``last`` and ``points``."""
    label, unit = GAUGES.get(key, (key.replace("_", " "), ""))
    found = points.carried(points.means(points.of(f"{SYSTEM_PREFIX}{key}")))
    return {"key": key, "label": label, "unit": unit, "last": last_of(found), "points": found}


def _in_order(names: list[str]) -> list[str]:
    order = {f"{SYSTEM_PREFIX}{key}": place for place, key in enumerate(GAUGES)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))[:_MOST_SERIES]


def _process(told: Told) -> dict[str, Any]:
    versions = told.body.get("versions")
    uptime = told.body.get("uptime")
    return {
        "owner": told.owner,
        "alive": told.is_alive,
        "updated": told.updated,
        "versions": {str(name): str(version) for name, version in versions.items()}
        if isinstance(versions, dict)
        else {},
        "uptime": float(uptime) if isinstance(uptime, (int, float)) else None,
    }
