"""Programs and modules as ``time-execution run`` finds them: by link, zipped, compiled, with loaders of their own."""

from __future__ import annotations

import importlib
import os
import py_compile
import sys
import types
import zipfile
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import pytest

from tests.kept import Kept
from time_execution.backends.threaded import ThreadedBackend
from time_execution.tracing import Program, ProgramMissingError, Selection, Tracer
from time_execution.tracing.importer import Importer
from time_execution.tracing.program import _set_path
from time_execution.tracing.rewrite import instrument


@pytest.fixture
def tracer():
    """A tracer of modules called ``traced_…`` that runs while the test does."""
    store = Kept()
    tracer = Tracer(Selection(["traced_*"]), ThreadedBackend(store, bulk_timeout=0.01))
    before = set(sys.modules)
    tracer.start()
    yield SimpleNamespace(it=tracer, store=store)
    tracer.stop()
    tracer._backend.close()
    for name in set(sys.modules) - before:
        del sys.modules[name]


class CustomLoader:
    """A loader that makes modules in a way of its own."""

    def create_module(self, _spec):
        """Leave it to the machinery."""

    def exec_module(self, module):
        """Give it a function."""
        module.f = lambda: 42


class CustomFinder:
    """Finds one module."""

    def find_spec(self, fullname, _path=None, _target=None):
        """Return its spec."""
        return ModuleSpec(fullname, CustomLoader()) if fullname == "traced_own" else None  # type: ignore[arg-type]


def test_module_with_a_loader_of_its_own_is_left_alone_and_told(tracer, monkeypatch):
    """Whoever made the loader relies on what it does."""
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, CustomFinder()])
    assert importlib.import_module("traced_own").f() == 42
    assert (tracer.it.skipped, tracer.it.functions) == (["traced_own"], [])


def test_compiled_module_in_a_zip_file_is_left_alone_and_told(tracer, tmp_path, monkeypatch):
    """There is no source to take apart; beside it, what has some is measured."""
    (tmp_path / "traced_source.py").write_text("def f():\n    return 1\n")
    (tmp_path / "traced_compiled.py").write_text("def f():\n    return 2\n")
    py_compile.compile(str(tmp_path / "traced_compiled.py"), cfile=str(tmp_path / "traced_compiled.pyc"))
    with zipfile.ZipFile(tmp_path / "modules.zip", "w") as file:
        for name in ("traced_source.py", "traced_compiled.pyc"):
            file.write(tmp_path / name, name)
    monkeypatch.syspath_prepend(str(tmp_path / "modules.zip"))
    assert [importlib.import_module(name).f() for name in ("traced_source", "traced_compiled")] == [1, 2]
    assert (tracer.it.skipped, tracer.it.functions) == (["traced_compiled"], ["traced_source.f"])


