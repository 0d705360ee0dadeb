"""Construction across classes: subclasses, cooperative initialisers, ``__new__``, and parts made on the way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kept import Kept, Way, kept_fixture, way_fixture  # noqa: F401 - fixtures are asked for by name
from time_execution import time_execution

# ---- subclasses ----------------------------------------------------------------------------------------------------


@time_execution
class Base:
    def __init__(self, x=0):
        self.x = x


class Inheriting(Base):
    pass


class Cooperative(Base):
    def __init__(self, x, y):
        super().__init__(x)
        self.y = y


class Silent(Base):
    def __init__(self):
        self.x = -1


@time_execution
class DecoratedChild(Base):
    def __init__(self, x):
        super().__init__(x + 1)


class Again(Base):
    def __init__(self):
        super().__init__(1)
        super().__init__(2)


@pytest.mark.parametrize(
    ("make", "x", "names"),
    [
        (lambda: Inheriting(3), 3, ["Base"]),
        (lambda: Cooperative(4, 5), 4, ["Base"]),
        (Silent, -1, []),
        (lambda: DecoratedChild(6), 7, ["DecoratedChild"]),
        (Again, 2, ["Base", "Base"]),
    ],
    ids=["inheriting", "super", "without super", "decorated itself", "super twice"],
)
def test_subclass_is_measured_by_way_of_its_call_of_super(way: Way, make, x, names):
    """A construction is measured once, under the name of the outermost decorated class that it runs through."""
    made = make()
    assert made.x == x
    assert isinstance(made, Base)
    way.expect(*names)


def test_cooperative_initialisers_all_run_in_order(way: Way):
    """With multiple inheritance each initialiser gets its arguments, also past a class that has none of its own."""
    order = []

    class Root:
        def __init__(self, **rest):
            assert not rest
            order.append("Root")

    @time_execution
    class Left(Root):
        def __init__(self, left, **rest):
            super().__init__(**rest)
            order.append(left)

    @time_execution
    class Nothing(Root):
        pass

    class Right(Root):
        def __init__(self, right, **rest):
            super().__init__(**rest)
            order.append(right)

    class Diamond(Left, Nothing, Right):
        pass

    Diamond(left="left", right="right")
    assert order == ["Root", "right", "left"]
    way.expect("Left")


def test_mixin_without_initialiser_hands_on_to_the_next_class(way: Way):
    """A decorated mixin in front of a class with arguments does not swallow them."""

    @time_execution
    class Mixin:
        pass

    class Real:
        def __init__(self, x):
            self.x = x

    class Both(Mixin, Real):
        pass

    assert Both(5).x == 5
    way.expect("Mixin")


def test_class_without_initialiser_is_measured_and_takes_no_arguments(way: Way):
    """A bare class is constructed without arguments, and refuses them."""

    @time_execution
    class Bare:
        pass

    Bare()
    with pytest.raises(TypeError, match="argument"):
        Bare(1)  # type: ignore[call-arg]
    way.expect("Bare", "Bare")


def test_subclass_with_new_takes_arguments_that_no_initialiser_knows(way: Way):
    """Arguments meant for a subclass's __new__ do not disturb our initialiser."""

    @time_execution
    class Bare:
        pass

    class WithNew(Bare):
        def __new__(cls, x):
            made = super().__new__(cls)
            made.x = x  # type: ignore[attr-defined]
            return made

    assert WithNew(3).x == 3  # type: ignore[attr-defined]
    way.expect("Bare")


# ---- __new__ -------------------------------------------------------------------------------------------------------


def test_class_with_new_only_is_measured_there(way: Way):
    """A class that constructs itself in __new__ keeps doing so, subclasses too."""

    @time_execution
    class Immutable:
        x: int

        def __new__(cls, x):
            made = super().__new__(cls)
            made.x = x
            return made

    class Child(Immutable):
        pass

    class Initialised(Immutable):
        def __init__(self, x):
            self.y = x

    assert Immutable(1).x == 1
    assert type(Child(2)) is Child
    assert (Initialised(3).x, Initialised(4).y) == (3, 4)
    way.expect("Immutable", "Immutable", "Immutable", "Immutable")


def test_singleton_stays_single(way: Way):
    """A __new__ that returns the one instance it has is left alone."""

    @time_execution
    class Single:
        _made: Any = None

        def __new__(cls):
            cls._made = cls._made or super().__new__(cls)
            return cls._made

    assert Single() is Single()
    way.expect("Single", "Single")


def test_new_that_makes_its_parts_measures_each(kept: Kept):
    """Parts made inside __new__ are constructions of their own."""

    @time_execution
    class Tree(tuple):
        __slots__ = ()

        def __new__(cls, depth):
            return super().__new__(cls, [Tree(depth - 1)] if depth else [])

    assert Tree(2) == (((),),)
    assert len(kept.metrics) == 3


def test_init_that_makes_its_parts_measures_each(kept: Kept):
    """Parts made inside __init__ are constructions of their own."""

    @time_execution
    class Node:
        def __init__(self, depth):
            self.child = Node(depth - 1) if depth else None

    Node(2)
    assert len(kept.metrics) == 3


def test_new_that_is_no_staticmethod_can_be_measured(way: Way):
    """__new__ may be a builtin, or a function that was assigned later."""

    @time_execution
    class Borrowed(int):
        __new__ = int.__new__

    class Late:
        pass

    def new(cls, x):
        return x

    Late.__new__ = new  # type: ignore[assignment,method-assign]
    late: Any = time_execution(Late)
    assert Borrowed("7") == 7
    assert late("made") == "made"
    way.expect("Borrowed", "Late")
