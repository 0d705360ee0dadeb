"""Reads one value of any class by the methods of the built-in class that it stands on: the tools of `snapshot`.

A reader takes the value and the class in its method resolution order that the reader is for, and returns a plain value.
None runs code of the value's own class, and asking its class for anything would ask its metaclass: hence the getters.
"""

from __future__ import annotations

import sys
from codecs import utf_8_decode
from collections import deque
from collections.abc import Callable
from dataclasses import Field
from datetime import date, datetime, time, timedelta, timezone
from itertools import islice
from math import isfinite, nan
from types import GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any, TypeAlias

Reader: TypeAlias = Callable[[Any, Any], Any]

MAX_ITEMS = 100
MAX_TEXT = 16 * 1024
MAX_INT_BITS = 4096

# Room for the marker of what was cut.
_MARKER_TEXT = 64
# Libraries whose tables and arrays say their shape, by the first part of their class's module.
_SHAPED = frozenset(("cupy", "jax", "jaxlib", "pandas", "polars", "pyarrow", "scipy", "torch", "xarray"))
_PARTS = frozenset(("__getattr__", "__getattribute__", "columns", "index", "shape"))
# Time zones whose arithmetic is a library's, not a user's; by the first part of their class's module.
_KNOWN_ZONES = frozenset(("datetime", "zoneinfo", "pytz", "dateutil"))
# What NumPy calls its numbers: `dtype.name` would say it, and takes as long as all the rest.
_NUMPY_KINDS = {"i": "int", "u": "uint", "f": "float", "c": "complex"}
_MISSING = object()

mro_of: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
_module_of: Callable[[type], Any] = type.__dict__["__module__"].__get__
_name_of: Callable[[type], str] = type.__dict__["__qualname__"].__get__
_members_of: Callable[[type], Any] = type.__dict__["__dict__"].__get__


def reader_of(base: type, kind: type) -> Reader | None:
    """Return the reader for a class in the method resolution order of `kind`, or None to ask the next one."""
    return _READERS.get(id(base)) or _late_reader(base, kind)


def type_name(kind: type) -> str:
    """Return ``module.QualName`` of a class."""
    module = _module_of(kind)
    return f"{module if type(module) is str else '?'}.{_name_of(kind)}"


def describe(value: Any, _: Any = None) -> str:
    """Return what stands for a value that is not read: its class, and of a data frame or the like its shape."""
    kind = type(value)
    shape = None
    for base in mro_of(kind)[:-1]:
        if _library_of(base) in _SHAPED:
            shape = _shape_by(base, value)
        elif not _PARTS.isdisjoint(_members_of(base)):
            break  # a library's shape asks the value for its parts, which this class has made its own
        if shape is not None:
            break
    return f"<{type_name(kind)}>" if shape is None else f"<{type_name(kind)} shape={shape}>"


def _shape_by(base: type, value: Any) -> tuple[int, ...] | None:
    """Return the shape of a value by a class of a library that is known for it; of a subclass nothing is called."""
    module, getter = sys.modules.get(_module_of(base)), _members_of(base).get("shape")
    if type(module) is not ModuleType or module.__dict__.get(_name_of(base)) is not base or not _is_getter(getter):
        return None
    try:
        shape = tuple(getter.__get__(value))
    except Exception:  # noqa: BLE001 - a library's own code, of a version that is not known here
        return None
    return shape if all(type(size) is int for size in shape) else None


def _library_of(kind: type) -> str:
    module = _module_of(kind)
    return module.partition(".")[0] if type(module) is str else ""


def _is_getter(member: Any) -> bool:
    return type(member) in {property, GetSetDescriptorType}


def read_container(value: Any, _: Any) -> None:
    """Mark the classes that hold further values: those are the copier's to walk through."""


def read_int(value: int, _: Any = None) -> int | str:
    """Return an integer, or how long it is: one of a million digits takes seconds to write down."""
    bits = int.bit_length(value)
    return int.__int__(value) if bits <= MAX_INT_BITS else f"<int of {bits} bits>"


def read_attribute(value: Any, name: str) -> Any:
    """Return an attribute that the object itself holds, without its class's lookup; None if there is none."""
    found = _own_attribute(value, name)
    return None if found is _MISSING else found


def dataclass_attributes(value: Any, base: type) -> dict[str, Any] | None:
    """Return what an instance holds under the fields its dataclass declares and shows; None if `base` is no dataclass.

    A field declared with ``repr=False`` is one that its author does not want to see printed.
    """
    declared = _members_of(base).get("__dataclass_fields__")
    if type(declared) is not dict:
        return None
    shown = (name for name, field in islice(declared.items(), MAX_ITEMS) if type(field) is Field and field.repr is True)
    attributes = {name: found for name in shown if (found := _own_attribute(value, name)) is not _MISSING}
    if len(declared) > MAX_ITEMS:
        attributes["…"] = f"…[cut, {len(declared)} keys]"
    return attributes


def tuple_items(value: Any) -> dict[str, Any] | None:
    """Return what a named tuple holds, by name: names may tell that something is a secret; None of any other tuple."""
    for base in mro_of(type(value))[:-1]:
        names = _members_of(base).get("_fields")
        if names is not None:
            break
    else:
        return None
    length = tuple.__len__(value)
    if type(names) is not tuple or len(names) != length or any(type(name) is not str for name in names[:MAX_ITEMS]):
        return None
    items = dict(zip(names[:MAX_ITEMS], tuple.__iter__(value), strict=False))
    if length > MAX_ITEMS:
        items["…"] = f"…[cut, {length} keys]"
    return items


