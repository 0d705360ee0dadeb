"""The demonstrations: each a real program, measured and shown."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection

import pytest

from tests.cli.conftest import ROOT, run_python
from time_execution.cli import main


def test_demo_command_measures_and_reports(tmp_path, monkeypatch, capfd, counts):
    """The command runs a real program, prints its report, and keeps the database when told where."""
    monkeypatch.setattr("time_execution.cli.demo_program._PARAGRAPHS", 5)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert main(["demo", "--report", "--db", str(tmp_path / "demo.db"), "--limit", "5"]) == 0
    printed, told = capfd.readouterr()
    assert "none lost" in told
    assert "function" in printed
    assert sum(calls for calls, _ in counts("demo.db").values()) > 10


def test_a_limit_that_is_none_is_refused_before_the_program_runs(capsys):
    """It would be a pity afterwards."""
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--limit", "x"])
    assert ended.value.code == 2
    assert "--limit" in capsys.readouterr().err


def test_example_measures_docutils_two_ways(tmp_path):
    """What `make demo` runs prints two reports of one conversion, each with its main function, and leaves nothing."""
    pytest.importorskip("docutils")
    done = run_python(tmp_path, ROOT / "examples" / "demo.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("p95") == 2
    assert "docutils.core.publish_file" in done.stdout
    assert "docutils.__main__.main" in done.stdout
    assert "none lost" in done.stderr
    assert list(tmp_path.iterdir()) == []


_STARTED = re.compile(r"its dashboard at http://127\.0\.0\.1:(\d+)(/\S*/)")


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """The demonstration at work: where its dashboard is, and its process."""
    pytest.importorskip("flask")
    pytest.importorskip("psutil")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-m", "time_execution", "demo", "--port", "0", "--rate", "100", "--seconds", "60"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            found = _STARTED.search(process.stderr.readline())
            yield int(found[1]), found[2], process
        finally:
            process.kill()
            process.stdout.close()


def _asked(port, path, host="127.0.0.1"):
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": f"{host}:{port}"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_shop_is_shown_under_load(shop, tmp_path):
    """The dashboard shows functions and requests that visitors caused; an interrupt ends it and leaves nothing."""
    port, dashboard, process = shop
    names, routes = set(), set()
    # Visitors keep coming until both are seen; the command's own time is the bound.
    while not ({"shop.pay", "shop.find_goods"} <= names and {"/", "/orders/<int:number>"} <= routes):
        assert process.poll() is None, process.stderr.read()
        for page, known, field in (("functions", names, "name"), ("requests", routes, "route")):
            status, body = _asked(port, f"{dashboard}data/{page}?range=5m")
            assert status == 200
            known.update(row[field] for row in json.loads(body)["rows"] if row["calls"])
    assert b"health" in _asked(port, dashboard)[1].lower()
    process.send_signal(2)
    assert process.wait(30) == 130
    told = process.stderr.read()
    assert "Traceback" not in told
    assert int(re.search(r"(\d+) requests were answered", told)[1]) > 0
    assert [item.name for item in tmp_path.iterdir() if "time-execution" in item.name] == []


def test_shop_leaves_nothing_when_it_is_told_to_end(shop, tmp_path):
    """By whatever runs it in the background, as well as by an interrupt."""
    port, dashboard, process = shop
    assert _asked(port, dashboard)[0] == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert "requests were answered" in process.stderr.read()
    assert [item.name for item in tmp_path.iterdir() if "time-execution" in item.name] == []


_INTERRUPTED_ELSEWHERE = """
import signal, sys, threading, time
from time_execution.cli.demo import _wait

main = threading.get_ident()

def interrupt():
    while sys._current_frames()[main].f_code is not _wait.__code__:
        time.sleep(0.01)
    time.sleep(0.1)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

threading.Thread(target=interrupt).start()
_wait({seconds})
"""


@pytest.mark.parametrize("seconds", [None, 25])
def test_an_interrupt_that_another_thread_takes_ends_the_shop(tmp_path, seconds):
    """A thread that starts another takes what was sent to the process, and the system does not wake the main one."""
    began = time.monotonic()
    done = run_python(tmp_path, "-c", _INTERRUPTED_ELSEWHERE.format(seconds=seconds))
    assert "KeyboardInterrupt" in done.stderr
    assert time.monotonic() - began < 20


def test_shop_shows_nothing_to_a_page_of_another_name(shop):
    """A name of somebody else's that leads to this machine gets no dashboard."""
    port, dashboard, _ = shop
    assert _asked(port, dashboard)[0] == 200
    assert _asked(port, dashboard, host="evil.example")[0] == 403


def test_shop_needs_what_is_missing(monkeypatch, tmp_path, capfd):
    """Without Flask, the command says what to install, and shows the report."""
    monkeypatch.setattr("time_execution.cli.demo._NEEDED", ("no_such_module",))
    monkeypatch.setattr("time_execution.cli.demo_program._PARAGRAPHS", 5)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert main(["demo", "--db", str(tmp_path / "demo.db"), "--limit", "5"]) == 0
    printed, told = capfd.readouterr()
    assert "no_such_module: pip install 'timeexecution[flask]'" in told
    assert "function" in printed
