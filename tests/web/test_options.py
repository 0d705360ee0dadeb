"""The keywords of every ``init_app``."""

from __future__ import annotations

from pathlib import Path

import pytest

from time_execution.exceptions import ConfigurationError
from time_execution.web.options import NAMES, GivenOptions, Options, options_of

TOKEN = "a-long-token-of-mine"


def test_type_and_class_name_the_same_options():
    """What a type checker knows is what there is."""
    assert list(GivenOptions.__annotations__) == list(NAMES)


def test_defaults():
    """The dashboard is where the documents say, and closed."""
    options = options_of({})
    assert options == Options()
    assert (options.prefix, options.auth, options.metrics_access) == ("/admin/monitoring", None, "loopback")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"prefx": "/x"}, "prefx.*did you mean.*prefix"),
        ({"prefix": "admin"}, "prefix"),
        ({"prefix": "/"}, "prefix"),
        ({"prefix": "/<x>"}, "prefix"),
        ({"prefix": "/a b"}, "prefix"),
        ({"prefix": 3}, "prefix"),
        ({"store": ""}, "store"),
        ({"store": 3}, "store"),
        ({"request_id_header": "X Request"}, "request_id_header"),
        ({"request_id_header": ""}, "request_id_header"),
        ({"trust_request_id": 1}, "trust_request_id"),
        ({"tag_calls": "no"}, "tag_calls"),
        ({"sampler": None}, "sampler"),
        ({"logs": 0}, "logs"),
    ],
)
def test_wrong_options(given, named):
    """They are refused by name, and a misspelt one gets a hint."""
    with pytest.raises(ConfigurationError, match=named):
        options_of(given)


def test_token_of_the_environment(monkeypatch, tmp_path):
    """It may be a variable or in a file; one given in code goes before both."""
    monkeypatch.setenv("MONITOR_METRICS_TOKEN", TOKEN)
    assert options_of({}).access().scheme == "Bearer"
    monkeypatch.delenv("MONITOR_METRICS_TOKEN")
    assert options_of({}).access().scheme is None
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    monkeypatch.setenv("MONITOR_METRICS_TOKEN_FILE", str(tmp_path / "token"))
    assert options_of({}).access()._bearer == f"Bearer {TOKEN}".encode()
    assert options_of({"metrics_token": "another-token"}).access()._bearer == b"Bearer another-token"


def test_token_in_two_places(monkeypatch, tmp_path):
    """Which one counts is not guessed, and neither is shown."""
    monkeypatch.setenv("MONITOR_METRICS_TOKEN", TOKEN)
    monkeypatch.setenv("MONITOR_METRICS_TOKEN_FILE", str(tmp_path / TOKEN))
    with pytest.raises(ConfigurationError, match="MONITOR_METRICS_TOKEN") as caught:
        options_of({}).access()
    assert TOKEN not in str(caught.value)


def test_token_file_that_cannot_be_read(monkeypatch):
    """Is told at once, without its path, which may be the token itself."""
    monkeypatch.setenv("MONITOR_METRICS_TOKEN_FILE", TOKEN)
    with pytest.raises(ConfigurationError, match="MONITOR_METRICS_TOKEN") as caught:
        options_of({}).access()
    assert TOKEN not in str(caught.value)


def test_token_is_shown_nowhere():
    """Options may be printed."""
    assert TOKEN not in repr(options_of({"metrics_token": TOKEN}))


def test_document_names_each_option():
    """With the default that it has."""
    text = " ".join((Path(__file__).parents[2] / "docs" / "web.rst").read_text(encoding="utf-8").split())
    for name in NAMES:
        default = repr(getattr(Options(), name)).replace("'", '"')
        assert f"* - ``{name}`` - ``{default}``" in text, name
