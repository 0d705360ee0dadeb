"""Figures of the machine: what each is, when one cannot be read, and the gauges that come of them."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import sys
import threading
import time
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from tests.child import printed_by
from tests.forked import ends_well_in_a_child, needs_fork
from time_execution import settings
from time_execution.backends.memory import MemoryBackend
from time_execution.exceptions import MissingExtraError
from time_execution.monitor import system
from time_execution.monitor.system import FIGURES, SystemReader, emit_sample
from time_execution.testing.clock import FakeClock

psutil = pytest.importorskip("psutil")

PATIENCE = 20.0


class Times(NamedTuple):
    """Seconds that the processors spent, as psutil has them."""

    user: float
    system: float
    idle: float
    iowait: float
    guest: float


def broken(*args, **kwargs):
    raise psutil.AccessDenied(1)


def fake_psutil(**replaced):
    """Return what a reader asks, with some of it replaced; half of the processors' time goes into work."""
    ticks = itertools.count()
    half = {"cpu_times": lambda: Times(tick := next(ticks), 0, tick, 0, 0)}
    names = ("virtual_memory", "disk_usage", "Process")
    return SimpleNamespace(**{name: getattr(psutil, name) for name in names} | half | replaced)


def fake_process(**replaced):
    """Return a class of processes as psutil has it."""
    real = psutil.Process()
    methods = {"pid": os.getpid(), "num_fds": real.num_fds, "net_connections": real.net_connections}
    return lambda: SimpleNamespace(**methods | replaced)


@pytest.fixture
def reader_of(monkeypatch):
    """Make readers of a psutil that is partly replaced."""

    def make(*, options=(), **replaced):
        monkeypatch.setattr(system, "_psutil", lambda: fake_psutil(**replaced))
        return SystemReader(**{"sleep": lambda seconds: None, **dict(options)})

    return make


def test_every_figure_of_this_machine():
    """A reading has all figures in their units and ranges, and none fails here."""
    reader = SystemReader()
    figures = reader.read()
    assert list(figures) == list(FIGURES)
    assert not reader.failures
    for key in ("cpu_percent", "memory_percent", "disk_percent"):
        assert 0 <= figures[key] <= 100
    assert figures["memory_percent"] == pytest.approx(psutil.virtual_memory().percent, abs=20)
    assert figures["disk_percent"] == pytest.approx(psutil.disk_usage("/").percent, abs=5)
    if hasattr(os, "getloadavg"):
        assert figures["load_1m"] == pytest.approx(os.getloadavg()[0], abs=5)


def test_open_files_and_connections_are_this_process_s(tmp_path):
    """One more open file, and one more socket that listens, count one each; the socket is an open file, too."""
    reader = SystemReader()
    before = reader.read()
    with (tmp_path / "file").open("w"), socket.create_server(("127.0.0.1", 0)):
        during = reader.read()
    after = reader.read()
    assert during["open_files"] - before["open_files"] == 2
    assert during["network_connections"] - before["network_connections"] == 1
    assert [after[key] - before[key] for key in ("open_files", "network_connections")] == [0, 0]


def test_the_first_cpu_figure_covers_a_tenth_of_a_second(reader_of):
    """With no reading before it, the first one waits for 0.1 seconds, and tells of these; later ones do not wait."""
    clock, slept = FakeClock(), []
    spent = iter([Times(10, 0, 90, 0, 0), Times(10.15, 0, 90.05, 0, 0), Times(20, 0, 110, 0, 0)])

    def sleep(seconds):
        slept.append(seconds)
        clock.advance(seconds)

    reader = reader_of(cpu_times=lambda: next(spent), options={"clock": clock, "sleep": sleep})
    assert reader.read()["cpu_percent"] == 75.0
    assert slept == [0.1]
    clock.advance(30)
    assert reader.read()["cpu_percent"] == 33.1
    assert slept == [0.1]


