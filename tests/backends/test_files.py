"""Files that many write at once: whole lines, each once, whatever happens to the file and to the writers."""

from __future__ import annotations

import csv
import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from time_execution.backends.files import CSVBackend, JSONLinesBackend, append_file
from time_execution.backends.files.append_file import AppendFile
from time_execution.backends.files.csv import COLUMNS
from time_execution.exceptions import BackendDenied, BackendUnavailable, ConfigurationError

ROOT = Path(__file__).parents[2]
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
        env={**os.environ, "PYTHONPATH": str(ROOT)},
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


def lines_of(path):
    """Return the lines of a file and of its older ones, oldest first."""
    older = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:]))
    return [line for file in [*older, path] if file.exists() for line in file.read_bytes().splitlines()]


def names_in(path):
    """Return the names of all metrics in a JSON-lines file and in its older ones."""
    return [json.loads(line)["name"] for line in lines_of(path)]


# ---- several processes -----------------------------------------------------------------------------------------------


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


def test_a_stopped_process_cannot_block_for_ever(tmp_path, monkeypatch):
    """A lock that nobody gives back is an error after a while, and the batch is sent again."""
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(append_file, "_LOCK_TIMEOUT", 0.05)
    path = tmp_path / "metrics.jsonl"
    with path.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BackendUnavailable, match="locked by another"):
            JSONLinesBackend(path).write("a")
    JSONLinesBackend(path).write("b")
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


# ---- turning over ----------------------------------------------------------------------------------------------------


def test_older_files_are_numbered_and_bounded(tmp_path):
    """The latest of the older files is .1, and no more are kept than asked for."""
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path, max_bytes=1, backup_count=2)
    for name in "abcde":
        backend.write(name)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["metrics.jsonl", "metrics.jsonl.1", "metrics.jsonl.2"]
    assert names_in(path) == ["c", "d", "e"]


def test_a_batch_is_not_divided(tmp_path):
    """A batch larger than the bound is in a file of its own."""
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path, max_bytes=200, backup_count=1)
    backend.bulk_write([{"name": str(number)} for number in range(100)])
    assert len(names_in(path)) == 100
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("change", ["removed", "renamed", "folder removed"])
def test_a_file_that_went_away_is_begun_anew(tmp_path, change):
    """Case L3: after logrotate, or a hand, the next batch makes a new file."""
    path = tmp_path / "logs" / "metrics.jsonl"
    backend = JSONLinesBackend(path)
    backend.write("a")
    if change == "renamed":
        path.rename(path.with_name("old"))
    else:
        path.unlink()
    if change == "folder removed":
        path.parent.rmdir()
    backend.write("b")
    assert names_in(path) == ["b"]


def test_a_file_renamed_while_we_waited_for_it_is_not_written(tmp_path):
    """Whoever waits for the lock looks again whether the file is still the one at the path."""
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path)
    with path.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        thread = threading.Thread(target=backend.write, args=("late",))
        thread.start()
        path.rename(tmp_path / "old")
        path.write_bytes(b"")
    thread.join(10)
    assert names_in(path) == ["late"]
    assert (tmp_path / "old").read_bytes() == b""


# ---- failures --------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    """What did not fit is taken back, so that sending it again doubles nothing."""
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path)
    backend.write("a")
    before, real = path.read_bytes(), os.write
    steps: Iterator[Any] = iter([7, OSError(errno.ENOSPC, "No space left on device")])

    def write(file, data):
        step = next(steps)
        if isinstance(step, OSError):
            raise step
        return real(file, bytes(data)[:step])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(BackendUnavailable, match="No space left"):
        backend.write("b")
    monkeypatch.undo()
    assert path.read_bytes() == before
    backend.write("c")
    assert names_in(path) == ["a", "c"]


def test_a_limit_on_file_sizes_is_a_full_disk(tmp_path):
    """Case D15: with RLIMIT_FSIZE the error is the disk's, whole lines stay, and it goes on once there is room."""
    pytest.importorskip("resource")
    program = """
import json, resource, sys
from time_execution.backends.files import JSONLinesBackend
from time_execution.exceptions import BackendUnavailable
backend = JSONLinesBackend(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
stored = 0
try:
    while True:
        backend.bulk_write([{"name": "a"}, {"name": "b"}])
        stored += 2
except BackendUnavailable:
    pass
assert stored == len(list(map(json.loads, open(sys.argv[1])))), stored
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
backend.write("last")
print(stored)
"""
    path = tmp_path / "metrics.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
    assert names_in(path)[-1] == "last"


