"""Backends that say when they are closed, made in every way that settings take; and a measured function."""

from __future__ import annotations

from typing import ClassVar

import pytest

from time_execution import time_execution


class Owned:
    """A backend that says when it is closed; made without arguments."""

    made: ClassVar[list[Owned]] = []

    def __init__(self) -> None:
        self.metrics: list[str] = []
        self.closed = 0
        Owned.made.append(self)

    def write(self, name, **data):
        self.metrics.append(name)

    def close(self):
        self.closed += 1


class FailingClose(Owned):
    """A backend that cannot be closed."""

    def close(self):
        super().close()
        raise OSError("close")


def make_owned() -> Owned:
    """Make one, as a factory does."""
    return Owned()


@pytest.fixture(autouse=True)
def nothing_made():
    """Forget the backends of earlier tests; at work in each module that imports it."""
    Owned.made.clear()


@time_execution(name="work")
def work():
    """Do nothing, measured."""
    return 7


def hook(**_):
    """Add a field."""
    return {"hooked": True}
