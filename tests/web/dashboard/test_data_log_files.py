"""Which files the log page reads, and which never; and how much of them, however large they are (S5)."""

from __future__ import annotations

import contextlib
import gzip
import os
import tracemalloc

import pytest

from tests.web.dashboard import sample
from tests.web.dashboard.logged import NAME, everything, line, logs, numbers
from tests.web.dashboard.stored import ask, fresh_store
from time_execution.append_file import AppendFile
from time_execution.web.dashboard.data import QueryError
from time_execution.web.dashboard.data.log_lines import MOST_READ


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "logs"


@pytest.fixture
def log(folder):
    """Return a log that turns over at ten kilobytes."""
    return AppendFile(folder / NAME, max_bytes=10_000, backup_count=20)


class TestFiles:
    """What is read, and what never is."""

    def test_the_file_that_was_written_to_last(self, folder):
        """Without a name; another by its name, as the listing has it."""
        AppendFile(folder / "old_structured.json").append(line(1))
        AppendFile(folder / NAME).append(line(2))
        os.utime(folder / "old_structured.json", (1, 1))
        assert logs(folder)["files"] == [NAME, "old_structured.json"]
        assert numbers(logs(folder)) == [2]
        assert numbers(logs(folder, file="old_structured.json")) == [1]

    @pytest.mark.parametrize(
        "name",
        [
            "../secret_structured.json",
            "/etc/passwd",
            "..",
            "other.json",
            f"{NAME}.1",
            f"./{NAME}",
            f"{NAME}\0",
            "%2e%2e",
            "",
        ],
    )
    def test_nothing_else_can_be_named(self, tmp_path, folder, log, name):
        """Only what the listing has, letter by letter."""
        log.append(line(1))
        (folder / "other.json").write_bytes(line(9))
        (tmp_path / "secret_structured.json").write_bytes(line(9))
        if name:
            with pytest.raises(QueryError, match="There is no such log file"):
                logs(folder, file=name)
        else:
            assert numbers(logs(folder, file=name)) == [1]

    def test_links_and_pipes_are_not_opened(self, tmp_path, folder, log):
        """Neither as a log nor as one of its older files; nobody waits for a pipe."""
        log.append(line(1))
        secret = tmp_path / "secret"
        secret.write_bytes(line(9))
        (folder / f"{NAME}.1").symlink_to(secret)
        (folder / "link_structured.json").symlink_to(secret)
        os.mkfifo(folder / f"{NAME}.2")
        os.mkfifo(folder / "pipe_structured.json")
        (folder / "folder_structured.json").mkdir()
        (folder / f"{NAME}.3").symlink_to("/dev/zero")
        answer = logs(folder)
        assert (answer["files"], numbers(answer), answer["older"]) == ([NAME], [1], None)

    @pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
    def test_what_takes_the_place_of_a_file(self, tmp_path, folder, log, monkeypatch, kind):
        """Between the listing and the opening: a link is not followed, a pipe is not read, nor waited for."""
        log.append(line(1))
        (tmp_path / "secret").write_bytes(line(9))
        store = fresh_store(folder / "none.db", logs=folder)
        names = store.log_folder.names()
        (folder / NAME).unlink()
        with contextlib.ExitStack() as stack:
            if kind == "link":
                (folder / NAME).symlink_to(tmp_path / "secret")
            elif kind == "pipe":
                os.mkfifo(folder / NAME)
                reader = os.open(folder / NAME, os.O_RDONLY | os.O_NONBLOCK)
                stack.callback(os.close, reader)
                writer = os.open(folder / NAME, os.O_WRONLY | os.O_NONBLOCK)
                stack.callback(os.close, writer)
                os.write(writer, line(9))
            else:
                (folder / NAME).mkdir()
            monkeypatch.setattr(store.log_folder, "names", lambda: names)
            assert ask(store, "logs")["lines"] == []

    @pytest.mark.parametrize("logs_there", [False, True])
    def test_without_a_log(self, folder, logs_there):
        """No folder, or an empty one: no lines, and nothing fails."""
        if logs_there:
            folder.mkdir()
            (folder / NAME).touch()
        assert (logs(folder)["lines"], logs(folder)["older"], logs(folder)["newer"]) == ([], None, None)

    def test_a_store_without_a_folder(self, tmp_path):
        """The page is empty."""
        assert ask(fresh_store(tmp_path / "none.db"), "logs")["files"] == []


