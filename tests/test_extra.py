"""What is said where an optional client is missing."""

from __future__ import annotations

import importlib
import sys

import pytest

from time_execution.exceptions import MissingExtraError
from time_execution.extra import extra


def test_a_missing_client_is_named_with_what_installs_it():
    """The error is an ImportError, names the module, and says what to type."""
    with (
        pytest.raises(
            MissingExtraError, match=r"no_such_client is not installed: pip install 'timeexecution\[kafka\]'"
        ),
        extra("kafka"),
    ):
        importlib.import_module("no_such_client")
    assert issubclass(MissingExtraError, ImportError)


def test_what_a_client_itself_lacks_is_named(tmp_path, monkeypatch):
    """A client that is there but misses a package of its own is told by that package's name."""
    (tmp_path / "half_a_client.py").write_text("import its_own_need\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match="its_own_need is not installed"), extra("product"):
        importlib.import_module("half_a_client")
    assert "half_a_client" not in sys.modules


def test_any_other_failure_passes():
    """An error in the client's code is not taken for its absence."""
    with pytest.raises(ZeroDivisionError), extra("product"):
        _ = 1 / 0
