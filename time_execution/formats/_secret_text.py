"""Secrets in running text: what gives itself away by its shape, and what stands behind a telling key.

Every expression here takes time linear in the text, whatever the text: each is bounded, or can start in one place of a
run only, or cannot fail once it has started. Only `redaction` uses this module.
"""

from __future__ import annotations

import binascii
import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from time_execution.formats._secret_key import MAX_KEY, Secrecy, is_query_secret, words

if TYPE_CHECKING:
    from collections.abc import Callable

_LONG_WORD = 20
_OPAQUE_LENGTH = 20
_SHORT_MARK = 2


class Shape(NamedTuple):
    """A secret that is recognised by how it looks.

    Attributes:
        hints: Text in lower case; where none of it occurs, neither does the shape.
        pattern: Finds it; what is masked is the group ``secret`` if there is one, else all of it.
        confirm: Takes a match and says whether it is a secret after all.
    """

    hints: tuple[str, ...]
    pattern: str | re.Pattern[str]
    confirm: Callable[[re.Match[str]], bool] | None = None

    def mask(self, text: str, mask: str) -> str:
        """Return the text with every secret of this shape replaced."""
        pattern = _compile(self.pattern)
        group: str | int = "secret" if "secret" in pattern.groupindex else 0

        def masked(match: re.Match[str]) -> str:
            if self.confirm is not None and not self.confirm(match):
                return match[0]
            start, end = (place - match.start() for place in match.span(group))
            return match[0][:start] + mask + match[0][end:]

        return pattern.sub(masked, text)


@cache
def _compile(pattern: str | re.Pattern[str], flags: int = re.ASCII | re.DOTALL) -> re.Pattern[str]:
    """Compile an expression when it is first needed: all of them at import would take longer than the rest of it."""
    return pattern if isinstance(pattern, re.Pattern) else re.compile(pattern, flags)


