"""Text from URLs, files and the environment becomes the type an annotation asks for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from time_execution.complaint import UnfitError
from time_execution.config.text import convert, duration, size, split_backends, split_list


@pytest.mark.parametrize(
    ("text", "hint", "name", "value"),
    [
        ("7", int, "count", 7),
        ("16MiB", int, "max_bytes", 16 * 1024 * 1024),
        ("2kB", int | None, "max_bytes", 2000),
        ("none", int | None, "max_bytes", None),
        ("none", str | None, "origin", "none"),
        ("7d", float, "retention", 604_800.0),
        ("500ms", float | None, "linger", 0.5),
        ("1s", Union[None, float], "linger", 1.0),  # noqa: UP007 - the older spelling is another type
        ("7d", float | str, "retention", 604_800.0),
        ("soon", float | str, "retention", "soon"),
        ("yes", bool, "durable", True),
        ("OFF", bool, "durable", False),
        ("/ca.pem", bool | str, "verify", "/ca.pem"),
        ("block", Literal["block", "spool"], "overflow", "block"),
        ("a, b", list[str], "hosts", ["a", "b"]),
        ("1,2", tuple[int, ...], "ports", (1, 2)),
        ("one", str | Sequence[str], "hosts", "one"),
        ("a:1,b:2", str | Sequence[str], "hosts", ["a:1", "b:2"]),
        ("x/y", Path, "path", Path("x/y")),
        ("x,y", str | Path | None, "path", "x,y"),
        ("x/y", os.PathLike[str], "path", "x/y"),
        ("007", Any, "code", "007"),
        ("-2.5e1", Any, "level", -25.0),
        ("30", Any, "request_timeout", 30),
        ("false", Any, "verify", False),
        ("12345", Any, "password", "12345"),
        ("12345", str, "code", "12345"),
    ],
)
def test_text_becomes_what_the_annotation_asks_for(text, hint, name, value):
    """Units, flags, lists and choices are read by annotation and name, and a text that should stay one does."""
    found = convert(text, hint, name=name)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "hint", "wanted"),
    [
        ("many", int, "a whole number"),
        ("1.5", int, "a whole number"),
        ("perhaps", bool, "true or false"),
        ("7 fortnights", float, "a number, or a duration such as 500ms or 7d"),
        ("nan", float, "a number, or a duration such as 500ms or 7d"),
        ("drop", Literal["block", "spool"], "one of block, spool"),
        ("a", list[int], "a list, its items parted by commas"),
        ("x", dict[str, str], "an instance of dict"),
    ],
)
def test_text_that_does_not_fit_is_refused_by_what_would_be_right(text, hint, wanted):
    """The error says what the annotation takes."""
    with pytest.raises(UnfitError) as caught:
        convert(text, hint, name="it")
    assert caught.value.wanted == wanted


@pytest.mark.parametrize("text", ["16 MiBs", "1.5", "MiB", "", "1e999"])
def test_a_size_is_a_whole_number_of_bytes(text):
    """Unknown units, fractions of a byte and infinity are no sizes."""
    with pytest.raises((ValueError, LookupError)):
        size(text)


@given(number=st.integers(0, 10**6), unit=st.sampled_from(["us", "ms", "s", "m", "h", "d", "w"]))
def test_durations_scale_with_their_unit(number, unit):
    """A number with a unit is that many times one of it."""
    assert duration(f"{number}{unit}") == pytest.approx(number * duration(f"1{unit}"))


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("sqlite:///a.db,memory://", ["sqlite:///a.db", "memory://"]),
        ("sqlite:///a.db memory://", ["sqlite:///a.db", "memory://"]),
        ("sqlite:///a.db,\n  my.app.Backend", ["sqlite:///a.db", "my.app.Backend"]),
        ("kafka://a:9092,b:9092/topic,my.app.Backend", ["kafka://a:9092,b:9092/topic", "my.app.Backend"]),
        ("es://h/i?tags=a,b.c", ["es://h/i?tags=a,b.c"]),
        ("my.first,my.second,memory://", ["my.first", "my.second", "memory://"]),
        (" memory:// , ", ["memory://"]),
        ("", []),
        ('["kafka://a,b", {"class": "sqlite"}]', ["kafka://a,b", {"class": "sqlite"}]),
        ('{"class": "sqlite"}', [{"class": "sqlite"}]),
    ],
)
def test_backends_are_parted_where_a_comma_cannot_belong_to_a_url(text, items):
    """A comma inside a URL stays; one before the next URL or class parts two backends."""
    assert split_backends(text) == items


def test_lists_are_read_from_commas_white_space_or_json():
    """All three spellings give the same list, and an empty JSON list is empty."""
    assert split_list("a.*, b.*") == split_list("a.*\n b.*") == split_list('["a.*", "b.*"]') == ["a.*", "b.*"]
    assert split_list("[]") == []
    with pytest.raises(UnfitError, match="JSON"):
        split_list("[a")
