"""Redaction: every planted secret goes, everything else stays, in linear time."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import time
import timeit
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.secret_corpus import AWS_ID, HARMLESS, JWT, PEM, PEM_BODY, PLANTED, Login
from time_execution.exceptions import ConfigurationError
from time_execution.formats.redaction import MASK, MAX_DEPTH, MAX_ITEMS, REDACTOR, Redactor
from time_execution.formats.snapshot import snapshot


def shown(value: Any) -> str:
    """Everything that can be seen of a value."""
    return f"{value!r} {value}"


def as_json(value: Any) -> str | None:
    try:
        return json.dumps(value)
    except TypeError:
        return None


# ---- the corpus ----------------------------------------------------------------------------------------------------


def test_corpus_is_as_large_as_promised() -> None:
    """At least sixty secrets are planted."""
    assert len(PLANTED) >= 60
    assert all(secret in shown(value) for secret, value in PLANTED)


@pytest.mark.parametrize(("secret", "value"), PLANTED)
def test_planted_secret_is_gone_from_the_value(secret: str, value: Any) -> None:
    """No form of the redacted value shows the secret, and the original is as it was."""
    before = copy.deepcopy(value)
    assert secret not in shown(REDACTOR.redact(value))
    assert value == before


@pytest.mark.parametrize(("secret", "value"), PLANTED)
def test_planted_secret_is_gone_from_a_text_that_shows_the_value(secret: str, value: Any) -> None:
    """The repr of a value, as exceptions and logs hold it, is redacted as well as the value itself."""
    assert secret not in REDACTOR.redact_text(repr(value))
    assert secret not in REDACTOR.redact_text(f"call failed for {value!r} after 3 attempts")


@pytest.mark.parametrize(
    ("secret", "value"), [case for case in PLANTED if as_json(case[1]) and not isinstance(case[1], Login)]
)
def test_planted_secret_is_gone_from_json_and_snapshot(secret: str, value: Any) -> None:
    """JSON text of a value and its snapshot, in which tuples are lists, are redacted, too."""
    assert secret not in REDACTOR.redact_text(json.dumps(value))
    assert secret not in shown(REDACTOR.redact(snapshot(value)))


@pytest.mark.parametrize("value", HARMLESS)
def test_harmless_value_is_untouched(value: Any) -> None:
    """What only looks like a secret comes back as it went in."""
    assert REDACTOR.redact(value) == value


@pytest.mark.parametrize("value", HARMLESS)
def test_harmless_text_is_untouched(value: Any) -> None:
    """The same holds inside a text."""
    assert REDACTOR.redact_text(repr(value)) == repr(value)
    assert REDACTOR.redact_text(json.dumps(value)) == json.dumps(value)


def test_redacting_twice_changes_nothing_more() -> None:
    """Redaction is idempotent over the whole corpus."""
    for _, value in PLANTED:
        once = REDACTOR.redact(value)
        assert REDACTOR.redact(once) == once
        text = REDACTOR.redact_text(repr(value))
        assert REDACTOR.redact_text(text) == text


def test_what_stands_around_a_secret_is_kept() -> None:
    """A masked text still says where it failed, for whom, and which key was wrong."""
    assert (
        REDACTOR.redact_text("connect postgres://app:hunter2@db:5432/app?sslmode=require&password=x failed: timeout")
        == "connect postgres://app:***@db:5432/app?sslmode=require&password=*** failed: timeout"
    )
    assert REDACTOR.redact_text("f(user='a', token='b', n=3)") == "f(user='a', token='***', n=3)"
    assert REDACTOR.redact_text(f"before\n{PEM}\nafter") == "before\n***\nafter"


def test_json_text_stays_json() -> None:
    """A number or list that is masked in a JSON text becomes a JSON string."""
    text = json.dumps({"pin": 1234, "api_keys": ["a", "b"], "n": 1, "password": 'a"b'})
    assert json.loads(REDACTOR.redact_text(text)) == {"pin": MASK, "api_keys": MASK, "n": 1, "password": MASK}


# ---- values --------------------------------------------------------------------------------------------------------


def test_copy_has_the_shape_of_the_original() -> None:
    """Containers keep their kind, plain values their type, and None and booleans stay under a telling key."""
    value: dict[Any, Any] = {
        "a": [1, 2.5, (None, True), {"x"}, frozenset({"y"}), b"z"],
        7: "n",
        "secret": None,
        "password": False,
    }
    redacted = REDACTOR.redact(value)
    assert redacted == value
    assert redacted is not value
    assert redacted["a"] is not value["a"]
    assert [type(item) for item in redacted["a"]] == [type(item) for item in value["a"]]
    assert REDACTOR.redact(Login("root", "x")) == Login("root", MASK)
    assert type(REDACTOR.redact(Login("root", "x"))) is Login


def test_everything_under_a_telling_key_is_masked_whole() -> None:
    """A container under a telling key may hold secrets under keys of any name."""
    assert REDACTOR.redact({"credentials": {"a": {"b": "c"}}, "token": 17}) == {"credentials": MASK, "token": MASK}


def test_key_that_is_a_secret_is_masked() -> None:
    """A secret may stand in a key, too."""
    assert AWS_ID not in shown(REDACTOR.redact({f"role:{AWS_ID}": 1, JWT: {JWT: 2}}))


def test_subclass_cannot_run_code_or_hide_its_contents() -> None:
    """Containers and texts are read past what their subclasses override."""

    class Sly(dict[str, Any]):
        def items(self) -> Any:
            raise AssertionError

        def __len__(self) -> int:
            raise AssertionError

    class Text(str):
        __slots__ = ()

        def lower(self) -> str:
            raise AssertionError

        def __str__(self) -> str:
            raise AssertionError

    redacted = REDACTOR.redact(Sly(password="x", note=Text("token=abc")))
    assert redacted == {"password": MASK, "note": "token=***"}
    assert type(redacted["note"]) is str


def test_other_object_is_returned_as_it_is() -> None:
    """An object of a class of its own is neither copied nor asked anything."""
    thing = object()
    assert REDACTOR.redact([thing])[0] is thing


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


# ---- options -------------------------------------------------------------------------------------------------------


def test_further_keys_are_secret_in_every_spelling() -> None:
    """A key given to a redactor is masked in values and texts, however it is written."""
    redactor = Redactor(keys=["badge_number"])
    for key in ("badge_number", "badgeNumber", "X-Badge-Number", "BADGE_NUMBER", "my_badge_number_2"):
        assert redactor.redact({key: "abc"}) == {key: MASK}
        assert redactor.redact_text(f"{key}=abc") == f"{key}={MASK}"
    assert redactor.redact({"badge": "abc", "numberbadge": "x"}) == {"badge": "abc", "numberbadge": "x"}


def test_allowed_key_is_shown() -> None:
    """An exception is compared whole: it frees no other key."""
    redactor = Redactor(allow=["session_id"])
    assert redactor.redact({"sessionId": "a", "session": "b"}) == {"sessionId": "a", "session": MASK}
    assert redactor.redact_text("session_id=a session=b") == "session_id=a session=***"


def test_further_patterns_mask_their_group() -> None:
    """A pattern masks what it matches, or its group ``secret``."""
    redactor = Redactor(patterns=[r"ACME-\d+", re.compile(r"badge (?P<secret>\w+)")], mask="<gone>")
    assert redactor.redact_text("ACME-123 for badge xy of a") == "<gone> for badge <gone> of a"


def test_built_in_keys_are_asked_for() -> None:
    """Other modules can ask whether a key is secret."""
    assert REDACTOR.is_secret("X-Api-Key")
    assert not REDACTOR.is_secret("token_count")
    assert not REDACTOR.is_secret("")


@pytest.mark.parametrize(
    "options",
    [{"keys": "password"}, {"keys": ["--"]}, {"keys": [1]}, {"allow": "a"}, {"patterns": "a"}, {"patterns": ["("]}],
)
def test_wrong_option_is_refused_at_once(options: dict[str, Any]) -> None:
    """A redactor that would silently do nothing cannot be made."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Redactor(**options)


