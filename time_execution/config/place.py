"""Values that are out of place in a configuration: the error for one, and what may have been meant."""

from __future__ import annotations


class UnfitError(ValueError):
    """A value is not what a key takes; ``wanted`` says what would be right, ``at`` where in the value it went wrong."""

    def __init__(self, wanted: str, *, at: str = "", got: str | None = None) -> None:
        super().__init__(wanted)
        self.wanted = wanted
        self.at = at
        self.got = got


def suggestion(name: str, known: list[str]) -> str:
    """Return ``"; did you mean …?"`` when a known name is close, otherwise nothing."""
    import difflib  # noqa: PLC0415 - takes time to import, and is needed only when something is wrong

    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
