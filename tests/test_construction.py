"""Classes under the decorator: they stay the same class, and their construction is measured once."""

from __future__ import annotations

import abc
import asyncio
import copy
import dataclasses
import enum
import inspect
import pickle
import threading
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import pytest

from tests.kept import Kept, Way, kept_fixture, way_fixture  # noqa: F401 - fixtures are asked for by name
from time_execution import settings, time_execution

T = TypeVar("T")


class Undecorated:
    def __init__(self, x=0):
        self.x = x


Decorated = time_execution(type("Decorated", (Undecorated,), {"__module__": __name__, "__qualname__": "Decorated"}))


@time_execution
@dataclasses.dataclass
class Point:
    """A point."""

    x: int
    y: int = 2


@time_execution
@dataclasses.dataclass(frozen=True, slots=True)
class Fixed:
    x: int


@time_execution
class Pair(NamedTuple):
    a: int
    b: int = 2


@time_execution
class Failure(Exception):
    pass


@time_execution
class Table(dict[str, Any]):
    pass


@time_execution
class Row(list[int]):
    pass


@time_execution
class Number(int):
    pass


# ---- the class is the class ----------------------------------------------------------------------------------------


def test_decorated_class_is_the_very_class(way: Way):
    """Identity, isinstance, name, docstring and signature are those of the class."""

    class Thing:
        """Documented."""

        def __init__(self, a, *, b=1):
            self.a, self.b = a, b

    before = Thing
    after = time_execution(Thing)
    assert after is before
    thing = after(1, b=2)
    assert type(thing) is before
    assert (thing.a, thing.b) == (1, 2)
    assert (after.__name__, after.__doc__) == ("Thing", "Documented.")
    assert str(inspect.signature(after)) == "(a, *, b=1)"
    way.expect("Thing")


@pytest.mark.parametrize(
    "make",
    [lambda: Point(1), lambda: Fixed(1), lambda: Pair(1), lambda: Failure("f", 1), lambda: Table(a=1)],
    ids=["dataclass", "slots", "namedtuple", "exception", "dict"],
)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_instances_are_pickled_and_copied(way: Way, make, protocol):
    """An instance comes back from pickle and copy as the same class with the same content."""
    one = make()
    for other in (pickle.loads(pickle.dumps(one, protocol)), copy.copy(one), copy.deepcopy(one)):
        assert type(other) is type(one)
        assert repr(other) == repr(one)
        assert getattr(other, "args", ()) == getattr(one, "args", ())


