"""What monitoring takes of a web application's throughput: wrk against real servers, bare and measured in turns.

Each framework has an environment of its own, with the exporter that its users would otherwise take. One worker process
serves; wrk runs beside it. A round puts each application under load for a moment, in turns, so that what else happens
on the machine meets all of them; figures are ratios within a round. CPU time is that of the worker, all its threads.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.bench.measure import Table
from tests.bench.peers import ROOT, environment

VIEWS = {"a view that does nothing": "/users/7", "a view that reads 50 rows": "/orders/7"}
"""What is put under load: what tables call it, and its path."""

_CONNECTIONS = 4
_GOAL = 0.97
_PATIENCE = 30.0
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class Framework(NamedTuple):
    """A framework, the server that serves it, and the exporter that it is compared with."""

    name: str
    packages: tuple[str, ...]
    command: tuple[str, ...]
    peer: str

    @property
    def applications(self) -> dict[str, str]:
        """The applications of `tests.bench.web_apps`, by what tables call them."""
        kinds = {"bare": "bare", "ours": "ours", "ours, nothing stored": "unstored", self.peer: "peer"}
        return {label: f"{self.name}_{kind}" for label, kind in kinds.items()}


FRAMEWORKS = (
    Framework(
        "flask",
        ("flask==3.1.3", "gunicorn==23.0.0", "psutil==7.2.2", "prometheus-flask-exporter==0.23.2"),
        ("-m", "gunicorn", "--workers=1", "--worker-class=gthread", "--threads=4", "--log-level=error"),
        "prometheus-flask-exporter 0.23.2",
    ),
    Framework(
        "starlette",
        ("starlette==1.7.0", "uvicorn==0.54.0", "httptools==0.9.0", "psutil==7.2.2", "starlette-exporter==0.24.0"),
        ("-m", "uvicorn", "--factory", "--log-level=error", "--no-access-log", "--http=httptools"),
        "starlette-exporter 0.24.0",
    ),
)


class Load(NamedTuple):
    """What came of one moment under load.

    Attributes:
        rate: Requests a second.
        cost: CPU time of the server for each, in µs.
    """

    rate: float
    cost: float


class Server:
    """An application that is served, by one process."""

    def __init__(self, python: Path, framework: Framework, application: str, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        module = f"tests.bench.web_apps:{application}"
        is_gunicorn = "gunicorn" in framework.command
        where = [f"--bind=127.0.0.1:{self.port}", f"{module}()"] if is_gunicorn else [f"--port={self.port}", module]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "LOG_FILES": "0", "HOME": str(folder)}
        self._process = subprocess.Popen(
            [python, *framework.command, *where], cwd=folder, env=environment, stdout=subprocess.DEVNULL
        )
        self._await()

    def _await(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/users/7", timeout=5):
                return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError("the server does not answer")

    def load(self, path: str, seconds: int) -> Load:
        """Put a path of it under load."""
        before = self._cpu()
        command = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}s", f"http://127.0.0.1:{self.port}{path}"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        used = self._cpu() - before
        if "Non-2xx" in printed or "Socket errors" in printed:
            raise RuntimeError(printed)
        count, rate = re.search(r"(\d+) requests in", printed), re.search(r"Requests/sec:\s+([0-9.]+)", printed)
        assert count, printed
        assert rate, printed
        return Load(float(rate[1]), used / int(count[1]) * 1e6)

    def _cpu(self) -> float:
        """Return the seconds of CPU time that the process and its children have used."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="ascii")
        used = 0
        for pid in (str(self._process.pid), *children.split()):
            figures = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            used += int(figures[11]) + int(figures[12])
        return used / _TICKS

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def web_table(rounds: int, seconds: int) -> Table:
    """Measure each framework's applications in turns."""
    table = Table("web", "An application", "requests/s", "of bare", "goal", "CPU, µs a request", "more")
    if shutil.which("wrk") is None:
        table.add("wrk is not installed", "", "", "", "", "")
        return table
    for framework in FRAMEWORKS:
        python = environment(f"web-{framework.name}", framework.packages)
        if python is None:
            table.add(f"{framework.name}: could not be installed", "", "", "", "", "")
            continue
        found = _measured(python, framework, rounds, seconds)
        for (view, label), loads in found.items():
            bare = found[view, "bare"]
            ratio = statistics.median(load.rate / other.rate for load, other in zip(loads, bare, strict=True))
            above = statistics.median(load.cost - other.cost for load, other in zip(loads, bare, strict=True))
            rate, cost = (statistics.median(figures) for figures in zip(*loads, strict=True))
            more = "" if label == "bare" else f"{above:+.0f}"
            goal = f"{_GOAL:.0%}" if label == "ours" else ""
            name = f"{framework.name}, {view}: {label}"
            table.add(name, f"{rate:,.0f}", f"{ratio:.1%}", goal, f"{cost:.0f}", more)
    return table


def _measured(python: Path, framework: Framework, rounds: int, seconds: int) -> dict[tuple[str, str], list[Load]]:
    """Return what came of each view and application."""
    found: dict[tuple[str, str], list[Load]] = {(view, each): [] for view in VIEWS for each in framework.applications}
    with ExitStack() as stack:
        servers = {
            label: stack.enter_context(_served(python, framework, application))
            for label, application in framework.applications.items()
        }
        for server in servers.values():
            for path in VIEWS.values():
                server.load(path, 1)
        order: Sequence[str] = list(servers)
        for turn in range(rounds):
            for view, path in VIEWS.items():
                for label in order if turn % 2 == 0 else order[::-1]:
                    found[view, label].append(servers[label].load(path, seconds))
    return found


@contextmanager
def _served(python: Path, framework: Framework, application: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(python, framework, application, Path(folder))
        try:
            yield server
        finally:
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    print(web_table(options.rounds, options.seconds).render(), end="")
