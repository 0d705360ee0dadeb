"""Hooks in force, with a backend that keeps what they made; and the outcome of a call as hooks are told it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.kept import Kept
from time_execution import settings


@pytest.fixture
def measured() -> Callable[..., list[dict[str, Any]]]:
    """Configure the given hooks; returns the list in which metrics arrive."""

    def configure(*hooks: Any) -> list[dict[str, Any]]:
        # Not `with settings(...)`: threads that a test starts must see it, too.
        kept = Kept()
        settings.configure(backends=[kept], hooks=list(hooks))
        return kept.metrics

    return configure


@pytest.fixture
def outcome() -> Callable[..., dict[str, Any]]:
    """Return the keyword arguments of a hook for a call that ended in some way."""

    def make(response: Any = None, exception: BaseException | None = None, **given: Any) -> dict[str, Any]:
        return {
            "response": response,
            "exception": exception,
            "metric": {"name": "app.view", "value": 1.5},
            "func": len,
            "func_args": (),
            "func_kwargs": {},
            **given,
        }

    return make
