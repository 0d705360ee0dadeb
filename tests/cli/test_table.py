"""What is shown on a terminal: colours where they are wanted, no letter that it lacks, and names told apart."""

from __future__ import annotations

import io

import pytest

from time_execution.cli.table import Screen, render


class Terminal(io.TextIOWrapper):
    """A terminal of some encoding."""

    def __init__(self, encoding="utf-8"):
        super().__init__(io.BytesIO(), encoding=encoding)

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


ROWS = [["good", "0"], ["bad", "2"]]


def test_titles_are_bold_and_trouble_is_red():
    """On a terminal; a count of nothing is no trouble."""
    lines = render(Screen(Terminal()), ["function", "errors"], ROWS, red=frozenset({"errors"})).splitlines()
    assert lines == [
        "\x1b[1mfunction  errors\x1b[0m",
        "good           0",
        "bad       \x1b[31m     2\x1b[0m",
    ]


@pytest.mark.parametrize("name", ["NO_COLOR", "TERM", "a file"])
def test_colours_are_left_out_where_they_are_not_wanted(monkeypatch, name):
    """Asked for by a variable, or because nobody looks."""
    if name != "a file":
        monkeypatch.setenv(name, {"NO_COLOR": "1", "TERM": "dumb"}[name])
    screen = Screen(io.TextIOWrapper(io.BytesIO(), encoding="utf-8") if name == "a file" else Terminal())
    assert not screen.has_colour
    assert "\x1b" not in render(screen, ["function", "errors"], ROWS, red=frozenset({"errors"}))


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "shop.…rs.total"), ("ascii", "shop...s.total")])
def test_a_long_name_keeps_its_beginning_and_more_of_its_end(encoding, shown):
    """The end says more; what stands for the rest is something that can be shown."""
    screen = Screen(Terminal(encoding))
    assert screen.shorten("shop.package.module.orders.total", len(shown)) == shown
    assert screen.shorten(shown, len(shown)) == shown
    assert screen.shorten(shown, 0) == screen.ellipsis


def test_what_a_terminal_lacks_or_would_obey_is_written_out():
    """Controls, marks of direction, line ends; and micro is u where there is no µ."""
    assert Screen(Terminal()).safe("a\x1b[2J\u202eb\r\nc\u2028é µs") == "a\\x1b[2J\\u202eb\\r\\nc\\u2028é µs"
    assert Screen(Terminal("ascii")).safe("é 5 µs") == "\\xe9 5 us"
    assert Screen(Terminal("latin-1")).safe("é 5 …") == "é 5 \\u2026"


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (52, "http.request.duration{GET /a 200}"),
        (53, "http.request.duration{method=GET,route=/a,status=200}"),
        (40, "http.request.duration{GET /a 200}"),
        (24, "duration{GET /a 200}"),
        (16, "durati…T /a 200}"),
    ],
)
def test_of_a_name_with_labels_the_values_stay_longest(width, shown):
    """Then its last word; they tell it from the others of its name."""
    name = "http.request.duration{method=GET,route=/a,status=200}"
    assert Screen(Terminal()).shorten_series(name, width) == shown


def test_a_long_name_without_labels_is_shortened_as_any():
    """Also one that has braces."""
    screen = Screen(Terminal())
    for name in ("shop.package.module.orders.total", "GET /users/{id}/orders/{order}"):
        assert screen.shorten_series(name, 15) == screen.shorten(name, 15)
        assert screen.shorten_series(name, 99) == name
