"""The examples in the docstrings run, and show what really comes out."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import types

import pytest

import time_execution
from time_execution import settings
from time_execution.exceptions import MissingExtraError

MODULES = [
    "time_execution",
    *sorted(
        module.name
        for module in pkgutil.walk_packages(time_execution.__path__, "time_execution.", onerror=lambda _: None)
        if not module.name.endswith("__main__")
    ),
]


class Everywhere(doctest.DocTestFinder):
    """Finds the examples of decorated functions, too, whose globals are the decorator's."""

    def _from_module(self, module, found):
        if inspect.isfunction(found):
            found = inspect.unwrap(found)
        return super()._from_module(module, found)  # type: ignore[misc]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_show_what_comes_out(name, request, tmp_path, monkeypatch):
    """Each example is run as a reader would, in a folder of its own and with nothing configured."""
    monkeypatch.chdir(tmp_path)
    try:
        module: types.ModuleType = importlib.import_module(name)
    except MissingExtraError as exc:
        pytest.skip(str(exc))
    finder = Everywhere(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    # Some need a place for a file, and ask for it as they do when pytest itself runs them.
    for example in finder.find(module, name, extraglobs={"getfixture": request.getfixturevalue}):
        if example.examples:
            runner.run(example, out=report.append)
            settings.reset()
    assert runner.failures == 0, "".join(report)


def test_there_are_examples_to_run():
    """The core's own docstrings have examples, so that the test above has something to find."""
    from time_execution import decorator, naming, pipeline
    from time_execution.backends import base

    for module in (decorator, naming, pipeline, base):
        assert any(found.examples for found in Everywhere().find(module)), module.__name__
