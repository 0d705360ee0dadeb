"""Paths that are judged when they are configured, while other processes write there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from time_execution import file_path
from time_execution.exceptions import ConfigurationError
from time_execution.file_path import move_aside


def test_a_file_that_is_turned_over_meanwhile_is_no_obstacle(tmp_path, monkeypatch):
    """Between a look at it and the question whether it may be written to, another process may rename it."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("")
    access = os.access

    def too_late(found, *args, **options):
        path.unlink(missing_ok=True)
        return access(found, *args, **options)

    monkeypatch.setattr(os, "access", too_late)
    monkeypatch.setattr(os, "supports_effective_ids", {too_late})
    assert file_path.obstacle_to(path) is None


def test_a_file_that_is_there_again_when_it_is_looked_for_is_no_obstacle(tmp_path, monkeypatch):
    """A turn-over may fall just between: the old file is gone when it is asked for rights, the new one there after."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("")
    access, asked = os.access, []

    def amid_a_turn_over(found, *args, **options):
        asked.append(found)
        if len(asked) > 1:
            return access(found, *args, **options)
        path.rename(tmp_path / "metrics.jsonl.1")
        try:
            return access(found, *args, **options)
        finally:
            path.write_text("")

    monkeypatch.setattr(os, "access", amid_a_turn_over)
    monkeypatch.setattr(os, "supports_effective_ids", {amid_a_turn_over})
    assert file_path.obstacle_to(path) is None
    assert asked == [path, path]


def test_a_file_that_may_never_be_written_to_is_an_obstacle(tmp_path, monkeypatch):
    """However often one looks."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("")
    monkeypatch.setattr(os, "access", lambda *_args, **_options: False)
    assert file_path.obstacle_to(path) == f"no permission to write to {str(path)!r}"


def test_a_file_that_vanishes_before_it_is_asked_for_its_device_is_no_obstacle(tmp_path, monkeypatch):
    """Nor when it goes a moment earlier."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("")
    is_kernels = file_path._is_kernels

    def too_late(found):
        path.unlink()
        return is_kernels(found)

    monkeypatch.setattr(file_path, "_is_kernels", too_late)
    assert file_path.obstacle_to(path) is None


def a_folder(tmp_path):
    """Return the path of one."""
    return tmp_path


def a_link(tmp_path):
    """Return the path of a symbolic link to a file."""
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    return tmp_path / "link"


def a_pipe(tmp_path):
    """Return the path of one."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda _: "", "not an empty text"),
        (lambda _: "a\0b", "not a text with NUL in it"),
        (lambda _: 5, "not int"),
        (lambda _: b"metrics.db", "not bytes"),
        (a_folder, "not a folder"),
        (a_link, "not a symbolic link"),
        pytest.param(
            a_pipe, "not a device or a pipe", marks=pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
        ),
    ],
    ids=["empty", "NUL", "number", "bytes", "folder", "link", "pipe"],
)
def test_path_that_can_be_none_of_a_file_says_what_it_is(tmp_path, make, got):
    """The key is named, and what stands there."""
    with pytest.raises(ConfigurationError, match=f"^path must be the path of a file, {got}$"):
        file_path.to_file(make(tmp_path))


def test_path_is_absolute_from_then_on(tmp_path, monkeypatch):
    """A program may go to another folder later."""
    monkeypatch.chdir(tmp_path)
    assert file_path.to_file(Path("a") / "metrics.db") == tmp_path / "a" / "metrics.db"


def test_name_that_is_too_long_is_refused(tmp_path):
    """No waiting mends it."""
    with pytest.raises(ConfigurationError, match="File name too long"):
        file_path.to_file(tmp_path / ("x" * 300))


def test_folder_that_cannot_be_entered_takes_no_file(tmp_path, monkeypatch):
    """To make one takes both rights, to write one that is there only that."""
    there = tmp_path / "there"
    there.write_text("")

    def no_entry(_path, wanted, **_options):
        return not wanted & os.X_OK

    monkeypatch.setattr(os, "access", no_entry)
    assert file_path.obstacle_to(there) is None
    assert file_path.obstacle_to(tmp_path / "absent") == f"no permission to write to {str(tmp_path)!r}"


def test_a_file_that_cannot_be_moved_aside_stays(tmp_path):
    """Nothing is left of the attempt but the file itself, where it was."""
    with pytest.raises(FileNotFoundError):
        move_aside(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("precious")
    for number in range(1, 4):
        assert move_aside(tmp_path / "file") == tmp_path / f"file.before-{number}"
        (tmp_path / "file").write_text("precious")
    assert {file.read_text() for file in tmp_path.iterdir()} == {"precious"}
