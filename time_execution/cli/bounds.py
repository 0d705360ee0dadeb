"""Numbers as people type them as the value of an option, held to bounds."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a parser of whole numbers, for argparse.

    Args:
        least: The least that is taken.
        most: The most that is taken; None for no end.
    """
    bounds = f"of {least} or more" if most is None else f"from {least} to {most}"

    def parse(text: str) -> int:
        with suppress(ValueError):
            number = int(text)
            if number >= least and (most is None or number <= most):
                return number
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number {bounds}")

    return parse


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Return a parser of times in seconds, for argparse.

    Args:
        least: The least that is taken.
        most: The most that is taken.
    """

    def parse(text: str) -> float:
        with suppress(ValueError):
            number = float(text)
            if least <= number <= most:
                return number
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from {least:g} to {most:g}")

    return parse
