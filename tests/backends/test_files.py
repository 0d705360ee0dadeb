"""Files that many write at once: whole lines, each once, whatever happens to the file and to the writers."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
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
from hypothesis import given
from hypothesis import strategies as st

from time_execution.backends.files import CSVBackend, JSONLinesBackend, append_file
from time_execution.backends.files.append_file import AppendFile
from time_execution.backends.files.csv import COLUMNS, _neutral
from time_execution.exceptions import BackendDenied, BackendUnavailable, ConfigurationError
from time_execution.types import Metric

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


@pytest.mark.parametrize("torn", ["tor", '"to', '"to""', '1,"b"'])
def test_a_torn_row_is_closed(tmp_path, torn):
    """In a CSV file a quote may be open, too, and would swallow what follows."""
    path = tmp_path / "metrics.csv"
    backend = CSVBackend(path, ["name", "value"])
    backend.write("a", value=1)
    with path.open("a", newline="") as file:
        file.write(torn)
    backend.write("b", value=2)
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[:2] == [["name", "value"], ["a", "1"]]
    assert rows[-1] == ["b", "2"]


@pytest.mark.parametrize("kept", [0, 1, 8, 13])
def test_a_torn_header_is_completed(tmp_path, kept):
    """A process killed in the middle of the header does not make the file unusable."""
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"name,value\r\n"[:kept])
    CSVBackend(path, ["name", "value"]).write("a", value=1)
    assert path.read_bytes() == b"name,value\r\na,1\r\n"


def test_other_columns_are_refused(tmp_path):
    """Rows are never written under columns of another meaning."""
    path = tmp_path / "metrics.csv"
    CSVBackend(path, ["name", "value"]).write("a", value=1)
    with pytest.raises(BackendDenied, match="another header"):
        CSVBackend(path, ["value", "name"]).write("b", value=2)
    assert path.read_bytes() == b"name,value\r\na,1\r\n"


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


# ---- rows ------------------------------------------------------------------------------------------------------------


def rows_of(backend, *metrics):
    """Write metrics and return the rows below the header."""
    backend.write_many([Metric({"timestamp": 0, **fields}) for fields in metrics])
    with backend.path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def test_a_row_has_the_core_and_the_rest(tmp_path):
    """Fields without a column are JSON in the last one."""
    backend = CSVBackend(tmp_path / "metrics.csv")
    (row,) = rows_of(backend, {"name": "a", "value": -1.5, "hostname": "h", "status": 200, "list": [1], "fields": 1})
    assert row == {
        "timestamp": "1970-01-01T00:00:00.000000Z",
        "name": "a",
        "value": "-1.5",
        "hostname": "h",
        "origin": "",
        "fields": '{"status":200,"list":[1],"fields":1}',
    }


def test_columns_of_ones_own(tmp_path):
    """Given columns take what has their name; without one for the rest, the rest is left out."""
    backend = CSVBackend(tmp_path / "metrics.csv", ["name", "status", "absent"])
    assert rows_of(backend, {"name": "a", "status": 200, "value": 1}) == [{"name": "a", "status": "200", "absent": ""}]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (-1.5, "-1.5"),
        (-3, "-3"),
        (1e-7, "1e-07"),
        (2**70, str(2**70)),
        (float("nan"), ""),
        (float("-inf"), ""),
        (None, ""),
        (True, "true"),
        ([1, {"a": None}], '[1,{"a":null}]'),
        ("-1.5", "'-1.5"),
        ("a\0b", "a\\x00b"),
        ("\ud800", "\\ud800"),
        ('quote " comma , line\r\nend', 'quote " comma , line\r\nend'),
    ],
)
def test_cells(tmp_path, value, cell):
    """Numbers stay numbers, text is text, and what is neither is JSON."""
    assert rows_of(CSVBackend(tmp_path / "a.csv", ["name", "cell"]), {"name": "a", "cell": value})[0]["cell"] == cell


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\0=", "\uff1d", "\uff0b"])
@pytest.mark.parametrize("before", ["", '"', "'", " ", ' "', "\u00a0", "\ufeff", "''"])
def test_no_text_is_a_formula(tmp_path, before, start):
    """Case S9: in every column, header included, a text that a spreadsheet might run has an apostrophe before it."""
    text = f"{before}{start}cmd"
    backend = CSVBackend(tmp_path / "a.csv", ["name", f"{text}column"])
    backend.write("a", **{f"{text}column": text})
    with backend.path.open(newline="", encoding="utf-8") as file:
        cells = [row[1] for row in csv.reader(file, strict=True)]
    # A NUL is escaped first, and what begins with the escape is no formula.
    expected = text.replace("\0", "\\x00")
    assert cells == ([f"'{expected}column", f"'{expected}"] if start != "\0=" else [f"{expected}column", expected])


@given(st.text(st.characters(exclude_characters="\0")))
def test_the_apostrophe_can_be_taken_off_again(text):
    """Neutral text is reversible: what has an apostrophe before something dangerous was dangerous."""
    safe = _neutral(text)
    assert (safe[1:] if safe.startswith("'") and _neutral(safe[1:]) != safe[1:] else safe) == text
    assert not re.match("[=+\\-@\t\r]", safe)


@pytest.mark.parametrize("fieldnames", [[], "name", 3, ["a", 1], ["a", "a"], None])
def test_wrong_columns_are_refused(tmp_path, fieldnames):
    """Case B9 for the columns."""
    with pytest.raises(ConfigurationError, match="fieldnames must"):
        CSVBackend(tmp_path / "a.csv", fieldnames)


def test_reading_with_python_gives_the_text_back(tmp_path):
    """The quoting is that of RFC 4180."""
    backend = CSVBackend(tmp_path / "metrics.csv", ["name", "note"])
    backend.write("a", note='x "y", z')
    assert backend.path.read_bytes() == b'name,note\r\na,"x ""y"", z"\r\n'
    assert list(csv.reader(io.StringIO(backend.path.read_text(), newline="")))[1] == ["a", 'x "y", z']