# ---- time ----------------------------------------------------------------------------------------------------------

ADVERSARIAL = {
    "one_word": "a" * 10**6,
    "jwt_heads": "eyJ" * 333_333,
    "jwt_escaped": "%3DeyJaaaaaaaaaa" * 60_000,
    "schemes": "://a:" * 200_000,
    "hosts": "http://" * 140_000,
    "keys": "token" * 200_000,
    "keys_dotted": "key." * 250_000,
    "keys_with_gaps": "key " * 250_000,
    "keys_and_tabs": 'pass"\t' * 160_000,
    "assignments": "key=" * 250_000,
    "assignments_of_secrets": "token=" * 166_666,
    "open_lists": "token=[" * 140_000,
    "closing_brackets": "password=)" * 100_000,
    "gap": "key" + " " * 10**6,
    "quotes": "key" + '"' * 10**6,
    "backslashes": 'password="' + "\\" * 10**6,
    "open_quote": 'password="' + "a" * 10**6,
    "open_pem": "-----BEGIN PRIVATE KEY-----" * 37_000,
    "pem_words": "-----BEGIN " + "A " * 500_000 + "private key",
    "bearers": "bearer " * 140_000,
    "bearer_gap": "bearer" + " " * 10**6,
    "basics": "Basic AAAA" * 100_000,
    "prefixes": "sk-xoxb-SG.ghp_AIza" * 50_000,
    "aws": "akia" + "A/" * 500_000,
    "options": "--key " * 160_000,
    "headers": "'cookie:\\n" * 110_000,
    "pairs": "('key', " * 125_000,
    "tags": "<password>" * 100_000,
    "cut": ("x" * 10**6) + "…[cut, 9 characters]",
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_hostile_text_takes_linear_time(name: str) -> None:
    """A megabyte made to defeat regular expressions takes seconds at worst, where a square would take hours."""
    redactor = Redactor(max_text=10**7)
    started = time.process_time()
    redactor.redact_text(ADVERSARIAL[name])
    assert time.process_time() - started < 5.0


@pytest.mark.serial
def test_clean_short_text_is_passed_quickly() -> None:
    """A text of a hundred characters without secrets costs a small multiple of looking for 26 letters in it."""
    text = "The quick brown fox jumps over the lazy dog and then runs away to the forest for a nap until morning"
    assert len(text) == 100
    number = 5_000
    floor = min(timeit.repeat(lambda: [hint in text for hint in "abcdefghijklmnopqrstuvwxyz"], number=number, repeat=5))
    cost = min(timeit.repeat(lambda: REDACTOR.redact_text(text), number=number, repeat=5))
    assert cost < 6 * floor


def test_import_compiles_no_expression() -> None:
    """The many expressions are compiled when first needed, not by whoever imports the package."""
    code = (
        "import re\n"
        "from time_execution.formats import _secret_text, redaction\n"
        "print(_secret_text._compile.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) == 0


def test_long_keys_are_judged_by_their_end_and_not_kept() -> None:
    """A key of kilobytes still tells by its last words, and does not fill the memory of keys."""
    redactor = Redactor()
    for number in range(50):
        assert redactor.redact_text(f"{number}{'x' * 60_000}_password=hunter2").endswith(f"_password={MASK}")
    tracemalloc.start()
    for number in range(50):
        redactor.redact_text(f"{number}{'y' * 60_000}_password=hunter2")
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 500_000


# ---- properties ----------------------------------------------------------------------------------------------------

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(PLAIN)
def test_any_value_is_redacted_without_an_error(value: Any) -> None:
    """No plain value makes redaction raise, and a second pass changes nothing."""
    once = REDACTOR.redact(value)
    assert repr(REDACTOR.redact(once)) == repr(once)


# Not the words that stand for nothing, and no marks of a character or two.
SECRET = st.text(min_size=8, max_size=40)


@given(SECRET, st.text(max_size=200), st.text(max_size=200))
def test_quoted_secret_is_gone_whatever_it_is_made_of(secret: str, before: str, after: str) -> None:
    """Behind a key of a JSON document or of a dict's repr, any text is masked whole, and nothing else is."""
    before, after = (re.sub(r"[^ \w]|_", "", text) for text in (before, after))
    for render in (json.dumps, repr):
        redacted = REDACTOR.redact_text(f"{before} {render({'password': secret, 'n': 1})} {after}")
        wanted = f"{before} {render({'password': MASK, 'n': 1})} {after}"
        assert redacted.replace('"', "'") == wanted.replace('"', "'")  # a repr chooses its quotes by what is quoted


@given(st.text(alphabet="abcXYZ012!$%*+-./:=?@^_~|#", min_size=3, max_size=40).filter(lambda text: text.isprintable()))
def test_bare_secret_is_gone_whatever_it_is_made_of(secret: str) -> None:
    """So is what stands behind ``=`` without quotes, up to the next blank, quote, ampersand, comma or semicolon."""
    for end in (" and more", "&page=2", ", 5)", "; b", ""):
        assert REDACTOR.redact_text(f"f?password={secret}{end}") == f"f?password={MASK}{end}"
