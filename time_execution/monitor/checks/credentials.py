"""What of a URL with a login may be shown, and what may not."""

from __future__ import annotations

import re
from typing import Any

from time_execution.complaint import Place
from time_execution.formats.redaction import REDACTOR
from time_execution.monitor.health_outcome import Outcome, failure, outcome_of_exception


class Credentials:
    """Keeps the secrets of a target out of outcomes and representations. Immutable and thread-safe.

    Args:
        target: A URL, or anything else, which has no secrets that we know of.

    Attributes:
        shown: The URL without login and query, in quotes; or the class of what it is.
    """

    def __init__(self, target: Any) -> None:
        self._place = Place("target", target)
        self.shown = repr(_bare(target)) if isinstance(target, str) else f"<{type(target).__name__}>"

    def failure(self, exc: BaseException, cause: BaseException | None = None) -> Outcome:
        """Return the outcome of a check that raised; where its text holds a secret, one that tells the type only.

        Args:
            exc: What was raised.
            cause: What the client's driver raised, whose text is shown instead.
        """
        told = exc if cause is None else cause
        if self._place.shows(str(told)) and self._place.shows(repr(told)):
            return outcome_of_exception(told)
        kind = type(told).__name__
        return failure(f"{kind} (its text is withheld: it shows credentials)", kind)


def _bare(url: str) -> str:
    """Return a URL without login and query."""
    scheme, separator, rest = url.partition("://")
    rest = re.split("[?#]", rest.rpartition("@")[2], maxsplit=1)[0]
    return REDACTOR.redact_text(f"{scheme}{separator}{rest}")
