"""Where settings come from when code does not give them: the environment, then a file.

Nothing here is read at import, and nothing is cached: each call looks again.
"""

from __future__ import annotations

import os
import sys
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from time_execution.complaint import Place, UnfitError
from time_execution.config.options import read_secret
from time_execution.config.schema import FIELDS, Values, check, unknown
from time_execution.config.text import convert, split_backends, split_list

PREFIX = "TIME_EXECUTION_"
TABLE_NAME = "time_execution"

RESERVED = frozenset({"CONFIG", "DISABLED"})
"""Variables that are no settings: the path of a file for `discover`, and the kill switch."""


def from_environment(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the settings of the environment, checked, in the types that `Values` has.

    ``TIME_EXECUTION_<SETTING>`` sets one; an empty variable is as good as none. Lists are parted by commas or white
    space, or are JSON. ``TIME_EXECUTION_<SETTING>_FILE`` names a file that holds the value. A backend may be given in
    parts: ``TIME_EXECUTION_BACKENDS__0__CLASS=sqlite``, ``TIME_EXECUTION_BACKENDS__0__PATH=metrics.db``.
    ``TIME_EXECUTION_DISABLED=1`` turns measuring off, whatever ``TIME_EXECUTION_ENABLED`` says.

    Args:
        environ: The variables; None takes those of the process.

    Raises:
        ConfigurationError: When a variable with our prefix is no setting, or its value is not what it takes.
    """
    variables = os.environ if environ is None else environ
    ours = {name.removeprefix(PREFIX): text for name, text in variables.items() if name.startswith(PREFIX) and text}
    found: dict[str, Any] = {}
    nested: dict[str, str] = {}
    for name, text in ours.items():
        if "__" in name:
            nested[name] = text
        elif name not in RESERVED:
            setting, value = _from_variable(name, text)
            if setting in found:
                raise Place(f"{PREFIX}{setting.upper()}").error("set it directly or by a file, not both")
            found[setting] = value
    if nested:
        if "backends" in found:
            raise Place(f"{PREFIX}BACKENDS").error("set it whole or in parts (BACKENDS__0__…), not both")
        found["backends"] = tuple(_from_parts(nested))
    if is_disabled(variables):
        found["enabled"] = False
    return found


def is_disabled(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the kill switch ``TIME_EXECUTION_DISABLED`` is set.

    Raises:
        ConfigurationError: When its value is neither true nor false.
    """
    text = (os.environ if environ is None else environ).get(f"{PREFIX}DISABLED")
    return bool(text and _from_text("enabled", text, Place(f"{PREFIX}DISABLED")))


def from_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the settings of a file, checked, in the types that `Values` has.

    Args:
        path: A ``.toml`` file with a table ``[time_execution]`` or ``[tool.time_execution]`` (the latter only in
            ``pyproject.toml``), or a ``.cfg`` or ``.ini`` file with a section ``[time_execution]``.

    Raises:
        ConfigurationError: When the file cannot be read, has no such table, or a setting is wrong.
    """
    path = Path(path)
    found = _settings_of(path)
    if found is None:
        raise Place(str(path)).error(f"it has no table {' or '.join(_tables(path))}")
    return found


def discover(directory: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Return the settings of the environment, over those of the project's file; an empty dict when there are none.

    The file is the one that ``TIME_EXECUTION_CONFIG`` names, otherwise ``pyproject.toml`` or else ``setup.cfg`` in the
    directory, the first of them that has a table of ours.

    Args:
        directory: Where to look for files; None looks in the working directory.

    Raises:
        ConfigurationError: When a variable or a file is wrong.
    """
    environment = from_environment()
    named = os.environ.get(f"{PREFIX}CONFIG")
    if named:
        return from_file(named) | environment
    for name in ("pyproject.toml", "setup.cfg"):
        path = Path(directory or ".") / name
        found = _settings_of(path) if path.is_file() else None
        if found is not None:
            return found | environment
    return environment


def defaults_when_nothing() -> list[str]:
    """Return the backends to use when nobody names any: an SQLite file in the working directory."""
    return ["sqlite:///metrics.db"]


def _from_variable(name: str, text: str) -> tuple[str, Any]:
    """Return setting and value of a variable, given by its name without the prefix."""
    place = Place(f"{PREFIX}{name}", text)
    setting = name.lower()
    if setting not in FIELDS and setting.removesuffix("_file") in FIELDS:
        setting = setting.removesuffix("_file")
        text = read_secret(text, place, name="it")
    if setting not in FIELDS:
        raise unknown(setting, place)
    return setting, _from_text(setting, text, place)


def _from_parts(nested: Mapping[str, str]) -> Iterator[Any]:
    """Yield the backends that are given in parts, in order of their numbers."""
    backends: dict[int, Any] = {}
    for name in sorted(nested):
        place = Place(f"{PREFIX}{name}", nested[name])
        head, number, *keys = name.split("__")
        if head != "BACKENDS" or not number.isdecimal() or not all(keys):
            raise place.error("only backends are given in parts, as in BACKENDS__0__CLASS")
        _put(backends, [int(number), *(key.lower() for key in keys)], nested[name], place)
    if sorted(backends) != list(range(len(backends))):
        raise Place(f"{PREFIX}BACKENDS").error("its parts must be numbered from 0 on, without gaps")
    yield from (backends[index] for index in sorted(backends))


def _put(tree: dict[Any, Any], keys: list[Any], text: str, place: Place) -> None:
    *parents, last = keys
    for key in parents:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise place.error("set a backend whole or in parts, not both")
    if last in tree:
        raise place.error("set a backend whole or in parts, not both")
    tree[last] = text


def _settings_of(path: Path) -> dict[str, Any] | None:
    """Return the settings of a file; None when it has no table of ours."""
    table = _table_of(path)
    if table is None:
        return None
    settings = {}
    for name, value in table.items():
        place = Place(f"{path.name} {_tables(path)[0]}: {name}", value)
        settings[name] = _from_text(name, value, place) if isinstance(value, str) else check(name, value, place)
    return settings


def _table_of(path: Path) -> Mapping[str, Any] | None:
    place = Place(str(path))
    if path.suffix not in {".toml", ".cfg", ".ini"}:
        raise place.error("expected a .toml, .cfg or .ini file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "no text in UTF-8"
    else:
        # A file that never names us need not even be well-formed.
        if TABLE_NAME not in text:
            return None
        return _table_of_toml(text, path, place) if path.suffix == ".toml" else _table_of_ini(text, place)
    raise place.error(f"it cannot be read: {reason}")


def _table_of_toml(text: str, path: Path, place: Place) -> Mapping[str, Any] | None:
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - takes time to import, and not everybody has a file
    else:
        import tomli as tomllib  # noqa: PLC0415 - as above
    try:
        document: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        complaint = f"it is no valid TOML: {exc}"
    else:
        tool = document.get("tool")
        table = tool.get(TABLE_NAME) if isinstance(tool, Mapping) else None
        if path.name != "pyproject.toml":
            table = document.get(TABLE_NAME, table)
        if table is None or isinstance(table, Mapping):
            return table
        complaint = f"{TABLE_NAME} must be a table"
    raise place.error(complaint)


def _table_of_ini(text: str, place: Place) -> Mapping[str, Any] | None:
    import configparser  # noqa: PLC0415 - takes time to import, and few have such a file

    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as exc:
        # The text of these errors repeats whole lines of the file.
        complaint = f"it is not well-formed: {type(exc).__name__}"
    else:
        return dict(parser[TABLE_NAME]) if parser.has_section(TABLE_NAME) else None
    raise place.error(complaint)


def _tables(path: Path) -> list[str]:
    if path.name == "pyproject.toml":
        return [f"[tool.{TABLE_NAME}]"]
    return [f"[{TABLE_NAME}]", f"[tool.{TABLE_NAME}]"] if path.suffix == ".toml" else [f"[{TABLE_NAME}]"]


def _from_text(name: str, text: str, place: Place) -> Any:
    """Return the value of a setting that is written as text."""
    if name not in FIELDS:
        raise unknown(name, place)
    try:
        if name == "backends":
            value: Any = split_backends(text)
        elif name in {"hooks", "include", "exclude"}:
            value = split_list(text)
        else:
            value = convert(text, typing.get_type_hints(Values)[name], name=name)
    except UnfitError as exc:
        complaint = f"expected {exc.wanted}, got {exc.got}"
    else:
        return check(name, value, place)
    raise place.error(complaint)
