"""A database that is not there yet, and a backend that will make it and delete nothing."""

from __future__ import annotations

import logging

import pytest

from tests.backends.sqlite_rows import FOREVER
from time_execution.backends.sqlite import SQLiteBackend


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.db"


@pytest.fixture
def backend(path):
    with SQLiteBackend(path, **FOREVER) as backend:
        yield backend


@pytest.fixture
def wake_loggers(monkeypatch):
    """Let loggers log everything, whatever programs that other tests ran have made of them."""

    def wake(*names):
        for name in names:
            logger = logging.getLogger(name)
            for attribute, value in {"disabled": False, "level": logging.DEBUG}.items():
                monkeypatch.setattr(logger, attribute, value)
            logger.manager._clear_cache()

    return wake
