"""Files of lines: turning over, what happens to the file, and what may be at its path."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.backends.line_files import ENVIRONMENT, content_of, lines_of, names_in, older_files
from time_execution import append_file
from time_execution.append_file import AppendFile
from time_execution.backends.files import CSVBackend, JSONLinesBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BackendDenied, BackendUnavailable, ConfigurationError
from time_execution.types import STORED, Metric

# ---- turning over ----------------------------------------------------------------------------------------------------


def test_older_files_are_numbered_and_bounded(tmp_path):
    """The latest of the older files is .1, and no more are kept than asked for."""
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path, max_bytes=1, backup_count=2)
    for name in "abcde":
        backend.write(name)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["metrics.jsonl", "metrics.jsonl.1", "metrics.jsonl.2"]
    assert names_in(path) == ["c", "d", "e"]


@pytest.mark.parametrize("backend_class", [JSONLinesBackend, CSVBackend])
def test_a_batch_larger_than_a_file_is_divided(tmp_path, backend_class):
    """At the ends of lines, each file as full as it may be, and the order stays; a header counts, too."""
    path = tmp_path / "metrics"
    backend = backend_class(path, max_bytes=1000, backup_count=100)
    metrics = [Metric({"name": f"{number:03d}", "value": 1, "timestamp": 0}) for number in range(100)]
    assert backend.write_many(metrics) is None
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert max(sizes) <= 1000
    assert sorted(sizes)[1] > 900  # but for the last
    names = [number for line in lines_of(path) for number in re.findall(r"\b\d{3}\b(?!Z)", line.decode())]
    assert names == [metric["name"] for metric in metrics]


def test_a_line_larger_than_a_file_has_one_of_its_own(tmp_path):
    """Its neighbours are in files that keep their size."""
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path, max_bytes=200, backup_count=100)
    backend.bulk_write([{"name": "a"}, {"name": "b", "text": "x" * 500}, {"name": "c"}, {"name": "d"}])
    files = [path.with_name("metrics.jsonl.2"), path.with_name("metrics.jsonl.1"), path]
    found = [[json.loads(line)["name"] for line in file.read_bytes().splitlines()] for file in files]
    assert found == [["a"], ["b"], ["c", "d"]]


def test_what_is_written_of_a_divided_batch_is_told(tmp_path, monkeypatch):
    """When the disk fails between two parts, results tell which metrics are stored, and the rest is sent again."""
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path, max_bytes=300, backup_count=100)
    metrics = [Metric({"name": str(number), "value": 1}) for number in range(20)]
    real, calls = append_file._write_all, []

    def fail_at_the_third(*args):
        calls.append(None)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*args)

    monkeypatch.setattr(append_file, "_write_all", fail_at_the_third)
    results = iter(backend.write_many(metrics))
    stored = 0
    with pytest.raises(BackendUnavailable, match="No space left"):
        for result in results:
            assert result == STORED
            stored += 1
    assert names_in(path) == [str(number) for number in range(stored)]
    assert 0 < stored < 20
    calls.clear()
    with ThreadedBackend(backend, retry=Backoff(base=0.001, cap=0.01)) as queue:
        for metric in metrics[stored:]:
            queue.write(**metric)
        assert queue.flush(10)
        assert queue.stats()["delivered"] == 20 - stored
    assert names_in(path) == [str(number) for number in range(20)]


# ---- compressing older files -----------------------------------------------------------------------------------------


def test_older_files_are_compressed(tmp_path):
    """They are named and bounded as plain ones are, can be read by gzip, and belong to their owner alone."""
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path, max_bytes=1, backup_count=2, gzip_backups=True)
    before = os.umask(0)
    try:
        for name in "abcde":
            backend.write(name)
    finally:
        os.umask(before)
    names = ["metrics.jsonl", "metrics.jsonl.1.gz", "metrics.jsonl.2.gz"]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    assert names_in(path) == ["c", "d", "e"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_files_of_both_kinds_are_counted_together(tmp_path):
    """Who begins or ends to compress keeps as many files, in their order."""
    path = tmp_path / "metrics.jsonl"
    for name, is_compressed in zip("abcdefgh", [False, False, True, True, False, False, True, False], strict=True):
        JSONLinesBackend(path, max_bytes=1, backup_count=4, gzip_backups=is_compressed).write(name)
        older = older_files(path)
        assert len(list(tmp_path.iterdir())) == len(older) + 1 <= 5
    assert names_in(path) == ["d", "e", "f", "g", "h"]


def test_what_a_killed_process_left_beside_a_compressed_file_goes(tmp_path):
    """A compressed file that has its name is whole; the plain one goes with the next turn-over, at any number."""
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path, max_bytes=1, gzip_backups=True)
    for name in "abcd":
        backend.write(name)
    for number in (1, 3):
        path.with_name(f"metrics.jsonl.{number}").write_bytes(content_of(older_files(path)[number]))
    backend.write("e")
    assert names_in(path) == ["a", "b", "c", "d", "e"]
    assert len(list(tmp_path.iterdir())) == 5


def test_a_large_file_is_compressed_whole(tmp_path):
    """What is read in several parts comes back to the byte."""
    path = tmp_path / "file"
    file = AppendFile(path, max_bytes=1, gzip_backups=True)
    content = random.Random(3).randbytes(3_500_000) + b"\n"
    file.append(content)
    file.append(b"next\n")
    assert content_of(older_files(path)[1]) == content


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
        path.touch()  # if the thread was quicker, what it wrote stays
    thread.join(10)
    assert names_in(path) == ["late"]
    assert (tmp_path / "old").read_bytes() == b""


def test_nobody_waits_for_the_lock_of_a_file_that_went_away(tmp_path):
    """Who holds a file that was renamed, to read it for instance, holds up no writer of the one that comes next."""
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path)
    with path.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        thread = threading.Thread(target=backend.write, args=("late",), daemon=True)
        thread.start()
        path.rename(tmp_path / "old")
        thread.join(5)
        assert not thread.is_alive()
    assert names_in(path) == ["late"]


# ---- failures --------------------------------------------------------------------------------------------------------


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("amid", "raised"), [(FULL, BackendUnavailable), (KeyboardInterrupt(), KeyboardInterrupt)])
def test_what_is_half_written_is_taken_back(tmp_path, monkeypatch, amid, raised):
    """Of a batch that a full disk or an interrupt cuts short nothing stays, so sending it again doubles nothing."""
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path)
    backend.write("a")
    before, real = path.read_bytes(), os.write
    steps: Iterator[Any] = iter([7, amid])

    def write(file, data):
        step = next(steps)
        if isinstance(step, BaseException):
            raise step
        return real(file, bytes(data)[:step])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(raised, match="No space left" if amid is FULL else None):
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
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False)
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
    """A pipe planted at the path is found out rather than waited for, from the start and later."""
    path = tmp_path / "metrics.jsonl"
    backend = JSONLinesBackend(path)
    os.mkfifo(path)
    with pytest.raises(BackendDenied, match="no regular file"):
        backend.write("a")
    with pytest.raises(ConfigurationError, match="not a device or a pipe"):
        JSONLinesBackend(path)


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    """A file where a folder should be is nothing that waiting mends, from the start and later."""
    backend = JSONLinesBackend(tmp_path / "file" / "metrics.jsonl")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BackendDenied, match="cannot be written to"):
        backend.write("a")
    with pytest.raises(ConfigurationError, match="is no folder"):
        JSONLinesBackend(tmp_path / "file" / "metrics.jsonl")


@pytest.mark.parametrize("path", ["", 3, None, b"metrics", "a\0b", "."])
def test_a_wrong_path_is_refused(path):
    """Case B9: when it is made, with the key's name and without the value."""
    with pytest.raises(ConfigurationError, match="path must be the path of a file"):
        JSONLinesBackend(path)


