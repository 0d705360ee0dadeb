"""Files that several processes write at once: whole lines, each once, whatever happens to the writers."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter

import pytest

from tests.backends.line_files import ENVIRONMENT, lines_of, names_in
from time_execution import append_file
from time_execution.backends.files import JSONLinesBackend
from time_execution.backends.files.csv import COLUMNS
from time_execution.exceptions import BackendUnavailable

WRITER = """
import sys
from time_execution.backends.files import JSONLinesBackend, CSVBackend
kind, path, label, batches, size, options = sys.argv[1:]
backend = {"jsonl": JSONLinesBackend, "csv": CSVBackend}[kind](path, **eval(options))
print("ready", flush=True)
sys.stdin.readline()
for batch in range(int(batches)):
    names = [f"{label}-{batch}-{number}" for number in range(int(size))]
    backend.bulk_write([{"name": name, "value": 1, "note": "x" * 50} for name in names])
    print(batch, flush=True)
"""


def start_writer(kind, path, label, *, batches=50, size=10, **options):
    """Start a process that writes batches once it is told to, and prints the number of each that is stored."""
    arguments = [kind, str(path), str(label), str(batches), str(size), repr(options)]
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def run_together(writers):
    """Let all begin at once, wait for all, and return what each printed."""
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    printed = [writer.communicate(timeout=60)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * len(writers)
    return printed


@pytest.mark.parametrize("max_bytes", [None, 2_000])
def test_processes_share_a_file(tmp_path, max_bytes):
    """Four processes write at once, also while the file turns over: no line is torn, lost or doubled."""
    path = tmp_path / "metrics.jsonl"
    options = {} if max_bytes is None else {"max_bytes": max_bytes, "backup_count": 5000}
    run_together([start_writer("jsonl", path, label, batches=100, size=4, **options) for label in range(4)])
    counts = Counter(names_in(path))
    assert set(counts.values()) == {1}
    assert len(counts) == 4 * 100 * 4
    if max_bytes is not None:
        sizes = [file.stat().st_size for file in tmp_path.iterdir()]
        assert len(sizes) > 5
        assert max(sizes) <= max_bytes


def test_processes_share_a_header(tmp_path):
    """Four processes begin a CSV file at once, and it has its header once, at the top of each file."""
    path = tmp_path / "metrics.csv"
    run_together([start_writer("csv", path, label, max_bytes=20_000, backup_count=500) for label in range(4)])
    for file in tmp_path.iterdir():
        with file.open(newline="") as opened:
            rows = list(csv.reader(opened, strict=True))
        assert rows[0] == list(COLUMNS)
        assert list(COLUMNS) not in rows[1:]
        assert {len(row) for row in rows} == {len(COLUMNS)}
    assert len(lines_of(path)) == 4 * 50 * 10 + len(list(tmp_path.iterdir()))


def test_a_killed_process_holds_up_nobody(tmp_path):
    """Case L2: of processes killed at any moment, at most the last line is torn, and others go on."""
    path = tmp_path / "metrics.jsonl"
    survivor = start_writer("jsonl", path, "survivor", batches=300, max_bytes=20_000, backup_count=5000)
    victims = [
        start_writer("jsonl", path, number, batches=10**6, size=50, max_bytes=20_000, backup_count=5000)
        for number in range(6)
    ]
    for writer in [survivor, *victims]:
        assert writer.stdout.readline() == "ready\n"
        writer.stdin.write("\n")
        writer.stdin.flush()
    stored: Counter[int] = Counter()
    for number, victim in enumerate(victims):
        for _ in range(5 + 3 * number):
            victim.stdout.readline()
        victim.send_signal(signal.SIGKILL)
        stored[number] = len([line for line in victim.communicate()[0].splitlines() if line]) + 5 + 3 * number
    assert len(survivor.communicate(timeout=60)[0].splitlines()) == 300
    whole: Counter[str] = Counter()
    torn = 0
    for line in lines_of(path):
        try:
            whole[json.loads(line)["name"]] += 1
        except ValueError:
            torn += 1
    assert torn <= len(victims)
    assert set(whole.values()) == {1}
    for number in stored:
        told = {f"{number}-{batch}-{item}" for batch in range(stored[number] - 1) for item in range(50)}
        assert told <= set(whole)


def test_a_stopped_process_cannot_block_for_ever(tmp_path):
    """A lock that nobody gives back is an error after a while, and the batch is sent again."""
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path)
    backend._file._lock_timeout = 0.05
    with path.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BackendUnavailable, match="locked by another"):
            backend.write("a")
    backend.write("b")
    assert names_in(path) == ["b"]


def test_a_lock_is_released_also_where_a_child_inherited_the_file(tmp_path):
    """A child forked in the middle of a write does not keep the file locked."""
    if not hasattr(os, "fork"):
        pytest.skip("this platform cannot fork")
    path = tmp_path / "metrics.jsonl"
    children = []
    real = append_file._write_all

    def write_and_fork(file, data, size):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        os.close(reader)
        children.append((child, writer))
        real(file, data, size)

    append_file._write_all = write_and_fork
    try:
        JSONLinesBackend(path).write("a")
    finally:
        append_file._write_all = real
    JSONLinesBackend(path).write("b")
    for child, writer in children:
        os.close(writer)
        os.waitpid(child, 0)
    assert names_in(path) == ["a", "b"]


FORKING = """
import os, signal, sys
from time_execution.append_file import AppendFile
with AppendFile(sys.argv[1]).held(create=True):
    if os.fork() == 0:
        os.read(0, 1)
        os._exit(0)
    print("forked", flush=True)
    signal.pause()
"""


def test_a_child_does_not_keep_the_lock_of_a_parent_that_was_killed(tmp_path):
    """Who was forked while a file was held, for a merge for instance, lives on after its parent and holds up nobody."""
    if not hasattr(os, "fork"):
        pytest.skip("this platform cannot fork")
    path = tmp_path / "held"
    command = [sys.executable, "-c", FORKING, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT) as parent:
        assert parent.stdout.readline() == b"forked\n"
        with pytest.raises(TimeoutError):
            append_file.AppendFile(path, lock_timeout=0.05).append(b"early\n")
        parent.kill()
        parent.wait(30)
        append_file.AppendFile(path, lock_timeout=1.0).append(b"late\n")
    assert path.read_bytes() == b"late\n"


def test_a_child_that_goes_on_does_not_give_the_lock_of_its_parent_back(tmp_path):
    """A child that was forked where its parent holds a file leaves that place, and the parent is still alone."""
    if not hasattr(os, "fork"):
        pytest.skip("this platform cannot fork")
    file, other = (append_file.AppendFile(tmp_path / "held", lock_timeout=wait) for wait in (10.0, 0.05))
    parent = os.getpid()
    try:
        with file.held(create=True):
            child = os.fork()
            if child:
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
                with pytest.raises(TimeoutError):
                    other.append(b"early\n")
    finally:
        if os.getpid() != parent:
            os._exit(0 if sys.exc_info()[1] is None else 1)
    other.append(b"late\n")
    assert (tmp_path / "held").read_bytes() == b"late\n"
