"""Arguments as text: readable, bounded, on one line, without a secret, and without running anybody's code."""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies
from tests.patience import least_time
from time_execution.formats.argument_text import argument_text
from time_execution.formats.snapshot import MAX_TEXT
from time_execution.testing.hostile import HOSTILE_KEYS, HOSTILE_NAMES
from time_execution.timer import sanitizer
from time_execution.timer.output import RecordTable
from time_execution.timer.sanitizing import Sanitizing
from time_execution.types import Metric

NO_SANITIZER = Sanitizing(None, where="test")


def text_of(*, max_length=None, sanitize=NO_SANITIZER, **arguments):
    return argument_text(arguments, max_length=max_length, sanitize=sanitize)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, "5"),
        (-1.5, "-1.5"),
        (True, "True"),
        (None, "None"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (2**62, str(2**62)),
        (2**70, str(2**70)),
        ("it's", '"it\'s"'),
        ("", "''"),
        (b"abc", "'abc'"),
        ([1, "a", None], "[1, 'a', None]"),
        ((1, 2), "[1, 2]"),
        ({3, 1, 2}, "[1, 2, 3]"),
        ({"a": [1], 2: "b"}, "{'a': [1], '2': 'b'}"),
        (OrderedDict(a=1), "{'a': 1}"),
        ([], "[]"),
        (Decimal("1.5"), "1.5"),
        (Path("/a/b"), "/a/b"),
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc), "2026-01-02T03:04:05.000006Z"),
        (len, "<builtins.builtin_function_or_method>"),
        (object(), "<builtins.object>"),
    ],
)
def test_value_is_shown_as(value, expected):
    """Plain values are shown as Python writes them, others as what they are."""
    assert text_of(x=value) == f"x={expected}"


def test_arguments_are_joined_by_commas_in_their_order():
    """Each stands under its name."""
    assert text_of(x=5, y="b", z=[1]) == "x=5, y='b', z=[1]"
    assert text_of() == ""


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (list(range(101)), "list of 101"),
        (tuple(range(1000)), "tuple of 1000"),
        (set(range(200)), "set of 200"),
        (frozenset(range(200)), "frozenset of 200"),
        ({n: n for n in range(500)}, "dict of 500"),
        (deque(range(200)), "deque of 200"),
        (b"x" * 10**6, "bytes of 1000000"),
        (bytearray(200), "bytearray of 200"),
    ],
)
def test_what_is_huge_is_summarised(value, kind):
    """More than a hundred items are told by their type and number."""
    assert text_of(x=value) == f"x=<{kind}>"


def test_nested_huge_values_are_bounded():
    """What is huge inside something small does not get through either."""
    assert len(text_of(x=[["y" * 10**6] * 100] * 100)) < 5 * MAX_TEXT
    assert len(text_of(x={"a": list(range(10**5))})) < MAX_TEXT
    assert len(text_of(x="y" * 10**7)) <= MAX_TEXT + 100


def test_number_of_thousands_of_digits_is_bounded():
    """An integer that would take seconds to write out is not written out."""
    number = 10**1_000_000  # takes a while by itself
    started = time.perf_counter()
    assert len(text_of(x=number)) < 5000
    assert time.perf_counter() - started < 1


def test_cycles_and_depth_end():
    """What contains itself, or goes down a thousand levels, is told in finite words."""
    cyclic = [1]
    cyclic.append(cyclic)
    deep = []
    for _ in range(10_000):
        deep = [deep]
    assert text_of(x=cyclic).startswith("x=[1, ")
    assert "cut" in text_of(x=deep)


@pytest.mark.parametrize("name", ["password", "api_key", "db_password", "authToken", "secret"])
def test_arguments_named_like_secrets_are_masked(name):
    """By the name of the parameter, whatever the value."""
    for value in ("hunter2", 12345, ["hunter2"], {"a": "hunter2"}, b"hunter2"):
        assert argument_text({name: value}, max_length=None, sanitize=NO_SANITIZER) == f"{name}=***"


