"""What commands say beside their output fails no command, and never gets into the output."""

from __future__ import annotations

import io

import pytest

from time_execution.cli.say import Progress, say


class Broken(io.StringIO):
    """A stream that takes nothing."""

    tries = 0

    def write(self, _):
        self.tries += 1
        raise BrokenPipeError(32, "Broken pipe") if not self.closed else ValueError("I/O operation on closed file")


def test_without_a_standard_error_nothing_is_said(capsys, monkeypatch):
    """Nor is it said on the output instead, which a program may read."""
    monkeypatch.setattr("sys.stderr", None)
    say("something")
    progress = Progress("sending:")
    progress.show("1")
    progress.clear()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "broken"])
def test_a_standard_error_that_takes_nothing_is_no_failure(capsys, monkeypatch, is_closed):
    """Whoever closed it does not want to hear."""
    stream = Broken()
    if is_closed:
        stream.close()
    monkeypatch.setattr("sys.stderr", stream)
    say("something")
    assert stream.tries == 1
    assert capsys.readouterr().out == ""


def test_progress_is_taken_away_once(capsys, monkeypatch):
    """Nothing is written where nothing was shown."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    progress = Progress("sending:")
    progress.clear()
    progress.show("1")
    progress.show("2")
    progress.clear()
    progress.clear()
    assert capsys.readouterr().err == "\rsending: 1\x1b[K\rsending: 2\x1b[K\r\x1b[K"
