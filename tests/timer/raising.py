"""A function that fails, and what a call raises."""

from __future__ import annotations


def fail(message, password=""):
    raise ValueError(message)


def raised_by(function, *args, **kwargs):
    """Call and return what is raised, of whatever class."""
    try:
        function(*args, **kwargs)
    except BaseException as exc:
        return exc
    return None
