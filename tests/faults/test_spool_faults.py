"""The spool against kills, forks, full disks and damaged files: cases D12 to D16 and S11 of the acceptance matrix."""

from __future__ import annotations

import errno
import gc
import itertools
import os
import random
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from time_execution.delivery.spool import Spool, inspect_folder
from time_execution.types import Metric

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills and forks need POSIX")

DEADLINE = 30.0


class FakeClock:
    """A clock that only a test moves."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


def metric(number):
    return Metric({"name": "pkg.function", "value": number, "text": "x" * (number % 200)}, id=f"id-{number}")


def number_of(row):
    number = row["value"]
    assert row == metric(number)
    assert row.id == f"id-{number}"
    return number


def open_store(folder, **options):
    return Spool(folder, **options).open("backend")


def drain(store, limit=100):
    """Take everything out, as a delivery would."""
    found: list[int] = []
    for _ in range(100_000):
        page = store.peek(limit)
        if not page:
            return found
        found += [number_of(row) for _, row in page]
        assert store.delete([key for key, _ in page]) == len(page)
    pytest.fail("the spool never came to an end")


def in_child(work):
    """Run a function in a forked child, which gets a function that sends numbers; return its pid and what to read."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    code = 1
    try:
        os.close(reader)
        work(lambda *numbers: os.write(writer, struct.pack(f"{len(numbers)}q", *numbers)))
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def received(reader):
    """Return all numbers that a child sent, once it has ended."""
    data = b""
    while True:
        ready, _, _ = select.select([reader], [], [], DEADLINE)
        assert ready, "the child neither sent anything nor ended"
        chunk = os.read(reader, 1 << 16)
        if not chunk:
            break
        data += chunk
    os.close(reader)
    return [number for (number,) in struct.iter_unpack("q", data[: len(data) // 8 * 8])]


def ended(pid):
    """Wait for a child and return its exit code."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pytest.fail("the child hung")


def run_child(work):
    """Run a function in a forked child to its end and return the numbers it sent."""
    pid, reader = in_child(work)
    numbers = received(reader)
    assert ended(pid) == 0
    return numbers


def kill_after(pid, reader, delay):
    """Kill a child some time after it sent its first number, which it leaves to be read."""
    assert select.select([reader], [], [], DEADLINE)[0]
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


# ---- kills (D12, D13) ------------------------------------------------------------------------------------------------

FEW_OR_ALL = [pytest.param(12, 0.05, id="few"), pytest.param(200, 0.3, id="all", marks=pytest.mark.slow)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kills", "longest"), FEW_OR_ALL)
@pytest.mark.parametrize("durable", [False, True])
def test_a_kill_while_writing_loses_nothing_acknowledged(tmp_path, kills, longest, durable):
    """Killed anywhere in a loop of appends, whatever was acknowledged is adopted by the next, and nothing else is."""
    rng = random.Random(20_240 + kills)
    offered = 0
    for attempt in range(kills):
        folder = tmp_path / str(attempt)
        start = attempt * 1_000_000

        def write(send, folder=folder, start=start):
            store = open_store(folder, durable=durable)
            number = start
            for size in itertools.cycle([1, 3, 40, 1, 7]):
                assert store.append([metric(n) for n in range(number, number + size)]) == size
                number += size
                send(number)

        pid, reader = in_child(write)
        kill_after(pid, reader, rng.uniform(0, longest))
        acknowledged = max(received(reader))
        store = open_store(folder)
        store.adopt()
        found = drain(store)
        assert found == list(range(start, start + len(found)))
        assert start + len(found) >= acknowledged
        assert start + len(found) <= acknowledged + 40
        assert not store.dropped
        assert store.corrupt_files == 0
        offered += len(found)
        store.close()
    assert offered > kills


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kills", "longest"), [FEW_OR_ALL[0], pytest.param(100, 0.1, marks=pytest.mark.slow)])
def test_a_kill_between_sending_and_deleting_repeats_a_batch_at_most(tmp_path, kills, longest):
    """Every row is sent at least once; a kill makes one batch at the most be sent twice, under the same ids."""
    rng, batch, total = random.Random(13), 20, kills * 300
    store = open_store(tmp_path)
    for start in range(0, total, 500):
        store.append([metric(n) for n in range(start, min(total, start + 500))])
    store.close()

    def deliver(send):
        store = open_store(tmp_path)
        while store.adopt(limit=200) or len(store):
            page = store.peek(batch)
            send(*(number_of(row) for _, row in page))
            store.delete([key for key, _ in page])
        store.close()

    sent, killed = [], 0
    for _ in range(kills):
        pid, reader = in_child(deliver)
        kill_after(pid, reader, rng.uniform(0, longest))
        sent += received(reader)
        killed += 1
    sent += run_child(deliver)
    assert set(sent) == set(range(total))
    assert len(sent) - total <= batch * killed
    assert inspect_folder(tmp_path) == []


def test_a_kill_amid_adoption_loses_nothing(tmp_path):
    """Killed while rows move from file to file, all of them arrive with the next, each once."""
    rng = random.Random(5)
    for attempt in range(8):
        folder = tmp_path / str(attempt)
        for part in range(3):
            store = open_store(folder)
            store.append([metric(n) for n in range(part * 2000, (part + 1) * 2000)])
            store.close()

        def adopt(send, folder=folder):
            store = open_store(folder)
            send(0)
            while store.adopt(limit=100):
                pass
            time.sleep(DEADLINE)

        pid, reader = in_child(adopt)
        kill_after(pid, reader, rng.uniform(0, 0.05))
        os.close(reader)
        store = open_store(folder)
        store.adopt()
        assert sorted(drain(store)) == list(range(6000))
        store.close()


# ---- several processes, forks (D16, P4, P5) --------------------------------------------------------------------------


def test_processes_do_not_touch_each_others_files(tmp_path):
    """While its owner lives, a file is adopted by nobody; once it is gone, by one."""
    store = open_store(tmp_path)
    store.append([metric(n) for n in range(10)])

    def adopt(send):
        other = open_store(tmp_path)
        other.append([metric(100)])
        send(other.adopt())
        other.close()

    assert run_child(adopt) == [0]
    store.close()
    heir = open_store(tmp_path)
    assert heir.adopt() == 11
    heir.close()


def test_heirs_that_race_share_without_doubles(tmp_path):
    """Many processes that adopt at once take each row exactly once among them."""
    for part in range(12):
        store = open_store(tmp_path)
        store.append([metric(n) for n in range(part * 100, (part + 1) * 100)])
        store.close()

    def adopt(send):
        store = open_store(tmp_path)
        for _ in range(3):
            store.adopt()
        found = drain(store)
        send(*found)
        store.close()

    children = [in_child(adopt) for _ in range(6)]
    found = [number for _, reader in children for number in received(reader)]
    assert [ended(pid) for pid, _ in children] == [0] * 6
    rest = open_store(tmp_path)
    rest.adopt()
    assert sorted(found + drain(rest)) == list(range(1200))
    rest.close()


def test_a_child_has_a_spool_of_its_own(tmp_path):
    """After a fork the child sees none of the parent's rows, writes to its own file, and both go on undisturbed."""
    store = open_store(tmp_path)
    store.append([metric(n) for n in range(5)])
    assert store.claim() == 0

    def child(send):
        send(len(store), len(store.peek(5)), store.adopt())
        store.append([metric(50)])
        send(*drain(store))
        store.append([metric(51)])
        send(len(inspect_folder(tmp_path)))
        store.close()

    assert run_child(child) == [0, 0, 0, 50, 2]
    assert inspect_folder(tmp_path)[0].has_owner, "the child's exit must not have dropped the parent's lock"
    assert store.adopt() == 1
    assert drain(store) == [0, 1, 2, 3, 4, 51]
    store.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_child_never_closes_the_parents_connection(tmp_path):
    """Closing it would wait for SQLite's mutex, which a thread of the parent may hold, and may remove its log."""
    store = open_store(tmp_path)
    store.append([metric(1)])
    database = os.path.realpath(next(tmp_path.glob("*.db")))

    def child(send):
        store.append([metric(2)])
        gc.collect()
        targets = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
        send(targets.count(database))
        store.close()

    assert run_child(child) == [1]
    store.close()


FORKS = """
    import os, signal, sys, threading
    from time_execution.delivery.spool import Spool
    from time_execution.types import Metric
    store = Spool(sys.argv[1]).open("b")
    done = threading.Event()
    def produce(k):
        number = 0
        while not done.is_set():
            number += 1
            store.append([Metric({"name": "p"}, id=f"p-{os.getpid()}-{k}-{number}")])
            if number % 50 == 0:
                store.delete([key for key, _ in store.peek(100)])
    threads = [threading.Thread(target=produce, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(int(sys.argv[2])):
        pid = os.fork()
        if not pid:
            signal.alarm(20)
            for number in range(20):
                assert store.append([Metric({"name": "c"}, id=f"c-{os.getpid()}-{number}")]) == 1
            assert len(store.peek(100)) == 20
            sys.exit(0)  # through the interpreter's whole end, which closes what it destroys
        if os.waitpid(pid, 0)[1]:
            done.set()
            sys.exit("a child failed")
    done.set()
    for thread in threads:
        thread.join()
    assert store.append([Metric({"name": "p"}, id="last")]) == 1
    assert store.corrupt_files == 0 and not store.dropped and not store.degraded
    store.adopt()
    children = [m for _, m in store.peek(1000000) if m["name"] == "c"]
    while page := store.peek(500):
        children += [m for _, m in page if m["name"] == "c"]
        store.delete([key for key, _ in page])
    print(len({m.id for m in children}))
    store.close()
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("forks", [25, pytest.param(200, marks=pytest.mark.slow)])
def test_forks_amid_writes_neither_hang_nor_lose(tmp_path, forks):
    """Forked while four threads write, every child keeps its own rows and ends, and the parent's file stays whole."""
    script = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKS), str(tmp_path / "s"), str(forks)]
    ran = subprocess.run(script, capture_output=True, text=True, timeout=250, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert int(ran.stdout) == forks * 20


# ---- disks (D15) -----------------------------------------------------------------------------------------------------


@contextmanager
def limited_files(size):
    """Let no file of this process grow beyond a size, as a full disk would."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_survived_and_recovered_from(tmp_path):
    """When files cannot grow, rows are refused, none acknowledged is lost, and with space it goes on by itself."""

    def work(send):
        clock = FakeClock()
        store = Spool(tmp_path, clock=clock).open("backend")
        number = 0
        taken: list[int] = []

        def offer():
            nonlocal number
            number += 50
            batch = range(number - 50, number)
            stored = store.append([metric(n) for n in batch])
            assert stored in {0, 50}
            taken.extend(batch[:stored])
            return stored

        assert offer()
        with limited_files(200_000):
            while offer():
                assert number < 100_000
            assert store.degraded
            assert store.last_error
            clock.now += 29
            assert not offer()
            clock.now += 2
            assert not offer(), "the disk is still full"
            peeked = store.peek(20)
            assert store.degraded, "reading says nothing about space"
            # What was delivered is not seen again, though the disk may not take the deletion.
            assert store.delete([key for key, _ in peeked]) == 20
            assert [number_of(row) for _, row in store.peek(1)] == taken[20:21]
        clock.now += 31
        assert offer()
        assert not store.degraded
        assert len(store) == len(taken) - 20
        assert drain(store) == taken[20:]
        assert not store.dropped
        store.close()
        send(len(taken))

    assert run_child(work)[0] > 100


def test_a_disk_full_from_the_start_is_recovered_from(tmp_path):
    """A file that cannot even be made leaves nothing behind, and is made once there is space."""

    def work(send):
        clock = FakeClock()
        store = Spool(tmp_path / "spool", clock=clock).open("backend")
        with limited_files(2000):
            assert store.append([metric(1)]) == 0
            assert store.degraded
        assert list((tmp_path / "spool").iterdir()) == []
        clock.now += 31
        assert store.append([metric(1)]) == 1
        assert drain(store) == [1]
        store.close()
        send(1)

    assert run_child(work) == [1]


def test_sqlite_saying_full_is_survived(tmp_path):
    """SQLite's own word for a full disk refuses the batch whole and keeps the rest."""
    clock = FakeClock()
    store = Spool(tmp_path, clock=clock).open("backend")
    store.append([metric(n) for n in range(10)])
    rows = store._file._rows
    assert rows
    connection = rows._connection
    connection.execute("PRAGMA max_page_count = 1")
    assert store.append([metric(n) for n in range(10, 500)]) == 0
    assert "full" in str(store.last_error)
    assert len(store) == 10
    connection.execute("PRAGMA max_page_count = 1000000")
    clock.now += 30
    assert store.append([metric(n) for n in range(10, 500)]) == 490
    assert drain(store) == list(range(500))
    store.close()


def test_deletions_that_the_disk_refused_are_made_up_for(tmp_path, monkeypatch):
    """Rows delivered while the disk was full are taken out of the file as soon as it lets us."""
    clock = FakeClock()
    store = Spool(tmp_path, clock=clock).open("backend")
    store.append([metric(n) for n in range(10)])
    page = store.peek(5)

    def refuse(*_):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("time_execution.delivery._spool_rows.RowFile.delete", refuse)
    assert store.delete([key for key, _ in page]) == 5
    assert store.delete([key for key, _ in page]) == 0
    assert (len(store), store.degraded) == (5, True)
    monkeypatch.undo()
    clock.now += 31
    store.close()
    heir = open_store(tmp_path)
    assert heir.adopt() == 5
    assert drain(heir) == [5, 6, 7, 8, 9]
    heir.close()


def test_a_read_only_folder_is_survived_and_recovered_from():
    """Where nothing can be written rows are refused; once it can be, it goes on without a restart."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o500)

    def work(send):
        if os.getuid() == 0:
            os.chown(folder, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        clock = FakeClock()
        store = Spool(folder, clock=clock).open("backend")
        assert store.append([metric(1)]) == 0
        assert "PermissionError" in str(store.last_error)
        assert (store.degraded, store.peek(1), store.adopt()) == (True, [], 0)
        folder.chmod(0o700)
        assert store.append([metric(1)]) == 0
        clock.now += 31
        assert store.append([metric(1)]) == 1
        assert not store.degraded
        drain(store)
        store.close()
        send(1)

    try:
        assert run_child(work) == [1]
    finally:
        shutil.rmtree(folder)


def test_an_error_of_the_system_reaches_no_caller(tmp_path, monkeypatch):
    """ENOSPC at any step of making the file is counted and told, never raised."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    for step in ("make_folder", "take_lock", "RowFile"):
        store = open_store(tmp_path / step)
        with monkeypatch.context() as patched:
            patched.setattr(f"time_execution.delivery._spool_owned.{step}", full)
            assert store.append([metric(1)]) == 0
        assert "No space left" in str(store.last_error)
        assert "trying again" in store.news[-1]
        assert not (tmp_path / step).exists() or list((tmp_path / step).iterdir()) == []
        store.close()


# ---- damage (D14) ----------------------------------------------------------------------------------------------------

ROWS = 60


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A spool folder as a clean close leaves it: one database without a log."""
    folder = tmp_path_factory.mktemp("whole")
    store = open_store(folder)
    store.append([metric(n) for n in range(ROWS)])
    store.close()
    return folder


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A spool folder as a kill leaves it: much of it in SQLite's write-ahead log."""
    folder = tmp_path_factory.mktemp("logged")
    store = open_store(folder / "live")
    for n in range(ROWS):
        store.append([metric(n)])
    shutil.copytree(folder / "live", folder / "dead", ignore=shutil.ignore_patterns("*-shm"))
    store.close()
    return folder / "dead"


def recover(original, target, suffix, damage):
    """Damage a copy of a folder and adopt it; return what was recovered, in order, and the store."""
    shutil.copytree(original, target)
    path = next(target.glob(suffix))
    damage(path)
    store = open_store(target)
    adopted = store.adopt()
    lost = sum(store.dropped.values())
    assert store.append([metric(1000)]) == 1
    found = drain(store)
    assert found.pop() == 1000
    assert adopted == len(found) + sum(store.dropped.values())
    assert lost == sum(store.dropped.values())
    assert len(set(found)) == len(found)
    assert set(found) <= set(range(ROWS))
    assert store.adopt() == 0, "nothing is found twice"
    store.close()
    return found, store


def truncate(size):
    return lambda path: os.truncate(path, size)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("step", [331, pytest.param(7, marks=pytest.mark.slow)])
def test_a_truncated_file_is_read_as_far_as_it_goes(whole, tmp_path, step):
    """Cut off at any byte, a file gives what is whole, counts as damaged, and is put aside."""
    size = next(whole.glob("*.db")).stat().st_size
    most = 0
    for cut in range(0, size, step):
        target = tmp_path / str(cut)
        found, store = recover(whole, target, "*.db", truncate(cut))
        assert found == sorted(found)
        # SQLite reads what is missing of the last page as zeros: then the checksums of its rows tell.
        assert store.corrupt_files == 1 or store.dropped["spool_corrupt"], f"cut at {cut}"
        assert len(list(target.glob("*.corrupt"))) == (store.corrupt_files if cut else 0)
        most = max(most, len(found))
        shutil.rmtree(target)
    assert most > ROWS // 2


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("step", [5003, pytest.param(307, marks=pytest.mark.slow)])
def test_a_truncated_log_gives_its_prefix(logged, tmp_path, step):
    """Cut off at any byte, SQLite's log gives the commits before that, in order and without a gap."""
    size = next(logged.glob("*-wal")).stat().st_size
    for cut in range(0, size, step):
        target = tmp_path / str(cut)
        found, _ = recover(logged, target, "*-wal", truncate(cut))
        assert found == list(range(len(found)))
        shutil.rmtree(target)
    assert recover(logged, tmp_path / "all", "*-wal", lambda _: None)[0] == list(range(ROWS))


def test_rows_behind_a_damaged_stretch_are_recovered(tmp_path):
    """Damage in the middle of a large file costs the rows there, not those behind it."""
    store = open_store(tmp_path)
    store.append([metric(n) for n in range(3000)])
    store.close()
    path = next(tmp_path.glob("*.db"))
    with path.open("r+b") as file:
        file.seek(4096 * (path.stat().st_size // 4096 // 2))
        file.write(b"\xff" * 4096 * 3)
    store = open_store(tmp_path)
    store.adopt()
    found = drain(store)
    assert found == sorted(found)
    assert (found[0], found[-1], store.corrupt_files) == (0, 2999, 1)
    assert 2900 < len(found) < 3000
    store.close()


def flip(rng, count):
    def damage(path):
        data = bytearray(path.read_bytes())
        for _ in range(count):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)

    return damage


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seeds", [range(80), pytest.param(range(1000, 2100), marks=pytest.mark.slow)])
def test_flipped_bits_cost_what_they_hit(whole, logged, tmp_path, seeds):
    """Whatever bits flip, every row that is recovered is right, and rows that are missing are not missing silently."""
    complete = 0
    for seed in seeds:
        rng = random.Random(seed)
        target = tmp_path / str(seed)
        suffix, original = rng.choice([("*.db", whole), ("*.db", whole), ("*-wal", logged)])
        found, store = recover(original, target, suffix, flip(rng, rng.choice([1, 1, 3, 30])))
        said = store.corrupt_files or store.dropped or any("left alone" in line for line in store.news)
        # A log that breaks off is how a kill leaves it; what follows the break was never whole.
        assert len(found) == ROWS or said or suffix == "*-wal", f"seed {seed}"
        complete += len(found) == ROWS
        shutil.rmtree(target)
    assert complete > len(seeds) // 4


def test_a_damaged_schema_that_is_no_text_is_damage_like_any_other(whole, tmp_path):
    """Bytes that are not UTF-8 where SQLite quotes them in its message are no error of ours."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    path = next(target.glob("*.db"))
    data = path.read_bytes()
    assert data.count(b"CREATE TABLE q") == 1
    path.write_bytes(data.replace(b"CREATE TABLE q", b"CREATE T\xa0BLE q").replace(b"tableqq", b"tableq\xa0"))
    assert inspect_folder(target)[0].problem
    store = open_store(target)
    assert store.adopt() == 0
    assert store.corrupt_files == 1
    store.close()


def test_a_header_that_forbids_writing_does_not_send_for_ever(whole, tmp_path):
    """Rows that can be read from a damaged file but not deleted there are taken once, and the file is put aside."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    with next(target.glob("*.db")).open("r+b") as file:
        file.seek(18)  # the version that SQLite must know to write
        file.write(b"\x42")
    store = open_store(target)
    assert store.adopt() == ROWS
    assert drain(store) == list(range(ROWS))
    assert (store.adopt(), store.corrupt_files) == (0, 1)
    store.close()


@pytest.mark.parametrize(("there", "instead"), [(b"seq INTEGER", b"seq INTEGES"), (b"(seq ", b"(sea ")])
def test_rows_outlive_a_damaged_schema(whole, tmp_path, there, instead):
    """Where the schema is damaged and still a schema, the rows are found by a name that does not depend on it."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    path = next(target.glob("*.db"))
    path.write_bytes(path.read_bytes().replace(there, instead))
    store = open_store(target)
    assert store.adopt() == ROWS
    assert drain(store) == list(range(ROWS))
    store.close()


@pytest.mark.parametrize(
    ("content", "corrupt", "kept"),
    [
        pytest.param(b"", 1, [], id="zero-length"),
        pytest.param(b"\0" * 5000, 1, ["*.corrupt"], id="zeros"),
        pytest.param(b"name,value\n" * 1000, 1, ["*.corrupt"], id="text"),
        pytest.param(b"SQLite format 3\0", 1, ["*.corrupt"], id="header only"),
    ],
)
def test_a_file_that_is_no_database_is_put_aside(tmp_path, content, corrupt, kept):
    """Rubbish under a spool's name is counted, put aside, and in nobody's way."""
    path = tmp_path / "backend.1.0123456789abcdef01234567.db"
    path.write_bytes(content)
    store = open_store(tmp_path)
    assert store.adopt() == 0
    assert store.corrupt_files == corrupt
    assert [len(list(tmp_path.glob(pattern))) for pattern in kept] == [1] * len(kept)
    assert not path.exists()
    assert store.adopt() == 0
    assert store.corrupt_files == corrupt
    assert store.append([metric(1)]) == 1
    store.close()


def test_a_database_of_something_else_is_left_alone(tmp_path):
    """A sound database that is not ours stays byte for byte, and the reason is told."""
    path = tmp_path / "backend.1.0123456789abcdef01234567.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs(x)")
    connection.close()
    before = path.read_bytes()
    store = open_store(tmp_path)
    assert (store.adopt(), store.corrupt_files, path.read_bytes()) == (0, 0, before)
    assert "something else" in store.news[-1]
    assert store.append([metric(1)]) == 1
    assert "something else" in inspect_folder(tmp_path)[0].problem
    store.close()


def test_a_file_of_a_later_version_is_left_alone(whole, tmp_path):
    """What a newer version wrote waits for a newer version; this one goes on in a file of its own."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    path = next(target.glob("*.db"))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = path.read_bytes()
    store = open_store(target)
    assert (store.adopt(), store.corrupt_files, path.read_bytes()) == (0, 0, before)
    assert "format 2 is later" in store.news[-1]
    assert store.append([metric(1)]) == 1
    store.close()


def test_damaged_files_do_not_pile_up(tmp_path):
    """Of the files put aside only the newest few are kept."""
    for number in range(8):
        (tmp_path / f"backend.1.{number:024x}.db").write_bytes(b"rubbish" * 1000)
    store = open_store(tmp_path)
    store.adopt()
    assert store.corrupt_files == 8
    assert sorted(path.name for path in tmp_path.glob("*.corrupt")) == [
        f"backend.1.{number:024x}.db.corrupt" for number in (5, 6, 7)
    ]
    store.close()


def overwrite(path, start, size):
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * size)


def test_a_file_that_breaks_while_in_use_is_replaced(tmp_path):
    """When the file of a running process is damaged, it goes on in a new one with all that can be read, counted."""
    store = open_store(tmp_path)
    store.append([metric(n) for n in range(2000)])
    handed_out = store.peek(10)
    path = next(tmp_path.glob("*.db"))
    # As another program's stray writes would; what SQLite holds in memory must not hide them.
    store._file._rows._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store._file._rows._connection.execute("PRAGMA cache_size = 0")
    overwrite(path, path.stat().st_size // 2, 4096 * 8)
    assert store.append([metric(n) for n in range(2000, 4000)]) in {0, 2000}
    while store.delete([key for key, _ in handed_out]):
        pass
    taken = 4000 if len(store) > 2000 else 2000
    found = drain(store)
    assert store.corrupt_files == 1
    assert found == sorted(found)
    assert 1000 < len(found) < taken
    assert len(found) + 10 + store.dropped["spool_corrupt"] == taken
    assert len(list(tmp_path.glob("*.corrupt"))) == 1
    assert store.append([metric(9999)]) == 1
    assert drain(store) == [9999]
    store.close()


def test_rows_lost_while_handed_out_are_counted_once(tmp_path, monkeypatch):
    """A row that went down with its file while it was being sent counts as delivered or as lost, never as both."""
    for is_delivered in (True, False):
        store = open_store(tmp_path / str(is_delivered))
        store.append([metric(n) for n in range(10)])
        keys = [key for key, _ in store.peek(4)]
        with monkeypatch.context() as patched:
            patched.setattr("time_execution.delivery._spool_rows.RowFile.salvage", lambda *_, **__: iter(()))
            patched.setattr("time_execution.delivery._spool_rows.RowFile.is_in_place", lambda _: False)
            store._file._replace(store._file._rows, "was lost")
        assert (len(store), dict(store.dropped)) == (4, {"spool_corrupt": 6})
        delivered = store.delete(keys) if is_delivered else 0
        assert store.peek(10) == []
        assert (len(store), store.bytes) == (0, 0)
        assert delivered + store.dropped["spool_corrupt"] == 10
        store.close()


def test_a_disk_full_amid_the_rescue_keeps_the_old_file(tmp_path, monkeypatch):
    """When a broken file cannot be copied for want of space, it stays until there is some, and nothing is lost."""
    clock = FakeClock()
    store = Spool(tmp_path, clock=clock).open("backend")
    store.append([metric(n) for n in range(10)])

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    def broken(*_):
        raise sqlite3.DatabaseError("database disk image is malformed")

    with monkeypatch.context() as patched:
        patched.setattr(store._file, "_rescue", full)
        patched.setattr("time_execution.delivery._spool_rows.RowFile.insert", broken)
        assert store.append([metric(10)]) == 0
    assert (store.degraded, store.corrupt_files, len(list(tmp_path.glob("*.db")))) == (True, 0, 1)
    clock.now += 31
    assert store.append([metric(10)]) == 1
    assert drain(store) == list(range(11))
    store.close()


def test_an_orphan_that_breaks_on_the_way_is_salvaged(whole, tmp_path, monkeypatch):
    """Damage that shows only while rows are moved costs what it hits; the rest arrives, once."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    from time_execution.delivery._spool_rows import RowFile

    page = RowFile.page

    def break_later(self, after, limit):
        if after >= 20:
            raise sqlite3.DatabaseError("database disk image is malformed")
        return page(self, after, limit)

    store = open_store(target)
    with monkeypatch.context() as patched:
        patched.setattr(RowFile, "page", break_later)
        while store.adopt(limit=10):
            pass
    assert drain(store) == list(range(ROWS))
    assert (store.corrupt_files, len(list(target.glob("*.corrupt")))) == (1, 1)
    store.close()


def test_claimed_files_are_let_go(whole, tmp_path):
    """Files that were locked for adoption are free again after close, and untouched by a fork."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    store = open_store(target)
    assert store.adopt(limit=10) == 10

    def child(send):
        send(len(store), store.adopt(), store.append([metric(1)]))
        store.close()

    assert run_child(child) == [0, 0, 1]
    assert store.adopt(limit=10) == 10
    store.close()
    heir = open_store(target)
    assert heir.adopt() == ROWS
    assert sorted(drain(heir)) == sorted([*range(ROWS)])
    heir.close()


def test_a_dropped_table_is_damage_too(tmp_path):
    """A file whose table somebody dropped is replaced like any broken one."""
    store = open_store(tmp_path)
    store.append([metric(1)])
    connection = sqlite3.connect(next(tmp_path.glob("*.db")))
    connection.execute("DROP TABLE q")
    connection.close()
    assert store.append([metric(2)]) == 1
    assert drain(store) == [2]
    assert (store.corrupt_files, dict(store.dropped)) == (1, {"spool_corrupt": 1})
    store.close()


def test_a_busy_orphan_is_left_for_later(whole, tmp_path):
    """A file that somebody else is writing to is not adopted now, and not lost."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    connection = sqlite3.connect(next(target.glob("*.db")), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    store = open_store(target)
    assert store.adopt(limit=10) == 0
    assert any("left alone" in line for line in store.news)
    connection.execute("ROLLBACK")
    assert store.adopt(limit=10) == 10
    # From here on rows may arrive that cannot be deleted where they came from: they count, once.
    connection.execute("BEGIN IMMEDIATE")
    moved = store.adopt(limit=10)
    connection.execute("ROLLBACK")
    connection.close()
    assert moved == 10
    assert store.adopt() == ROWS - 20
    assert sorted(drain(store)) == list(range(ROWS))
    store.close()


def test_concurrent_calls_do_not_wait_for_the_check_of_orphans(whole, tmp_path, monkeypatch):
    """While files left behind are read from end to end, rows can be appended."""
    target = tmp_path / "spool"
    shutil.copytree(whole, target)
    reached, go_on = threading.Event(), threading.Event()

    def check(_):
        reached.set()
        assert go_on.wait(DEADLINE)
        return True

    monkeypatch.setattr("time_execution.delivery._spool_rows.RowFile.is_sound", check)
    store = open_store(target)
    thread = threading.Thread(target=store.claim)
    thread.start()
    assert reached.wait(DEADLINE)
    assert store.append([metric(500)]) == 1
    go_on.set()
    thread.join(DEADLINE)
    assert store.adopt() == ROWS
    store.close()