@pytest.mark.parametrize(
    ("after", "percent"),
    [
        (Times(100, 0, 100, 0, 0), 50.0),
        (Times(50, 30, 20, 0, 0), 80.0),
        (Times(0, 20, 40, 40, 0), 20.0),
        (Times(100, 0, 0, 0, 0), 100.0),
        (Times(0, 0, 100, 0, 0), 0.0),
        (Times(100, 0, 100, 0, 100), 50.0),
        (Times(100, 0, 100, -5, 0), 50.0),
    ],
    ids=["half", "system", "waiting for disks is idle", "full", "idle", "guests count once", "a counter goes back"],
)
def test_cpu_figure_is_the_part_of_the_time_that_was_worked(reader_of, after, percent):
    """Working time by all time since the reading before; waiting for disks is idle."""
    clock, spent = FakeClock(), [Times(1000, 1000, 1000, 1000, 1000)]
    reader = reader_of(cpu_times=lambda: spent[-1], options={"clock": clock})
    spent.append(Times(*(base + more for base, more in zip(spent[0], (1, 1, 2, 0, 0), strict=True))))
    reader._cpu._before, reader._cpu._read_at, reader._cpu._percent = spent[0]._asdict(), 0.0, 1.0
    spent.append(Times(*(base + more for base, more in zip(spent[0], after, strict=True))))
    clock.advance(60)
    assert reader.read()["cpu_percent"] == percent


def test_a_cpu_figure_is_repeated_within_a_tenth_of_a_second(reader_of):
    """The system counts in ticks of 10 ms, so a shorter time would be told in jumps: the last figure stays."""
    clock, asked = FakeClock(), []

    def cpu_times():
        asked.append(clock())
        return Times(len(asked), 0, len(asked), 0, 0)

    reader = reader_of(cpu_times=cpu_times, options={"clock": clock})
    first = reader.read()["cpu_percent"]
    clock.advance(0.05)
    assert reader.read()["cpu_percent"] == first
    assert len(asked) == 2
    clock.advance(0.05)
    assert reader.read()["cpu_percent"] == first
    assert len(asked) == 3


def test_cpu_figure_is_that_of_the_machine():
    """A second process at work shows, since the figure is not that of this process."""
    reader = SystemReader()
    reader.read()
    stop = time.perf_counter() + 0.5
    while time.perf_counter() < stop:
        pass
    # One processor of these was busy for sure.
    assert reader.read()["cpu_percent"] >= 0.7 * 100 / (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("replaced", "key"),
    [
        ({"cpu_times": broken}, "cpu_percent"),
        ({"cpu_times": lambda: Times(1, 1, 1, 1, 1)}, "cpu_percent"),
        ({"virtual_memory": broken}, "memory_percent"),
        ({"disk_usage": broken}, "disk_percent"),
        ({"Process": fake_process(num_fds=broken)}, "open_files"),
        ({"Process": fake_process(net_connections=broken)}, "network_connections"),
    ],
)
def test_one_failing_figure_is_none_and_counted_and_the_others_stay(reader_of, caplog, replaced, key):
    """What cannot be read is None each time, counted each time, and told once."""
    reader = reader_of(**replaced)
    with caplog.at_level(logging.WARNING, "time_execution"):
        for count in (1, 2):
            figures = reader.read()
            assert [name for name, value in figures.items() if value is None] == [key]
            assert reader.failures == {key: count}
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith(f"monitor: {key} cannot be read: ")


def test_a_figure_that_comes_back_is_told_again_when_it_goes(reader_of, caplog):
    """Denied, granted, denied: two lines, one for each time that it went."""
    is_denied = [True]
    memory = SimpleNamespace(percent=50.0)
    reader = reader_of(virtual_memory=lambda: broken() if is_denied[0] else memory)
    reader._log.interval = 0.0
    with caplog.at_level(logging.WARNING, "time_execution"):
        for is_denied[0] in (True, True, False, True, True):
            assert (reader.read()["memory_percent"] is None) == is_denied[0]
    assert len(caplog.records) == 2


def test_load_is_none_where_the_system_has_none(reader_of, monkeypatch):
    """That is no failure, while a system that has one and cannot tell it is."""
    monkeypatch.delattr(os, "getloadavg")
    reader = reader_of()
    assert loads_of(reader) == [None, None, None]
    assert not reader.failures
    monkeypatch.setattr(os, "getloadavg", broken, raising=False)
    assert loads_of(reader) == [None, None, None]
    assert reader.failures == {"load": 1}