def test_secrets_inside_values_are_masked():
    """By the keys of dicts at any depth, and by the shape of texts."""
    shown = text_of(
        x={"user": "ann", "login": [{"password": "hunter2"}]},
        url="https://ann:hunter2@example.org/?token=hunter2",
        header="Authorization: Bearer hunter2hunter2",
        long="password=hunter2 " * 100,
        token_count=5,
    )
    assert "hunter2" not in shown
    assert "ann" in shown
    assert "token_count=5" in shown


SECRET_NAMES = [
    "ghp_" + "h" * 36,
    "password=hunter2",
    "Authorization: Bearer hunter2hunter2",
    "x" * 250 + " pw=hunter2",
]


@pytest.mark.parametrize("value", [1, "x", None, [1]])
@pytest.mark.parametrize("name", SECRET_NAMES)
def test_secrets_inside_names_are_masked(name, value):
    """What a call gives to ``**kwargs`` has names of its own, which come from anywhere."""
    shown = text_of(**{name: value}, other=5)
    assert "hunter2" not in shown
    assert "hhhh" not in shown
    assert "**" in shown
    assert shown.endswith(", other=5")


def test_names_are_bounded_in_length_and_number():
    """Names that a call makes up take a bounded part of the record, however many and however long they are."""
    shown = text_of(**{"x" * 2_000_000: 1}, y=2)
    assert shown.startswith("xxx")
    assert shown.endswith(", y=2")
    assert len(shown) < 400
    few, many = ({f"k{number}": number for number in range(count)} for count in (100, 101))
    assert text_of(**few).endswith("k99=99")
    assert text_of(**many) == f"{text_of(**few)}, …[101 arguments]"
    texts = {f"k{number}": "x" * MAX_TEXT for number in range(100)}
    assert len(text_of(**texts)) < 3 * MAX_TEXT


def test_hundred_thousand_arguments_take_hardly_longer_than_a_hundred():
    """What nobody will read is not made."""
    arguments = {f"k{number}": "x" * 900 for number in range(100_000)}

    def measure():
        started = time.perf_counter()
        argument_text(arguments, max_length=None, sanitize=NO_SANITIZER)
        return time.perf_counter() - started

    assert least_time(measure, 0.005) <= 0.005


def test_names_of_a_class_of_their_own_are_not_asked():
    """A name may be an object of a class that extends str, and nothing of that is called."""

    class Name(str):
        __slots__ = ()
        __format__ = __str__ = __repr__ = __len__ = __getitem__ = __eq__ = lambda *_: 1 / 0
        __hash__ = str.__hash__

    arguments = {Name("size"): 5, Name("password"): 5, Name("x" * 300): "y"}
    shown = argument_text(arguments, max_length=None, sanitize=NO_SANITIZER)
    assert shown.startswith("size=5, password=***, xxx")


def test_length_is_that_of_each_argument():
    """max_length cuts each argument by itself, its name aside, and says so by a mark."""
    assert text_of(max_length=4, a="abcdef", long_name="abcdef", n=12) == "a='abc…, long_name='abc…, n=12"
    assert text_of(max_length=8, a="abcdef") == "a='abcdef'"


def test_sanitizer_comes_before_the_cut_and_after_redaction():
    """It is handed what would be written, and its result is cut."""
    seen = []

    def clean(text):
        seen.append(text)
        return text * 2

    assert (
        text_of(sanitize=Sanitizing(clean, where="test"), max_length=3, a=12, password="x") == "a=12a…, password=***…"
    )
    assert seen == ["a=12", "password=***"]


# ---- hostile objects -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Hostile", "HostileWithMeta"])
def test_code_of_an_argument_is_never_run(name):
    """An object whose every method raises is told by its class, inside a container too."""
    hostile = object.__new__(getattr(strategies, name))
    for value in (hostile, [hostile], {"a": hostile}, {1: [hostile]}):
        assert "Hostile" in text_of(x=value)


