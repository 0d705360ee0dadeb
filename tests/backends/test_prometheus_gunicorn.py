"""A server with several worker processes that come and go: every worker's scrape shows the requests of all.

A request delivers its metric before it is answered, so that what was answered is exactly what must be counted. A worker
that is killed amid a request may have counted it and not answered; therefore the exact comparison kills workers between
requests, and another test, amid them, gives that request or two their due.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("gunicorn")

from tests.backends.prometheus_totals import CALLS, DURATION, samples_in
from tests.backends.test_prometheus_exporter import eventually

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 30.0
CLIENTS = 4
pytestmark = [pytest.mark.serial, pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn needs POSIX")]
APP = """
    import os
    from time_execution import flush, settings, time_execution
    from time_execution.pipeline import emit
    from time_execution.types import Metric

    settings.configure(backends=[{url!r}])

    @time_execution(name="work")
    def work():
        return str(os.getpid()).encode()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/metrics":
            backend = settings.backends[0].backend
            body, kind = backend.exposition(environ.get("HTTP_ACCEPT"))
        else:
            body, kind = work(), "text/plain"
            emit(Metric({{"name": "workers", "value": 1}}, kind="gauge"))
            assert flush(20)
        start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]
"""


class Site:
    """A gunicorn with workers, and what its clients have been answered."""

    def __init__(self, folder, *options):
        self.address = str(folder / "socket")  # which no other program can take, as it can a port
        url = f"prometheus:///{folder}/metrics.db?linger=5ms"
        (folder / "shop_app.py").write_text(textwrap.dedent(APP).format(url=url))
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "shop_app:app",
            "--bind",
            f"unix:{self.address}",
            "--workers",
            "4",
            "--graceful-timeout",
            "3",  # gunicorn does not see to it that a worker which it has just forked gets the signal to end
        ]
        self.log = (folder / "log").open("w")
        self.master = subprocess.Popen(
            [*command, "--chdir", str(folder), "--worker-tmp-dir", str(folder), *options],
            env=os.environ | {"PYTHONPATH": f"{ROOT}"},
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.answered = self.sent = 0
        self.pids = set()
        self._lock = threading.Lock()

    def get(self, path):
        """Return an answer's text; None when there is none."""
        connection = http.client.HTTPConnection("localhost")
        with self._lock:
            self.sent += path == "/"
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(DEADLINE)
            connection.sock.connect(self.address)
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        if answer.status != 200:
            return None
        with self._lock:
            if path == "/":
                self.answered += 1
                self.pids.add(int(text))
        return text

    def load(self, count):
        """Send so many requests from each of some clients; returns the threads."""
        threads = [threading.Thread(target=lambda: [self.get("/") for _ in range(count)]) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def scrape(self):
        return samples_in(self.get("/metrics"))

    def calls(self):
        return self.scrape()[CALLS, frozenset({"function": "work", "outcome": "ok"}.items())]

    def end(self):
        self.master.terminate()
        self.master.wait(DEADLINE)
        self.log.close()


@pytest.fixture(name="site", params=[(), ("--preload",)], ids=["each worker imports", "preload"])
def site_fixture(request, tmp_path):
    site = Site(tmp_path, *request.param)
    try:
        eventually(lambda: site.master.poll() is not None or site.get("/") is not None)
        assert site.master.poll() is None, (tmp_path / "log").read_text()
        yield site
    finally:
        site.end()


def join(threads):
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()


def test_totals_are_what_was_answered_whatever_happens_to_workers(site):
    """Reloads, more workers, fewer workers and kills leave counters exact, and every worker shows the same."""
    for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTIN, signal.SIGTTOU, signal.SIGHUP):
        threads = site.load(25)
        site.master.send_signal(number)
        join(threads)
    assert site.calls() == site.answered
    for _ in range(3):
        victims, site.pids = site.pids, set()
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # ended by the reload
        eventually(lambda: site.get("/") is not None)
        join(site.load(10))
    assert site.answered > 500
    assert {site.calls() for _ in range(20)} == {site.answered}
    assert site.scrape()[f"{DURATION}_count", frozenset({("function", "work")})] == site.answered


def test_kills_amid_requests_lose_nothing_that_was_answered(site):
    """A request that died with its worker counts or does not; every other one does, once (kill -9 under load)."""
    threads = site.load(60)
    for _ in range(6):
        time.sleep(0.15)
        for pid in list(site.pids)[-1:]:
            site.pids.discard(pid)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    join(threads)
    eventually(lambda: site.get("/") is not None)
    assert site.answered <= site.calls() <= site.sent
    assert site.answered > 100


def test_gauges_of_killed_workers_go(site):
    """A gauge of 1 for each worker that has answered is the number of those that live."""
    eventually(lambda: join(site.load(20)) or len(site.pids) > 1)
    workers = site.scrape()["workers", frozenset()]
    assert workers == len(site.pids)
    victim = site.pids.pop()
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: site.scrape()["workers", frozenset()] == workers - 1)