def loads_of(reader):
    figures = reader.read()
    return [figures[key] for key in system.LOADS]


def test_older_names_of_psutil_and_of_other_systems(reader_of):
    """Before psutil 6 connections had another name; Windows counts files, not descriptors."""
    process = SimpleNamespace(pid=os.getpid(), connections=lambda kind: [kind] * 3, open_files=lambda: [1, 2])
    figures = reader_of(Process=lambda: process).read()
    assert (figures["network_connections"], figures["open_files"]) == (3, 2)


def test_a_disk_that_hangs_is_waited_for_once(reader_of):
    """The thread that hangs is left to itself, no other joins it, and the other figures come as always."""
    release, asked = threading.Event(), []

    def hang(path):
        asked.append(path)
        release.wait(PATIENCE)
        return SimpleNamespace(percent=12.5)

    reader = reader_of(disk_usage=hang, options={"longest": 0.05, "disk_path": "/far"})
    for count in (1, 2, 3):
        figures = reader.read()
        assert [key for key, value in figures.items() if value is None] == ["disk_percent"]
        assert reader.failures == {"disk_percent": count}
    assert asked == ["/far"]
    release.set()
    for thread in threading.enumerate():
        if thread.name == system.THREAD_NAME:
            thread.join(PATIENCE)
    reader._disk._longest = PATIENCE
    assert reader.read()["disk_percent"] == 12.5


def test_a_sample_is_eight_gauges(reader_of):
    """Each figure that was read goes down the pipeline under its name, with its unit, this host and one moment."""
    figures = reader_of(virtual_memory=broken).read()
    with settings(backends=[store := MemoryBackend()], hostname="web-1"):
        emit_sample(figures)
    assert {record["name"]: record["value"] for record in store.metrics} == {
        figure.metric: figures[key] for key, figure in FIGURES.items() if key != "memory_percent"
    }
    assert {record["hostname"] for record in store.metrics} == {"web-1"}
    assert len({record["timestamp"] for record in store.metrics}) == 1


def test_gauges_carry_kind_and_unit():
    """Percentages have the unit ``%``; counts and loads have none; all are gauges, and have no labels."""
    kept = []

    class Keeping:
        def write_many(self, metrics):
            kept.extend(metrics)

    with settings(backends=[Keeping()]):
        emit_sample(dict.fromkeys(FIGURES, 1))
    assert {(metric.kind, metric.unit) for metric in kept if "percent" in metric["name"]} == {("gauge", "%")}
    assert {(metric.kind, metric.unit) for metric in kept if "percent" not in metric["name"]} == {("gauge", None)}
    assert [metric.labels for metric in kept] == [()] * 8


def test_without_psutil_it_says_what_to_install(monkeypatch):
    """A missing psutil is a configuration error that names the extra, and the switch to do without."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(MissingExtraError, match=r"timeexecution\[monitor\].*MONITOR_SYSTEM_METRICS"):
        SystemReader()


def test_importing_loads_no_psutil():
    """psutil is imported when the machine is to be read, and not before."""
    code = "import sys; import time_execution.monitor; print('psutil' in sys.modules)"
    assert printed_by(code) == ["False"]


def test_at_the_interpreters_end_nothing_is_said():
    """No thread can be started then any more, as of Python 3.12; that is no trouble that anybody should hear of."""
    code = (
        "import atexit, sys\n"
        "from time_execution.monitor.system import SystemReader\n"
        "sys.stderr, reader = sys.stdout, SystemReader()\n"
        "atexit.register(lambda: print(len(reader.read()), sum(reader.failures.values())))"
    )
    assert printed_by(code) == ["8", "0"]


@needs_fork
def test_a_child_reads_itself(tmp_path):
    """After a fork, files are the child's own, and no figure is of the parent's time."""
    reader = SystemReader()
    reader.read()

    def work():
        reader.after_fork()
        before = reader.read()["open_files"]
        with (tmp_path / "one").open("w"), (tmp_path / "two").open("w"):
            assert reader.read()["open_files"] == before + 2
        assert reader._own().pid == os.getpid()

    assert ends_well_in_a_child(work)
