"""Files that vanish, move or find no room: the measured function never knows, and what is lost is counted (L3)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time

import pytest

from tests.faults.disks import fill, small_disk
from tests.timer.written import Written
from time_execution import flush, stats


def work(number):
    if number < 0:
        raise ValueError(number)
    return number


@pytest.fixture
def disk(tmp_path):
    """A disk of 256 KiB."""
    with small_disk(tmp_path / "disk") as folder:
        yield folder


def counted():
    """Return what became of the records: delivered, and lost for any reason, in all files together."""
    found = stats()["backends"].values()
    lost = sum(sum(each["dropped"].values()) + sum(each["rejected"].values()) for each in found)
    return sum(each["delivered"] for each in found), lost, sum(each["pending"] for each in found)


def test_deleted_files_are_made_again(written):
    """Files, and the folder, that somebody deletes are there again with the next records."""
    timed = written.catcher()(written.timer()(work))
    timed(1)
    assert flush(20)
    shutil.rmtree(written.folder)
    timed(2)
    with pytest.raises(ValueError, match="-3"):
        timed(-3)
    assert written.arguments() == ["number=2", "number=-3"]
    assert len(written.rows()) == 3
    assert len(written.errors()) == 1


def test_renamed_files_keep_what_they_have(written):
    """After logrotate has moved them, records go to new files, and no line is in both."""
    timed = written.timer()(work)
    for number in range(500):
        timed(number)
    assert flush(20)
    for name in ("timing.log", "timing_results.csv"):
        (written.folder / name).rename(written.folder / f"old.{name}")
    for number in range(500, 1000):
        timed(number)
    assert written.arguments() == [f"number={number}" for number in range(500, 1000)]
    assert len((written.folder / "old.timing.log").read_text(encoding="utf-8").splitlines()) == 500
    assert len(written.rows()) == 501


def test_truncated_file_is_gone_on_with(written):
    """After logrotate has copied and truncated, or somebody has emptied the table, files are whole again."""
    timed = written.timer()(work)
    timed(1)
    assert flush(20)
    for path in written.folder.iterdir():
        path.write_bytes(b"")
    timed(2)
    assert written.arguments() == ["number=2"]
    assert [len(row) for row in written.rows()] == [10, 10]


def test_function_goes_on_while_the_disk_is_full(disk):
    """No call fails or waits; with room again what waited is written, and nothing is unaccounted for."""
    written = Written(disk / "logs")
    timed = written.catcher()(written.timer()(work))
    filler = fill(disk)
    for number in range(300):
        assert timed(number) == number
    with pytest.raises(ValueError, match="-1"):
        timed(-1)
    assert flush(0.5) is False
    delivered, lost, pending = counted()
    assert (delivered, lost, pending) == (0, 0, 301 * 2 + 1)
    filler.unlink()
    assert len(written.timings()) == 301
    assert len(written.rows()) == 302
    assert len(written.errors()) == 1
    assert counted() == (301 * 2 + 1, 0, 0)


def test_records_that_no_disk_takes_are_counted(disk):
    """More records than the disk has room for: each is in a file or counted, once the queues are closed."""
    written = Written(disk / "logs")
    timer = written.timer()
    timed = timer(lambda text: None)
    for number in range(1000):
        timed(f"{number:4}" + "x" * 900)
    flush(0.5)
    assert len(stats()["backends"]) == 2
    for queue in timer.outputs:
        queue.close(0.5)
    for queue, name in zip(timer.outputs, ("timing.log", "timing_results.csv"), strict=True):
        found = queue.stats()
        lines = (disk / "logs" / name).read_text(encoding="utf-8").count("\n") if (disk / "logs" / name).exists() else 0
        lines -= name.endswith("csv") and lines > 0
        assert found["delivered"] == lines < 1000
        assert found["delivered"] + sum(found["dropped"].values()) == 1000


def test_end_does_not_wait_for_room(disk):
    """A program that ends with its disk full tries once more, says how many records are lost, and is gone."""
    fill(disk)
    code = f"""
from time_execution.timer import Timer

@Timer(log_to_console=False, log_dir={str(disk / "logs")!r})
def work():
    pass

for _ in range(5):
    work()
"""
    started = time.monotonic()
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stderr
    assert time.monotonic() - started < 15
    assert "10 metrics" in told


def test_end_does_not_wait_for_a_folder_that_is_none(written):
    """What is refused now is refused in half a minute, so closing tries once more and counts."""
    timer = written.timer()
    timed = timer(work)
    written.folder.parent.mkdir(exist_ok=True)
    written.folder.write_text("in the way")
    timed(1)
    started = time.monotonic()
    for queue in timer.outputs:
        queue.close()
    assert time.monotonic() - started < 10
    assert [queue.stats()["dropped"] for queue in timer.outputs] == [{"shutdown": 1}] * 2


def test_room_that_is_made_before_the_end_is_used(disk):
    """Records that found no room, and were not tried since, are written when the queues are closed."""
    written = Written(disk / "logs")
    timer = written.timer()
    filler = fill(disk)
    timer(work)(1)
    assert flush(0.5) is False
    filler.unlink()
    for queue in timer.outputs:
        queue.close(20)
    assert counted() == (2, 0, 0)


def test_folder_that_becomes_a_file_costs_records_only(written):
    """Somebody puts a file where the folder was: calls go on, and the records wait."""
    timed = written.timer()(work)
    written.folder.parent.mkdir(exist_ok=True)
    written.folder.write_text("in the way")
    assert timed(1) == 1
    assert flush(0.3) is False
    written.folder.unlink()
    timed(2)
    assert counted()[2] == 4
