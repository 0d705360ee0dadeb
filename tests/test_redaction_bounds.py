"""The bounds of redaction: depth, length and time; and what it does to texts that were cut."""

from __future__ import annotations

import math
import time
import timeit
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.child import printed_by
from tests.patience import least, least_time
from tests.secret_corpus import AWS_ID, JWT, PEM, PEM_BODY, shown
from time_execution.formats.redaction import LONGEST_WORD, MASK, MAX_DEPTH, MAX_ITEMS, REDACTOR, Redactor
from time_execution.formats.snapshot import snapshot


def test_cycle_and_depth_end() -> None:
    """A cyclic or very deep value ends in a mask, and shows no secret."""
    cyclic: dict[str, Any] = {"password": "hunter2"}
    cyclic["self"] = [cyclic, cyclic, cyclic]
    assert "hunter2" not in shown(REDACTOR.redact(cyclic))
    deep: list[Any] = ["token=hunter2"]
    for _ in range(100_000):
        deep = [deep]
    inner = REDACTOR.redact(deep)
    for _ in range(MAX_DEPTH):
        inner = inner[0]
    assert inner == MASK


def test_long_container_is_cut_and_says_so() -> None:
    """Past ten thousand items a container ends in how many there were."""
    redacted = REDACTOR.redact(list(range(10**6)))
    assert redacted[:MAX_ITEMS] == list(range(MAX_ITEMS))
    assert redacted[MAX_ITEMS:] == ["…[cut, 1000000 items]"]
    assert REDACTOR.redact(dict.fromkeys(range(20_000)))["…"] == "…[cut, 20000 keys]"


# ---- texts that are cut --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["postgres://app:hunter2hunter2@db/app", AWS_ID, PEM, JWT, "token=hunter2"])
def test_secret_across_the_cut_is_masked(secret: str) -> None:
    """Wherever a text is cut, what is left of a secret is masked, not shown half."""
    marks = {"hunter", AWS_ID[:12], PEM_BODY[:6], JWT.split(".")[1][:6]}
    for size in range(20, 120):
        redacted = REDACTOR.redact_text(f"{'word ' * 12}{secret} {'and so on ' * 200}", max_text=size)
        assert not [mark for mark in marks if mark in redacted], redacted
        assert len(redacted) <= size + 30


@pytest.mark.parametrize("secret", ["postgres://app:hunter2hunter2@db/app", AWS_ID, "ghp_" + "hunter" * 6, "x" * 40])
def test_half_a_secret_does_not_come_before_the_cut(secret: str) -> None:
    """Masks are shorter than what they stand for, so that the end of what is looked at may come into sight."""
    before = f"token={'t' * 300} " * 4
    for size in range(1200 - len(before) % 7, 1260):
        looked_at = size + LONGEST_WORD
        for torn in range(4, len(secret), 5):
            filler = "word " * ((looked_at - len(before) - torn) // 5)
            text = f"{before}{filler}{'.' * (looked_at - len(before) - len(filler) - torn - 1)} {secret} and so on"
            redacted = REDACTOR.redact_text(text, max_text=size)
            assert secret[:4] not in redacted, redacted[-80:]


@given(
    st.recursive(
        st.text(max_size=40) | st.integers() | st.binary(max_size=9) | st.none(),
        lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9), inner, max_size=6),
    ),
    st.integers(0, 200),
)
def test_total_bounds_what_is_copied(value: Any, total: int) -> None:
    """What is shown begins as the whole does, has about so many characters, and nothing is cut that would fit."""
    whole = repr(REDACTOR.redact(value))
    part = repr(REDACTOR.redact(value, max_total=total))
    if len(whole) <= total:
        assert part == whole
    assert len(part) <= 12 * total + 400
    assert REDACTOR.redact(value, max_total=math.inf) == REDACTOR.redact(value)


def test_secret_across_the_total_is_masked() -> None:
    """Wherever items are cut for want of room, no half of a secret is shown, under a key or by its shape."""
    value = ["word " * 5, {"note": f"see {AWS_ID} there", "password": "hunter2"}, "x token=hunter2", ["more"] * 50]
    for total in range(150):
        found = shown(REDACTOR.redact(value, max_total=total))
        assert "hunter" not in found
        assert AWS_ID[:6] not in found


def test_secret_at_the_end_of_a_cut_snapshot_is_left_out() -> None:
    """A snapshot may have cut a secret so that nothing tells it any more; its last word goes."""
    for size in range(4):
        text = snapshot("x " * 8180 + "." * size + "postgres://app:hunter2hunter2@db/" + "z" * 200)
        assert "app:hunter" in text
        assert "@db" not in text
        assert "hunter" not in REDACTOR.redact(text)


