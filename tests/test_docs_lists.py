"""What documents list is compared with the code, so that nothing is missing and nothing is invented."""

from __future__ import annotations

import inspect
import re

import pytest

from tests.documents import ROOT, links_of, section, text_of
from time_execution import hooks
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.memory import MemoryBackend
from time_execution.backends.registry import TABLE, load
from time_execution.backends.threaded import ThreadedBackend
from time_execution.config import FIELDS


def test_readme_has_a_row_for_each_backend():
    """The table of backends names each that exists, with its URL, and no other."""
    readme = text_of("README.rst")
    for scheme, entry in TABLE.items():
        assert f"``{scheme}://" in readme, scheme
        assert f"``{entry.path.rpartition('.')[2]}``" in readme
    shown = set(re.findall(r"``(\w+)://", readme))
    assert shown <= TABLE.keys()
    classes = {entry.path.rpartition(".")[2] for entry in TABLE.values()}
    assert set(re.findall(r"\b\w+Backend\b", readme)) <= classes | {"ThreadedBackend", "BaseMetricsBackend"}


@pytest.mark.parametrize("scheme", TABLE)
def test_backends_document_names_each_option(scheme):
    """Every parameter of a backend's constructor stands in its page, or in docs/backends.rst if it has none."""
    page = f"docs/backends/{scheme}.rst"
    text = text_of(page if (ROOT / page).exists() else "docs/backends.rst")
    parameters = list(inspect.signature(load(scheme).__init__).parameters)[1:]
    assert f"{scheme}://" in text
    for parameter in parameters:
        assert f"``{parameter}``" in text, parameter


def test_settings_document_names_each_setting():
    """Every setting has its entry in docs/settings.rst, with its environment variable."""
    text = text_of("docs/settings.rst")
    for name in FIELDS:
        assert f"``{name}``" in text, name
    variables = set(re.findall(r"TIME_EXECUTION_([A-Z_]+?)(?:__|\b)", text)) - {"CONFIG", "DISABLED"}
    assert {name.lower().removesuffix("_file") for name in variables} <= FIELDS.keys()


def test_hooks_document_names_each_ready_made_hook():
    """Every public name of time_execution.hooks stands in docs/hooks.rst."""
    text = text_of("docs/hooks.rst")
    for name in hooks.__all__:
        assert f"``{name}" in text, name


def test_delivery_document_names_each_option_with_its_default():
    """Every option of ThreadedBackend stands in docs/delivery.rst with the default it has."""
    text = text_of("docs/delivery.rst")
    for name, parameter in list(inspect.signature(ThreadedBackend.__init__).parameters.items())[1:]:
        if name in {"backend", "backend_args", "backend_kwargs", "clock"}:
            continue
        row = re.search(rf"^   \* - ``{name}``\n     - (.+)$", text, re.MULTILINE)
        assert row, name
        default = parameter.default
        shown = row[1].strip("`").replace(" MiB", "").replace('"', "")
        assert shown == str(default // 1024**2 if name == "max_bytes" else default), name


def test_delivery_document_names_each_key_of_stats():
    """Every key of stats() has its row in docs/delivery.rst, and every row a key."""
    store = MemoryBackend()
    store.stats = dict  # so that the key for what the backend says itself is there
    with ThreadedBackend(store) as backend:
        keys = set(backend.stats())
    rows = re.findall(r"^   \* - (``.+``)$", section("docs/delivery.rst", "Accounting"), re.MULTILINE)
    assert {key for row in rows for key in re.findall(r"``(\w+)``", row)} == keys


def test_custom_backends_document_names_each_exception_and_method():
    """Every exception that delivery acts on, and every method of the base class, stands in the document."""
    from time_execution import exceptions

    text = text_of("docs/custom_backends.rst")
    classes = [kind for kind in vars(exceptions).values() if isinstance(kind, type)]
    names = [kind.__name__ for kind in classes if issubclass(kind, exceptions.BackendError)]
    names += [name for name in vars(BaseMetricsBackend) if not name.startswith("_")]
    for name in names:
        assert f"``{name}" in text, name


def test_architecture_names_files_that_exist():
    """Paths in docs/architecture.rst lead to files and folders of this project."""
    paths = re.findall(r"``((?:time_execution|tests|docs|examples)/[\w./*-]*)``", text_of("docs/architecture.rst"))
    assert len(paths) > 10
    for path in paths:
        assert list(ROOT.glob(path.rstrip("/"))), path


def test_index_leads_to_every_document():
    """docs/index.rst has a link to each other document."""
    documents = {path.name for path in (ROOT / "docs").glob("*.rst")}
    assert documents - {"index.rst"} <= {*links_of(ROOT / "docs/index.rst")}


# ---- what the first screen of the README promises ------------------------------------------------------------------
