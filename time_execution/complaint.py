"""Where in the configuration something stands, what is wrong with it, and how to say so without telling a secret.

A message names the key, the type of what was given and what would be right, never the value. The text of somebody
else's exception is passed on only when none of the secrets of the place occurs in it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from time_execution.exceptions import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from time_execution.formats.redaction import Redactor

_name_of = vars(type)["__qualname__"].__get__  # runs no code of the class's own
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class Place:
    """A key of the configuration, with the texts that no message about it may show.

    Args:
        where: How messages name it, for instance ``backends[1]``.
        spec: What stands there; the secrets in it are found and kept out of messages.
    """

    def __init__(self, where: str, spec: object = None) -> None:
        self.where = where
        self._secrets: set[str] = set()
        self.learn(spec)

    def learn(self, spec: object, *, name: str = "") -> None:
        """Keep the secrets in a value: credentials in URLs, and what stands under a name that says so."""
        for secret in _secrets_of(spec, name=name):
            self.keep_secret(secret)

    def keep_secret(self, text: str) -> None:
        """Let no message show a text, in whatever form it is quoted."""
        from urllib.parse import quote, unquote  # noqa: PLC0415 - takes time to import, and few settings have secrets

        plain = unquote(text)
        forms = {text, plain, quote(plain, safe=""), repr(plain)[1:-1]}
        self._secrets |= forms - {""}

    def error(self, complaint: str, *, at: str = "") -> ConfigurationError:
        """Return the error to raise for a complaint in our own words, ``at`` a part of the place such as ``[1]``."""
        return ConfigurationError(f"{self.where}{at}: {complaint}")

    def failure(self, doing: str, exc: Exception) -> ConfigurationError:
        """Return the error to raise for what somebody else's code raised, its cause unless that tells a secret.

        Raise it after the ``except`` block has ended: within, Python would hang the original on it all the same.

        Args:
            doing: What failed; empty when the exception itself says it.
            exc: What was raised.
        """
        before = f"{self.where}: {doing}: " if doing else f"{self.where}: "
        kind = MissingExtraError if isinstance(exc, MissingExtraError) else ConfigurationError
        texts = list(_texts_of(exc))
        if not all(map(self.shows, texts)):
            return kind(f"{before}{type(exc).__name__} (its text is withheld: it shows credentials)")
        text = _redactor().redact_text(str(exc))
        shown = text if isinstance(exc, ConfigurationError) else f"{type(exc).__name__}: {text}"
        error = kind(f"{before}{shown}")
        if all(_redactor().redact_text(text) == text for text in texts):
            error.__cause__ = exc
        return error

    def shows(self, text: str) -> bool:
        """Whether a text holds none of the secrets, and so may be shown."""
        return not any(secret in text for secret in self._secrets)


class UnfitError(ValueError):
    """A value is not what a key takes; ``wanted`` says what would be right, ``at`` where in the value it went wrong."""

    def __init__(self, wanted: str, *, at: str = "", got: str | None = None) -> None:
        super().__init__(wanted)
        self.wanted = wanted
        self.at = at
        self.got = got


def suggestion(name: str, known: Collection[str]) -> str:
    """Return ``"; did you mean …?"`` when a known name is close, otherwise nothing."""
    import difflib  # noqa: PLC0415 - takes time to import, and is needed only when something is wrong

    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def kind_of(value: object) -> str:
    """Return the type of a value with its article, as messages show it in the value's place."""
    if value is None:
        return "None"
    name: str = _name_of(type(value))
    return f"{'an' if name.startswith(tuple('aeiouAEIOU')) else 'a'} {name}"


def _secrets_of(spec: object, *, name: str = "") -> Iterator[str]:
    if isinstance(spec, Mapping):
        for key, value in spec.items():
            yield from _secrets_of(value, name=str(key))
    elif isinstance(spec, (list, tuple)):
        for item in spec:
            yield from _secrets_of(item, name=name)
    elif isinstance(spec, str):
        if name and _redactor().is_secret(name):
            yield spec
        yield from _secrets_of_url(spec)


def _secrets_of_url(text: str) -> Iterator[str]:
    """Find the credentials in what may be a URL, also in one so malformed that a parser would look elsewhere."""
    rest = text.partition("://")[2] or text
    credentials, at, _ = rest.rpartition("@")
    if at:
        user, colon, password = credentials.partition(":")
        # An unescaped '/', '?' or '#' cuts the password short, and errors show the piece.
        secret = password if colon else user
        yield secret
        yield from re.split(r"[/?#:@&=]", secret)
    for pair in rest.partition("?")[2].split("&"):
        name, _, value = pair.partition("=")
        if _redactor().is_secret(name):
            yield value


def _redactor() -> Redactor:
    """Import the redactor when it is first needed: most programs configure nothing that could hold a secret."""
    from time_execution.formats.redaction import REDACTOR  # noqa: PLC0415 - see above

    return REDACTOR


def _texts_of(exc: BaseException) -> Iterator[str]:
    """Yield every text that a traceback of an exception shows for it and for those it came from."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [exc]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield str(current)
        yield repr(current)
        yield from getattr(current, "__notes__", ())
        waiting += [current.__cause__, current.__context__, *getattr(current, "exceptions", ())]
