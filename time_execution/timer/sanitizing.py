"""What is done to texts before they are written: the user's own function, called so that its failure tells nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from time_execution.config import expect
from time_execution.formats.redaction import REDACTOR
from time_execution.guard import Failed, Step, faults, label_of
from time_execution.settings import current
from time_execution.timer.inside_hooks import attempt

FAILED = "<sanitizer failed>"
"""Stands in for a text whose sanitizer failed."""

_DIGIT = re.compile(r"\d")


def sanitizer(text: str) -> str:
    """Return a text with an asterisk for each digit, and with whatever looks like a secret masked.

    For ``sanitize_func``; built-in redaction does the latter also without it.

    Example:
        >>> sanitizer("card 4111, password=hunter2")
        'card ****, password=***'
    """
    return _DIGIT.sub("*", REDACTOR.redact_text(text))


class Sanitizing:
    """Calls the function that a user gave to clean texts, if any. Thread-safe, if that is.

    Args:
        function: Takes a text and returns one; None leaves texts as they are.
        where: How messages name it.

    Raises:
        ConfigurationError: When it cannot be called.
    """

    def __init__(self, function: Callable[[str], str] | None, *, where: str) -> None:
        wanted, is_right = "a callable that takes a text and returns one", function is None or callable(function)
        expect(wanted, function, where=f"{where}: sanitize_func", is_right=is_right)
        self.function = function
        self._label = label_of(function)

    def __call__(self, text: str) -> str:
        """Return the clean text, or what says that cleaning failed, which is counted as a hook's fault."""
        if self.function is None:
            return text
        raises = current().values.raise_errors
        step = Step(self.function, kind="hook", label=self._label, raises=raises, told="sanitizer")
        found: Any = attempt(step, text)
        kind = type(found)  # and not what an object says that it is
        if issubclass(kind, str):
            return str.__str__(found)
        if kind is not Failed:
            faults.count("hook", self._label, "returned no text")
        return FAILED
