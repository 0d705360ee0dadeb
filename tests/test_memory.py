"""Reading the memory of the process: the kernel's number, whatever became of the descriptor that it is read through."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.child import printed_by
from tests.forked import ends_well_in_a_child, needs_fork
from tests.patience import least
from time_execution import forking, memory
from time_execution.exceptions import MissingExtraError
from time_execution.memory import rss_reader

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")

MIB = 2**20


@pytest.fixture(params=["ctypes", "python"])
def read(request, monkeypatch):
    """Return a reader of its own, with and without ctypes; its descriptor is closed in the end."""
    if request.param == "python":
        monkeypatch.setitem(sys.modules, "ctypes", None)
    reader = memory._StatmReader(os.sysconf("SC_PAGE_SIZE"))
    assert (reader._line_of is memory._line_by_python) is (request.param == "python")
    before = descriptors()
    yield reader.read
    forking._functions.remove(reader._after_fork)
    for left in descriptors() - before:
        os.close(left)


def descriptors():
    """Return the numbers of the open descriptors that lead to the kernel's line."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that this is read through
            if link.readlink().name == "statm":
                found.add(int(link.name))
    return found


def test_number_is_that_of_psutil(read):
    """Both ways of reading and psutil agree, but for what is taken between two readings."""
    psutil = pytest.importorskip("psutil")
    process = psutil.Process()

    def difference():
        return abs(read() - process.memory_info().rss)

    assert least(difference, MIB // 2) <= MIB // 2


def test_number_grows_with_what_is_taken(read):
    """Fifty megabytes that are taken and touched show, and show again when they are given back."""
    before = read()
    ballast = bytearray(os.urandom(MIB) * 50)
    taken = read()
    assert 45 * MIB < taken - before < 70 * MIB
    del ballast
    assert read() < taken - 40 * MIB


def test_one_reader_serves_all():
    """However many ask for one, there is one descriptor."""
    rss_reader()()
    before = descriptors()
    for _ in range(50):
        assert rss_reader()() > 0
    assert descriptors() == before


@needs_fork
def test_forked_child_reads_its_own_line(read):
    """A child is told of its own memory, not of its parent's, also when it has a child in turn."""
    read()

    def grow():
        before = read()
        ballast = bytearray(os.urandom(MIB) * 40)
        assert read() - before > 30 * MIB
        assert len(ballast) == 40 * MIB

    def have_a_child():
        grow()
        assert ends_well_in_a_child(grow)

    before = read()
    assert ends_well_in_a_child(have_a_child)
    assert abs(read() - before) < 20 * MIB


def test_closed_descriptor_is_opened_again(read):
    """A program that closes all descriptors, as daemons do, is read on."""
    others = descriptors()
    before = read()
    for kept in descriptors() - others:
        os.close(kept)
    assert abs(read() - before) < 20 * MIB
    assert len(descriptors() - others) == 1


@pytest.mark.parametrize("content", [b"", b"hello\n", b"1 2 3 4 5 6\n", b"a b c d e f g\n", b"\0" * 300])
def test_number_that_is_somebody_elses_is_left_alone(content):
    """Where the number leads to another file since, that is neither believed nor closed nor written to."""
    reader = memory._StatmReader(os.sysconf("SC_PAGE_SIZE"))
    before = descriptors()
    honest = reader.read()
    (kept,) = descriptors() - before
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(content)
        os.dup2(file.fileno(), kept)
        assert abs(reader.read() - honest) < 20 * MIB
        assert os.fstat(kept).st_ino == os.fstat(file.fileno()).st_ino
        assert os.pread(kept, 300, 0) == content
        os.close(kept)
    assert abs(reader.read() - honest) < 20 * MIB
    for left in descriptors() - before:
        os.close(left)
    forking._functions.remove(reader._after_fork)


def test_pipe_in_its_place_is_not_read(read):
    """Reading a pipe would take what is another's; nothing is taken."""
    before = descriptors()
    honest = read()
    (kept,) = descriptors() - before
    out, into = os.pipe()
    os.dup2(out, kept)
    os.write(into, b"1 2 3 4 5 6 7\n")
    assert abs(read() - honest) < 20 * MIB
    assert os.read(out, 100) == b"1 2 3 4 5 6 7\n"
    for descriptor in (out, into, kept):
        os.close(descriptor)


def test_exhausted_descriptors_read_as_zero_and_recover():
    """Where none can be opened the answer is 0, nothing is raised, and later ones are right again."""
    code = (
        "import os, resource\n"
        "from time_execution.memory import rss_reader\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))\n"
        "taken = []\n"
        "try:\n    while True: taken.append(os.open('/dev/null', os.O_RDONLY))\nexcept OSError: pass\n"
        "read = rss_reader()\nprint(read())\nos.close(taken.pop())\nprint(read() > 0)\nprint(read() > 0)\n"
    )
    assert printed_by(code) == ["0", "True", "True"]


def test_first_readings_at_once_leak_no_descriptor(read):
    """Threads that all begin together end with one descriptor, and each has an answer."""
    before, together, answers = descriptors(), threading.Barrier(16), []

    def work():
        together.wait(20)
        answers.extend(read() for _ in range(50))

    for _ in range(10):
        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for kept in descriptors() - before:
            assert len(descriptors() - before) == 1
            os.close(kept)
        together.reset()
    assert len(answers) == 16 * 50 * 10
    assert min(answers) > MIB


def test_line_of_another_shape_costs_no_descriptor(read, monkeypatch):
    """A kernel that writes another line than ours is asked anew each time, and nothing is left open."""
    monkeypatch.setattr(memory, "_NUMBERS", 9)
    before = descriptors()
    assert min(read() for _ in range(200)) > MIB
    assert descriptors() == before


@pytest.mark.serial
def test_reading_stays_quick_beside_a_busy_thread():
    """A reading does not give its turn away: beside a thread that computes it takes microseconds, not milliseconds."""
    read, ended = rss_reader(), threading.Event()
    read()

    def compute():
        while not ended.is_set():
            sum(range(1000))

    def measure():
        started = time.perf_counter()
        for _ in range(200):
            read()
        return (time.perf_counter() - started) / 200

    busy = threading.Thread(target=compute)
    busy.start()
    try:
        # Each of Python's own readings waits for a turn of 5 ms.
        assert least(measure, 0.0005) <= 0.0005
    finally:
        ended.set()
        busy.join(20)


def test_without_the_kernels_line_psutil_is_asked(monkeypatch):
    """Other systems than Linux are read by psutil, once a process has one."""
    psutil = pytest.importorskip("psutil")
    monkeypatch.setattr(memory.os.path, "exists", lambda path: False)
    read = rss_reader()
    assert read.__self__.__class__ is memory._PsutilReader
    assert abs(read() - psutil.Process().memory_info().rss) < 20 * MIB


@needs_fork
def test_psutil_is_asked_anew_in_a_child(monkeypatch):
    """An object that was made before a fork tells of the parent, so the child makes its own."""
    pytest.importorskip("psutil")
    monkeypatch.setattr(memory.os.path, "exists", lambda path: False)
    read = rss_reader()

    def grow():
        before = read()
        ballast = bytearray(os.urandom(MIB) * 40)
        assert read() - before > 30 * MIB
        assert len(ballast) == 40 * MIB

    assert ends_well_in_a_child(grow)


def test_missing_psutil_says_what_to_install(monkeypatch):
    """Where psutil is needed and absent, asking for a reader names the extra."""
    monkeypatch.setattr(memory.os.path, "exists", lambda path: False)
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(MissingExtraError, match=r"timeexecution\[timer\]"):
        rss_reader()


def test_importing_reads_nothing():
    """Importing the module opens nothing and loads no ctypes."""
    code = "import sys, time_execution.memory\nprint('ctypes' in sys.modules, 'psutil' in sys.modules)\n"
    assert printed_by(code) == ["False", "False"]
