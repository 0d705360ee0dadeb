"""Complaints about others' exceptions: what is shown of them, what is withheld, and that looking at them ends."""

from __future__ import annotations

import pytest

from time_execution.complaint import Place
from time_execution.exceptions import ConfigurationError, MissingExtraError


class SeveralError(Exception):
    """Has others inside, as an exception group has."""

    def __init__(self, *exceptions):
        super().__init__("several")
        self.exceptions = exceptions


def noted(text):
    """Return an exception with a note, as every Python shows it from 3.11 on."""
    error = ValueError("plain")
    error.__notes__ = [text]  # type: ignore[attr-defined]
    return error


def caused(text, *, by):
    """Return an exception that came from one with a text."""
    error = ValueError("plain")
    setattr(error, by, OSError(text))
    return error


@pytest.mark.parametrize(
    "make",
    [
        ValueError,
        noted,
        lambda text: caused(text, by="__cause__"),
        lambda text: caused(text, by="__context__"),
        lambda text: SeveralError(ValueError(), OSError(text)),
        lambda text: SeveralError(noted(text)),
    ],
    ids=["text", "note", "cause", "context", "group", "note in a group"],
)
@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"password": "hunter2"}, "refused: hunter2"),
        ({"password": "hun/ter@2"}, "refused: hun%2Fter%402"),
        ({"password": "hun ter2"}, "refused: hun%20ter2"),
        ({"password": "hun\\ter2"}, "refused: 'hun\\\\ter2'"),
        ({"servers": ["http://anna:hunter2@host"]}, "refused: hunter2"),
        ({"tokens": ["one", "hunter2"]}, "refused: hunter2"),
        ("http://hunter2@host", "refused: hunter2"),
        ("http://anna:hun@ter2@host", "cannot find ter2"),
        ("http://anna:hun/ter2@host", "port 'ter2' is no number"),
        ("http://anna:hun%2Fter2@host", "refused: hun/ter2"),
        ("http://host?token=hunter2", "refused: hunter2"),
    ],
)
def test_exception_that_tells_a_secret_of_the_place_is_withheld_whole(spec, text, make):
    """In whatever form the secret stands there, and wherever a traceback would show it."""
    found = Place("backends[0]", spec).failure("it failed", make(text))
    assert "its text is withheld" in str(found)
    assert text not in str(found)
    assert (found.__cause__, found.__context__) == (None, None)


def test_secret_that_nobody_knew_of_is_cut_out_of_the_text():
    """What looks like one is not shown, and neither is the exception itself."""
    found = Place("backends[0]").failure("it failed", ValueError("bad option password=hunter2"))
    assert str(found) == "backends[0]: it failed: ValueError: bad option password=***"
    assert found.__cause__ is None


@pytest.mark.parametrize("make", [noted, lambda text: caused(text, by="__context__")], ids=["note", "context"])
def test_exception_whose_surroundings_look_like_a_secret_is_no_cause(make):
    """Its own text is shown; a traceback would show the rest."""
    found = Place("backends[0]").failure("", make("password=hunter2"))
    assert str(found) == "backends[0]: ValueError: plain"
    assert found.__cause__ is None


@pytest.mark.parametrize("spec", ["redis://:@host", "http://host?token=", {"password": ""}, None])
def test_empty_secret_withholds_nothing(spec):
    """It would occur in every text."""
    error = OSError("no such host")
    found = Place("backends[0]", spec).failure("it failed", error)
    assert str(found) == "backends[0]: it failed: OSError: no such host"
    assert found.__cause__ is error


def test_exceptions_that_came_from_each_other_are_looked_at_once():
    """By hand, one can make them run in circles."""
    first, second = ValueError("first"), OSError("second")
    first.__context__, second.__context__ = second, first
    assert str(Place("hooks[0]").failure("", first)) == "hooks[0]: ValueError: first"


@pytest.mark.parametrize("kind", [ConfigurationError, MissingExtraError])
@pytest.mark.parametrize("text", ["install it", "install it with hunter2"])
def test_missing_client_stays_one(kind, text):
    """Whoever catches ImportError is told, whether the text is shown or not."""
    found = Place("backends[0]", {"password": "hunter2"}).failure("", kind(text))
    assert type(found) is kind