class TestBounds:
    """However large files are."""

    @pytest.mark.parametrize("tail", [b"", b"\n", b"x" * 100], ids=["nothing", "a line end", "half a line"])
    def test_a_sparse_file_of_two_gigabytes(self, folder, log, tail):
        """A few megabytes are read at most, and held; the lines at its end are shown where there are some."""
        log.append(line(1))
        with (folder / NAME).open("r+b") as file:
            file.truncate(2 << 30)
            file.seek(0, os.SEEK_END)
            file.write(b"\n" + line(2) + tail)
        tracemalloc.start()
        answer = logs(folder)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert numbers(answer) == [2]
        assert answer["older"] is not None
        assert peak < 20 << 20

    def test_lines_are_bounded(self, folder, log):
        """Five hundred at most, however many are asked for, forwards and back."""
        log.append(line(0))
        newer = logs(folder)["newer"]
        log.append(b"".join(line(number) for number in range(1, 700)), is_bounded=False)
        assert len(logs(folder, limit=10**9)["lines"]) == 500
        assert len(logs(folder, limit=10**9, after=newer)["lines"]) == 500

    def test_much_that_compresses_well(self, folder, log):
        """Of a file that becomes a gigabyte, no more is unpacked than is looked at."""
        log.append(line(1))
        with gzip.open(folder / f"{NAME}.1.gz", "wb") as file:
            file.write(line(0))
            block = (b" " * 1023 + b"\n") * 1024
            for _ in range(200):
                file.write(block)
        tracemalloc.start()
        store, older, turns = fresh_store(folder / "none.db", logs=folder), None, 0
        while turns == 0 or (older is not None and turns < 25):
            answer = ask(store, "logs", **({"before": older} if older else {}))
            older, turns = answer["older"], turns + 1
            (index,) = store.log_folder._indexes.values()
            assert index.size <= min(turns * 13, 133) << 20
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 << 20

    @pytest.mark.parametrize("keep", [10, 60, -4])
    def test_a_compressed_file_that_is_cut_or_damaged(self, folder, log, keep):
        """What can be read of it is shown."""
        log.append(line(1))
        whole = gzip.compress(b"".join(line(number) for number in range(2, 40)))
        (folder / f"{NAME}.1.gz").write_bytes(whole[:keep])
        assert numbers(logs(folder))[0] == 1

    def test_a_line_without_an_end(self, folder, log):
        """Two megabytes in a line are passed over, forwards and back."""
        log.append(line(1))
        newer = logs(folder)["newer"]
        log.append(b'{"message": "' + b"x" * (2 << 20) + b'"}\n', is_bounded=False)
        log.append(line(3), is_bounded=False)
        found = everything(folder)
        assert found == [3, 1]
        ahead = []
        for _ in range(4):
            answer = logs(folder, after=newer)
            ahead, newer = ahead + numbers(answer), answer["newer"]
        assert ahead == [3]

    def test_following_far_behind(self, folder, log):
        """What was written since then is looked at in parts, too; the cursor goes on where the last one ended."""
        log.append(line(1))
        newer = logs(folder)["newer"]
        filling = line(2, note="x" * 900)
        log.append(filling * (3 * MOST_READ // len(filling)) + line(3, "CRITICAL"), is_bounded=False)
        found, seen = [], [newer]
        while not found:
            answer = logs(folder, level="CRITICAL", after=seen[-1])
            found = numbers(answer)
            seen.append(answer["newer"])
        assert found == [3]
        assert 4 <= len(seen) == len(set(seen)) <= 6

    def test_the_sample(self, tmp_path):
        """The log that comes with the sample database is shown whole."""
        sample.write_log(tmp_path / NAME, now=1_700_000_000.0)
        answer = logs(tmp_path, limit=500)
        assert (len(answer["lines"]), answer["lines"][0]["time"]) == (500, 1_700_000_000.0)
        assert (tmp_path / NAME).stat().st_size > 100_000