def _is_basic(match: re.Match[str]) -> bool:
    """Tell ``Basic dXNlcjpwdw==`` from "basic authentication": what it encodes is ``user:password``."""
    code = match["secret"].rstrip("=")
    decoded = binascii.a2b_base64(code[: len(code) // 4 * 4])
    return b":" in decoded and all(byte >= ord(" ") for byte in decoded)


def _is_bearer(match: re.Match[str]) -> bool:
    """Tell a token from a word of prose, as in "bearer authentication"."""
    word = match["secret"].rstrip(".")
    return not (word.isalpha() and word[1:].islower() and len(word) < _LONG_WORD)


def _is_key_material(match: re.Match[str]) -> bool:
    """Tell an AWS secret key from a SHA-1, which is as long."""
    return not match[0].islower() and not match[0].isupper()


# Where a run of letters begins, also behind an escaped line break or a percent-encoded character.
_START = r"(?:(?<![\w\-])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"

# What takes several lines comes first.
SHAPES = (
    Shape(
        ("private key",),
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{1,60}-----|\Z)",
    ),
    Shape(("://",), r"""://[^\s/?#@:"'<>]*:(?P<secret>[^\s/?"'<>]+)@"""),
    Shape(("http",), r"""(?i:https?)://(?P<secret>[^\s/?#@:"'<>]+)@"""),
    Shape(("bearer",), r"(?i:bearer)\s{1,8}(?P<secret>[\w\-.~+/]{6,}=*)", _is_bearer),
    Shape(("basic",), r"(?i:basic)\s{1,8}(?P<secret>[A-Za-z0-9+/]{6,}={0,2})", _is_basic),
    Shape(("eyj",), _START + r"eyJ[\w\-]{8,}\.[\w\-.]*"),
    Shape(("akia", "asia"), r"A[KS]IA[0-9A-Z]{16}"),
    Shape(("aws", "akia", "asia"), _START + r"(?<![/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])", _is_key_material),
    # Web hooks also without their host, as in "Max retries exceeded with url: /services/...".
    Shape(("/services/t",), r"/services/(?P<secret>T\w{2,}/B\w{2,}/\w{8,})"),
    Shape(("hooks.slack",), r"(?i:hooks\.slack(?:-gov)?\.com)/(?:services|workflows|triggers)/(?P<secret>[\w/\-]+)"),
    Shape(("api/webhooks/",), r"api/webhooks/(?P<secret>\d+/[\w\-]+)"),
    Shape(("webhook.office.com",), r"webhook\.office\.com/(?P<secret>[\w/@\-]+)"),
    Shape(("/bot",), r"/bot(?P<secret>\d{6,}:[\w\-]{20,})"),
    Shape(("xox", "xapp-"), r"(?:xox[a-z](?:\.xox[a-z])?|xapp)-[A-Za-z0-9\-]{10,}"),
    Shape(("gh", "github_pat_"), r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"),
    Shape(("glpat-", "pypi-", "npm_"), r"glpat-[\w\-]{16,}|pypi-[\w\-]{32,}|npm_[A-Za-z0-9]{30,}"),
    Shape(("k_live_", "k_test_", "whsec_"), _START + r"[sr]k_(?:live|test)_\w{10,}|whsec_\w{16,}"),
    Shape(("sk-",), _START + r"sk-[\w\-]{20,}"),
    Shape(("aiza", "ya29."), r"AIza[\w\-]{30,}|ya29\.[\w\-]{20,}"),
    Shape(("sg.",), _START + r"SG\.[\w\-]{16,32}\.[\w\-]{16,64}"),
    Shape(("hvs.", "hf_", "dop_v1_"), r"hvs\.[\w\-]{20,}|" + _START + r"hf_[A-Za-z0-9]{30,}|dop_v1_[0-9a-f]{32,}"),
)
SHAPE_HINTS = tuple({hint: None for shape in SHAPES for hint in shape.hints})

# A text without one of these characters assigns nothing, and one without a hint holds no telling key.
SEPARATORS = re.compile(r"""[=:>%"'-]""")
KEY_HINTS = (
    *("pass", "pw", "secret", "token", "key", "cred", "auth", "cook", "sess", "jwt", "bearer", "otp", "cv", "ssn"),
    *("pin", "srf", "connect", "webhook", "card", "social", "code", "sig"),
)

# The first of the two words that some keys have in prose: "API key: ...".
_FIRST_WORD = (
    r"(?i:(?:api|access|private|encryption|signing|account|license)[ ](?=keys?\b)|card[ ](?=number\b)"
    r"|(?:security|recovery|pin|auth)[ ](?=code\b)|session[ ](?=id\b)|connection[ ](?=string\b))?"
)
# A key and what parts it from its value, in whatever notation: query, header, JSON, repr, YAML, subscript, XML.
_KEY = (
    rf"""(?<![\w.\-])(?P<key>{_FIRST_WORD}[\w.\-]+)"""
    r"""(?P<sep>[\]"'\\]*[ \t]*(?:=>|:=|[=:]|%3[ADad])[ \t]*|["'],[ \t]*|>)"""
)
# An option of a command line and its value, as one string or as a list of strings.
_OPTION = r"""(?<![\w\-])--(?P<key>[\w\-]+)(?P<sep>["']?,[ \t]*|[ \t]+)(?=["'\w])"""
_VALUE = r"""[bBfFrRuU]{0,2}"(?P<double>(?:[^"\\\r\n]|\\.)+)
      | [bBfFrRuU]{0,2}'(?P<single>(?:[^'\\\r\n]|\\.)+)
      | \\+["'](?P<escaped>[^"'\\\r\n]+)
      | (?P<box>[\[({][^\])}]*[\])}]?)
      | (?P<bare>(?:(?:bearer|basic|digest|token|negotiate|apikey)[ ]{1,8})?[^\s&;,"'<>]*[^\s&;,"'<>)\]}])"""
_PAIR_OPENINGS = tuple(
    opening + quote for opening in ("(", "(b", "[[", "[[b", "],[", "], [", "], [b") for quote in ("'", '"')
)
_LONGEST_OPENING = max(map(len, _PAIR_OPENINGS))
_HEADER_WORDS = frozenset({"authorization", "cookie"})
_NOTHING = frozenset({"none", "null", "nil", "true", "false", "undefined"})


def mask_assignments(text: str, secrecy: Callable[[str], Secrecy], mask: str) -> str:
    """Return the text with the value behind every telling key replaced.

    Args:
        text: Any text.
        secrecy: Says of a key what is to be masked behind it.
        mask: Stands in for the value.
    """
    for pattern in (_KEY, _OPTION) if "--" in text else (_KEY,):
        pieces: list[str] = []
        copied = place = 0
        search = _compile(pattern, 0).search
        while key := search(text, place):
            place = key.end()
            span = _secret_behind(text, key, secrecy)
            if span is None:
                continue
            start, place = span
            # A JSON number or list gets quotes, so that the document stays one.
            bare_json = key["sep"].startswith('"') and text[start - 1] not in "\"'"
            pieces += text[copied:start], f'"{mask}"' if bare_json else mask
            copied = place
        text = "".join([*pieces, text[copied:]])
    return text


def _secret_behind(text: str, key: re.Match[str], secrecy: Callable[[str], Secrecy]) -> tuple[int, int] | None:
    """Return where the secret lies that belongs to a key, if there is any."""
    before = text[max(0, key.start() - _LONGEST_OPENING) : key.start()]
    level = _level(key["key"], before, secrecy)
    if level is Secrecy.NONE or not _is_separator(key, before):
        return None
    if ":" in key["sep"] and not _HEADER_WORDS.isdisjoint(words(key["key"])):
        line = _header_value(text, key, before)
        if line is not None:
            return line
    if key["sep"] == ":" and text.startswith("//", key.end()):  # the scheme of a URL
        return None
    value = _compile(_VALUE, re.VERBOSE | re.IGNORECASE).match(text, key.end())
    if value is None or value.lastgroup is None:
        return None
    is_prose = key["sep"].rstrip() == ":" != key["sep"]
    return value.span(value.lastgroup) if _is_worth_masking(value, level, is_prose=is_prose) else None


def _level(key: str, before: str, secrecy: Callable[[str], Secrecy]) -> Secrecy:
    key = key[-MAX_KEY:]
    level = secrecy(key)
    if before.endswith("\\") and key[0] in "nrt":  # an escaped line break, as in the repr of a text
        level = max(level, secrecy(key[1:]))
    if before.endswith(("?", "&")) and is_query_secret(key):
        level = Secrecy.ALWAYS
    return level


def _is_separator(key: re.Match[str], before: str) -> bool:
    """Say whether the key is one: ``<key>value``, ``("key", "value")``, ``[["key", "value"]]`` begin in some way."""
    if key["sep"] == ">":
        return before.endswith("<")
    if key.re.pattern == _KEY and "," in key["sep"]:
        return before.endswith(_PAIR_OPENINGS)
    return True


def _header_value(text: str, key: re.Match[str], before: str) -> tuple[int, int] | None:
    """Return the rest of the line of an ``Authorization:`` or ``Cookie:`` header; None when the value is quoted."""
    start = key.end()
    if key["sep"][0] in "\"'\\]" or text[start : start + 1] in {'"', "'", "[", "{", "("}:
        return None
    stop = _HEADER_END.get(before[-1:], _HEADER_END[""])
    match = _compile(stop).match(text, start)
    return match.span() if match else None


_HEADER_END = {"": r"[^\r\n]+", '"': r'[^\r\n"]+', "'": r"[^\r\n']+"}


def _is_worth_masking(match: re.Match[str], level: Secrecy, *, is_prose: bool) -> bool:
    """Say whether a value may be a secret at all; in prose, as in ``session: started``, the key alone proves little."""
    value = match[match.lastgroup or 0]
    is_bare = match.lastgroup == "bare"
    if is_bare and value.lower() in _NOTHING:
        return False
    if level is Secrecy.UNLESS_NUMBER:
        is_word = is_bare and is_prose and len(value) < _OPAQUE_LENGTH and not any(char.isdigit() for char in value)
        return any(char.isalpha() for char in value) and not is_word
    return len(value) > _SHORT_MARK or any(char.isalnum() for char in value)