def test_a_torn_line_gets_its_end(tmp_path):
    """After a process was killed in the middle of a line, the next line is whole."""
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path)
    backend.write("a")
    with path.open("ab") as file:
        file.write(b'{"name":"to')
    backend.write("b")
    lines = path.read_text().splitlines()
    assert lines[1] == '{"name":"to'
    assert [json.loads(lines[index])["name"] for index in (0, 2)] == ["a", "b"]


# ---- what may be at a path -------------------------------------------------------------------------------------------


def test_files_are_the_owners_alone(tmp_path):
    """Case S11: 0600 and 0700 whatever the umask, also after turning over."""
    path = tmp_path / "one" / "two" / "metrics.jsonl"
    before = os.umask(0)
    try:
        backend = JSONLinesBackend(path, max_bytes=1)
        backend.write("a")
        backend.write("b")
    finally:
        os.umask(before)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_symbolic_link_is_refused(tmp_path):
    """Case S11: a link planted at the path is not followed, neither at first nor later."""
    target, path = tmp_path / "target", tmp_path / "metrics.jsonl"
    target.write_bytes(b"precious")
    backend = JSONLinesBackend(path)
    path.symlink_to(target)
    with pytest.raises(BackendDenied, match="cannot be written to"):
        backend.write("a")
    assert target.read_bytes() == b"precious"
    with pytest.raises(ConfigurationError, match="not a symbolic link"):
        JSONLinesBackend(path)


def test_a_pipe_is_refused(tmp_path):
    """A pipe planted at the path is found out rather than waited for."""
    path = tmp_path / "metrics.jsonl"
    os.mkfifo(path)
    with pytest.raises(BackendDenied, match="no regular file"):
        JSONLinesBackend(path).write("a")


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    """A file where a folder should be is nothing that waiting mends."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BackendDenied, match="cannot be written to"):
        JSONLinesBackend(tmp_path / "file" / "metrics.jsonl").write("a")


@pytest.mark.parametrize("path", ["", 3, None, b"metrics", "a\0b", "."])
def test_a_wrong_path_is_refused(path):
    """Case B9: when it is made, with the key's name and without the value."""
    with pytest.raises(ConfigurationError, match="path must be the path of a file"):
        JSONLinesBackend(path)


@pytest.mark.parametrize("options", [{"max_bytes": 0}, {"max_bytes": "1"}, {"backup_count": 0}, {"backup_count": True}])
def test_wrong_bounds_are_refused(tmp_path, options):
    """Case B9 for the bounds."""
    (key,) = options
    with pytest.raises(ConfigurationError, match=f"{key} must be a positive int"):
        AppendFile(tmp_path / "file", **options)
    with pytest.raises(ConfigurationError, match=f"{key} must be a positive int"):
        CSVBackend(tmp_path / "file", **options)


def test_the_path_is_fixed_when_made(tmp_path, monkeypatch):
    """A process that changes its folder keeps writing to one file; nothing is made before the first metric."""
    monkeypatch.chdir(tmp_path)
    backend = JSONLinesBackend("metrics.jsonl")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.chdir("/")
    backend.write("a")
    assert names_in(tmp_path / "metrics.jsonl") == ["a"]


@pytest.mark.parametrize("cls", [JSONLinesBackend, CSVBackend])
@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("//", {}),
        ("///relative.file", {"path": "relative.file"}),
        ("////absolute/a.file", {"path": "/absolute/a.file"}),
        ("///with%20space", {"path": "with space"}),
    ],
)
def test_a_url_has_a_path(cls, address, options):
    """Three slashes are relative, four absolute."""
    assert cls.options_from_url(urlsplit(f"file:{address}")) == options


def test_without_locks_one_process_can_write(tmp_path, monkeypatch):
    """Where the platform has no such locks, a file is written all the same."""
    monkeypatch.setattr(sys, "platform", "win32")
    path = tmp_path / "metrics.jsonl"
    JSONLinesBackend(path).write("a")
    assert names_in(path) == ["a"]
