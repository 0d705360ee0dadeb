"""One destination in trouble: the others get everything, callers do not wait, and nothing goes in circles (L4)."""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import stat
import threading
import time

import pytest

from tests.logs.kept_log import KeptLog, backends, settled_but
from tests.patience import least_time
from time_execution import flush, settings, stats
from time_execution.exceptions import BackendUnavailable
from time_execution.logs import attach, logger, reset
from time_execution.logs.destinations import AppLog, Console, ErrorLog, StructuredLog

LINES = 500
KINDS = {"AppLog": AppLog, "ErrorLog": ErrorLog, "StructuredLog": StructuredLog, "Console": Console}


@pytest.fixture
def gate():
    """An event that lets go what hangs, at the end at the latest."""
    event = threading.Event()
    yield event
    event.set()


def write_lines():
    """Write the lines, and return the milliseconds that half of them took no longer than.

    Some wait for turns of 5 ms that the interpreter gives to other threads, and the machine to other processes.
    """
    took = []
    for number in range(LINES):
        began = time.perf_counter()
        logger.error("line %d", number)
        took.append(time.perf_counter() - began)
    return sorted(took)[LINES // 2] * 1000


@pytest.mark.parametrize("kind", KINDS)
def test_a_destination_that_hangs_holds_up_nobody(tmp_path, monkeypatch, capsys, gate, kind):
    """While one never returns, the others get every line, and no call waits 5 ms for it; later it has them, too."""
    write_many, hangs = KINDS[kind].write_many, threading.Event()

    def hanging(self, metrics):
        hangs.set()
        assert gate.wait(60)
        return write_many(self, metrics)

    monkeypatch.setattr(KINDS[kind], "write_many", hanging)
    kept = KeptLog(tmp_path / "logs", log_console=True)
    logger.error("first")
    assert hangs.wait(20)
    assert least_time(write_lines, 5.0) < 5.0
    found = settled_but(kind, shows="in_flight")
    offered = found[kind]["offered"]
    assert offered > LINES
    assert {each["delivered"] for name, each in found.items() if name != kind} == {offered}
    assert (found[kind]["delivered"], found[kind]["pending"]) == (0, offered)
    gate.set()
    assert flush(20)
    assert {each["delivered"] for each in backends().values()} == {offered}
    assert len(kept.lines()) == len(kept.lines("_error.log")) == len(capsys.readouterr().out.splitlines()) == offered


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [BackendUnavailable("away"), RuntimeError("broken")])
def test_a_destination_that_fails_is_counted(tmp_path, monkeypatch, capsys, kind, error):
    """One that raises is counted by itself, the others get every line."""

    def failing(self, metrics):
        raise error

    monkeypatch.setattr(KINDS[kind], "write_many", failing)
    monkeypatch.setattr("time_execution.logs.setup._CLOSING", 0.1)  # nothing more will come of it
    KeptLog(tmp_path / "logs", log_console=True)
    write_lines()
    found = settled_but(kind)
    assert {each["delivered"] for name, each in found.items() if name != kind} == {LINES}
    assert found[kind]["delivered"] == 0
    assert found[kind]["failures"] > 0
    assert str(error) in found[kind]["last_error"] or type(error).__name__ in found[kind]["last_error"]
    assert found[kind]["pending"] == LINES


def test_lines_made_while_delivering_are_left_out(tmp_path, monkeypatch):
    """What a destination's own thread logs, by whatever logger, is counted and not followed."""
    library = logging.getLogger("library")
    write_many = AppLog.write_many

    def logging_one(self, metrics):
        library.info("about to write")
        logger.error("this, too")
        return write_many(self, metrics)

    monkeypatch.setattr(AppLog, "write_many", logging_one)
    kept = KeptLog(tmp_path / "logs")
    attach("library", level="DEBUG")
    logger.info("line")
    assert kept.messages() == ["line"]
    assert stats()["errors"]["hook"] == {"log: reentrant": 2}
    library.setLevel(logging.NOTSET)


def test_lines_made_by_arguments_come_afterwards(kept):
    """An argument whose text logs does so once, after its line; one that logs itself does not go on for ever."""

    class Telling:
        def __str__(self):
            logger.info("asked for its text")
            return "told"

    class Endless:
        def __str__(self):
            logger.info("again %s", self)
            return "endless"

    logger.info("one %s", Telling())
    logger.info("two %s", Endless())
    assert kept.messages() == ["one told", "asked for its text", "two endless", "again endless"]
    assert stats()["errors"]["hook"] == {"log: reentrant": 1}


def test_lines_of_finalizers_and_signals_are_kept(kept):
    """A line that a finalizer or a signal handler writes amid another one is not lost."""

    class Finalized:
        def __del__(self):
            logger.warning("finalized")

    class Collecting:
        def __str__(self):
            cycle = Finalized()
            cycle.itself = cycle
            del cycle
            gc.collect()
            signal.raise_signal(signal.SIGUSR1)
            return "collected"

    before = signal.signal(signal.SIGUSR1, lambda *_: logger.warning("signalled"))
    try:
        logger.info("%s", Collecting())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert kept.messages() == ["collected", "finalized", "signalled"]


def test_pipeline_that_logs_does_not_go_in_circles(kept):
    """A backend of the pipeline that logs errors gets the event of each line, and no event of its own lines."""
    seen = []

    class Logging:
        def write(self, name, **data):
            seen.append(data["message"])
            logger.error("stored %s", data["message"])

    settings.configure(backends=[Logging()])
    logger.error("line")
    assert kept.messages() == ["line", "stored line", "stored stored line"] or len(kept.messages()) <= 3
    assert len(seen) <= 2


def test_closing_waits_for_no_one_who_hangs(tmp_path, monkeypatch, gate):
    """Configuring anew and resetting give up on a destination that hangs, after five seconds at most."""
    monkeypatch.setattr(AppLog, "write_many", lambda *_: gate.wait(60))
    monkeypatch.setattr("time_execution.logs.setup._CLOSING", 0.2)
    KeptLog(tmp_path / "logs")
    logger.info("line")
    began = time.monotonic()
    reset()
    assert time.monotonic() - began < 3


class FullDisk:
    """Stands for ``os.write``: a disk that takes half of what it is given, and then nothing, until there is room."""

    def __init__(self):
        self.write = os.write
        self.is_full = True
        self.refused = threading.Event()
        self._has_taken_half = set()

    def __call__(self, file, data):
        if not (self.is_full and stat.S_ISREG(os.fstat(file).st_mode)):
            return self.write(file, data)
        if file not in self._has_taken_half:
            self._has_taken_half.add(file)
            return self.write(file, data[: len(data) // 2])
        self._has_taken_half.discard(file)
        self.refused.set()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("profile", ["flat", "ecs"])
def test_a_disk_that_is_full_for_a_while_loses_nothing(tmp_path, monkeypatch, profile):
    """Lines wait until there is room, then each is in each file once, as it would have been (L3)."""
    disk = FullDisk()
    monkeypatch.setattr(os, "write", disk)
    kept = KeptLog(tmp_path / "logs", log_profile=profile)
    for number in range(10):
        logger.error("line %d", number)
    assert disk.refused.wait(20)
    assert not flush(0.5)
    disk.is_full = False
    for ending in (".log", "_error.log"):
        assert [line.rpartition(" ")[2] for line in kept.lines(ending)] == [str(number) for number in range(10)]
    assert [record["message"] for record in kept.records()] == [f"line {number}" for number in range(10)]
    assert all(not counts["rejected"] and not counts["dropped"] for counts in stats()["backends"].values())
