"""What is no function stays what it was once it is measured: as an attribute, in a pickle, to who asks it something."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
from typing import Any

import pytest

from tests.kept import Way, way_fixture  # noqa: F401 - fixtures are asked for by name
from time_execution import time_execution


def add(a, b=0):
    return a + b


def seen(**_):
    return {"seen": True}


class Model:
    """A callable object with more to it than the call."""

    threshold = 3

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, a, b=0):
        self.calls += 1
        return a + b

    def predict(self, a):
        return a * self.threshold

    def __deepcopy__(self, memo):
        return Model()


PARTIAL: Any = time_execution(functools.partial(add, 1))
OBJECT: Any = time_execution(Model())
LENGTH: Any = time_execution(len)
BOUND: Any = time_execution(Model().predict)


class Holder:
    """Has them as attributes, where none of them is a method."""

    partial = PARTIAL
    object = OBJECT
    length = LENGTH
    bound = BOUND


def test_what_binds_nothing_is_no_method_when_measured(way: Way):
    """An attribute of a class is called as it stands: no instance comes first among its arguments."""
    holder = Holder()
    assert (holder.partial(5), holder.object(5), holder.length("abc"), holder.bound(2)) == (6, 5, 3, 6)
    way.expect("add", "Model", "len", "predict")


@pytest.mark.filterwarnings("error")
def test_what_binds_nothing_warns_of_nothing():
    """That partials will become methods one day is said of bare ones."""
    assert Holder.partial(5) == Holder().partial(5) == 6


@pytest.mark.parametrize("measured", [PARTIAL, OBJECT, LENGTH, BOUND], ids=["partial", "object", "builtin", "bound"])
@pytest.mark.parametrize("through", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy])
def test_copies_are_measured_too(way: Way, measured, through):
    """A pickle, or a copy of whatever depth, is of the measured thing."""
    again = through(measured)
    argument = "abc" if measured is LENGTH else 2
    assert again(argument) == measured(argument)
    assert again.fqn == measured.fqn
    assert len(way.metrics) == (2 if way.measures else 0)


def test_pickle_keeps_how_a_thing_is_measured(way: Way):
    """Its series and its hooks come along."""
    measured = time_execution(name="series", extra_hooks=[seen], disable_default_hooks=True)(functools.partial(add, 1))
    assert pickle.loads(pickle.dumps(measured))(1) == 2
    way.expect("series")
    assert [metric["seen"] for metric in way.metrics] == [True] * len(way.metrics)


def test_attributes_of_the_object_are_within_reach():
    """They are the object's own, at any moment."""
    model = Model()
    measured: Any = time_execution(model)
    assert (measured(1), measured.calls, measured.predict(2), measured.threshold) == (1, 1, 6, 3)
    assert time_execution(functools.partial(add, 1)).func is add
    with pytest.raises(AttributeError, match="no_such"):
        _ = measured.no_such


def test_measured_object_is_inspected_as_itself():
    """Signature, text and what it wraps are those of the object."""
    partial = functools.partial(add, 1)
    measured: Any = time_execution(partial)
    assert inspect.signature(measured) == inspect.signature(partial)
    assert repr(measured) == repr(partial)
    assert measured.__wrapped__ is partial
