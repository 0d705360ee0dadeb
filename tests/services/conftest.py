"""The real servers: where they are, and what happens to a test whose server does not answer."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import warnings
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SCRIPT = _ROOT / "backends" / "services"


def pytest_collection_modifyitems(items):
    """Mark every test here: it needs a real server."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("service")


def pytest_runtest_logfinish(location):
    """Clear away the sockets of failed connections, which the client of Kafka leaves to the collector.

    Not before the end of the test: what was logged refers to them until then.
    """
    if "kafka" in location[0]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def _read_ports():
    lines = (_ROOT / "backends" / "ports.env").read_text().splitlines()
    pairs = (line.split("=") for line in lines if line and not line.startswith("#"))
    return {name.removesuffix("_PORT").lower().replace("_", "-"): int(port) for name, port in pairs}


PORTS = _read_ports()
"""The port of each server by its name, such as ``elasticsearch-9``, ``kafka`` or ``kafka-tls``."""


class Servers:
    """Gives the ports of servers that answer, and does to them what a test is about."""

    def __init__(self):
        self._killed = set()

    def port(self, name):
        """Return the port of a server; skip the test if nobody listens there, or fail it with REQUIRE_SERVICES=1."""
        port = PORTS[name]
        try:
            socket.create_connection(("127.0.0.1", port), timeout=2.0).close()
        except OSError:
            reason = f"{name} does not answer on port {port}: make services"
            if os.environ.get("REQUIRE_SERVICES") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        return port

    def kill(self, name):
        """End a server with SIGKILL; its data stay."""
        self._killed.add(name)
        subprocess.run([_SCRIPT, "kill", name], check=True, timeout=60, stdout=subprocess.DEVNULL)

    def start(self, name):
        """Start a server and wait until it answers."""
        subprocess.run([_SCRIPT, "start", name], check=True, timeout=180, stdout=subprocess.DEVNULL)
        self._killed.discard(name)

    def revive(self):
        """Start what was killed and is still away."""
        for name in sorted(self._killed):
            self.start(name)

    def data(self, name):
        """Return the folder of a server that was started here: its data, log and certificates."""
        default = Path(os.environ.get("TMPDIR", "/tmp")) / f"time-execution-services-{os.getuid()}"
        return Path(os.environ.get("TIME_EXECUTION_SERVICES_DATA", default)) / name


@pytest.fixture(scope="session")
def servers():
    return Servers()


@pytest.fixture(autouse=True)
def _none_stays_away(servers):
    """A test that fails while its server is away leaves the server to the tests after it."""
    yield
    servers.revive()