def test_wrong_arguments_are_refused_with_the_classes_own_words(way: Way):
    """The complaint of a constructor is its own, and the attempt is measured."""
    with pytest.raises(TypeError, match=r"__init__\(\) missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]
    way.expect("Point")


def test_failing_constructor_raises_its_own_exception(way: Way):
    """What __init__ raises is what the caller gets."""
    error = LookupError("no")

    @time_execution
    class Bad:
        def __init__(self):
            raise error

    with pytest.raises(LookupError) as caught:
        Bad()
    assert caught.value is error
    way.expect("Bad")
    with pytest.raises(LookupError):
        Bad()
    way.expect("Bad", "Bad")


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


def test_subclass_of_a_builtin_keeps_its_arguments(way: Way):
    """What C-level constructors take reaches them."""
    assert Failure("boom", 2).args == ("boom", 2)
    assert Table({"a": 1}, b=2) == {"a": 1, "b": 2}
    assert Row([1, 2]) == [1, 2]
    assert Number("12") == 12
    way.expect("Failure", "Table", "Row", "Number")


def test_exception_class_can_be_raised_and_subclassed(way: Way):
    """A measured exception keeps its text, in subclasses with and without an initialiser too."""

    class Coded(Failure):
        def __init__(self, code):
            super().__init__(f"code {code}")
            self.code = code

    with pytest.raises(Failure, match="code 7") as caught:
        raise Coded(7)
    assert caught.value.code == 7  # type: ignore[attr-defined]
    way.expect("Failure")


# ---- classes that are made by something ----------------------------------------------------------------------------


def test_dataclass_below_the_decorator_is_measured(way: Way):
    """Fields, equality, frozenness, slots and replace() work as in any dataclass."""
    assert (Point(1), Point(1, 3).y) == (Point(1, 2), 3)
    assert dataclasses.replace(Point(1), x=9) == Point(9, 2)
    assert str(inspect.signature(Point)) == "(x: 'int', y: 'int' = 2) -> None"
    way.expect(*["Point"] * 6)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Fixed(1).x = 2  # type: ignore[misc]
    assert not hasattr(Fixed(1), "__dict__")


def test_dataclass_above_the_decorator_works_or_says_what_is_wrong(way: Way):
    """The other order must not break the class with a message that points nowhere."""

    @dataclasses.dataclass
    @time_execution
    class Upside:
        x: int

    try:
        assert Upside(1).x == 1
    except TypeError as exc:
        assert "dataclass" in str(exc)  # noqa: PT017 - either is right


def test_named_tuple_is_measured(way: Way):
    """A named tuple stays a tuple with names and defaults."""
    pair = Pair(1)
    assert pair == (1, 2)
    assert pair._replace(a=5) == (5, 2)
    assert Pair._make([3, 4]) == (3, 4)
    assert pair._fields == ("a", "b")
    assert (way.metrics[:1] != []) == way.measures


def test_enum_stays_an_enum(way: Way):
    """An enumeration keeps its members, lookups and aliases."""

    @time_execution
    class Colour(enum.Enum):
        RED = 1
        ALSO_RED = 1  # noqa: PIE796 - an alias

    assert Colour(1) is Colour.RED is Colour["ALSO_RED"]
    with pytest.raises(ValueError, match="2 is not a valid"):
        Colour(2)


def test_metaclass_generic_protocol_and_abc_work(way: Way):
    """Classes with a metaclass or special bases are constructed as before."""

    class Meta(type):
        def __call__(cls, *args, **kwargs):
            made = super().__call__(*args, **kwargs)
            made.marked = True
            return made

    @time_execution
    class Marked(metaclass=Meta):
        def __init__(self, x):
            self.x = x

    @time_execution
    class Box(Generic[T]):
        def __init__(self, item: T) -> None:
            self.item = item

    class Shape(Protocol):
        def area(self) -> int: ...

    @time_execution
    class Square(Shape):
        def area(self) -> int:
            return 4

    @time_execution
    class Abstract(abc.ABC):
        @abc.abstractmethod
        def work(self): ...

    made: Any = Marked(1)
    assert (made.x, made.marked) == (1, True)
    assert Box[int](3).item == 3
    assert Square().area() == 4
    with pytest.raises(TypeError, match="abstract"):
        Abstract()  # type: ignore[abstract]
    way.expect("Marked", "Box", "Square")


def test_builtin_class_is_refused_with_a_type_error():
    """A class that cannot be changed cannot be measured, and stays as it was."""
    with pytest.raises(TypeError):
        time_execution(dict)


# ---- constructions side by side ------------------------------------------------------------------------------------


def test_threads_construct_at_the_same_time(kept: Kept):
    """What one thread constructs does not hide what another does."""
    inside = threading.Barrier(2, timeout=10)

    @time_execution
    class Slow:
        def __new__(cls):
            inside.wait()
            return super().__new__(cls)

    threads = [threading.Thread(target=Slow) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(kept.metrics) == 2


def test_hooks_get_the_arguments_of_the_construction(kept: Kept):
    """Hooks see the instance first, then what the class was called with."""
    seen: list[Any] = []
    settings.configure(hooks=[lambda func_args, func_kwargs, **_: seen.append((func_args[1:], func_kwargs))])
    Point(1, y=3)
    assert seen == [((1,), {"y": 3})]


def test_class_can_be_made_inside_a_coroutine(way: Way):
    """Constructions of interleaved tasks are counted each."""

    @time_execution
    class Thing:
        def __init__(self, n):
            self.n = n

    async def make(n):
        await asyncio.sleep(0)
        return Thing(n).n

    async def main():
        return await asyncio.gather(*map(make, range(5)))

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]
    way.expect(*["Thing"] * 5)


def test_decorating_twice_measures_once(way: Way):
    """A class that was decorated already is measured once a construction."""

    @time_execution
    @time_execution
    class Twice:
        def __init__(self):
            self.x = 1

    assert Twice().x == 1
    way.expect("Twice")
