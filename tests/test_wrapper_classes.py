"""A measured class without an initialiser, and the methods of one, to those who inspect, call or configure it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tests.kept import Kept
from time_execution import methods, settings, time_execution
from time_execution.exceptions import ConfigurationError


@time_execution
class Plain:
    """Neither ``__init__`` nor ``__new__``."""

    x = 1


class Child(Plain):
    """Has neither, too."""


class Particular(Plain):
    """Has one of its own."""

    def __init__(self, a: int) -> None:
        super().__init__()
        self.a = a


@pytest.fixture
def kept():
    """Configure a backend that is written to directly."""
    backend = Kept()
    settings.configure(backends=[backend])
    return backend


def test_class_without_initialiser_takes_no_arguments():
    """Frameworks that inject what a signature asks for would look for ``args`` and ``kwargs`` in a request."""
    assert str(inspect.signature(Plain)) == str(inspect.signature(Child)) == "()"
    assert list(inspect.signature(Particular).parameters) == ["a"]


@pytest.mark.parametrize("cls", [Plain, Child])
def test_arguments_that_are_not_taken_are_complained_of_as_ever(cls: Any):
    """The words are those of the class as it was."""
    with pytest.raises(TypeError) as caught:
        cls(1)
    assert str(caught.value) == f"{cls.__name__}() takes no arguments"
    with pytest.raises(TypeError) as caught:
        cls(a=1)
    assert str(caught.value) == f"{cls.__name__}() takes no arguments"


def test_arguments_that_a_subclass_passes_on_are_complained_of_as_ever():
    """It is `object` that refuses them, in its own words."""

    class Wrong(Plain):
        def __init__(self) -> None:
            super().__init__(1)  # type: ignore[call-arg]

    with pytest.raises(TypeError, match=r"^object.__init__\(\) takes exactly one argument"):
        Wrong()


def test_construction_without_initialiser_is_measured(kept: Kept):
    """It is a construction like any other."""
    assert (Plain().x, Child().x, Particular(3).a) == (1, 1, 3)
    assert kept.names == [f"{__name__}.Plain"] * 3


def test_methods_of_an_instance_are_refused():
    """Only a class has methods to measure, and silence would mean no metric."""
    with pytest.raises(TypeError, match="not of an instance: it was given a Plain"):
        methods(Plain())  # type: ignore[type-var]


@pytest.mark.parametrize("pattern", ["zzz*", "Method"])
def test_pattern_that_no_method_has_is_refused(pattern: str):
    """A misspelt pattern would measure nothing and say nothing."""

    class Service:
        def method(self) -> int:
            return 1

    with pytest.raises(ConfigurationError, match=r"methods\(\): expected the pattern of a method"):
        methods(Service, pattern)
    assert methods(Service, "meth*") is Service
