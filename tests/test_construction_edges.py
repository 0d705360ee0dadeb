"""Constructions of measured classes that involve several: made again, inherited, by several threads at once."""

from __future__ import annotations

import copy
import threading

from tests.kept import Kept, kept_fixture  # noqa: F401 - a fixture is asked for by name
from time_execution import time_execution


def test_object_that_initialises_itself_again_is_measured_once_more(kept: Kept):
    """What follows is still part of the outer construction."""

    @time_execution(name="base")
    class Base:
        def __init__(self):
            self.made = True

    @time_execution(name="child")
    class Child(Base):
        def __init__(self, *, again=True):
            if again:
                self.__init__(again=False)  # type: ignore[misc]
            super().__init__()

    assert Child().made
    assert kept.names == ["child", "child"]
    Base()
    assert kept.names == ["child", "child", "base"]


def test_inherited_constructor_makes_what_it_is_asked_for(kept: Kept):
    """A subclass of a class that only inherits its constructor, by way of every other class in between."""
    passed = []

    class Root:
        def __new__(cls):
            passed.append("root")
            return super().__new__(cls)

    @time_execution(name="left")
    class Left(Root):
        pass

    class Right(Root):
        def __new__(cls):
            passed.append("right")
            return super().__new__(cls)

    class Both(Left, Right):
        pass

    assert type(Left()) is Left
    passed.clear()
    assert type(Both()) is Both
    assert (passed, kept.names) == (["right", "root"], ["left", "left"])


def test_constructor_may_be_called_by_way_of_an_instance(kept: Kept):
    """As a static method, which Python makes of it by itself where a class is written."""

    @time_execution(name="thing")
    class Thing:
        def __new__(cls):
            return super().__new__(cls)

    thing = Thing()
    assert type(thing.__new__(Thing)) is Thing
    assert type(copy.copy(thing)) is Thing
    assert isinstance(vars(Thing)["__new__"], staticmethod)
    assert set(kept.names) == {"thing"}


def test_threads_that_construct_the_same_class_keep_apart(kept: Kept):
    """That another is done with it ends nobody's construction."""

    @time_execution(name="base")
    class Base:
        def __new__(cls, *_):
            return super().__new__(cls)

    @time_execution(name="child")
    class Child(Base):
        def __new__(cls, inside, go_on):
            inside.set()
            go_on.wait(10.0)
            return super().__new__(cls)

    events = [(threading.Event(), threading.Event()) for _ in range(2)]
    threads = [threading.Thread(target=Child, args=pair) for pair in events]
    for thread, (inside, _) in zip(threads, events, strict=True):
        thread.start()
        assert inside.wait(10.0)
    for thread, (_, go_on) in zip(threads, events, strict=True):
        go_on.set()
        thread.join(10.0)
    assert kept.names == ["child", "child"]


def test_initialiser_that_a_class_has_not_written_is_called_as_if_it_had():
    """Tracebacks and tools show where it belongs."""

    @time_execution
    class Thing:
        pass

    found = vars(Thing)["__init__"]
    assert (found.__name__, found.__module__) == ("__init__", __name__)
    assert found.__qualname__ == f"{Thing.__qualname__}.__init__"
