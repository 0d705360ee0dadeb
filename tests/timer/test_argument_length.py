"""Arguments that are cut: what is cut costs nothing, and no half of a secret comes before the cut."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.patience import least
from time_execution.formats.argument_text import argument_text
from time_execution.timer.sanitizing import Sanitizing

# Which quotes a text gets is told by those in it, and so by where it is cut.
UNQUOTED = st.text(st.characters(exclude_characters="'\""), max_size=60)
NO_SANITIZER = Sanitizing(None, where="test")


def text_of(*, max_length=None, sanitize=NO_SANITIZER, **arguments):
    return argument_text(arguments, max_length=max_length, sanitize=sanitize)


SECRETS = [
    "postgres://app:hunter2hunter2@db/app",
    "AKIAHUNTERHUNTERHUNT",
    "eyJhunterhunter.eyJ" + "hunter" * 200,
    "password=" + "hunter" * 300,
    "-----BEGIN PRIVATE KEY-----" + "hunter" * 400,
]


@pytest.mark.parametrize("secret", SECRETS, ids=[secret[:8] for secret in SECRETS])
@pytest.mark.parametrize("shape", ["text", "list", "dict", "nested", "subclass"])
@pytest.mark.parametrize("sanitize", [NO_SANITIZER, Sanitizing(str.lower, where="test")], ids=["", "sanitized"])
def test_secret_across_the_cut_is_masked(secret, shape, sanitize):
    """Though hardly more is looked at than is shown, half a secret is never shown, however its text is wrapped."""
    for before in (0, 1, 50, 80, 90, 97, 99, 100):
        text = "." * max(0, before - 1) + " " * (before > 0) + secret + " and so on" * 400
        text = {"text": text, "list": [text, text], "dict": {"note": text}, "nested": [1, {"a": [text]}]}.get(
            shape, text
        )
        value = type("Sub", (str,), {})(text) if shape == "subclass" else text
        shown = text_of(max_length=100, sanitize=sanitize, x=value)
        assert "hunter" not in shown.lower(), shown
        assert len(shown) <= 104


@given(
    st.recursive(
        UNQUOTED | st.integers() | st.floats() | st.none(),
        lambda inner: st.lists(inner, max_size=8) | st.dictionaries(UNQUOTED, inner, max_size=8),
        max_leaves=60,
    ),
    st.integers(1, 120),
)
@example(["0"], 3)
@example({"key": ["x" * 50] * 8}, 3)
@example([[[[[["0", 1.5], 2], {"a": ["b"]}]]]], 20)
def test_cut_shows_the_beginning_of_the_whole(value, length):
    """What is cut before it is masked is what would be cut after."""
    whole, part = text_of(x=value), text_of(max_length=length, x=value)
    assert part == (whole if len(whole) <= length + 2 else f"{whole[: length + 2]}…")


def test_sanitizer_sees_more_than_is_shown():
    """What it looks for may lie across the cut; and what it takes away brings nothing half into sight."""
    asked = []

    def clean(text):
        asked.append(len(text))
        return text.replace("4111 1111 1111 1111", "#").replace("y" * 90, "")

    sanitize = Sanitizing(clean, where="test")
    for before in range(80, 100):
        shown = text_of(max_length=100, sanitize=sanitize, x="y" * before + "4111 1111 1111 1111" + " z" * 8000)
        assert "4" not in shown
    assert max(asked) < 700


@pytest.mark.serial
@pytest.mark.parametrize(
    "value",
    ["x" * 16_384, '{"id": 5, "url": "https://x.y/z?q=1"}' * 440, ["x " * 500] * 100, [["word " * 200] * 50] * 50],
    ids=["text", "json", "texts", "nested"],
)
def test_short_texts_of_large_arguments_are_cheap(value):
    """With a length of a hundred, what a large argument costs is a small part of what the whole of it does."""

    def seconds(length):
        started = time.perf_counter()
        for _ in range(20):
            text_of(max_length=length, x=value)
        return time.perf_counter() - started

    assert least(lambda: seconds(100) / seconds(None), 0.25) <= 0.25


@pytest.mark.serial
def test_all_arguments_together_cost_what_one_does():
    """A record has room for so much, and what finds none is not masked either."""
    text = "name=word&other=text " * 780
    one, many, texts = {"a": text}, {f"k{number}": text for number in range(50)}, {"a": [text[:1000]] * 100}

    def seconds(arguments):
        started = time.perf_counter()
        for _ in range(10):
            argument_text(arguments, max_length=None, sanitize=NO_SANITIZER)
        return time.perf_counter() - started

    assert least(lambda: seconds(many) / seconds(one), 1.6) <= 1.6
    assert least(lambda: seconds(texts) / seconds(one), 1.6) <= 1.6