def test_module_that_is_too_deep_to_be_taken_apart_is_loaded_as_ever_and_told(tmp_path, monkeypatch):
    """A source that Python can compile runs, measured or not."""
    (tmp_path / "traced_deep.py").write_text("def f():\n    return 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def too_deep(*_):
        raise RecursionError

    importer = Importer(Selection(["traced_deep.*"]).concerns, too_deep)
    monkeypatch.setattr(sys, "meta_path", [importer, *sys.meta_path])
    try:
        assert importlib.import_module("traced_deep").f() == 3
    finally:
        sys.modules.pop("traced_deep", None)
    assert importer.skipped == {"traced_deep"}


def test_generator_that_is_closed_has_not_failed(tracer, tmp_path, monkeypatch):
    """Neither one that is closed nor one whose consumer is done with it."""
    (tmp_path / "traced_generator.py").write_text("def f():\n    yield 1\n    yield 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    generator = importlib.import_module("traced_generator").f()
    next(generator)
    generator.close()
    assert tracer.it._backend.flush(10.0)
    assert [("error_type" in metric, metric["name"]) for metric in tracer.store.metrics] == [
        (False, "traced_generator.f")
    ]


def test_tracer_may_be_stopped_twice_and_without_a_start(tracer):
    """Whoever cleans up need not know how far it came."""
    tracer.it.stop()
    tracer.it.stop()
    assert tracer.it._importer not in sys.meta_path


def test_failure_of_a_function_that_looks_at_its_variables_is_one(tracer, tmp_path, monkeypatch):
    """It is measured in another way, and its exception is noted all the same."""
    (tmp_path / "traced_looking.py").write_text("def f(x):\n    y = 1 / x\n    return locals()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("traced_looking")
    assert module.f(1) == {"x": 1, "y": 1.0}
    with pytest.raises(ZeroDivisionError):
        module.f(0)
    assert tracer.it._backend.flush(10.0)
    assert [metric.get("error_type") for metric in tracer.store.metrics] == [None, "ZeroDivisionError"]


@pytest.mark.parametrize(
    "source",
    [
        "def f(x): return x\n",
        "def f(x):\n    return x\n",
        'def f(x):\n    """Doc."""\n',
        "def f(x):\n    return locals()\n",
    ],
    ids=["one line", "one statement", "docstring", "variables"],
)
def test_short_function_has_no_line_beyond_its_last(source):
    """Instrumented code has no line that the function does not have."""
    module = types.ModuleType("m")
    series = SimpleNamespace(clock=lambda: 1, end=lambda _: None)
    code = instrument(source.encode(), "m.py", "m", is_wanted=lambda _: True, series_of=lambda _: series)
    exec(code, module.__dict__)
    lines = {line for _, _, line in module.f.__code__.co_lines() if line is not None}
    assert max(lines) <= len(source.splitlines())


@pytest.fixture
def _own_system(monkeypatch):
    """Give back what loading a program changes."""
    monkeypatch.setattr(sys, "argv", ["time-execution"])
    monkeypatch.setattr(sys, "path", ["of time-execution", *sys.path])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.mark.usefixtures("_own_system")
def test_script_behind_a_link_imports_what_lies_beside_it(tmp_path):
    """Not what lies beside the link; tracebacks and ``sys.argv`` show the link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "script.py").write_text("pass\n")
    (tmp_path / "real" / "beside.py").write_text("pass\n")
    link = tmp_path / "link.py"
    link.symlink_to(tmp_path / "real" / "script.py")
    program = Program(str(link), ["argument"])
    assert program.default_patterns() == ["__main__.*", "beside.*", "script.*"]
    code = program.load(lambda source, filename, _: compile(source, filename, "exec"))
    assert (code.co_filename, sys.argv) == (str(link), [str(link), "argument"])
    assert sys.path[0] == os.path.realpath(tmp_path / "real")


@pytest.mark.usefixtures("_own_system")
@pytest.mark.parametrize("is_safe", [False, True])
def test_safe_path_is_kept(monkeypatch, is_safe):
    """Under ``python -P`` there is no folder of the program in front, and so none to replace."""
    known = {name: getattr(sys.flags, name) for name in dir(sys.flags) if not name.startswith("_")}
    monkeypatch.setattr(sys, "flags", SimpleNamespace(**known | {"safe_path": is_safe}))
    _set_path("of the program")
    assert sys.path[0] == ("of time-execution" if is_safe else "of the program")


def test_name_that_no_file_can_have_is_a_missing_program():
    """It is told as any other that is not there."""
    with pytest.raises(ProgramMissingError, match="embedded null"):
        Program("a\0b").default_patterns()


@pytest.mark.usefixtures("_own_system")
def test_zip_file_that_is_called_as_a_script_is_run_as_one(tmp_path):
    """As ``python`` does, which looks at what it is."""
    with zipfile.ZipFile(tmp_path / "program.py", "w") as file:
        file.writestr("__main__.py", "made = 5\n")
    code = Program(str(tmp_path / "program.py")).load(lambda source, name, _: compile(source, name, "exec"))
    assert code.co_names == ("made",)
