"""Documents that clash with the mapping of their index: for the moment, or for good.

Shards change the mapping of an index side by side. Where a field is new, and one document has a text in it and another
a number, both may ask for it: one of the two is refused, and taken as soon as it comes again, by then under the mapping
of the other. A document that clashes with itself, such as ``{"sizes": [{"x": 1}, {"x": "y"}]}`` where no template keeps
objects out of the mapping, is refused in the same words for good. So each has a number of chances, and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Of 5 and 6; of 7, 8 and OpenSearch; of all, where one of the two is an object.
_is_clash = re.compile(
    r"mapper \[.*\] (?:of different type|cannot be changed from type)|can't merge an? .*mapping",
    re.IGNORECASE | re.DOTALL,
).match
_KIND = "illegal_argument_exception"
_MAX_CLASHES = 10
_MAX_KNOWN = 100_000


def is_clash(kind: str, reason: str) -> bool:
    """Whether a refusal says that another document has just made the mapping, or the document itself, another one.

    Args:
        kind: The error's type.
        reason: The server's words.
    """
    return kind == _KIND and _is_clash(reason) is not None


class Clashes:
    """Counts how often each document that is not settled has clashed; thread-safe, and bounded."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def is_hopeless(self, key: str) -> bool:
        """Count one more clash of the document with this ``_id``; tell whether it has had all its chances."""
        count = self._counts.pop(key, 0) + 1
        if count >= _MAX_CLASHES:
            return True
        if len(self._counts) >= _MAX_KNOWN:
            self._counts.clear()
        self._counts[key] = count
        return False

    def forget(self, keys: Iterable[str]) -> None:
        """Forget documents that are settled."""
        if self._counts:
            for key in keys:
                self._counts.pop(key, None)
