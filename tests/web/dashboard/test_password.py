"""Passwords: what is kept of one tells it from all others, and shows nothing of it."""

from __future__ import annotations

import pytest

from time_execution.exceptions import ConfigurationError
from time_execution.web.dashboard.password import LONGEST, Password, hash_password


@pytest.fixture(scope="module")
def hashed():
    return hash_password("correct horse")


def test_the_right_password_is_right_and_no_other(hashed):
    """Case, spaces and length count, and so does nothing at all."""
    password = Password(hashed)
    assert password.is_right("correct horse")
    assert not any(map(password.is_right, ("Correct horse", "correct horse ", "correct hors", "", "x" * 5000)))


def test_letters_of_any_script_are_taken():
    """A password is text, whatever the script, and half a character is no reason to fail."""
    password = Password(hash_password("pässwörd \N{SNOWMAN}"))
    assert password.is_right("pässwörd \N{SNOWMAN}")
    assert not password.is_right("p\ud800ssw")


def test_each_hash_has_a_salt_of_its_own(hashed):
    """Two of one password differ, and both take it."""
    other = hash_password("correct horse")
    assert other != hashed
    assert Password(other).is_right("correct horse")


def test_a_hash_is_one_word_for_any_shell(hashed):
    """It has no sign that a shell or a configuration file reads as something else."""
    assert hashed.startswith("scrypt:32768:8:1:")
    assert set(hashed) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_:")


def test_what_is_too_long_is_wrong_even_with_the_right_beginning():
    """Of two passwords with the same first thousand signs, only the one that fits is right."""
    password = Password(hash_password("a" * LONGEST))
    assert password.is_right("a" * LONGEST)
    assert not password.is_right("a" * (LONGEST + 1))


@pytest.mark.parametrize("password", ["", "x" * (LONGEST + 1), "\N{SNOWMAN}" * 400])
def test_no_hash_is_made_of_nothing_or_of_too_much(password):
    """An empty password would be none."""
    with pytest.raises(ConfigurationError, match="1 to 1,024 bytes"):
        hash_password(password)


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        "hunter2",
        "scrypt:32768:8:1:c2FsdA:",
        "scrypt:32768:8:1::bWFkZQ",
        "scrypt:32767:8:1:c2FsdA:bWFkZQ",
        "scrypt:0:8:1:c2FsdA:bWFkZQ",
        "scrypt:2147483648:8:1:c2FsdA:bWFkZQ",
        "scrypt:32768:8000000:1:c2FsdA:bWFkZQ",
        "scrypt:32768:8:0:c2FsdA:bWFkZQ",
        "argon2:32768:8:1:c2FsdA:bWFkZQ",
        "scrypt:32768:8:1:c2FsdA:bWFkZQ:more",
        "scrypt:many:8:1:c2FsdA:bWFkZQ",
        "scrypt:32768:8:1:c2FsdA:b",
    ],
)
def test_what_is_no_hash_is_refused_and_not_repeated(hashed):
    """A password in the place of its hash does not show in the error, nor do parameters that would fill the memory."""
    with pytest.raises(ConfigurationError, match="--hash-password") as caught:
        Password(hashed)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_nothing_shows_in_a_repr(hashed):
    """Neither salt nor hash."""
    assert repr(Password(hashed)) == "Password(***)"
