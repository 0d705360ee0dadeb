"""Files that vanish, move or find no room: the measured function never knows, and what is lost is counted (L3)."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.timer.written import Written
from time_execution import flush, stats


def work(number):
    if number < 0:
        raise ValueError(number)
    return number


@pytest.fixture
def disk(tmp_path):
    """A disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no permission to mount a disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


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
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
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
