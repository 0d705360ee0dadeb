"""What can be set: every setting with its default, its check and what it means.

Checks look at values that have their types; turning text into them is `time_execution.config.text`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from time_execution.backends.base import is_backend
from time_execution.complaint import URL, Place, UnfitError, kind_of, suggestion
from time_execution.types import HOOK_ERROR, HOSTNAME, NAME, ORIGIN, TIMESTAMP

if TYPE_CHECKING:
    from time_execution.exceptions import ConfigurationError

Check = Callable[[Any], Any]
_T = TypeVar("_T")
_LONGEST_WORD = 20


def _backends(value: Any) -> tuple[Any, ...]:
    wanted = "a backend (instance, class, import path, URL, dict with 'class', or factory) or a list of them"
    items = _items(value)
    for index, item in enumerate(items):
        if not (isinstance(item, (str, Mapping)) or callable(item) or is_backend(item)):
            raise UnfitError(wanted, at=f"[{index}]", got=kind_of(item))
    return items


def _hooks(value: Any) -> tuple[Any, ...]:
    items = _items(value)
    for index, item in enumerate(items):
        if not (isinstance(item, str) or callable(item)):
            raise UnfitError("a hook (callable or import path) or a list of them", at=f"[{index}]", got=kind_of(item))
    return items


def _patterns(value: Any) -> tuple[str, ...]:
    items = _items(value)
    for index, item in enumerate(items):
        if not isinstance(item, str) or not item:
            raise UnfitError("a pattern such as 'package.*' or a list of them", at=f"[{index}]", got=kind_of(item))
    return items


def _items(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _flag(value: Any) -> bool:
    return _of(value, bool, "True or False")


def _optional_text(value: Any) -> str | None:
    return None if value is None else _of(value, str, "a str or None")


def _hostname(value: Any) -> str | None:
    if value == "":
        raise UnfitError("a str that is not empty, or None", got="an empty str")
    return _optional_text(value)


def _duration_field(value: Any) -> str:
    wanted = "the name of the field that holds the duration"
    if _of(value, str, wanted) in {"", NAME, HOSTNAME, TIMESTAMP, ORIGIN, HOOK_ERROR}:
        raise UnfitError(wanted, got="an empty str" if value == "" else "the name of another core field")
    return str(value)


def _rate(value: Any) -> float:
    wanted = "a number from 0 to 1"
    if not 0 <= _of(value, (int, float), wanted) <= 1:
        raise UnfitError(wanted, got=f"{kind_of(value)} out of that range")
    return float(value)


def _interval(value: Any) -> float:
    wanted = "a number of seconds, 0 or more"
    if not 0 <= _of(value, (int, float), wanted) < math.inf:
        raise UnfitError(wanted, got=f"{kind_of(value)} out of that range")
    return float(value)


def _setting(check: Check, *, default: Any) -> Any:
    return field(default=default, metadata={"check": check})


def _of(value: Any, kind: type[_T] | tuple[type[_T], ...], wanted: str) -> _T:
    """Return a value of the kind; a bool is no number."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UnfitError(wanted)
    return value


@dataclass(frozen=True, slots=True, repr=False)
class Values:
    """One value for each setting; immutable, and shared between threads. `settings.Settings` says what each means.

    Its `repr` shows a backend that is still a URL or a dict by its scheme or class alone.
    """

    backends: tuple[Any, ...] = _setting(_backends, default=())
    hooks: tuple[Any, ...] = _setting(_hooks, default=())
    duration_field: str = _setting(_duration_field, default="value")
    origin: str | None = _setting(_optional_text, default=None)
    hostname: str | None = _setting(_hostname, default=None)
    raise_errors: bool = _setting(_flag, default=False)
    enabled: bool = _setting(_flag, default=True)
    sample_rate: float = _setting(_rate, default=1.0)
    include: tuple[str, ...] = _setting(_patterns, default=())
    exclude: tuple[str, ...] = _setting(_patterns, default=())
    log_interval: float = _setting(_interval, default=10.0)

    def shown(self, title: str) -> str:
        """Return all settings as text under a title, without what a URL or a dict of a backend may hold."""
        shown = {item.name: repr(getattr(self, item.name)) for item in fields(self)}
        shown["backends"] = _listed(map(_shown, self.backends))
        return f"{title}({', '.join(f'{name}={text}' for name, text in shown.items())})"

    def __repr__(self) -> str:
        """Return all settings."""
        return self.shown(type(self).__name__)


FIELDS: Mapping[str, Check] = {item.name: item.metadata["check"] for item in fields(Values)}
"""Every setting by name, with the check that returns the value to use."""


def validate(mapping: Mapping[str, Any], *, source: str = "settings.configure()") -> dict[str, Any]:
    """Return the settings of a mapping, checked and in the types that `Values` has.

    Only the keys given are returned. Backends and hooks are checked in shape and stay what they were: making them is
    for `resolve_backend` and `resolve_hook`. The mapping is not changed.

    Args:
        mapping: Settings by name.
        source: Where they come from, as messages name it.

    Raises:
        ConfigurationError: When a key is unknown or a value is not what it takes.
    """
    if not isinstance(mapping, Mapping):
        raise Place(source).error(f"expected a mapping of settings, got {kind_of(mapping)}")
    return {name: check(name, value, Place(f"{source}: {name}")) for name, value in mapping.items()}


def check(name: str, value: Any, place: Place) -> Any:
    """Return the value of one setting as `Values` has it.

    Raises:
        ConfigurationError: When there is no such setting, or the value is not what it takes.
    """
    if name not in FIELDS:
        raise unknown(name, place)
    try:
        return FIELDS[name](value)
    except UnfitError as exc:
        complaint, at = f"expected {exc.wanted}, got {exc.got or kind_of(value)}", exc.at
    raise place.error(complaint, at=at)


def expect(wanted: str, value: object, *, where: str, is_right: bool, is_word: bool = False) -> None:
    """Refuse an argument that is wrong, for those who configure one thing rather than all.

    Args:
        wanted: What would be right.
        value: What was given; only its type is shown.
        where: The argument, as messages name it.
        is_right: Whether it is.
        is_word: Whether one of a few words is wanted; then a word is shown that is none of them, for it is no secret.

    Raises:
        ConfigurationError: When it is not.
    """
    if not is_right:
        got = "an empty str" if value == "" else kind_of(value)
        if is_word and isinstance(value, str) and value.isidentifier() and len(value) <= _LONGEST_WORD:
            got = repr(value)
        raise Place(where).error(f"expected {wanted}, got {got}")


def expect_length(value: object, *, where: str) -> None:
    """Refuse what is no number of characters; see `expect`."""
    expect("a number of characters from 1 on", value, where=where, is_right=type(value) is int and value >= 1)


def unknown(name: object, place: Place) -> ConfigurationError:
    """Return the error for a setting that does not exist, with the nearest that does."""
    names = sorted(FIELDS)
    return place.error(f"unknown setting{suggestion(str(name), names)} (there are {', '.join(names)})")


def _listed(texts: Iterable[str]) -> str:
    """Return texts as the `repr` of a tuple has them."""
    listed = list(texts)
    return f"({', '.join(listed)}{',' * (len(listed) == 1)})"


def _shown(spec: Any) -> str:
    if isinstance(spec, Mapping):
        return "{…}"
    if not isinstance(spec, str):
        return repr(spec)
    url = URL.match(spec)
    is_path = spec.replace(".", "").isidentifier()
    return repr(f"{url[1]}://…" if url else spec if is_path else "…")
