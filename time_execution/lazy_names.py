"""Names of a package that are imported when they are first asked for (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package, which keeps in it what was found once.

    Args:
        package: The package's name.
        homes: Name -> the module below the package that has it.

    Example:
        >>> getattr_of_formats = lazy_names("time_execution.formats", {"bucket_of": "histogram"})
        >>> getattr_of_formats("bucket_of")(1.0)
        2748
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, found)
        return found

    return load
