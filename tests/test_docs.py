"""Documents are programs: what README.rst and docs/ show is run, and the README's first promises are held."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import (
    DIRECTIVES,
    DOCUMENTS,
    ROOT,
    RUN,
    TIMEOUT,
    blocks_of,
    execute,
    is_run,
    links_of,
    names_of,
    run_document,
    section,
    servers_of,
    text_of,
)
from time_execution import settings, time_execution
from time_execution.backends.registry import load

# tests/cli/test_demo.py runs that one, and looks at what it shows.
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.name != "demo.py")


@pytest.mark.parametrize("path", DOCUMENTS, ids=names_of(DOCUMENTS))
def test_document_parses_without_a_complaint(path):
    """No document has a warning of docutils, and its comments before blocks are ones that this module knows."""
    for block in blocks_of(path):
        assert not block.directive or block.directive.startswith(DIRECTIVES), (block.where, block.directive)
        if block.directive.startswith("not run:"):
            assert len(block.directive) > len("not run: why"), f"{block.where}: say why it is not run"


@pytest.mark.parametrize("path", DOCUMENTS, ids=names_of(DOCUMENTS))
def test_links_within_the_project_lead_somewhere(path):
    """A link to another document or file names one that is there."""
    for link in links_of(path):
        target = link.partition("#")[0]
        if target and ":" not in target:
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("path", RUN, ids=names_of(RUN))
def test_blocks_do_what_the_document_says(path, tmp_path):
    """Every block that needs no server runs, in order, and prints what is shown."""
    programs = [block for block in blocks_of(path) if is_run(block) and not servers_of(block)]
    assert run_document(path, tmp_path) == len(programs)


@pytest.mark.parametrize("path", RUN, ids=names_of(RUN))
def test_files_that_are_shown_are_used(path):
    """A block that is written to a file is named by a later block that runs, so it runs too."""
    blocks = blocks_of(path)
    for number, block in enumerate(blocks):
        if block.directive.startswith("file: ") and block.language == "python":
            stem = Path(block.directive.removeprefix("file: ")).stem
            assert any(is_run(later) and stem in later.text for later in blocks[number + 1 :]), block.where


@pytest.mark.parametrize("path", DOCUMENTS, ids=names_of(DOCUMENTS))
def test_make_targets_exist(path):
    """A `make` command that a document shows is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shown = re.findall(r"(?:\$ |``)make ([a-z][a-z-]*)", path.read_text(encoding="utf-8"))
    assert set(shown) <= targets


@pytest.mark.parametrize("path", EXAMPLES, ids=names_of(EXAMPLES))
def test_examples_run(path, tmp_path):
    """Every example runs as it stands, and leaves nothing but in its working folder."""
    before = set(path.parent.iterdir())
    assert execute([sys.executable, str(path)], tmp_path, path.name).strip()
    assert {item for item in path.parent.iterdir() if item.name != "__pycache__"} <= before


# ---- what the first screen of the README promises ------------------------------------------------------------------


def test_promise_results_and_exceptions_are_untouched():
    """Whatever hooks and backends do, a measured call returns the same object or raises the same one."""

    class Broken:
        def write(self, name, **data):
            raise RuntimeError("backend")

    def broken(**context):
        context["metric"].clear()
        raise RuntimeError("hook")

    result, error = object(), LookupError("mine")

    @time_execution
    def call(*, fail):
        if fail:
            raise error
        return result

    with settings(backends=[Broken()], hooks=[broken]):
        assert call(fail=False) is result
        with pytest.raises(LookupError) as caught:
            call(fail=True)
    assert caught.value is error
    assert error.__context__ is None


def test_promise_the_standard_library_is_enough(tmp_path):
    """The quick start and the report run without any other package, and load none."""
    quick_start = next(block.text for block in blocks_of(ROOT / "README.rst") if block.language == "python")
    (tmp_path / "hello.py").write_text(quick_start, encoding="utf-8")
    check = (
        f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); runpy.run_path('hello.py', run_name='__main__')\n"
        "from time_execution import shutdown; shutdown()\n"
        "from time_execution.cli import main; assert main(['report', 'metrics.db']) == 0\n"
        "known = sys.stdlib_module_names | {'__main__', 'time_execution'}\n"
        "assert not (foreign := {name.partition('.')[0] for name in sys.modules} - known), foreign\n"
    )
    isolated = [sys.executable, "-I", "-S", "-c", check]
    done = subprocess.run(isolated, cwd=tmp_path, timeout=TIMEOUT, check=False, encoding="utf-8", capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "__main__.hello" in done.stdout


def test_promise_versions_and_types():
    """The README names the oldest Python that the metadata names, and the package is marked as typed."""
    (oldest,) = re.findall(r"python_requires = >=(.+)", text_of("setup.cfg"))
    assert f"Python {oldest}" in text_of("README.rst").partition("\nInstall\n")[0]
    assert (ROOT / "time_execution/py.typed").exists()


def test_promise_a_metric_holds_what_the_readme_lists():
    """A plain timing has the fields that the README lists, and no others."""
    with settings(backends=[memory := load("memory")()], origin="shop"):
        time_execution(lambda: None)()
    fields = set(memory.metrics[0])
    assert fields == set(re.findall(r"^- ``(\w+)``", section("README.rst", "What a metric holds"), re.MULTILINE))
