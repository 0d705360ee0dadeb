"""A file that turns over each day: once at most, whatever the clock does, and nothing is lost or doubled (L3)."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from datetime import datetime, timezone

import pytest

from tests.backends.line_files import ENVIRONMENT
from time_execution import flush
from time_execution.backends.files.daily_file import DailyFile
from time_execution.exceptions import ConfigurationError
from time_execution.logs import configure, logger
from time_execution.record_output import RecordLog
from time_execution.testing import FakeClock

DAY = 86_400
NOON = datetime(2025, 3, 29, 12, tzinfo=timezone.utc).timestamp()
HOUR = 3600


class Kept:
    """A daily file under a clock of the test's own."""

    def __init__(self, folder, **options):
        self.clock = FakeClock(wall=NOON)
        self.path = folder / "shop_error.log"
        self.file = DailyFile(self.path, clock=self.clock.time, **options)
        self.written = 0

    def write(self, after=0.0):
        """Write a line after some seconds, which may go back."""
        self.clock.shift_wall(after)
        self.written += 1
        self.file.append(b"%d\n" % self.written)

    def files(self):
        """Return the numbers in each file, by its day; the one at the path is the last."""
        names = sorted(path.name for path in self.path.parent.iterdir() if path != self.path)
        found = {name.removeprefix("shop_error.log."): self.path.with_name(name) for name in names}
        found["now"] = self.path
        return {day: [int(line) for line in path.read_bytes().split()] for day, path in found.items()}


@pytest.fixture
def daily(tmp_path):
    """Return a daily file."""
    return Kept(tmp_path)


def test_file_turns_over_with_the_first_line_of_a_day(daily):
    """The file of a day gets its name when the next one begins, in UTC, and not before."""
    daily.write()
    daily.write(12 * HOUR - 1)
    daily.write(1)
    daily.write(HOUR)
    daily.write(3 * DAY)
    assert daily.files() == {"2025-03-29": [1, 2], "2025-03-30": [3, 4], "now": [5]}


def test_local_time_is_of_no_importance(daily, far_from_utc):
    """In a zone five hours and a half away, and over the hour that summer time takes, days are those of UTC."""
    daily.write(11.9 * HOUR)
    daily.write(0.2 * HOUR)
    daily.write(2 * HOUR)
    assert daily.files() == {"2025-03-29": [1], "now": [2, 3]}


def test_clock_that_goes_back_turns_nothing_over_again(daily):
    """However often the clock is set back over midnight, the day before has one file, and no line is lost."""
    daily.write(11.5 * HOUR)
    daily.write(HOUR)
    for _ in range(10):
        daily.write(-HOUR)
        daily.write(HOUR)
    assert daily.files() == {"2025-03-29": [1], "now": [*range(2, 23)]}
    daily.write(DAY)
    assert daily.files() == {"2025-03-29": [1], "2025-03-30": [*range(2, 23)], "now": [23]}


def test_clock_that_jumps_ahead_and_back(daily):
    """A day ahead by mistake makes one file, and afterwards days go on as they come."""
    daily.write()
    daily.write(DAY)
    daily.write(-DAY)
    daily.write(DAY)
    daily.write(DAY)
    assert daily.files() == {"2025-03-29": [1], "2025-03-30": [2, 3, 4], "now": [5]}


def test_so_many_days_are_kept(tmp_path):
    """The oldest days are given up; what is called otherwise is not ours to remove."""
    daily = Kept(tmp_path, backup_count=3)
    others = ["shop_error.log.old", "shop_error.log.2025-03-01.gz", "shop_error.log.1", "xshop_error.log.2025-03-01"]
    for name in others:
        (tmp_path / name).write_bytes(b"0\n")
    for _ in range(10):
        daily.write(DAY)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([
        *others, "shop_error.log", *(f"shop_error.log.2025-04-{day:02}" for day in (5, 6, 7)),
    ])  # fmt: skip


def test_few_days_lose_none(tmp_path):
    """While there are fewer older files than are kept, none is removed."""
    daily = Kept(tmp_path, backup_count=12)
    for _ in range(10):
        daily.write(DAY)
    assert sum(len(numbers) for numbers in daily.files().values()) == 10


def test_names_with_marks_of_patterns(tmp_path):
    """A file whose name looks like a pattern keeps the days of others."""
    clock = FakeClock(wall=NOON)
    other = tmp_path / "shop.log.2025-01-01"
    other.write_bytes(b"0\n")
    file = DailyFile(tmp_path / "[s]h*p.log", clock=clock.time, backup_count=1)
    for _ in range(3):
        clock.advance(DAY)
        file.append(b"1\n")
    assert {path.name for path in tmp_path.iterdir()} == {other.name, "[s]h*p.log", "[s]h*p.log.2025-03-31"}


