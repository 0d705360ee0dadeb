"""Takes secrets out of values and texts before they leave the calling thread.

What is masked: whatever stands under a telling key (``password``, ``X-Api-Key``, ``sessionToken`` …) at any depth, and
in every text what looks like a secret (tokens of well-known services, JSON web tokens, private keys, passwords in
URLs) or stands behind a telling key (``?token=…``, ``password: …``, headers, the repr of a dict). The first errs on
the side of masking; `Redactor` takes exceptions to it. No I/O, and no code of the values is run but the hash of what
stands in a set or is a dict's key.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from time_execution.exceptions import ConfigurationError
from time_execution.formats._secret_key import MAX_KEY, KeyRule, Secrecy, words
from time_execution.formats._secret_text import KEY_HINTS, SEPARATORS, SHAPE_HINTS, SHAPES, Shape, mask_assignments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MASK = "***"
MAX_DEPTH = 32
MAX_ITEMS = 10_000
MAX_TEXT = 65_536

_PLAIN = frozenset({int, float, bool, type(None)})
_ROWS: tuple[type[Any], ...] = (list, set, frozenset)
_PAIR = 2
# What a text begins with that says how much was cut, here and in snapshots; and the most characters it has.
_CUT = "…[cut, "
_LONGEST_MARK = 48
_KEYS_KEPT = 4096
_QUOTES = 2

LONGEST_WORD = 512
"""The longest secret that is recognised by its end, and may lie across the place where a text is cut."""


class Redactor:
    """Returns copies of values and texts with the secrets in them masked.

    Immutable once made; thread-safe, fork-safe, never blocks. Time is linear in the size of what is redacted, whatever
    it holds.

    Args:
        keys: Further keys that are secret, as a person would write them: ``"tenant_code"`` also stands for
            ``tenantCode`` and ``X-Tenant-Code``.
        allow: Keys that are not secret in this application, compared whole, in any of their spellings.
        patterns: Further regular expressions; masked is their group ``secret``, or all they match. They must not be
            among those whose time explodes.
        mask: Stands in for each secret.
        max_text: Texts are cut to so many characters, and say so.

    Raises:
        ConfigurationError: When a key has no letter or digit, a pattern is no regular expression, or a string stands
            where a list is wanted.

    Example:
        >>> Redactor(keys=["tenant_code"]).redact({"tenantCode": 17, "token_count": 5, "url": "redis://:pw@host"})
        {'tenantCode': '***', 'token_count': 5, 'url': 'redis://:***@host'}
    """

    def __init__(
        self,
        keys: Iterable[str] = (),
        allow: Iterable[str] = (),
        *,
        patterns: Iterable[str | re.Pattern[str]] = (),
        mask: str = MASK,
        max_text: int = MAX_TEXT,
    ) -> None:
        secret = [_key_words("keys", key) for key in _listed("keys", keys)]
        allowed = frozenset(_key_words("allow", key) for key in _listed("allow", allow))
        rule = KeyRule(secret, allowed)
        self.mask = mask
        self.secrecy = lru_cache(_KEYS_KEPT)(rule.secrecy)
        self.safe_key = lru_cache(_KEYS_KEPT)(self._masked)
        self._hints = (*KEY_HINTS, *(max(parts, key=len) for parts in secret))
        self._patterns = tuple(_compiled(pattern) for pattern in _listed("patterns", patterns))
        self._max_text = max_text

    def is_secret(self, key: str) -> bool:
        """Say whether a value under this key is masked (if it is no number, for keys such as ``tokens``)."""
        return self.secrecy(key[:MAX_KEY]) is not Secrecy.NONE

    def redact(self, value: Any, *, max_text: int | None = None, max_total: float = math.inf) -> Any:
        """Return a copy of a value in which every secret is masked; the value itself is not changed.

        Dicts, lists, tuples and sets are copied, of their subclasses too, without calling any method of those. They
        are cut past 10 000 items in all and masked below 32 levels. Under a telling key everything is masked but None
        and booleans. An object of any other class is returned as it is: take a snapshot first.

        Args:
            value: Anything.
            max_text: Cut each text to so many characters.
            max_total: Cut texts, and leave items out, when about so many characters are there; the rest is not looked
                at, so it costs nothing.
        """
        return _Copy(self, max_text, max_total).of(value, 0)

    def redact_text(self, text: str, *, max_text: int | None = None) -> str:
        """Return a text, a traceback for instance, with the secrets in it masked.

        Args:
            text: Any text. What it ends in is left out when a snapshot has cut it: it may be half a secret.
            max_text: Cut the text to so many characters and say so; None takes what the redactor was made with.
        """
        size = self._max_text if max_text is None else max_text
        length = len(text)
        # What follows the cut is looked at, too: half a secret is not recognised as one.
        is_torn = length > size + LONGEST_WORD
        if is_torn:
            text = text[: size + LONGEST_WORD]
        if text.endswith("]"):
            text = _without_torn_word(text)
        masked = self._masked(text)
        if length <= size:
            return masked
        # Masks are shorter than secrets, so what was cut in the middle of a word may have come before the cut.
        end = min(size, _start_of_last_word(masked, len(masked))) if is_torn else size
        return f"{masked[:end]}{_CUT}{length} characters]"

    def _masked(self, text: str) -> str:
        lowered = text.lower()
        masked = text
        if _has_any(lowered, SHAPE_HINTS):
            for shape in SHAPES:
                if _has_any(lowered, shape.hints):
                    masked = shape.mask(masked, self.mask)
        if SEPARATORS.search(text) and _has_any(lowered, self._hints):
            masked = mask_assignments(masked, self.secrecy, self.mask)
        for pattern in self._patterns:
            masked = pattern(masked, self.mask)
        return masked


class _Copy:
    """One copy being made: counts what it has visited, so that a cycle ends."""

    def __init__(self, redactor: Redactor, max_text: int | None, max_total: float) -> None:
        self._redactor = redactor
        self._max_text = max_text
        self._left = MAX_ITEMS
        self._room = max_total

    def of(self, value: Any, depth: int) -> Any:
        """Return the redacted copy of a value."""
        if type(value) in _PLAIN:
            return value
        if isinstance(value, str):
            return self._of_text(str.__str__(value))
        if isinstance(value, (bytes, bytearray)):
            return self._of_bytes(bytes(value))
        if isinstance(value, (dict, tuple, *_ROWS)):
            return self._of_container(value, depth) if depth < MAX_DEPTH else self._redactor.mask
        return value

    def _of_text(self, text: str) -> str:
        size = self._max_text
        if len(text) > self._room:
            size = int(max(0, self._room if size is None else min(size, self._room)))
        masked = self._redactor.redact_text(text, max_text=size)
        self._room -= len(masked)
        return masked

    def _of_container(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return self._of_dict(value, depth)
        if isinstance(value, tuple):
            return self._of_tuple(value, depth)
        kind = next(kind for kind in _ROWS if isinstance(value, kind))
        return kind(self._of_items(kind.__iter__(value), kind.__len__(value), depth))

    def _of_dict(self, value: dict[Any, Any], depth: int) -> dict[Any, Any]:
        copy: dict[Any, Any] = {}
        shown = 0
        for key, item in list(islice(dict.items(value), max(0, self._left))):
            if self._room <= 0:
                break
            name = self._key(key)  # first: it is shown first, and what it takes is not there for the value
            copy[name] = self._under(key, item, depth)
            shown += 1
        if dict.__len__(value) > shown:
            copy["…"] = f"{_CUT}{dict.__len__(value)} keys]"
        return copy

    def _of_tuple(self, value: tuple[Any, ...], depth: int) -> tuple[Any, ...]:
        """Copy a tuple; a pair may be a header, and a named tuple has keys."""
        size = tuple.__len__(value)
        names = getattr(type(value), "_fields", None)
        if isinstance(names, tuple) and len(names) == size:
            named = (self._under(name, item, depth) for name, item in zip(names, tuple.__iter__(value), strict=True))
            return tuple.__new__(type(value), named)
        if _is_pair(value, tuple):
            return tuple(self._of_pair(tuple.__iter__(value), depth))
        return tuple(self._of_items(tuple.__iter__(value), size, depth))

    def _of_pair(self, pair: Iterator[Any], depth: int) -> list[Any]:
        key, value = pair
        return [self._key(key), self._under(key, value, depth)]

    def _of_items(self, values: Iterator[Any], size: int, depth: int) -> list[Any]:
        """Copy what stands in a row; a row of lists may be headers, and an option tells what the next item is."""
        items = list(islice(values, max(0, self._left)))
        copy: list[Any] = []
        option: str | None = None
        for item in items:
            if self._room <= 0:
                break
            is_pair = _is_pair(item, list)
            copy.append(self._of_pair(list.__iter__(item), depth) if is_pair else self._under(option, item, depth))
            option = item if isinstance(item, str) and item.startswith("--") else None
        if size > len(copy):
            copy.append(f"{_CUT}{size} items]")
        return copy

    def _under(self, key: Any, value: Any, depth: int) -> Any:
        """Return what may be shown under a key."""
        self._left -= 1
        self._room -= _QUOTES  # or a comma and a blank: what any value takes when it is shown
        level = self._redactor.secrecy(_key_text(key))
        if level is Secrecy.NONE or value is None or isinstance(value, bool):
            return self.of(value, depth + 1)
        if level is Secrecy.UNLESS_NUMBER and isinstance(value, (int, float)):
            return value
        return self._redactor.mask

    def _key(self, key: Any) -> Any:
        if isinstance(key, str) and len(key) <= MAX_KEY:
            self._room -= len(key)
            return self._redactor.safe_key(str.__str__(key))
        return self.of(key, MAX_DEPTH - 1)

    def _of_bytes(self, value: bytes) -> bytes:
        text = value.decode("latin-1")
        masked = self._of_text(text)
        return value if masked is text else masked.encode("latin-1", "replace")


def _has_any(text: str, hints: tuple[str, ...]) -> bool:
    for hint in hints:  # noqa: SIM110 - any() and a generator take three times as long
        if hint in text:
            return True
    return False


def _is_pair(value: Any, kind: type[Any]) -> bool:
    """Say whether this is a list or tuple of two texts, as headers come."""
    if not isinstance(value, kind) or kind.__len__(value) != _PAIR:
        return False
    return all(isinstance(item, (str, bytes)) for item in kind.__iter__(value))


def _key_text(key: Any) -> str:
    if isinstance(key, str):
        return str.__str__(key)[:MAX_KEY]
    return key[:MAX_KEY].decode("latin-1") if isinstance(key, bytes) else ""


def _without_torn_word(text: str) -> str:
    """Leave out the last word of a text that was cut: half a secret is not recognised as one."""
    end = text.rfind(_CUT, -_LONGEST_MARK)
    return text if end < 0 else text[: _start_of_last_word(text, end)] + text[end:]


def _start_of_last_word(text: str, end: int) -> int:
    start = max(0, end - LONGEST_WORD)
    blank = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
    return start if blank < 0 else blank + 1


def _listed(option: str, values: Iterable[Any]) -> list[Any]:
    if isinstance(values, (str, bytes, re.Pattern)):
        raise ConfigurationError(f"{option} takes a list, not a single {type(values).__name__}")
    return list(values)


def _key_words(option: str, key: Any) -> tuple[str, ...]:
    parts = words(key) if isinstance(key, str) else ()
    if not parts:
        raise ConfigurationError(
            f"{option} takes keys with a letter or digit, and one of {type(key).__name__} has none"
        )
    return parts


def _compiled(pattern: str | re.Pattern[str]) -> Callable[[str, str], str]:
    try:
        return Shape((), re.compile(pattern)).mask
    except (re.error, TypeError) as exc:
        raise ConfigurationError(f"patterns takes regular expressions, and one is none: {exc}") from exc


REDACTOR = Redactor()
"""The redactor with the built-in keys and shapes, used wherever none is given."""
