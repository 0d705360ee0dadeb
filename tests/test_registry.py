"""The lazy table of backends, and import paths."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from time_execution.backends import registry
from time_execution.backends.registry import TABLE, Product, import_string, load
from time_execution.exceptions import ConfigurationError, MissingExtraError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Make packages on the path from their files."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def make(**modules):
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source)

    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("scheme", sorted(TABLE))
def test_every_scheme_stands_for_a_backend(scheme):
    """Each row's class can be imported, and can be written to."""
    assert callable(load(scheme).write)


def test_every_extra_of_the_table_exists():
    """What an error tells the user to install is an extra of this distribution."""
    parser = configparser.RawConfigParser()
    parser.read(ROOT / "setup.cfg")
    extras = {entry.extra for entry in TABLE.values()} - {None}
    assert extras <= set(parser["options.extras_require"])


def test_the_table_imports_no_backend():
    """Knowing the schemes costs no import of what they stand for."""
    code = (
        "import sys, time_execution.backends.registry as it;"
        "print([entry.path for entry in it.TABLE.values() if entry.path.rpartition('.')[0] in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]"


def test_an_unknown_scheme_lists_those_there_are():
    """The error names all schemes."""
    with pytest.raises(ConfigurationError, match=r"no backend is called 'sqlight'; there are .*sqlite"):
        load("sqlight")


def test_a_missing_client_says_which_extra_to_install(package, monkeypatch):
    """A backend whose client is not installed is a `MissingExtraError`, which is an `ImportError`, too."""
    package(uses_a_client="import client_that_nobody_has")
    monkeypatch.setitem(registry.TABLE, "product", Product("uses_a_client.Backend", extra="product"))
    with pytest.raises(
        MissingExtraError, match=r"client_that_nobody_has.*pip install 'timeexecution\[product\]'"
    ) as caught:
        load("product")
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_what_the_module_says_of_its_missing_client_is_passed_on(package, monkeypatch):
    """A backend's own `MissingExtraError` reaches the user as it is."""
    package(says_so="from time_execution.exceptions import MissingExtraError\nraise MissingExtraError('install it')")
    monkeypatch.setitem(registry.TABLE, "product", Product("says_so.Backend", extra="product"))
    for attempt in (lambda: load("product"), lambda: import_string("says_so.Backend")):
        with pytest.raises(MissingExtraError, match=r"^install it$"):
            attempt()


def test_a_backend_without_an_extra_has_no_missing_client(package, monkeypatch):
    """A module that fails to import for another reason is not blamed on an extra."""
    package(broken="import client_that_nobody_has")
    monkeypatch.setitem(registry.TABLE, "product", Product("broken.Backend"))
    with pytest.raises(ConfigurationError, match="client_that_nobody_has") as caught:
        load("product")
    assert not isinstance(caught.value, MissingExtraError)


def test_what_the_module_says_of_a_client_it_looked_for_is_passed_on(package, monkeypatch):
    """Also where it says so because an import failed."""
    package(
        looks_for="from time_execution.exceptions import MissingExtraError\n"
        "try:\n    import client_that_nobody_has\n"
        "except ImportError as exc:\n    raise MissingExtraError('install it') from exc\n"
    )
    monkeypatch.setitem(registry.TABLE, "product", Product("looks_for.Backend", extra="product"))
    with pytest.raises(MissingExtraError, match=r"^install it$"):
        load("product")


@pytest.mark.parametrize(
    ("source", "says"),
    [("import time_execution.nowhere", "time_execution.nowhere"), ("raise RuntimeError('at import')", "at import")],
    ids=["lacks one of ours", "fails otherwise"],
)
def test_nothing_is_to_be_installed_where_no_client_is_missing(package, monkeypatch, source, says):
    """A module of our own that is not there, and one that fails for another reason, are mistakes of another kind."""
    package(fails_otherwise=source)
    monkeypatch.setitem(registry.TABLE, "product", Product("fails_otherwise.Backend", extra="product"))
    with pytest.raises(ConfigurationError, match=says) as caught:
        load("product")
    assert not isinstance(caught.value, MissingExtraError)


def test_module_in_a_package_says_itself_what_it_lacks(tmp_path, monkeypatch):
    """That its package can be imported without it does not make it an absent attribute."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "package_of_two"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "lacking.py").write_text("import client_that_nobody_has")
    try:
        with pytest.raises(ConfigurationError, match=r"importing package_of_two\.lacking failed: .*nobody_has"):
            import_string("package_of_two.lacking.Backend")
    finally:
        sys.modules.pop("package_of_two", None)


def test_import_paths_reach_nested_attributes():
    """Dots lead through packages, modules and classes; a colon may stand for one."""
    assert import_string("collections.abc.Mapping.get") is __import__("collections").abc.Mapping.get
    assert import_string("os.path:join") is __import__("os").path.join


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere_at_all.Thing", "there is no module nowhere_at_all"),
        ("os.nothing", "os has no 'nothing'"),
        ("collections.abc.Nope.get", "collections.abc has no 'Nope'"),
        ("os", "expected an import path such as"),
        ("", "expected an import path such as"),
        ("a..b", "expected an import path such as"),
        ("needs_more.Thing", "importing needs_more failed: No module named 'not_there'"),
        ("explodes.Thing", "importing explodes failed: RuntimeError: at import"),
    ],
)
def test_a_wrong_import_path_says_what_is_wrong(package, path, message):
    """Malformed, absent, incomplete and failing modules each have a message of their own."""
    package(needs_more="import not_there", explodes="raise RuntimeError('at import')")
    with pytest.raises(ConfigurationError, match=message):
        import_string(path)


def test_a_text_that_is_no_import_path_is_not_shown():
    """A URL that lost its scheme may hold a password, so the message does not repeat it."""
    with pytest.raises(ConfigurationError) as caught:
        import_string("user:hunter2@host/index")
    assert "hunter2" not in str(caught.value)
