"""What is registered with the interpreter, when, and how its parts behave one by one; processes are in tests/faults."""

from __future__ import annotations

import atexit
import gc
import io
import os
import signal
import subprocess
import sys
import threading
import weakref
from typing import Any

import pytest

from tests.child import printed_by
from tests.faults.harness import DEADLINE, FaultBackend, Gate, in_threads, quick
from tests.forked import needs_fork
from time_execution import forking, install_sigterm
from time_execution.delivery import lifecycle


class Delivery:
    """A delivery that only remembers what it was told."""

    shutdown_timeout = 1.0

    def __init__(self, lost=0):
        self.told = []
        self.lost = lost

    def after_fork(self):
        self.told.append("after_fork")

    def begin_close(self):
        self.told.append("begin_close")

    def close(self, timeout=None):
        self.told.append(("close", timeout))

    def is_closed(self):
        return False

    def undelivered(self):
        return self.lost


@pytest.fixture
def tracked(monkeypatch):
    """Track in a set of the test's own, and register nothing with the interpreter."""
    calls = []
    monkeypatch.setattr(lifecycle, "_tracked", {})
    monkeypatch.setattr(atexit, "register", lambda function, *_, **__: calls.append(("register", function)))
    monkeypatch.setattr(atexit, "unregister", lambda function: calls.append(("unregister", function)))
    if hasattr(os, "register_at_fork"):
        monkeypatch.setattr(os, "register_at_fork", lambda **hooks: calls.append(("fork", hooks)))
    monkeypatch.setattr(forking, "_functions", [])
    return calls


IMPORTING = """
import atexit, os, threading
registered = []
atexit.register = lambda function, *_, **__: registered.append(function)
os.register_at_fork = lambda **hooks: registered.extend(hooks.values())
import time_execution.backends.threaded
from time_execution.delivery import lifecycle
ours = [function for function in registered if str(getattr(function, "__module__", "")).startswith("time_execution")]
print(ours, lifecycle.tracked(), threading.active_count())
"""


def test_importing_registers_nothing():
    """An import alone starts no thread and registers nothing that runs at a fork or at the end."""
    done = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[] [] 1\n"


def test_a_delivery_that_is_made_starts_no_thread():
    """The thread comes with the first metric."""
    before = threading.active_count()
    quick(FaultBackend())
    assert threading.active_count() == before


def test_a_delivery_nobody_holds_is_forgotten():
    """Tracking keeps nothing alive: a delivery that was never used goes when its last reference does."""
    delivery = quick(FaultBackend())
    reference = weakref.ref(delivery)
    assert delivery in lifecycle.tracked()
    del delivery
    gc.collect()
    assert reference() is None


def test_the_fork_hook_is_registered_once(tracked):
    """However many deliveries there are, a fork runs one function of ours."""
    for _ in range(3):
        lifecycle.track(Delivery())
    assert len([call for call in tracked if call[0] == "fork"]) == (1 if hasattr(os, "register_at_fork") else 0)


def test_the_end_of_the_process_runs_our_function_once(tracked):
    """However often deliveries are made, `close_all` stands in the list of `atexit` once at the most."""
    for _ in range(3):
        lifecycle.track(Delivery())
    standing = 0
    for action, function in tracked:
        if function is lifecycle.close_all:
            standing = 0 if action == "unregister" else standing + 1
    assert standing == 1


def test_a_system_that_cannot_fork_is_served_all_the_same(tracked, monkeypatch):
    """Where `os.register_at_fork` does not exist, as on Windows, a delivery can be made."""
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    lifecycle.track(Delivery())
    assert ("register", lifecycle.close_all) in tracked


def test_all_are_told_to_begin_before_the_first_is_waited_for(tracked):
    """`close_all` has all deliveries drain at the same time."""
    order = []

    class Ordered(Delivery):
        def begin_close(self):
            order.append("begin")

        def close(self, timeout=None):
            order.append("close")

    deliveries = [Ordered() for _ in range(3)]
    for delivery in deliveries:
        lifecycle.track(delivery)
    lifecycle.close_all()
    assert order == ["begin"] * 3 + ["close"] * 3


def test_what_was_lost_is_said_in_one_line(tracked, capsys):
    """`close_all` adds up what could not be delivered; without loss it says nothing."""
    deliveries = [Delivery(lost) for lost in (3, 0, 4)]
    for delivery in deliveries:
        lifecycle.track(delivery)
    lifecycle.close_all()
    assert capsys.readouterr().err == "time_execution: 7 metrics could not be delivered at exit\n"
    for delivery in deliveries:
        delivery.lost = 0
    lifecycle.close_all()
    assert capsys.readouterr().err == ""


