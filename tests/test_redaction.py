"""Redaction: every planted secret goes, and everything else stays (S7)."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.secret_corpus import AWS_ID, HARMLESS, JWT, PEM, PLANTED, Login, shown
from time_execution.exceptions import ConfigurationError
from time_execution.formats.redaction import MASK, REDACTOR, Redactor
from time_execution.formats.snapshot import snapshot


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


@pytest.mark.parametrize(("secret", "value"), [case for case in PLANTED if as_json(snapshot(case[1]))])
def test_planted_secret_is_gone_from_json_and_snapshot(secret: str, value: Any) -> None:
    """A snapshot of a value, in which tuples are lists, or dicts where they have names, is redacted, and so is JSON."""
    for plain in (snapshot(value), snapshot({"deep": [value]})):
        assert secret not in REDACTOR.redact_text(json.dumps(plain))
        assert secret not in shown(REDACTOR.redact(plain))


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
    long = "x " * 200
    keys: dict[Any, int] = {AWS_ID.encode(): 1, (AWS_ID,): 2, f"{long}{AWS_ID}": 3, 7: 4}
    assert REDACTOR.redact(keys) == {b"***": 1, ("***",): 2, f"{long}***": 3, 7: 4}


def test_bytes_of_any_kind_are_read() -> None:
    """A buffer that grows is bytes, too; what holds no secret comes back as it was."""
    assert REDACTOR.redact([bytearray(b"password=hunter2"), b"\xff"]) == [b"password=***", b"\xff"]


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

    class Named(Login):
        def __iter__(self) -> Any:
            raise AssertionError

    class Row(list[Any]):
        def __iter__(self) -> Any:
            raise AssertionError

    assert REDACTOR.redact(Row([Named("root", "x")])) == [Login("root", MASK)]
    redacted = REDACTOR.redact(Sly(password="x", note=Text("token=abc")))
    assert redacted == {"password": MASK, "note": "token=***"}
    assert type(redacted["note"]) is str


def test_other_object_is_returned_as_it_is() -> None:
    """An object of a class of its own is neither copied nor asked anything."""
    thing = object()
    assert REDACTOR.redact([thing])[0] is thing


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
