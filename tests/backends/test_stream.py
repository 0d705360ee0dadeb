"""`StreamBackend`: JSON lines to any stream, a write for each batch."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from typing import Any
from urllib.parse import urlsplit

import pytest

from time_execution.backends.stream import StreamBackend
from time_execution.exceptions import BackendDenied, BackendUnavailable, ConfigurationError
from time_execution.types import Metric


class Recorder(io.StringIO):
    """Counts what is called."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def write(self, text):
        self.calls.append("write")
        return super().write(text)

    def flush(self):
        self.calls.append("flush")


def test_a_batch_is_one_write():
    """Lines of other threads and processes cannot come between those of a batch."""
    stream = Recorder()
    StreamBackend(stream).bulk_write([{"name": "a", "timestamp": 0}, {"name": "b", "timestamp": 0}])
    assert stream.calls == ["write", "flush"]
    assert [json.loads(line)["name"] for line in stream.getvalue().splitlines()] == ["a", "b"]


def test_an_empty_batch_touches_nothing():
    """There is nothing to write, and no stream that might be closed is needed for it."""
    stream = Recorder()
    backend = StreamBackend(stream)
    stream.close()
    backend.bulk_write([])
    assert stream.calls == []


def test_the_standard_streams_are_looked_up_when_writing(capsys, monkeypatch):
    """A program that replaces sys.stdout finds its metrics in the new one."""
    StreamBackend("stdout").write("a", timestamp=0)
    assert capsys.readouterr().out == '{"name":"a","timestamp":"1970-01-01T00:00:00.000000Z"}\n'
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    StreamBackend().write("b")
    assert '"name":"b"' in stream.getvalue()


@pytest.mark.parametrize(("url", "options"), [("stream://stdout", {"stream": "stdout"}), ("stream://", {})])
def test_a_url_names_the_stream(url, options):
    """The address of a URL is one of the standard streams."""
    assert StreamBackend.options_from_url(urlsplit(url)) == options
    StreamBackend(**options)


@pytest.mark.parametrize("stream", ["out", "", 3, None, object()])
def test_what_is_no_stream_is_refused(stream):
    """Case B9: the error comes when it is made, and names the key."""
    with pytest.raises(ConfigurationError, match="stream must be an open stream"):
        StreamBackend(stream)


def test_a_binary_stream_gets_utf8():
    """Pipes and files opened for bytes take metrics, too."""
    stream = io.BytesIO()
    StreamBackend(stream).write("é", timestamp=0)
    assert stream.getvalue().decode() == '{"name":"é","timestamp":"1970-01-01T00:00:00.000000Z"}\n'


def test_a_stream_that_takes_ascii_only_gets_escapes():
    """In the C locale, a name with an emoji is still valid JSON."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    StreamBackend(stream).write("é😀")
    assert json.loads(raw.getvalue())["name"] == "é😀"


def test_a_closed_stream_is_told_from_a_failing_one(monkeypatch):
    """Waiting helps with a full pipe, not with a closed stream."""
    stream = io.StringIO()
    backend = StreamBackend(stream)
    stream.close()
    with pytest.raises(BackendDenied, match="closed"):
        backend.write("a")
    with pytest.raises(ConfigurationError, match="closed"):
        StreamBackend(stream)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(BackendDenied, match="no stderr"):
        StreamBackend().write("a")

    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BackendUnavailable, match="Broken pipe"):
        StreamBackend(Broken()).write("a")


def test_a_stream_without_flush_is_enough():
    """Anything with a write is a stream."""

    class Sink:
        text = ""

        def write(self, text):
            self.text += text

    sink: Any = Sink()
    StreamBackend(sink).write_many([Metric({"name": "a"})])
    assert '"name":"a"' in sink.text


class BytesOnly:
    """A binary stream of somebody's own, whose ``write`` returns nothing."""

    def __init__(self):
        self.file = io.BytesIO()
        self.seek, self.read, self.close = self.file.seek, self.file.read, self.file.close

    def write(self, data):
        self.file.write(data)


class Sip(io.RawIOBase):
    """An unbuffered stream that takes seven bytes at a time, and at some time none."""

    def __init__(self, room=1 << 20):
        self.taken = b""
        self.room = room

    def writable(self):
        return True

    def write(self, data):
        taken = bytes(data)[: min(7, self.room - len(self.taken))]
        self.taken += taken
        return len(taken) or None


def test_an_unbuffered_stream_gets_the_whole_line():
    """What takes a part at a time is given the rest, too."""
    stream: Any = Sip()
    StreamBackend(stream).write("a", timestamp=0)
    assert stream.taken == b'{"name":"a","timestamp":"1970-01-01T00:00:00.000000Z"}\n'


def test_a_stream_that_takes_nothing_more_is_unavailable():
    """A metric of which a part is written does not count as stored."""
    with pytest.raises(BackendUnavailable, match="takes nothing"):
        StreamBackend(Sip(room=10)).write("a")  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [tempfile.NamedTemporaryFile, tempfile.SpooledTemporaryFile, BytesOnly])
def test_a_binary_stream_that_does_not_say_so_is_written_to(make):
    """Wrappers around files are no `io` streams themselves, and somebody's own may not say how much it took."""
    with contextlib.closing(make()) as stream:
        StreamBackend(stream).write("a", timestamp=0)
        stream.seek(0)
        assert stream.read() == b'{"name":"a","timestamp":"1970-01-01T00:00:00.000000Z"}\n'
