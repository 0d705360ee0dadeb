"""What a spreadsheet would take for a formula is made harmless, whatever it begins with; all else stays."""

from __future__ import annotations

import pytest

from time_execution.formats.spreadsheet import neutral

STARTS = "=+-@\t\r\n|%\uff1d\uff0b\uff0d\uff20"
BEFORE = ["", " ", "   ", '"', "'", '"\'"', "\ufeff", "\u200b", " \u200b\"'", "\xa0", "\u3000"]


@pytest.mark.parametrize("start", STARTS, ids=ascii)
@pytest.mark.parametrize("before", BEFORE, ids=ascii)
def test_what_might_be_a_formula_gets_an_apostrophe(before, start):
    """By its first character, also past quotes, blanks and marks that do not show; and nothing of it is lost."""
    for rest in ("", "1+1", "cmd' /C calc'!A0", "\n=x"):
        assert neutral(f"{before}{start}{rest}") == f"'{before}{start}{rest}"


@pytest.mark.parametrize("text", ["", "shop.total", "a=1", "5-3", "x|y", "50%", "a\n=b", "naïve", "é+", "[-1]", "(=1)"])
def test_what_is_no_formula_stays(text):
    """A sign in the middle computes nothing."""
    assert neutral(text) == text


def test_nul_is_written_out():
    """Readers of CSV refuse it; what it stood before is looked at all the same."""
    assert neutral("a\0b") == "a\\x00b"
    assert neutral("\0=1") == "\\x00=1"
    assert neutral("=\0") == "'=\\x00"
