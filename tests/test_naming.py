"""The names that series get from callables of every kind."""

from __future__ import annotations

import collections
import functools
import operator

import pytest

from time_execution.naming import name_of


def module_level():
    """A function."""


class Outer:
    """A class with things in it."""

    class Inner:
        def method(self):
            """A method of a class in a class."""

        @staticmethod
        def static():
            """A static method."""

        @classmethod
        def build(cls):
            """A class method."""

        def __call__(self):
            """Make its instances callable."""


class Task:
    """As Celery's tasks are: an object that stands for a function."""

    def __init__(self, function):
        self.__wrapped__ = function

    def __call__(self):
        return None


class Odd:
    """An object that answers to any name."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self):
        return None


def local():
    """Return a function with a long qualified name."""

    class Here:
        def method(self):
            return lambda: None

    return Here().method()


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (module_level, f"{__name__}.module_level"),
        (Outer, f"{__name__}.Outer"),
        (Outer.Inner.method, f"{__name__}.Outer.Inner.method"),
        (Outer.Inner().method, f"{__name__}.Outer.Inner.method"),
        (Outer.Inner.static, f"{__name__}.Outer.Inner.static"),
        (Outer.Inner.build, f"{__name__}.Outer.Inner.build"),
        (Outer.Inner(), f"{__name__}.Outer.Inner"),
        (Odd(), f"{__name__}.Odd"),
        (Task(module_level), f"{__name__}.module_level"),
        (functools.partial(module_level), f"{__name__}.module_level"),
        (functools.partial(functools.partial(Outer.Inner())), f"{__name__}.Outer.Inner"),
        (functools.lru_cache(module_level), f"{__name__}.module_level"),
        (local(), f"{__name__}.local.Here.method.<lambda>"),
        (len, "builtins.len"),
        (dict, "builtins.dict"),
        (collections.OrderedDict, "collections.OrderedDict"),
        (str.upper, "builtins.str.upper"),
        ("a".upper, "builtins.str.upper"),
        ([].append, "builtins.list.append"),
        (operator.itemgetter(1), "operator.itemgetter"),
    ],
)
def test_name_is_module_and_qualified_name_without_locals(thing, name):
    """Every callable has a name that says where it is written."""
    assert name_of(thing) == name
    assert "<locals>" not in name


def test_function_without_module_has_a_name_all_the_same():
    """A function made by exec or a tool may have no module."""
    space: dict[str, object] = {}
    exec("def made(): pass", space)  # its __module__ is that of `builtins`, or None
    made = space["made"]
    made.__module__ = None  # type: ignore[assignment]
    name = name_of(made)
    assert name.endswith("made")
    assert "None" not in name
