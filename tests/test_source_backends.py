"""Backends that sources have for themselves: shared by what they stand for, and operated with the configured ones."""

from __future__ import annotations

import gc
import threading

import pytest

from tests.forked import ends_well_in_a_child, needs_fork
from tests.kept import Kept
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import ConfigurationError
from time_execution.source_backends import register, registered, shared


class Own(Kept):
    """A backend that can be closed."""

    closed = False

    def is_closed(self):
        return self.closed


def test_registered_backend_is_known_while_it_lives():
    """Nothing is kept alive by being registered."""
    first, second = Own(), Own()
    before = len(registered())
    register(first)
    register(second)
    register(first)
    assert [each for each in registered() if each in (first, second)] == [first, second]
    del first
    gc.collect()
    assert len(registered()) == before + 1


def test_closed_backend_is_still_told_of():
    """What one that was closed has counted is not lost as long as it lives."""
    backend = Own()
    register(backend)
    backend.closed = True
    assert backend in registered()


@pytest.mark.parametrize("is_closed", [None, "no", lambda: None])
def test_backend_may_not_say_whether_it_is_closed(is_closed):
    """Whatever a custom backend has under that name, only a plain True counts."""
    backend = Kept()
    backend.is_closed = is_closed
    register(backend)
    assert backend in registered()


def test_same_key_is_the_same_backend():
    """Who asks for what exists gets it, with equal options."""
    made = []

    def make():
        made.append(Own())
        return made[-1]

    first = shared("a key", {"size": 1}, make)
    assert shared("a key", {"size": 1}, make) is first
    other = shared("another key", {"size": 1}, make)
    assert other is not first
    assert made == [first, other]
    assert first in registered()


def test_other_options_are_refused():
    """Two ways to do one thing cannot both be kept; the message names it and how it is done."""
    kept = shared("refused", {"size": 1}, Own)
    with pytest.raises(ConfigurationError, match=r"refused is written to already.*'size': 1"):
        shared("refused", {"size": 2}, Own)
    kept.closed = True
    again = shared("refused", {"size": 2}, Own)
    assert again is not kept


def test_backend_that_nobody_has_is_made_anew():
    """It lives as long as somebody refers to it, and so do its options."""
    kept = shared("short-lived", 1, Own)
    del kept
    gc.collect()
    assert isinstance(shared("short-lived", 2, Own), Own)


def test_maker_that_fails_leaves_nothing():
    """What it raises passes, and the next may try again."""
    with pytest.raises(ZeroDivisionError):
        shared("failing", 1, lambda: 1 / 0)
    assert isinstance(shared("failing", 2, Own), Own)


def test_maker_may_share_in_turn():
    """A backend may stand on another that is shared."""
    inner = []

    def make():
        inner.append(shared("inner", 1, Own))
        return Own()

    outer = shared("outer", 1, make)
    assert inner[0] is not outer
    assert shared("inner", 1, Own) is inner[0]


def test_threads_get_one():
    """However many ask at once, one is made."""
    found, made, together = [], [], threading.Barrier(16)

    def make():
        made.append(Own())
        return made[-1]

    def ask():
        together.wait(20)
        found.append(shared("by threads", 1, make))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(made) == 1
    assert {id(each) for each in found} == {id(made[0])}


def test_queue_of_our_own_is_made_anew_after_it_was_closed():
    """A closed queue takes nothing, so whoever comes later gets one that does."""
    store = Kept()
    first = shared("queue", 1, lambda: ThreadedBackend(store))
    first.close(1)
    second = shared("queue", 1, lambda: ThreadedBackend(store))
    assert second is not first
    assert not second.is_closed()


@needs_fork
def test_fork_while_another_thread_shares_is_harmless():
    """A lock that another thread held at the fork stops nobody in the child."""
    inside, go = threading.Event(), threading.Event()

    def make():
        inside.set()
        go.wait(30)
        return Own()

    thread = threading.Thread(target=lambda: shared("slow", 1, make))
    thread.start()
    try:
        assert inside.wait(20)
        assert ends_well_in_a_child(lambda: shared("in the child", 1, Own))
    finally:
        go.set()
        thread.join(20)
