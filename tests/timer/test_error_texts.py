"""What of an exception may be written: no secret, no half of one, in bounded time, whatever its own code does."""

from __future__ import annotations

import contextlib
import json
import signal
import time

import pytest

from tests.kept import Kept
from tests.timer.raising import fail, raised_by
from time_execution import flush, settings, stats

SECRETS = [
    "password=hunter2",
    "https://ann:hunter2@example.org/x?token=hunter2",
    "Authorization: Bearer hunter2hunter2",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_masked_without_a_sanitizer(written, capsys, secret):
    """Whatever looks like a secret is in no message, no traceback, no argument, no console and no event."""
    store = Kept()
    settings.configure(backends=[store])
    caught = written.catcher(log_to_console=True)(fail)
    raised_by(caught, f"cannot open {secret}")
    raised_by(caught, "no", password="hunter2")
    assert len(written.errors()) == 2
    assert "hunter2" not in (written.folder / "error.log").read_text(encoding="utf-8")
    assert "hunter2" not in capsys.readouterr().err
    assert "hunter2" not in repr(store.metrics)


def test_sanitizer_cleans_message_traceback_and_arguments(written):
    """sanitize_func has its say on each text, after what is built in."""
    seen = []

    def clean(text):
        seen.append(text)
        return text.replace("ann", "***")

    raised_by(written.catcher(sanitize_func=clean)(fail), "ann is not here", password="p")
    (record,) = written.errors()
    assert "ann " not in (written.folder / "error.log").read_text(encoding="utf-8")
    assert record["message"] == "*** is not here"
    assert record["traceback"].endswith("ValueError: *** is not here\n")
    assert record["arguments"] == "message='*** is not here', password=***"
    assert len(seen) == 4


@pytest.mark.parametrize("broken", [lambda text: 1 / 0, lambda text: text.encode()])
def test_sanitizer_that_fails_lets_nothing_through(written, broken):
    """Where it raises or returns no text, no part of the text is written, and each time is counted."""
    error = raised_by(written.catcher(sanitize_func=broken)(fail), "ann")
    assert (type(error), error.__context__) == (ValueError, None)
    (record,) = written.errors()
    assert {record[key] for key in ("message", "traceback")} == {"<sanitizer failed>"}
    assert record["arguments"] == "<sanitizer failed>"
    assert record["type"] == "ValueError"
    assert "ann" not in json.dumps({key: record[key] for key in ("message", "traceback", "arguments")})
    assert sum(stats()["errors"]["hook"].values()) == 3


def test_exception_whose_text_fails_is_told_by_its_type(written):
    """An exception that cannot say what it is still has a record, and passes."""

    class Broken(Exception):
        def __str__(self):
            raise RuntimeError("no text")

        __repr__ = __str__

    error = Broken()

    @written.catcher()
    def work():
        raise error

    assert raised_by(work) is error
    assert (error.__context__, error.__cause__) == (None, None)
    (record,) = written.errors()
    assert record["message"] == "<its str() failed>"
    assert record["type"].endswith("Broken")
    assert "in work" in record["traceback"]


def test_text_that_raises_a_link_of_its_own_chain_changes_nothing(written):
    """An exception whose text raises its own cause keeps it, and the cause keeps its context and traceback."""

    class Rude(Exception):
        def __str__(self):
            raise self.__cause__

    cause, error = KeyError("cause"), Rude()

    @written.catcher()
    def work():
        raise error from cause

    assert raised_by(work) is error
    assert (error.__cause__, error.__context__) == (cause, None)
    assert (cause.__cause__, cause.__context__, cause.__traceback__) == (None, None, None)
    assert len(written.errors()) == 1


def test_text_of_a_class_of_its_own_is_not_called(written):
    """What ``__str__`` returns may be hostile itself, and its methods are not ours to call."""

    class Text(str):
        __slots__ = ()
        __len__ = __getitem__ = __format__ = __str__ = __hash__ = lambda *_: 1 / 0

    class Odd(Exception):
        def __str__(self):
            return Text("odd")

    raised_by(written.catcher()(lambda: (_ for _ in ()).throw(Odd)))
    assert written.errors()[0]["message"] == "odd"
    assert stats()["errors"]["hook"] == {}


def test_exception_whose_text_is_measured_ends(written):
    """An exception's own text that calls functions under the same catcher is not looked at in turn."""
    calls = []
    catcher = written.catcher()

    class Nested(Exception):
        @catcher
        def __str__(self):
            calls.append(1)
            assert len(calls) < 100
            raise Nested

    assert isinstance(raised_by(catcher(lambda: (_ for _ in ()).throw(Nested))), Nested)
    assert len(written.errors()) == 1
    assert len(calls) < 10


def test_slow_text_is_asked_for_a_few_times_only(written):
    """What an exception says is its own code and takes its time; it is asked for the message and the traceback."""
    asked = []

    class Slow(Exception):
        def __str__(self):
            asked.append(time.sleep(0.01))
            return "slow"

    raised_by(written.catcher()(lambda: (_ for _ in ()).throw(Slow)))
    assert written.errors()[0]["message"] == "slow"
    assert len(asked) <= 2


def test_hostile_class_of_an_exception_is_not_asked(written):
    """What claims to be of another class is told by what it is; one that is no `Exception` is not told."""

    class Odd(BaseException):
        __class__ = property(lambda self: 1 / 0)

    error = Odd()

    @written.catcher()
    def work():
        raise error

    with contextlib.suppress(Odd):
        work()
    assert written.errors() == []


class Meta(type):
    """The class of a class, which has its own idea of its names once they are asked for by a call."""

    is_asked = False

    def __getattribute__(cls, name):
        if Meta.is_asked and name in {"__module__", "__name__", "__qualname__"}:
            raise RuntimeError(name)
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=Meta):
    """An exception that nobody may ask for the name of its class."""


