"""A profiler's configuration as a dict: read, checked, and made into handlers before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from time_execution.argument_check import check_switches
from time_execution.backends.factory import attempt
from time_execution.backends.registry import import_string
from time_execution.complaint import Place, kind_of, suggestion
from time_execution.config.options import arrange
from time_execution.exceptions import ConfigurationError
from time_execution.profiler._trouble import checked_logger
from time_execution.signature import mismatch, shape_of

SWITCHES = ("time_profile", "response_size_profile", "handle_records", "error_raised_label")
_OLDER = {"request_size_profile": "response_size_profile"}
_KEYS = ("job", "logger", *SWITCHES, "handlers")
_FOREIGN, _OURS = "phanos.", "time_execution.profiler."
_EXTERNAL = "ext://"


def read_settings(settings: Any, where: str) -> dict[str, Any]:
    """Return settings by their names of today, each of the right type.

    Args:
        settings: Those of `Profiler.config`, and ``handlers``.
        where: How messages name it.

    Raises:
        ConfigurationError: When a key is unknown, or a value is of the wrong type.
    """
    if not isinstance(settings, Mapping):
        raise ConfigurationError(f"{where}: expected a dict of settings, got {kind_of(settings)}")
    found: dict[str, Any] = {}
    for given, value in settings.items():
        key = _OLDER.get(given, given) if isinstance(given, str) else ""
        if key not in _KEYS:
            close = suggestion(str(given), (*_KEYS, *_OLDER))
            raise ConfigurationError(f"{where}: there is no setting {given!r}{close} (there are {', '.join(_KEYS)})")
        # Given by both names, either one switches it on.
        found[key] = value or found[key] if key in found else value
    check_switches(**{f"{where}: {key}": found[key] for key in SWITCHES if key in found})
    if not isinstance(found.get("job", ""), str):
        raise ConfigurationError(f"{where}: job must be a text, not {kind_of(found['job'])}")
    if found.get("logger") is not None:
        found["logger"] = checked_logger(found["logger"])
    return found


def create_handlers(configs: Any) -> dict[str, Any]:
    """Return the handlers that a dict describes: reference -> handler.

    Args:
        configs: Reference -> ``{"class": import path or class, "handler_name": …, **arguments}``. A path that begins
            with ``phanos.`` means the handler of that name here. A value ``ext://module.name`` stands for the object
            of that path, ``env:NAME`` for an environment variable.

    Raises:
        ConfigurationError: When a handler cannot be made, or is none; no message shows a password.
        MissingExtraError: When a handler needs a client that is not installed.
    """
    if not isinstance(configs, Mapping):
        raise ConfigurationError(f"handlers: expected a dict of handlers, got {kind_of(configs)}")
    return {reference: _made(configs[reference], f"handlers[{reference!r}]") for reference in configs}


def _made(config: Any, where: str) -> Any:
    place = Place(where, config)
    if not isinstance(config, Mapping) or "class" not in config:
        raise place.error("expected a dict with 'class', the import path of a handler")
    target = config["class"]
    if isinstance(target, str):
        target = import_external(target)
    if not callable(target):
        raise place.error(f"'class' must name a class, got {kind_of(target)}")
    arranged = arrange({key: value for key, value in config.items() if key != "class"}, target, place)
    arguments = {**arranged.own, **arranged.delivery}
    handler = attempt(target, (), arguments, place, doing=f"making {getattr(target, '__qualname__', 'it')} failed")
    return checked_handler(handler, where)


def import_external(full_name: str) -> Any:
    """Return what an import path names; ``phanos.handlers.StreamHandler`` and its like name what is here.

    Raises:
        ConfigurationError: When it leads nowhere.
    """
    path = full_name.removeprefix(_EXTERNAL)
    if path.startswith(_FOREIGN):
        path = f"{_OURS}{path.removeprefix(_FOREIGN)}"
    return import_string(path)


def checked_handler(handler: Any, where: str) -> Any:
    """Return what has the shape of a handler.

    Raises:
        ConfigurationError: When it has not.
    """
    name, handle = getattr(handler, "handler_name", None), getattr(handler, "handle", None)
    if isinstance(handler, type) or not isinstance(name, str) or not name or not callable(handle):
        shown = f"the class {handler.__qualname__}" if isinstance(handler, type) else kind_of(handler)
        wanted = "an object with a handler_name and a method handle(records, profiler_name)"
        raise ConfigurationError(f"{where}: expected {wanted}, got {shown}")
    if shape_of(handle) != "function":
        raise ConfigurationError(f"{where}: handle() of {kind_of(handler)} would never run, being no plain function")
    problem = mismatch(handle, [], name)
    if problem is not None:
        raise ConfigurationError(f"{where}: handle() of {kind_of(handler)} must take records and a name: {problem}")
    return handler