@pytest.mark.parametrize("base", [str, int, float, list, dict, tuple, set, bytes, Exception])
def test_code_of_a_subclass_is_never_run(base):
    """The same for one that derives from a type that is shown in full."""

    def refuse(*_):
        raise AssertionError("called")

    names = ("__repr__", "__str__", "__len__", "__iter__", "__eq__", "__format__", "__bool__", "__getattr__")
    kind = type("Sub", (base,), dict.fromkeys((*names, "keys", "items", "__getitem__", "__contains__"), refuse))
    assert text_of(x=kind()).startswith("x=")
    assert text_of(x=[kind()]).startswith("x=[")


def test_object_that_claims_to_be_another_is_told_by_its_class():
    """``__class__`` is anybody's to set."""

    class Liar:
        __class__ = property(lambda self: 1 / 0)

    assert text_of(x=Liar()).endswith("Liar>")


# ---- any text ------------------------------------------------------------------------------------------------------

ANYTHING = st.one_of(
    strategies.plain_values,
    st.sampled_from(HOSTILE_NAMES),
    st.binary(max_size=200),
    st.text(max_size=3000),
    st.lists(st.text(max_size=50), max_size=200),
    st.tuples(strategies.plain_values, strategies.plain_values),
    st.builds(object),
    st.complex_numbers(),
    st.decimals(),
    st.builds(lambda: object.__new__(strategies.Hostile)),
)


@given(
    st.dictionaries(st.text(max_size=20) | st.sampled_from(HOSTILE_KEYS), ANYTHING, max_size=5),
    st.none() | st.integers(1, 50),
)
def test_any_arguments_become_a_text(arguments, max_length):
    """Nothing that a function may be given is an error, with and without a cut and a sanitizer."""
    plain = argument_text(arguments, max_length=max_length, sanitize=NO_SANITIZER)
    assert type(plain) is str
    assert type(argument_text(arguments, max_length=max_length, sanitize=Sanitizing(sanitizer, where="x"))) is str
    if max_length is not None:
        longest = sum(len(name) for name in arguments) + len(arguments) * (max_length + 4)
        assert len(plain) <= longest


@given(value=st.text(st.characters(exclude_categories=()), max_size=200) | st.lists(st.text(max_size=20)))
def test_text_of_a_value_is_one_line(value):
    """Whatever is in a value, its text has no character that ends a line or moves a cursor."""
    shown = text_of(x=value)
    assert len(shown.splitlines()) <= 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)


@pytest.mark.parametrize("nasty", ["a\r\nb", "a\x1b[2Jb", "a\u2028b\u2029c\x85d", "a\tb\0c\x0b\x0c", "\ud800", ",\"'="])
def test_files_have_one_line_for_a_record(written, nasty):
    """In no value, key or name, and in nothing that a sanitizer returns: a record is one line in both files."""
    written.timer()(lambda x: None)(nasty)
    written.timer()(lambda **given: None)(**{nasty: 1})
    written.timer(sanitize_func=lambda text: nasty)(lambda x: None)(1)
    with written.timer(name=nasty):
        pass
    assert len(written.timings()) == 4
    assert len(written.rows()) == 5
    for name, lines in (("timing.log", 4), ("timing_results.csv", 5)):
        raw = (written.folder / name).read_bytes()
        assert len(raw.decode("utf-8").splitlines()) == lines
        assert b"\x1b" not in raw
        assert b"\0" not in raw
    assert written.timings()[2]["arguments"] == nasty


@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=40))
def test_any_sanitized_text_is_one_row(text):
    """The table's cell of any text stands on one line."""
    table = RecordTable("unused.csv", ("arguments",))
    (line,) = table._lines([Metric({"arguments": text})], 0)
    assert len(line.decode("utf-8").splitlines()) == 1


@pytest.mark.serial
@pytest.mark.parametrize("value", ["x" * 10**7, list(range(10**6)), b"x" * 10**7, {"a": list(range(10**6))}])
def test_huge_arguments_take_less_than_a_few_milliseconds(value):
    """However much a function is given, telling it takes no time to speak of."""

    def measure():
        started = time.perf_counter()
        text_of(x=value)
        return time.perf_counter() - started

    assert least_time(measure, 0.005) <= 0.005