class Text:
    """No text, and nothing that can be compared or shown."""

    __eq__ = __format__ = __repr__ = __str__ = lambda *_: 1 / 0
    __hash__ = None


class Nowhere(Exception):
    """An exception whose class says that it is in no module."""

    __module__ = Text()


@pytest.mark.parametrize("kind", [Nameless, Nowhere])
@pytest.mark.parametrize("way", ["timer", "catcher"])
def test_class_that_does_not_tell_its_name_changes_nothing(written, monkeypatch, kind, way):
    """The same exception passes, and is told by the name that the interpreter knows; what else there is is kept."""
    error = kind("no")

    @getattr(written, way)()
    def work(n):
        raise error

    monkeypatch.setattr(Meta, "is_asked", True)
    assert raised_by(work, 5) is error
    monkeypatch.undo()
    assert (error.__cause__, error.__context__) == (None, None)
    (record,) = written.timings() or written.errors()
    assert record["arguments"] == "n=5"
    assert record.get("outcome", record.get("type")).endswith(kind.__qualname__)
    assert record.get("message", "no") == "no"


class Silent(Exception):
    """An exception that cannot be asked for anything."""

    def __getattribute__(self, name):
        raise RuntimeError(name)


class Doubtful(Exception):
    """An exception that is neither true nor false."""

    def __bool__(self):
        raise RuntimeError


@pytest.mark.parametrize("kind", [Silent, Doubtful])
def test_exception_whose_chain_cannot_be_told_is_told_by_its_frames(written, kind):
    """What the interpreter's own way of printing trips over has the frames of the call, without ours, and its class."""
    error = kind("no")

    @written.catcher()
    @written.timer()
    def work():
        raise error

    assert raised_by(work) is error
    (record,) = written.errors()
    assert (record["message"], record["arguments"]) == ("no", "")
    first, *_, last = record["traceback"].splitlines()
    assert (first, last) == ("Traceback (most recent call last):", f"{__name__}.{kind.__name__}")
    assert "in work" in record["traceback"]
    assert "wrapper.py" not in record["traceback"]
    assert stats()["errors"]["hook"] == {"traceback of an exception: RuntimeError": 1}


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signal")
def test_what_a_signal_handler_raises_amid_a_text_passes(written):
    """An alarm that was set around the call ends it, also while the exception says what it is."""

    class TimeIsUpError(Exception):
        pass

    def strike(*_):
        raise TimeIsUpError

    class Slow(Exception):
        def __str__(self):
            signal.raise_signal(signal.SIGUSR1)
            return "slow"

    @written.catcher()
    def work():
        raise Slow

    before = signal.signal(signal.SIGUSR1, strike)
    try:
        assert isinstance(raised_by(work), TimeIsUpError)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_failing_text_is_counted(written):
    """Who wonders about a message finds out that the exception's own code failed, and how often."""

    class Broken(Exception):
        def __str__(self):
            raise ZeroDivisionError

    raised_by(written.catcher()(lambda: (_ for _ in ()).throw(Broken)))
    assert stats()["errors"]["hook"] == {"str() of an exception: ZeroDivisionError": 1}


def test_huge_message_is_cut(written):
    """A message of megabytes takes up a bounded part of the record, and hardly any time."""
    started = time.perf_counter()
    raised_by(written.catcher()(fail), "x" * 5_000_000)
    assert time.perf_counter() - started < 2
    assert flush(20)
    assert (written.folder / "error.log").stat().st_size < 80_000
    assert written.errors()[0]["message"].startswith("xxx")


@pytest.mark.parametrize("text", ["a\rb\nc", "\x1b[31mred", "a\u2028b\u2029c\x85d", "tab\tnul\0", "\ud800 half"])
def test_one_record_is_one_line(written, text):
    """No text breaks a line for any reader, nor is read as a record of its own."""
    raised_by(written.catcher()(fail), f'{text}\n{{"call_id": 1}}')
    assert flush(20)
    raw = (written.folder / "error.log").read_bytes()
    assert len(raw.decode("utf-8").splitlines()) == 1
    assert b"\x1b" not in raw
    assert json.loads(raw)["message"] == f'{text}\n{{"call_id": 1}}'
