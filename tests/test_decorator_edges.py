"""What the decorator keeps of the things it takes apart, and what it refuses at once."""

from __future__ import annotations

import functools
import types
from collections import deque

import pytest

from tests.kept import Kept, kept_fixture  # noqa: F401 - a fixture is asked for by name
from time_execution import settings, time_execution
from time_execution.exceptions import ConfigurationError
from time_execution.naming import name_of


class OwnStatic(staticmethod):
    """A kind of static method."""


class OwnClassMethod(classmethod):
    """A kind of class method."""


class OwnProperty(property):
    """A kind of property."""


class OwnCached(functools.cached_property):
    """A kind of cached property."""


@pytest.mark.parametrize("kind", [OwnStatic, OwnClassMethod, OwnProperty, OwnCached])
def test_kinds_of_descriptors_stay_what_they_are(kept: Kept, kind):
    """Whoever made a subclass relies on what it adds."""

    class Thing:
        member = time_execution(name="member")(kind(lambda *_: 5))

    assert type(vars(Thing)["member"]) is kind
    found = Thing().member
    assert (found() if callable(found) else found) == 5
    assert kept.names == ["member"]


def test_each_part_of_a_property_is_measured_and_its_text_stays(kept: Kept):
    """Reading, setting and deleting; the text may have been given apart from the functions."""
    done = []

    def read(_):
        """Of the function."""
        return done

    class Thing:
        member = time_execution(name="member")(
            property(read, lambda _, value: done.append(value), lambda _: done.clear(), "Of the property.")
        )

    assert vars(Thing)["member"].__doc__ == "Of the property."
    thing = Thing()
    thing.member = 1  # type: ignore[misc, assignment]
    assert thing.member == [1]
    del thing.member
    assert (done, kept.names) == ([], ["member"] * 3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"get_fqn": "name"}, "get_fqn: expected a callable, got a str"),
        ({"disable_default_hooks": "yes"}, "disable_default_hooks: expected True or False, got a str"),
        ({"disable_default_hooks": 1}, "disable_default_hooks: expected True or False, got an int"),
        ({"extra_hooks": 5}, r"extra_hooks\[0\]: expected a callable or the import path of one, got an int"),
        ({"extra_hooks": "nowhere.hook"}, r"extra_hooks\[0\]: it cannot be imported: there is no module nowhere"),
        ({"name": ""}, "the name of a series: expected a text that is not empty, got an empty str"),
    ],
)
def test_wrong_parameter_is_refused_as_the_thing_is_decorated(options, says):
    """By name and type, before anything is called."""
    with pytest.raises(ConfigurationError, match=says):
        time_execution(**options)(len)


class Base:
    """Has a method that is none of its subclass's own."""

    def inherited(self):
        """Return 0."""
        return 0


def make_basket():
    """Return a class with methods of several kinds."""

    class Basket(Base):
        def __init__(self):
            self.items = [1, 2]

        def __len__(self):
            return len(self.items)

        def total(self):
            return sum(self.items)

        @staticmethod
        def taxes():
            return 3

        @classmethod
        def make(cls):
            return cls()

        value = 5

    return Basket


@pytest.mark.parametrize(
    ("pattern", "measured"),
    [
        ("*", ["total", "taxes", "make"]),
        ("t*", ["total", "taxes"]),
        ("__len__", ["__len__"]),
        ("__*", ["__init__", "__len__"]),
    ],
)
def test_methods_are_those_of_the_class_itself_whose_names_match(kept: Kept, pattern, measured):
    """Special ones when the pattern begins as they do; inherited ones never."""
    cls = time_execution.methods(make_basket(), pattern, get_fqn=lambda func: func.__name__)
    basket = cls()
    assert (basket.total(), cls.taxes(), type(cls.make()), len(basket), basket.inherited()) == (3, 3, cls, 2, 0)
    assert set(kept.names) == set(measured)
    assert Base.inherited is vars(Base)["inherited"]


def test_options_of_methods_are_those_of_the_decorator():
    """Hooks are, for instance."""
    kept = Kept()
    settings.configure(backends=[kept], hooks=[lambda **_: {"default": True}])
    cls = time_execution.methods(
        make_basket(), "total", extra_hooks=lambda **_: {"extra": True}, disable_default_hooks=True
    )
    cls().total()
    assert ("extra" in kept.metrics[0], "default" in kept.metrics[0]) == (True, False)


def test_methods_of_no_class_are_refused():
    """An instance may have been meant to be its class."""
    with pytest.raises(TypeError, match="it was given a Base"):
        time_execution.methods(Base())  # type: ignore[type-var]
    with pytest.raises(ConfigurationError, match="the pattern of a method that Base itself defines"):
        time_execution.methods(Base, "absent*")


def test_object_of_celerys_that_is_no_task_is_measured_as_a_callable(kept: Kept):
    """A signature can be called and sent, and has nothing to run."""
    Signature = type("Signature", (), {"__module__": "celery.canvas", "delay": print, "__call__": lambda self: 5})
    measured = time_execution(name="signature")(Signature())
    assert measured() == 5
    assert kept.names == ["signature"]


class Inner:
    """A callable object."""

    def __call__(self):
        """Do nothing."""


def test_names_of_things_without_one_of_their_own():
    """Methods of builtin types, bound or not, and an object around another."""
    outer = types.SimpleNamespace(__wrapped__=Inner())
    names = [name_of(thing) for thing in (str.upper, "a".upper, deque.append, deque().append, outer)]
    assert names == [
        "builtins.str.upper",
        "builtins.str.upper",
        "collections.deque.append",
        "collections.deque.append",
        f"{__name__}.Inner",
    ]
