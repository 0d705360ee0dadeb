"""The text of a series, read back exactly; and which fields of a metric are its labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from time_execution.formats.labels import MAX_LABELS, given_labels, own_labels
from time_execution.formats.series import MAX_VALUE, label_text, read_series, series_text
from time_execution.testing.hostile import hostile_values
from time_execution.types import Metric

# Mostly what has a meaning in the text.
texts = st.text(alphabet="ab{}=,\\\n", max_size=12) | st.text(max_size=8)
labels = st.dictionaries(texts, texts, max_size=4)


@given(texts, labels)
def test_a_series_is_read_back_exactly(family, pairs):
    """Name, labels and their order survive, whatever they hold."""
    found = read_series(series_text(family, pairs))
    assert found == (family, pairs)
    assert list(found[1]) == list(pairs)


@given(texts, labels, texts, labels)
def test_two_series_never_have_one_text(family, pairs, other_family, other_pairs):
    """A store tells series apart by their text alone."""
    is_same = (family, list(pairs.items())) == (other_family, list(other_pairs.items()))
    assert (series_text(family, pairs) == series_text(other_family, other_pairs)) == is_same


@given(texts)
def test_any_text_can_be_read(text):
    """What nobody wrote as a series is a name, or the name of one."""
    family, pairs = read_series(text)
    assert read_series(series_text(family, pairs)) == (family, pairs)


@pytest.mark.parametrize(
    ("family", "pairs", "text"),
    [
        ("shop.save", {}, "shop.save"),
        ("GET /users/{id}", {}, "GET /users/{id}"),
        ("http", {"route": "/users/{id}", "status": "200"}, "http{route=/users/{id},status=200}"),
        ("a", {"place": "shop.py:3", "type": "x=y"}, "a{place=shop.py:3,type=x=y}"),
        ("a", {"b": "1,2"}, r"a{b=1\,2}"),
        ("a{b=c}", {}, r"a\{b=c}"),
        ("a", {"b": ""}, "a{b=}"),
    ],
)
def test_the_text_is_for_people(family, pairs, text):
    """Only what would be read as something else is escaped."""
    assert series_text(family, pairs) == text


def test_what_is_read_is_the_callers_own():
    """A dict that is changed afterwards changes no other."""
    read_series("a{b=c}")[1]["b"] = "d"
    assert read_series("a{b=c}") == ("a", {"b": "c"})


@pytest.mark.parametrize("name", list(hostile_values()))
def test_values_become_text_without_running_their_code(name):
    """Whatever the value of a label is, and however long: a text comes of it, or none."""
    text = label_text(hostile_values()[name])
    assert text is None or len(text) <= MAX_VALUE + 40


def test_a_long_value_is_cut_and_says_so():
    """Two hundred characters count."""
    assert label_text("x" * MAX_VALUE) == "x" * MAX_VALUE
    assert label_text("x" * 300) == "x" * 200 + "…[cut, 300 characters]"


@pytest.mark.parametrize("given_", [["a"], "ab", 5, None, ("a", 1), (None,)])
def test_what_is_no_tuple_of_names_is_no_label(given_):
    """Anybody may set the attribute."""
    metric = Metric({"name": "n", "a": 1})
    metric.labels = given_
    assert given_labels(metric) == own_labels(metric) == ()


def test_core_fields_and_repetitions_are_no_labels():
    """A store has its own place for the core fields; more than a few labels would make a series of each metric."""
    assert own_labels(Metric(labels=("b", "hostname", "a", "b", "timestamp"))) == ("b", "a")
    assert len(own_labels(Metric(labels=tuple(f"l{number}" for number in range(40))))) == MAX_LABELS