def _own_attribute(value: Any, name: str) -> Any:
    for base in mro_of(type(value)):
        members = _members_of(base)
        slot, attributes = members.get(name), members.get("__dict__")
        if type(slot) is MemberDescriptorType:
            try:
                return slot.__get__(value)
            except AttributeError:
                return _MISSING
        if type(attributes) is GetSetDescriptorType:
            found = dict.get(attributes.__get__(value), name, _MISSING)
            if found is not _MISSING:
                return found
    return _MISSING


def _late_reader(base: type, kind: type) -> Reader | None:
    """Return the reader of a class whose module is never imported from here, once somebody else has."""
    module_name = _module_of(base)
    readers = _LATE_READERS.get(module_name) if type(module_name) is str else None
    if readers is None:
        return None
    name, module = _name_of(base), sys.modules.get(module_name)
    read = readers.get(name)
    if read is None or type(module) is not ModuleType or module.__dict__.get(name) is not base:
        return None
    # A class written in Python reads its values through attributes, which a subclass may have made its own.
    return None if read is _read_text_of and base is not kind else read


def _read_str(value: str, _: Any) -> str:
    return str.__getitem__(value, slice(None))


def _read_float(value: float, _: Any) -> float:
    return float.__float__(value)


def _read_complex(value: complex, _: Any) -> str:
    return complex.__repr__(value)


def _read_bytes(value: bytes | bytearray, base: Any) -> str:
    """Return text: UTF-8, or what a bytes literal would hold."""
    start, length = bytes(base.__getitem__(value, slice(MAX_TEXT))), base.__len__(value)
    try:
        text, _ = utf_8_decode(start, "strict", length <= MAX_TEXT)
    except UnicodeDecodeError:
        text = repr(start)[2:-1]
    return text if length <= MAX_TEXT else f"{text[: MAX_TEXT - _MARKER_TEXT]}…[cut, {length} bytes]"


def _read_datetime(value: datetime, _: Any) -> datetime | str:
    plain = datetime.combine(datetime.date(value), datetime.time(value), timezone.utc)
    zone = _zone_of_datetime(value)
    if zone is None or zone is timezone.utc:
        return plain
    if not _is_known_zone(zone):
        return f"{plain.replace(tzinfo=None).isoformat()}[{type_name(type(zone))}]"
    try:
        return plain.replace(tzinfo=zone, fold=_fold_of_datetime(value)).astimezone(timezone.utc)
    except (OverflowError, ValueError):
        return plain


def _read_date(value: date, _: Any) -> str:
    return date.isoformat(value)


def _read_time(value: time, _: Any) -> str:
    zone = _zone_of_time(value)
    if type(value) is time and (zone is None or _is_known_zone(zone)):
        return value.isoformat()
    return describe(value)


def _is_known_zone(zone: Any) -> bool:
    return _library_of(type(zone)) in _KNOWN_ZONES


def _read_timedelta(value: timedelta, _: Any) -> float:
    return timedelta.total_seconds(value)


def _read_decimal(value: Any, decimal: Any) -> float | str:
    """Return the nearest float, for what stays a number can be summed in any store."""
    if decimal.__sizeof__(value) > MAX_TEXT:
        return describe(value)
    if decimal.is_nan(value):
        return nan
    number: float = decimal.__float__(value)
    return number if isfinite(number) or decimal.is_infinite(value) else str(decimal.__str__(value))


def _read_numpy_scalar(value: Any, generic: Any) -> Any:
    plain = generic.item(value)
    return plain if type(plain) in {bool, int, float} else describe(value)


def _read_numpy_array(value: Any, array: Any) -> str:
    shape, dtype = array.shape.__get__(value), array.dtype.__get__(value)
    kind = _NUMPY_KINDS.get(dtype.kind)
    name = dtype.str if kind is None else f"{kind}{dtype.itemsize * 8}"
    return f"<{type_name(type(value))} shape={shape} dtype={'bool' if dtype.kind == 'b' else name}>"


def _read_text_of(value: Any, _: Any) -> str:
    return str(value)


_zone_of_datetime = datetime.__dict__["tzinfo"].__get__
_fold_of_datetime = datetime.__dict__["fold"].__get__
_zone_of_time = time.__dict__["tzinfo"].__get__

# By identity, for a class's hash and equality are its metaclass's. These classes live as long as the interpreter.
_READERS: dict[int, Reader] = {
    id(str): _read_str,
    id(float): _read_float,
    id(int): read_int,
    id(complex): _read_complex,
    id(bytes): _read_bytes,
    id(bytearray): _read_bytes,
    id(datetime): _read_datetime,
    id(date): _read_date,
    id(time): _read_time,
    id(timedelta): _read_timedelta,
    **{id(base): read_container for base in (dict, list, tuple, deque, set, frozenset)},
}
_PATHS: dict[str, Reader] = dict.fromkeys(
    ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath"), _read_text_of
)
_LATE_READERS: dict[str, dict[str, Reader]] = {
    "decimal": {"Decimal": _read_decimal},
    "uuid": {"UUID": _read_text_of},
    "pathlib": _PATHS,
    "pathlib._local": _PATHS,
    "numpy": {"ndarray": _read_numpy_array, "generic": _read_numpy_scalar},
}