def closed_stream():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, closed_stream()], ids=["none", "closed"])
def test_nowhere_to_say_it_is_no_error(tracked, monkeypatch, stream):
    """Without a usable stderr, `close_all` ends in good order."""
    delivery = Delivery(1)
    lifecycle.track(delivery)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        lifecycle.close_all()
    assert delivery.told[0] == "begin_close"


def test_deliveries_may_be_made_while_all_are_closed(tracked):
    """Threads that build deliveries at that very moment disturb neither `close_all` nor the fork hook."""
    made = []

    def build():
        """Build one at the moment at which another is looked up, as another thread would; returns the other."""
        made.append(Delivery())
        lifecycle.track(made[-1])
        return kept[0]

    kept = [Delivery() for _ in range(10)]
    for number, delivery in enumerate(kept):
        lifecycle.track(delivery)
        if number % 3 == 1:
            lifecycle._tracked[number] = build
    lifecycle.close_all()
    lifecycle._after_fork()
    assert all(delivery.told[0] == "begin_close" and delivery.told[-1] == "after_fork" for delivery in kept)
    assert len(made) == 6
    del lifecycle._tracked[1], lifecycle._tracked[4], lifecycle._tracked[7]
    assert lifecycle.tracked() == [*kept, *made]


def test_one_delivery_that_fails_keeps_no_other_from_its_end(tracked):
    """An exception out of one delivery, at a fork or at the end, leaves none of the others out."""
    raised = []

    class Failing(FaultBackend):
        def after_fork(self):
            raised.append("after_fork")
            raise RuntimeError

        def close(self, timeout=None):
            raised.append("close")
            raise RuntimeError

    kept = [kind() for _ in range(3) for kind in (lambda: quick(Failing()), Delivery)]
    for delivery in kept[1::2]:
        lifecycle.track(delivery)
    lifecycle._after_fork()
    lifecycle.close_all()
    assert raised == ["after_fork"] * 3 + ["close"] * 3
    assert all(delivery.told[:2] == ["after_fork", "begin_close"] for delivery in kept[1::2])
    assert all(delivery.told[2][0] == "close" for delivery in kept[1::2])


@pytest.fixture
def sigterm():
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_handler_raises_system_exit(sigterm):
    """The handler ends the process the ordinary way, with the status a shell reports."""
    install_sigterm()
    handler: Any = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as raised:
        handler(signal.SIGTERM, None)
    assert raised.value.code == 143


def test_the_handler_is_installed_once(sigterm):
    """A second call leaves the handler as it is."""
    install_sigterm()
    first = signal.getsignal(signal.SIGTERM)
    install_sigterm()
    assert signal.getsignal(signal.SIGTERM) is first


def test_the_handler_is_for_the_main_thread(sigterm):
    """From another thread the call fails at once and says why."""
    with pytest.raises(RuntimeError, match="main thread"):
        in_threads(1, lambda _: install_sigterm())
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_handler_takes_no_lock(sigterm):
    """A signal that comes while any lock of a delivery is held is handled at once."""
    delivery = quick(FaultBackend())
    held, leave = threading.Event(), threading.Event()

    def hold():
        with delivery.channel.lock:
            held.set()
            leave.wait(DEADLINE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(DEADLINE)
    install_sigterm()
    handler: Any = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        handler(signal.SIGTERM, None)
    leave.set()
    thread.join(DEADLINE)


@pytest.mark.parametrize(
    ("daemon", "handling", "expected"),
    [
        (True, "", True),
        (False, "", False),
        (True, "install_sigterm()", False),
        (True, "signal.signal(signal.SIGTERM, lambda *_: None)", False),
        (True, "signal.signal(signal.SIGTERM, signal.SIG_IGN)", False),
    ],
)
@needs_fork
def test_a_daemonic_child_without_a_handler_is_terminated_at_will(daemon, handling, expected):
    """Its parent ends it by SIGTERM as it likes, as a pool does, unless the signal is handled; nobody else is."""
    code = (
        "import multiprocessing, signal\n"
        "from time_execution import install_sigterm\n"
        "from time_execution.delivery.lifecycle import is_terminated_at_will\n"
        f"def work():\n    {handling or 'pass'}\n    print(is_terminated_at_will(), flush=True)\n"
        f"child = multiprocessing.get_context('fork').Process(target=work, daemon={daemon})\n"
        "child.start()\nchild.join(20)\nprint(is_terminated_at_will())\n"
    )
    assert printed_by(code) == [str(expected), "False"]


def test_undelivered_is_what_close_gave_up():
    """`undelivered` is zero after a clean end, and the number lost after one that came too early."""
    clean = quick(FaultBackend())
    clean.write("a", value=1)
    clean.close(DEADLINE)
    assert clean.undelivered() == 0
    gate = Gate()
    early = quick(FaultBackend([gate]))
    for value in range(7):
        early.write("a", value=value)
    gate.wait()
    early.close(0.0)
    assert early.undelivered() == 7
    gate.open.set()
