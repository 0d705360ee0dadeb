"""Which functions are measured: patterns on their fully qualified names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

_WILDCARD = re.compile(r"[*?[]")
_OWN_PACKAGE = "time_execution"


class Selection:
    """Patterns (`fnmatch`) of names to measure, and of names not to. Immutable.

    Args:
        include: A function is measured when one of these matches ``module.qualname``, without ``<locals>``.
        exclude: Unless one of these does.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str] = ()) -> None:
        self.include = tuple(include)
        self.exclude = tuple(exclude)
        self._prefixes = tuple(_WILDCARD.split(pattern, maxsplit=1)[0] for pattern in include)

    def matches(self, name: str) -> bool:
        """Whether a function of this name is measured."""
        if not any(fnmatchcase(name, pattern) for pattern in self.include):
            return False
        return not any(fnmatchcase(name, pattern) for pattern in self.exclude)

    def concerns(self, module: str) -> bool:
        """Whether a module may hold functions that are measured; quick, and at times wrong in saying yes."""
        if module.partition(".")[0] == _OWN_PACKAGE:
            return False
        start = f"{module}."
        return any(start.startswith(prefix) or prefix.startswith(start) for prefix in self._prefixes)
