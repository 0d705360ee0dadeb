"""Worker processes of a real server: each begins by itself, and together they keep one set of books."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from time_execution.monitor.requests import REQUEST_DURATION

for _module in ("flask", "gunicorn", "prometheus_client", "psutil"):
    pytest.importorskip(_module)

ROOT = Path(__file__).parents[2]
LONGEST = 30.0


class Server:
    """A gunicorn that runs; to be ended by `stop`."""

    def __init__(self, folder, *arguments):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}", "--chdir", str(folder)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "LOG_FILES": "0", "HOME": str(folder)}
        self.process = subprocess.Popen(
            [*command, *arguments, "tests.web.gunicorn_app:app"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def get(self, path):
        """Return the text of an answer, over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONGEST)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            return answer.read().decode()
        finally:
            connection.close()

    def stop(self):
        """Have it end as an administrator would; return what it printed."""
        self.process.send_signal(signal.SIGTERM)
        _, printed = self.process.communicate(timeout=LONGEST)
        return printed


def until(holds):
    """Wait until something holds, or fail after a while; return it."""
    deadline = time.monotonic() + LONGEST
    while True:
        try:
            found = holds()
        except OSError:
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def serve(tmp_path):
    """Return a function that starts a server, which the end of the test stops."""
    started = []

    def start(*arguments):
        started.append(Server(tmp_path, *arguments))
        until(lambda: started[-1].get("/livez"))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()


def rows(folder):
    """Return how many requests the store has."""
    with closing(sqlite3.connect(f"file:{folder}/metrics.db?mode=ro", uri=True)) as database:
        return database.execute("SELECT count(*) FROM metrics WHERE name = ?", (REQUEST_DURATION,)).fetchone()[0]


def scraped(text):
    """Return how many requests a scrape shows."""
    sample = r'^http_server_request_duration_seconds_count\{.*route="/pid".*\} ([0-9.]+)$'
    counts = re.findall(sample, text, re.MULTILINE)
    return sum(map(float, counts))


@pytest.mark.parametrize("arguments", [(), ("--preload",), ("--worker-class", "gthread", "--threads", "3")])
def test_workers_keep_one_set_of_books(serve, tmp_path, arguments):
    """Requests of all workers are stored, each once, also those just before the end; any worker shows them all."""
    server = serve("--workers", "2", *arguments)
    seen, asked = set(), 0
    while len(seen) < 2 or asked < 40:
        seen.add(server.get("/pid"))
        asked += 1
        assert asked < 2000, "one worker gets everything"
    assert {words.split()[1] for words in seen} == {"True"}
    until(lambda: scraped(server.get("/metrics")) == asked)
    assert {scraped(server.get("/metrics")) for _ in range(10)} == {asked}
    for _ in range(10):
        server.get("/pid")
    printed = server.stop()
    assert server.process.returncode == 0
    assert "Traceback" not in printed
    assert rows(tmp_path) == asked + 10


def test_nothing_runs_before_the_first_request(serve, tmp_path):
    """The master of preloaded workers has no thread of ours when it forks them, and has made no file."""
    serve("--workers", "1", "--preload").stop()
    found = (tmp_path / "before-fork").read_text().splitlines()
    assert found[0] == "MainThread"
    assert not [name for name in found if re.match("time.?execution|metrics|logs", name, re.IGNORECASE)]


def test_worker_that_is_replaced(serve, tmp_path):
    """One that ends after some requests loses none, and the next one goes on."""
    server = serve("--workers", "1", "--max-requests", "7")
    pids = {server.get("/pid").split()[0] for _ in range(30)}
    assert len(pids) > 1
    server.stop()
    assert rows(tmp_path) == 30
