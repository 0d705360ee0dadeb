"""Whether a metric tells of a failure: any of three fields, not empty, and no code of what is in them."""

from __future__ import annotations

from itertools import permutations

import pytest

from time_execution.formats.outcome import ERROR_FIELDS, has_failed
from time_execution.testing.hostile import hostile_class

EMPTY = [None, "", 0, 0.0, False]


def test_there_are_three_fields():
    """Those that hooks of ours and of upstream's users write."""
    assert set(ERROR_FIELDS) == {"exception", "error", "error_type"}


@pytest.mark.parametrize(
    "value",
    ["ValueError", 1, True, 0.5, [], {}, (), b"", object(), ValueError()],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("field", ERROR_FIELDS)
def test_what_is_there_is_a_failure(field, value):
    """Also an empty container: that is no way to say that all went well."""
    assert has_failed({"name": "a", field: value})


@pytest.mark.parametrize("value", EMPTY, ids=repr)
@pytest.mark.parametrize("field", ERROR_FIELDS)
def test_what_is_empty_is_none(field, value):
    """Hooks may write the field on every call."""
    assert not has_failed({"name": "a", field: value, "status": "error", "errors": 5})


def test_one_field_is_enough():
    """Whatever the others say, and in whatever order they come."""
    for first, second, third in permutations(ERROR_FIELDS):
        assert has_failed({first: None, second: "ValueError", third: ""})
        assert not has_failed({first: None, second: 0, third: ""})


@pytest.mark.parametrize("base", [list, dict, str, int])
def test_no_code_of_the_value_is_run(base):
    """What is of a class of its own counts as there, without being asked."""
    assert has_failed({"error": base.__new__(hostile_class(base))})
