"""The decorator on methods, properties and what the standard library wraps, above and below what makes it one."""

from __future__ import annotations

import abc
import functools

import pytest

from tests.kept import Way, way_fixture  # noqa: F401 - a fixture is asked for by name
from time_execution import time_execution


class Plain:
    """Every kind of member, decorated above and below what makes it one."""

    @time_execution
    def method(self, x):
        return (self, x)

    @staticmethod
    @time_execution
    def static_below(x):
        return x

    @time_execution
    @staticmethod
    def static_above(x):
        return x

    @classmethod
    @time_execution
    def class_below(cls, x):
        return (cls, x)

    @time_execution
    @classmethod
    def class_above(cls, x):
        return (cls, x)

    @property
    @time_execution
    def property_below(self):
        """Documented."""
        return self

    @time_execution  # type: ignore[prop-decorator]
    @property
    def property_above(self):
        """Documented."""
        return self

    @property_above.setter
    def property_above(self, value):
        self.set = value

    @functools.cached_property
    @time_execution
    def cached_below(self):
        return object()

    @time_execution  # type: ignore[prop-decorator]
    @functools.cached_property
    def cached_above(self):
        """Documented."""
        return object()

    @functools.lru_cache  # noqa: B019 - what is measured is the method
    @time_execution
    def lru_below(self, x):
        return object()

    @time_execution
    @functools.lru_cache  # noqa: B019 - see above
    def lru_above(self, x):
        return object()


class Child(Plain):
    """Overrides and goes on to its parent."""

    def method(self, x):
        return super().method(x)


@pytest.mark.parametrize("name", ["static_below", "static_above"])
def test_static_methods_stay_static(way: Way, name):
    """A static method gets neither instance nor class, however it is called."""
    assert getattr(Plain, name)(1) == 1
    assert getattr(Plain(), name)(2) == 2
    assert isinstance(vars(Plain)[name], staticmethod)
    way.expect(name, name)


@pytest.mark.parametrize("name", ["class_below", "class_above"])
def test_class_methods_get_the_class_they_are_called_on(way: Way, name):
    """A class method gets the subclass when called on one."""
    assert getattr(Plain, name)(1) == (Plain, 1)
    assert getattr(Child(), name)(2) == (Child, 2)
    assert isinstance(vars(Plain)[name], classmethod)
    way.expect(name, name)


@pytest.mark.parametrize("name", ["property_below", "property_above"])
def test_properties_stay_properties(way: Way, name):
    """A property is read as an attribute, has its docstring, and is measured at each reading."""
    plain = Plain()
    assert getattr(plain, name) is plain
    assert vars(Plain)[name].__doc__ == "Documented."
    way.expect(name)


def test_setter_of_a_property_is_kept_and_measured(way: Way):
    """A decorated property takes a setter, and one that has a setter already has both measured."""
    plain = Plain()
    plain.property_above = 3
    assert plain.set == 3

    class Whole:
        @property
        def value(self):
            return 1

        @value.setter
        def value(self, new):
            self.new = new

    measured = time_execution(vars(Whole)["value"])
    Whole.value = measured  # type: ignore[method-assign]
    whole = Whole()
    whole.value = 5
    assert (whole.value, whole.new) == (1, 5)
    way.expect("value", "value")


def test_subclass_of_property_stays_one():
    """A property of another kind keeps what its class adds."""

    class Special(property):
        extra = "kept"

    assert time_execution(Special(lambda self: 1)).extra == "kept"


@pytest.mark.parametrize("name", ["cached_below", "cached_above"])
def test_cached_property_is_computed_and_measured_once(way: Way, name):
    """The second reading finds the value in the instance."""
    plain = Plain()
    assert getattr(plain, name) is getattr(plain, name)
    way.expect(name)


def test_lru_cache_below_measures_calls_and_above_measures_misses(way: Way):
    """What is measured is what lies below the decorator; the cache's own functions stay in reach."""
    plain = Plain()
    assert plain.lru_below(1) is plain.lru_below(1)
    assert plain.lru_above(1) is plain.lru_above(1)
    assert Plain.lru_above.cache_info().hits == 1
    Plain.lru_above.cache_clear()
    assert Plain.lru_above.cache_info().currsize == 0
    assert Plain.lru_above.cache_parameters()["maxsize"] == 128
    way.expect("lru_below", "lru_above", "lru_above")


def test_methods_bind_and_super_finds_them(way: Way):
    """A decorated method binds like any other, also through super() and as an unbound function."""
    child = Child()
    assert child.method(1) == (child, 1)
    assert Plain.method(child, 2) == (child, 2)
    assert Plain().method.__func__ is Plain.method  # type: ignore[attr-defined]
    way.expect("method", "method")


def test_singledispatch_works_on_both_sides(way: Way):
    """Dispatch and registration work through the decorator."""

    @time_execution
    @functools.singledispatch
    def above(thing):
        return "any"

    @above.register
    def _(thing: int):
        return "int"

    @functools.singledispatch
    @time_execution
    def below(thing):
        return "any"

    below.register(int, lambda thing: "int")
    assert (above(1), above("")) == ("int", "any")
    assert (below(1), below("")) == ("int", "any")
    way.expect("above", "above", "below")


def test_abstract_methods_stay_abstract():
    """A class whose abstract method is decorated cannot be constructed."""

    class Base(abc.ABC):
        @time_execution
        @abc.abstractmethod
        def work(self): ...

        @time_execution  # type: ignore[prop-decorator]
        @property
        @abc.abstractmethod
        def value(self): ...

    assert Base.__abstractmethods__ == {"work", "value"}


def test_methods_measures_what_a_class_defines_itself(way: Way):
    """`methods` measures functions, static and class methods by pattern, but special methods only when named."""

    class Work:
        def load(self):
            return 1

        @staticmethod
        def load_all():
            return 2

        @classmethod
        def load_class(cls):
            return cls

        def save(self):
            return 3

        def __len__(self):
            return 4

    assert time_execution.methods(Work, "load*") is Work
    work = Work()
    assert (work.load(), work.load_all(), work.load_class(), work.save(), len(work)) == (1, 2, Work, 3, 4)
    way.expect("load", "load_all", "load_class")
    assert time_execution.methods(Work, "__len__") is Work
    assert len(work) == 4
    way.expect("load", "load_all", "load_class", "__len__")
