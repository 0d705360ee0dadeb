"""What a signal handler raises is meant for the program, also where it strikes within a hook or a direct backend."""

from __future__ import annotations

import functools
import signal
import threading

import pytest

from tests.kept import Kept
from time_execution import settings, stats, time_execution
from time_execution.hooks.chain import Chain

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signal")


class TimeIsUpError(Exception):
    """What a handler raises, as task queues and test runners do at the end of a time limit."""


def strike(number=0, frame=None):
    raise TimeIsUpError


class Handler:
    """A handler that is an object."""

    def __call__(self, number, frame):
        raise TimeIsUpError

    def method(self, number, frame):
        raise TimeIsUpError


HANDLERS = {
    "function": strike,
    "object": Handler(),
    "method": Handler().method,
    "partial": functools.partial(lambda error, *_: Handler().method(0, error), None),
}


@pytest.fixture
def handle():
    """Install a handler of SIGUSR1 for the length of a test."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda handler: signal.signal(signal.SIGUSR1, handler)
    signal.signal(signal.SIGUSR1, before)


class Slow(Kept):
    """A direct backend at work when the signal comes."""

    def write(self, name, **data):
        signal.raise_signal(signal.SIGUSR1)
        super().write(name, **data)


def interrupted(**_):
    signal.raise_signal(signal.SIGUSR1)


def interrupted_around(**_):
    yield
    signal.raise_signal(signal.SIGUSR1)


PLACES = {
    "backend": {"backends": [Slow()], "hooks": []},
    "backend of a slower call": {"backends": [Slow()], "hooks": [lambda **_: None], "sample_rate": 0.999999},
    "hook": {"backends": [Kept()], "hooks": [interrupted]},
    "generator hook": {"backends": [Kept()], "hooks": [interrupted_around]},
}


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_exception_of_a_signal_handler_reaches_the_program(handle, handler, place):
    """A time limit ends the call that it was set for, is counted, and the next call is measured as ever."""
    handle(handler)
    settings.configure(**place)
    measured = time_execution(name="limited")(lambda: 1)
    with pytest.raises(TimeIsUpError):
        measured()
    faults = stats()["errors"]
    assert sum(faults["hook"].values()) + sum(faults["backend"].values()) == 1
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    settings.configure(backends=[kept := Kept()])
    assert measured() == 1
    assert kept.names == ["limited"]


def test_same_exception_from_elsewhere_is_the_hooks_own(handle):
    """It is where it was raised that counts, not its class."""
    handle(strike)

    def failing(**_):
        raise TimeIsUpError

    settings.configure(backends=[kept := Kept()], hooks=[failing])
    assert time_execution(lambda: 1)() == 1
    assert kept.metrics[0]["hook_error"] == "TimeIsUpError"


def test_handler_that_is_called_in_another_thread_is_no_signal(handle):
    """Signals are handled in the main thread only: elsewhere it is a function that fails."""
    handle(strike)
    settings.configure(backends=[kept := Kept()], hooks=[lambda **_: strike()])
    thread = threading.Thread(target=time_execution(lambda: 1))
    thread.start()
    thread.join()
    assert kept.metrics[0]["hook_error"] == "TimeIsUpError"


def test_exception_is_held_by_nobody_once_it_passed(handle):
    """The frame that lets it through does not hold it in turn."""
    handle(strike)
    chain = Chain([interrupted], series="s")
    with pytest.raises(TimeIsUpError) as caught:
        chain.finish({}, {}, (len, (), {}), None, None)
    entry = caught.value.__traceback__
    frames = []
    while entry is not None:
        frames.append(entry.tb_frame)
        entry = entry.tb_next
    assert [frame for frame in frames[1:] if caught.value in frame.f_locals.values()] == []
