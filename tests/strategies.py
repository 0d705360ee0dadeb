"""What metrics may hold: hypothesis strategies; the hostile values by name are those of `time_execution.testing`."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, get_args

from hypothesis import strategies as st

from time_execution.testing.hostile import hostile_class, touch
from time_execution.types import Kind, Metric


class HostileMeta(type):
    """A metaclass with which asking a class anything raises."""

    __hash__ = __eq__ = __instancecheck__ = __subclasscheck__ = __repr__ = __getattribute__ = touch


Hostile = hostile_class()
HostileWithMeta: Any = HostileMeta("HostileWithMeta", (), {"__hash__": touch})

texts = st.text(st.characters(exclude_categories=()), max_size=40)
moments = st.datetimes(timezones=st.just(timezone.utc))
scalars = st.one_of(
    texts,
    st.integers(),
    st.integers(min_value=-(2**200), max_value=2**200),
    st.floats(),
    st.booleans(),
    st.none(),
    moments,
)
plain_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
"""Everything that a snapshot may consist of."""

fields = st.dictionaries(texts, plain_values, max_size=6)
kinds: st.SearchStrategy[Kind] = st.sampled_from(get_args(Kind))


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    """Make metrics of any kind with the core fields and any others."""
    core = {"name": draw(texts), "value": draw(st.floats() | st.integers()), "timestamp": draw(st.integers(0, 2**62))}
    attributes = {"unit": draw(st.none() | texts), "id": draw(st.none() | texts)}
    labels = tuple(draw(st.lists(texts, max_size=3)))
    return Metric({**core, **draw(fields)}, kind=draw(kinds), labels=labels, **attributes)


def is_plain(value: Any) -> bool:
    """Whether a value holds nothing but what a snapshot may."""
    kind = type(value)
    if kind is list:
        return all(map(is_plain, value))
    if kind is dict:
        return all(type(key) is str for key in value) and all(map(is_plain, value.values()))
    if kind is datetime:
        return value.tzinfo is timezone.utc
    return value is None or kind in (str, int, float, bool)


def same(left: Any, right: Any) -> bool:
    """Whether two plain values are equal to the bit, NaN and the sign of zero included."""
    if type(left) is not type(right):
        return False
    if type(left) is float:
        return left.hex() == right.hex()
    if type(left) is list:
        return len(left) == len(right) and all(map(same, left, right))
    if type(left) is dict:
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    return left == right
