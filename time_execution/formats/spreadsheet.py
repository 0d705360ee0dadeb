"""What a spreadsheet would take for a formula, made harmless."""

from __future__ import annotations

import re

# Spreadsheets take a cell for a formula by its first character, some past quotes and spaces; some know wide forms, and
# some start a program at a bar or a per cent sign.
_FORMULA = re.compile("[\\s\"'\\ufeff\\u200b]*[=+\\-@\\t\\r\\n|%\\uff1d\\uff0b\\uff0d\\uff20]")


def neutral(text: str) -> str:
    r"""Return a text that no spreadsheet takes for a formula: one that might be gets an apostrophe in front.

    NUL, which readers of CSV refuse, becomes ``\x00``. The apostrophe can be taken off again: it stands only
    before what would have needed it.

    Example:
        >>> print(neutral("=HYPERLINK(1)"), neutral("-x"), neutral("shop.total"))
        '=HYPERLINK(1) '-x shop.total
    """
    text = text.replace("\0", "\\x00")
    return f"'{text}" if _FORMULA.match(text) else text