def test_file_of_an_earlier_program_belongs_to_its_own_day(daily):
    """What a program left yesterday is yesterday's file, also if nothing was written since."""
    daily.path.write_bytes(b"7\n")
    os.utime(daily.path, (NOON - DAY, NOON - DAY))
    daily.write()
    assert daily.files() == {"2025-03-28": [7], "now": [1]}


def test_empty_and_removed_files(daily):
    """An empty file does not turn over, and one that somebody removed is made anew."""
    daily.path.write_bytes(b"")
    os.utime(daily.path, (NOON - DAY, NOON - DAY))
    daily.write()
    daily.path.unlink()
    daily.write()
    assert daily.files() == {"now": [2]}


def write_over_midnight(path, process, lines, clock_file):
    """Write lines, each at the time that a file's modification says, so that all processes have one clock."""
    file = DailyFile(path, clock=lambda: clock_file.stat().st_mtime, backup_count=1000)
    for number in range(lines):
        file.append(b"%d %d\n" % (process, number))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_many_processes_turn_over_once(tmp_path, method):
    """Six processes write while day after day begins: each line is in one file, whole, and once."""
    clock_file, path = tmp_path / "clock", tmp_path / "log" / "shop_error.log"
    clock_file.write_bytes(b"")
    os.utime(clock_file, (NOON, NOON))
    context = multiprocessing.get_context(method)
    children = [
        context.Process(target=write_over_midnight, args=(path, process, 600, clock_file)) for process in range(6)
    ]
    for child in children:
        child.start()
    day = 0
    while any(child.is_alive() for child in children):
        day += 1
        back = HOUR if day % 3 else 0
        os.utime(clock_file, (NOON + day * DAY / 2 - back, NOON + day * DAY / 2 - back))
        time.sleep(0.002)  # for the writers to have some time in each
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 6
    files = [file.read_bytes() for file in path.parent.iterdir()]
    lines = [line for content in files for line in content.split(b"\n")[:-1]]
    assert len(files) > 3
    assert sorted(lines) == sorted(b"%d %d" % (process, number) for process in range(6) for number in range(600))
    assert all(content.endswith(b"\n") for content in files)


def test_killed_writers_lose_nothing_of_others(tmp_path):
    """A process that is killed amid its work, over and over, keeps nobody from writing and turning over."""
    path = tmp_path / "shop_error.log"
    code = f"""
import itertools
from time_execution.backends.files.daily_file import DailyFile
moments = itertools.count({NOON}, 20000.0)
file = DailyFile({str(path)!r}, clock=lambda: next(moments), backup_count=5)
print("begun", flush=True)
while True:
    file.append(b"victim\\n")
"""
    survivor = DailyFile(path, clock=lambda: NOON, backup_count=5)
    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=ENVIRONMENT) as victim:
            assert victim.stdout is not None
            assert victim.stdout.readline() == b"begun\n"
            for _ in range(20):
                survivor.append(b"survivor\n")
            victim.kill()
        began = time.monotonic()
        survivor.append(b"survivor\n")
        assert time.monotonic() - began < 1.0
    assert all(
        line in {b"victim", b"survivor", b""} for file in tmp_path.iterdir() for line in file.read_bytes().split(b"\n")
    )


def test_error_log_is_such_a_file(kept):
    """Errors of yesterday are in a file of their own, for its owner only, once there is one of today."""
    logger.error("yesterday")
    kept.lines()
    path = kept.folder / "shop_error.log"
    moment = time.time() - DAY
    os.utime(path, (moment, moment))
    logger.error("today")
    assert [line.rpartition(" ")[2] for line in kept.lines("_error.log")] == ["today"]
    name = f"shop_error.log.{datetime.fromtimestamp(moment, timezone.utc).date()}"
    assert (kept.folder / name).read_text(encoding="utf-8").endswith(" - yesterday\n")
    assert (kept.folder / name).stat().st_mode & 0o777 == 0o600


def test_files_may_not_turn_over_in_two_ways(tmp_path):
    """A size, or compression, makes no sense where a file turns over each day."""
    for options in ({"max_bytes": 1000}, {"gzip_backups": True}):
        with pytest.raises(ConfigurationError, match=r"max_bytes|gzip_backups"):
            RecordLog(tmp_path / "log", is_daily=True, backup_count=3, **options)
    configure(log_files=False, log_console=False)
    assert flush(5)