@pytest.mark.parametrize(
    "options",
    [
        {"max_bytes": 0},
        {"max_bytes": "1"},
        {"max_bytes": 1, "backup_count": 0},
        {"max_bytes": 1, "backup_count": True},
    ],
)
def test_wrong_bounds_are_refused(tmp_path, options):
    """Case B9 for the bounds."""
    key = list(options)[-1]
    with pytest.raises(ConfigurationError, match=f"{key} must be a whole number of at least 1, got"):
        AppendFile(tmp_path / "file", **options)
    with pytest.raises(ConfigurationError, match=f"{key} must be a whole number of at least 1, got"):
        CSVBackend(tmp_path / "file", **options)


@pytest.mark.parametrize("backend_class", [JSONLinesBackend, CSVBackend])
def test_a_count_of_backups_is_refused_where_there_are_none(tmp_path, backend_class):
    """A file without a bound never turns over; who counts backups believes that it does."""
    with pytest.raises(ConfigurationError, match="backup_count is of no use without max_bytes"):
        backend_class(tmp_path / "file", backup_count=5)


@pytest.mark.parametrize("backend_class", [JSONLinesBackend, CSVBackend])
def test_compressing_is_refused_where_it_means_nothing(tmp_path, backend_class):
    """Case B9: without a bound there are no older files, and a text that is not empty would count as true."""
    with pytest.raises(ConfigurationError, match="gzip_backups is of no use without max_bytes"):
        backend_class(tmp_path / "file", gzip_backups=True)
    with pytest.raises(ConfigurationError, match="gzip_backups must be true or false"):
        backend_class(tmp_path / "file", max_bytes=1, gzip_backups="no")


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
