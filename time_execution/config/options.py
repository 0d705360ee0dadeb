"""The options of a backend that is named rather than made: which constructor takes each, and in which type.

An option is the backend's own where its constructor knows the name, otherwise delivery's (`ThreadedBackend`). Values
may point elsewhere: ``env:NAME`` at an environment variable, ``ext://package.name`` at a Python object, and
``<option>_file`` at a file that holds the value of an option.
"""

from __future__ import annotations

import inspect
import os
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple, cast

from time_execution.backends.registry import THREADED_BACKEND, import_string
from time_execution.complaint import UnfitError, suggestion
from time_execution.config.text import convert
from time_execution.exceptions import ConfigurationError

if typing.TYPE_CHECKING:
    from time_execution.complaint import Place

# Names under which delivery's options can be told from a backend's own, or say more.
_ALIASES = {"linger": "bulk_timeout", "queue_max_bytes": "max_bytes"}
_NOT_FOR_USERS = {"backend", "backend_args", "backend_kwargs", "clock"}


@dataclass(slots=True)
class Arranged:
    """Options by who takes them.

    Attributes:
        own: Keyword arguments of the backend.
        delivery: Keyword arguments of the `ThreadedBackend` around it.
        switches: ``threaded``, when the configuration asks for it (True) or refuses it (False).
    """

    own: dict[str, Any] = field(default_factory=dict)
    delivery: dict[str, Any] = field(default_factory=dict)
    switches: dict[str, Any] = field(default_factory=dict)

    def is_threaded(self, *, default: bool) -> bool:
        """Whether a `ThreadedBackend` goes around the backend: as said, else when it has options, else as usual."""
        return bool(self.switches.get("threaded", default or bool(self.delivery)))


class _Taker(NamedTuple):
    """Who takes an option, under which name and annotation."""

    group: Literal["own", "delivery", "switches"]
    name: str
    hint: Any


def arrange(
    options: Mapping[str, Any], target: Callable[..., Any], place: Place, *, implied: Mapping[str, Any] | None = None
) -> Arranged:
    """Sort options by who takes them, and turn each text into what its parameter is annotated with.

    Args:
        options: By name; a value that is no text is passed on as it is.
        target: The backend's class or factory.
        place: Where the options stand.
        implied: Values for options of the backend's own that are not given; those it does not name are left out.

    Raises:
        ConfigurationError: When nobody knows an option, when one is given twice, or when a text does not fit.
    """
    own, takes_any = _parameters(target)
    known = {name: _Taker("own", name, hint) for name, hint in own.items()}
    if not options.keys() <= known.keys():
        known = _delivery() | known
    arranged, inner = Arranged(), backend_options(target)
    for given, written in options.items():
        # What a backend of its own is made of is read where that is made.
        as_it_is = given in inner and not isinstance(written, str)
        name, value = (given, written) if as_it_is else _read(given, written, known, place)
        taker = known.get(name) or (_Taker("own", name, Any) if takes_any else None)
        if taker is None:
            raise _unknown(name, known, place)
        group = getattr(arranged, taker.group)
        if taker.name in group:
            raise place.error(f"option {taker.name!r} is given twice")
        group[taker.name] = _fit(value, taker, place)
    if arranged.delivery and not arranged.is_threaded(default=False):
        raise place.error(f"option {next(iter(arranged.delivery))!r} has no meaning with threaded=false")
    arranged.own = {name: value for name, value in (implied or {}).items() if name in own} | arranged.own
    return arranged


def backend_options(target: Any) -> frozenset[str]:
    """Return the options of a backend that stand for backends themselves, in any form that a configuration has."""
    return frozenset(getattr(target, "backend_options", ()))


def _delivery() -> dict[str, _Taker]:
    parameters, _ = _parameters(import_string(THREADED_BACKEND))
    takers = {name: _Taker("delivery", name, hint) for name, hint in parameters.items() if name not in _NOT_FOR_USERS}
    takers |= {alias: takers[name] for alias, name in _ALIASES.items() if name in takers}
    return takers | {"threaded": _Taker("switches", "threaded", bool)}


def _parameters(target: Callable[..., Any]) -> tuple[dict[str, Any], bool]:
    """Return the annotations of what can be passed by keyword, and whether any other keyword is taken, too."""
    function: Any = target
    if isinstance(target, type):
        # Not the class itself: there, some Python versions prefer a ``__new__`` that only checks and takes anything.
        function = cast("Any", target).__init__
        if function is object.__init__:
            return {}, False
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, and does not say what it takes
        return {}, True
    parameters = list(signature.parameters.values())[isinstance(target, type) :]
    namespace = getattr(inspect.unwrap(function), "__globals__", {})
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    hints = {parameter.name: _hint(parameter, namespace) for parameter in parameters if parameter.kind in by_keyword}
    return hints, any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)


def _hint(parameter: inspect.Parameter, namespace: dict[str, Any]) -> Any:
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        is_telling = parameter.default is not inspect.Parameter.empty and parameter.default is not None
        return type(parameter.default) if is_telling else Any
    try:
        return typing.get_type_hints(SimpleNamespace(__annotations__={"it": annotation}), namespace)["it"]
    except (AttributeError, NameError, TypeError):
        return str  # a name that exists for type checkers only: the constructor will know what to make of a text


def _read(name: str, value: Any, known: Mapping[str, _Taker], place: Place) -> tuple[str, Any]:
    """Follow what a value points at: return the option that is meant, and its value."""
    if not isinstance(name, str):
        raise place.error("the name of an option must be a str")
    target = name.removesuffix("_file")
    if name not in known and target in known and isinstance(value, (str, os.PathLike)):
        return target, read_secret(value, place, name=f"option {name!r}")
    return name, _follow(value, place, name)


def read_secret(path: str | os.PathLike[str], place: Place, *, name: str) -> str:
    """Return the text of a file without the end of its last line; no message will show it.

    Raises:
        ConfigurationError: When the file cannot be read; the path is not shown, lest somebody wrote the secret itself.
    """
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "no text in UTF-8"
    else:
        place.keep_secret(text)
        return text
    raise place.error(f"{name} must be the path of a file that holds the value; it cannot be read: {reason}")


def _follow(value: Any, place: Place, name: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _follow(item, place, f"{name} {key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_follow(item, place, name) for item in value]
    if isinstance(value, str) and value.startswith("env:"):
        variable = value.removeprefix("env:")
        if variable not in os.environ:
            raise place.error(f"option {name!r} must name an environment variable that is set, as in env:NAME")
        place.learn(os.environ[variable], name=f"{name} {variable}")
        return os.environ[variable]
    if isinstance(value, str) and value.startswith("ext://"):
        try:
            return import_string(value.removeprefix("ext://"))
        except ConfigurationError as exc:
            failure = place.failure(f"option {name!r}", exc)
        raise failure
    return value


def _fit(value: Any, taker: _Taker, place: Place) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return convert(value, taker.hint, name=taker.name)
    except UnfitError as exc:
        complaint = f"option {taker.name!r} must be {exc.wanted}, got {exc.got}"
    raise place.error(complaint)


def _unknown(name: str, known: Mapping[str, _Taker], place: Place) -> ConfigurationError:
    own = ", ".join(sorted(name for name, taker in known.items() if taker.group == "own")) or "none"
    others = ", ".join(sorted(name for name, taker in known.items() if taker.group != "own"))
    shown = f"{name!r}{suggestion(name, known)}" if name.isidentifier() and place.shows(name) else "(not a name)"
    return place.error(f"unknown option {shown} (its own: {own}; of delivery: {others})")
