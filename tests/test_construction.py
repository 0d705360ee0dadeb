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
def test_instances_are_pickled_and_copied(way: Way, make):
    """An instance comes back from copy, and from pickle by any protocol, as the same class with the same content."""
    one = make()
    pickled = [pickle.dumps(one, protocol) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for other in (*map(pickle.loads, pickled), copy.copy(one), copy.deepcopy(one)):
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


def test_dataclass_above_the_decorator_is_told_to_go_below():
    """The other order, in which the initialiser that was measured is replaced, says what is wrong."""

    @dataclasses.dataclass
    @time_execution
    class Upside:
        x: int

    with pytest.raises(TypeError, match="put @time_execution above @dataclass"):
        Upside(1)


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
