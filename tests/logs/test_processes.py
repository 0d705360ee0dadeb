"""Any number of processes on the same log: each line whole, each once, none lost (L1)."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest

from tests.backends.line_files import ENVIRONMENT, lines_of, older_files
from tests.child import printed_by
from tests.forked import ends_well_in_a_child, needs_fork
from tests.logs.kept_log import KeptLog
from time_execution import flush, record_output
from time_execution.logs import get_logger, logger
from time_execution.logs.destinations import AppLog
from time_execution.logs.setup import setup

MAX_BYTES = 50_000


def run(folder, way, processes, lines):
    """Run the program to its end."""
    environment = {**ENVIRONMENT, "LOG_FOLDER": str(folder)}
    module = [sys.executable, "-W", "ignore:This process", "-m", "tests.logs.processes"]
    command = [*module, way, str(processes), str(lines)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def check(folder, expected, *, least=5):
    """Compare what stands in all files with how many lines there were, and each with the others."""
    records = [json.loads(line) for line in lines_of(folder / "shop_structured.json")]
    assert len({(record["process_id"], record["message"]) for record in records}) <= len(records) == expected
    texts = [line.decode() for line in lines_of(folder / "shop.log")]
    errors = [line.decode() for line in (folder / "shop_error.log").read_bytes().splitlines()]
    messages = sorted(record["message"] for record in records)
    assert sorted(text.partition(" - shop - ")[2].partition(" - ")[2] for text in texts) == messages
    assert len(errors) == expected // 10
    for name in ("shop.log", "shop_structured.json"):
        older = older_files(folder / name)
        assert len(older) > least
        assert all(path.stat().st_size <= MAX_BYTES for path in older.values())
    return messages


@pytest.mark.parametrize("way", ["process-fork", "process-spawn"])
def test_processes_share_the_files(tmp_path, way):
    """Eight processes write five thousand lines each, and their parent, too, while files turn over at 50 KB."""
    folder = tmp_path / "logs"
    run(folder, way, 8, 5000)
    messages = check(folder, 45_000)
    assert len(set(messages)) == 45_000


@pytest.mark.parametrize("way", ["pool-fork", "pool-spawn"])
def test_lines_of_a_pool_are_in_the_files_before_the_call_returns(tmp_path, way):
    """A pool ends its processes when it likes: no line of theirs is lost."""
    folder = tmp_path / "logs"
    run(folder, way, 4, 500)
    check(folder, 4 * 500 + 500, least=1)


@needs_fork
def test_threads_that_fork_lose_nothing(tmp_path):
    """Six threads that write, fork and write on: what parent and children wrote is there, each once."""
    folder = tmp_path / "logs"
    run(folder, "threads-fork", 6, 1000)
    assert len(set(check(folder, 12_000))) == 12_000


@needs_fork
def test_fork_while_lines_wait(kept):
    """Lines that wait in the parent's queues are its own: the child writes none of them, and its own once."""
    for number in range(3000):
        logger.info("line %d", number)

    def child():
        for number in range(3000, 4000):
            get_logger("child").info("line %d", number)
        assert flush(20)

    assert ends_well_in_a_child(child)
    assert sorted(int(message.removeprefix("line ")) for message in kept.messages()) == list(range(4000))


@needs_fork
def test_fork_while_it_is_set_up(tmp_path):
    """A child that is forked while another thread sets the log up can do so itself."""
    begun, go_on = threading.Event(), threading.Event()
    assert logger.name == "proletto"

    def hold():
        with setup._lock:
            begun.set()
            go_on.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(20)

    def child():
        kept = KeptLog(tmp_path / "logs")
        logger.info("line")
        assert kept.messages() == ["line"]

    try:
        assert ends_well_in_a_child(child)
    finally:
        go_on.set()
        thread.join(20)


def test_lines_at_the_end_of_a_program_are_written(tmp_path):
    """A program that ends at once, and one that fails, leave all of their lines."""
    code = (
        "import sys\nfrom time_execution.logs import logger\n"
        f"from time_execution.logs import configure\nconfigure(log_dir={str(tmp_path)!r}, app_name='shop')\n"
        "for number in range(2000): logger.info('line %d', number)\n"
    )
    printed = printed_by(code)
    assert printed.count("INFO") == 2000
    assert len((tmp_path / "shop.log").read_bytes().splitlines()) == 2000


def test_workers_import_nothing(tmp_path):
    """A child that is forked while a worker imports waits for that import for ever: all is loaded before."""
    code = (
        "import sys\nfrom time_execution import flush\nfrom time_execution.logs import *\n"
        f"from time_execution.logs import configure, logger\nconfigure(log_dir={str(tmp_path)!r}, log_console=False)\n"
        "logger.info('first')\n"
        "before = set(sys.modules)\n"
        "for value in [5, 'text', 2**70, None, {'a': [1]}, 'a\\n\\u2028'] * 20:\n"
        "    logger.error('%s', value, extra={'x': value})\n"
        "assert flush(20)\nprint(sorted(set(sys.modules) - before))\n"
    )
    assert printed_by(code) == ["[]"]


def test_a_file_that_hangs_holds_up_one_line_in_a_while(tmp_path, monkeypatch):
    """Where each line waits for the files, as in a pool's child, it does so for a second at most, and not each."""
    gate, write_many = threading.Event(), AppLog.write_many

    def when_it_opens(log, metrics):
        assert gate.wait(20)
        write_many(log, metrics)

    monkeypatch.setattr(record_output, "is_terminated_at_will", lambda: True)
    monkeypatch.setattr(AppLog, "write_many", when_it_opens)
    kept = KeptLog(tmp_path / "logs")
    gate.set()
    logger.info("line")
    assert len((kept.folder / "shop.log").read_bytes().splitlines()) == 1  # nobody flushed
    gate.clear()
    began = time.monotonic()
    for _ in range(20):
        logger.info("line")
    took = time.monotonic() - began
    gate.set()
    assert 0.9 < took < 2.5