def test_cut_text_says_how_long_it_was() -> None:
    """The text ends in the number of characters it had."""
    assert REDACTOR.redact_text("a" * 1000, max_text=5) == "aaaaa…[cut, 1000 characters]"
    assert Redactor(max_text=4).redact(["abcdefg"]) == ["abcd…[cut, 7 characters]"]
    assert REDACTOR.redact({"a": "b" * 9}, max_text=9) == {"a": "b" * 9}


def test_text_is_cut_unless_asked_otherwise() -> None:
    """Without a word about it, 65 536 characters are kept, in a text as in a value."""
    cut = "a" * 65_536 + "…[cut, 65537 characters]"
    assert REDACTOR.redact_text("a" * 65_537) == REDACTOR.redact(["a" * 65_537])[0] == cut
    assert REDACTOR.redact_text("a" * 65_536) == "a" * 65_536


def test_only_the_last_word_of_a_cut_snapshot_goes() -> None:
    """What stands before it stays, on its own line or on that of the word."""
    for before in ("a b\n", "a\nb "):
        assert REDACTOR.redact_text(f"{before}postgres://app:hunter2…[cut, 99 characters]") == (
            f"{before}…[cut, 99 characters]"
        )


# ---- time ----------------------------------------------------------------------------------------------------------

# What is repeated to fill a text, behind what begins it and before what ends it.
ADVERSARIAL = {
    "one_word": ("", "a", ""),
    "jwt_heads": ("", "eyJ", ""),
    "jwt_escaped": ("", "%3DeyJaaaaaaaaaa", ""),
    "schemes": ("", "://a:", ""),
    "hosts": ("", "http://", ""),
    "keys": ("", "token", ""),
    "keys_dotted": ("", "key.", ""),
    "keys_with_gaps": ("", "key ", ""),
    "keys_and_tabs": ("", 'pass"\t', ""),
    "assignments": ("", "key=", ""),
    "assignments_of_secrets": ("", "token=", ""),
    "open_lists": ("", "token=[", ""),
    "closing_brackets": ("", "password=)", ""),
    "gap": ("key", " ", ""),
    "quotes": ("key", '"', ""),
    "backslashes": ('password="', "\\", ""),
    "open_quote": ('password="', "a", ""),
    "open_pem": ("", "-----BEGIN PRIVATE KEY-----", ""),
    "pem_words": ("-----BEGIN ", "A ", "private key"),
    "bearers": ("", "bearer ", ""),
    "bearer_gap": ("bearer", " ", ""),
    "basics": ("", "Basic AAAA", ""),
    "prefixes": ("", "sk-xoxb-SG.ghp_AIza", ""),
    "aws": ("akia", "A/", ""),
    "options": ("", "--key ", ""),
    "headers": ("", "'cookie:\\n", ""),
    "pairs": ("", "('key', ", ""),
    "tags": ("", "<password>", ""),
    "cut": ("", "x", "…[cut, 9 characters]"),
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_hostile_text_takes_linear_time(name: str) -> None:
    """A quarter megabyte made to defeat regular expressions takes a second at worst; a square would take hours."""
    begin, unit, end = ADVERSARIAL[name]
    text = begin + unit * (250_000 // len(unit)) + end
    redactor = Redactor(max_text=10**7)

    def seconds_taken() -> float:
        started = time.process_time()
        redactor.redact_text(text)
        return time.process_time() - started

    assert least_time(seconds_taken, 1.25) <= 1.25


@pytest.mark.serial
def test_clean_short_text_is_passed_quickly() -> None:
    """A text of a hundred characters without secrets costs a small multiple of looking for 26 letters in it."""
    text = "The quick brown fox jumps over the lazy dog and then runs away to the forest for a nap until morning"
    assert len(text) == 100

    def times_the_floor() -> float:
        floor = timeit.repeat(lambda: [hint in text for hint in "abcdefghijklmnopqrstuvwxyz"], number=5_000, repeat=5)
        return min(timeit.repeat(lambda: REDACTOR.redact_text(text), number=5_000, repeat=5)) / min(floor)

    assert least(times_the_floor, 6.0) <= 6.0


def test_import_compiles_no_expression() -> None:
    """The many expressions are compiled when first needed, not by whoever imports the package."""
    code = (
        "import re\n"
        "from time_execution.formats import _secret_text, redaction\n"
        "print(_secret_text._compile.cache_info().currsize)"
    )
    assert printed_by(code) == ["0"]


def test_long_keys_are_judged_by_their_end_and_not_kept() -> None:
    """A key of kilobytes still tells by its last words, and does not fill the memory of keys."""
    redactor = Redactor()
    for number in range(50):
        assert redactor.redact_text(f"{number}{'x' * 60_000}_password=hunter2").endswith(f"_password={MASK}")
    tracemalloc.start()
    for number in range(50):
        redactor.redact_text(f"{number}{'y' * 60_000}_password=hunter2")
        redactor.redact({f"{number}{'z' * 60_000}": 1})
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 500_000
