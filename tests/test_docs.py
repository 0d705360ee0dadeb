"""Documents are programs: what README.rst and docs/ show is run, and what they list is compared with the code.

Each document gets a folder with nothing but a ``script.py`` to measure, in which its blocks run from top to bottom,
each in a process of its own, so a reader may copy any of them. ``python`` blocks run as scripts. In ``console`` blocks,
lines after ``$`` are commands and the others what they print, its numbers aside; of a synopsis (``report [--json]``),
the options are compared with the command's help. A comment right before a block says what else there is to it:

- ``.. file: NAME``: the block is written to this file, for a later block to use;
- ``.. output``: what the block before prints, ``...`` standing for anything; ``.. output, numbers aside``: its shape;
- ``.. tests``: the block is a test module, run by pytest;
- ``.. not run: REASON``: the block is only shown.
"""

from __future__ import annotations

import doctest
import inspect
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest

from time_execution import hooks, settings, time_execution
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.registry import TABLE, load
from time_execution.backends.threaded import ThreadedBackend
from time_execution.config import FIELDS

docutils_core = pytest.importorskip("docutils.core", reason="documents are parsed by docutils")
from docutils import nodes  # noqa: E402 - see above

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.rst"), *(ROOT / "docs").glob("*.rst")])
RUN = [path for path in DOCUMENTS if path.parent.name == "docs" or path.name == "README.rst"]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TIMEOUT = 100
_NUMBER = re.compile(r"[+-]?\d(?:[\d.,:T-]*\d)?(?:Z\b)?(?:\s*(?:ns|µs|us|ms|s|min|h|d|B|kB|KiB|MiB)\b)?")
_SHELLS = {"console", "bash", "sh"}
_PLACEHOLDER = re.compile(r"\[|\s[A-Z]{4,}\b(?!=)")
_OPTION = re.compile(r"(?<!\S)\[*(--?[a-z][a-z-]*)")
_SCRIPT = """\
def work(n):
    return sum(range(n))


for n in range(10):
    work(n)
"""
_DIRECTIVES = ("file: ", "output", "tests", "not run: ")


def _names(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


@dataclass
class Shown:
    """A block of a document."""

    where: str
    language: str
    text: str
    directive: str


def parsed(path):
    """Return a document's tree; anything docutils complains of is an error."""
    return docutils_core.publish_doctree(
        path.read_text(encoding="utf-8"),
        source_path=str(path),
        settings_overrides={"report_level": 2, "halt_level": 2, "syntax_highlight": "none"},
    )


def blocks_of(path):
    """Return the code blocks of a document, in order."""
    found = []
    for node in parsed(path).findall(nodes.literal_block):
        siblings = node.parent.children
        place = siblings.index(node)
        before = siblings[place - 1] if place else None
        directive = before.astext().strip() if isinstance(before, nodes.comment) else ""
        language = next((name for name in node["classes"] if name != "code"), "")
        found.append(Shown(f"{path.name}:{node.line or '?'}", language, node.astext(), directive))
    return found


def is_run(block):
    return block.language in {"python", *_SHELLS} and not block.directive.startswith(("not run: ", "file: "))


def environment(folder):
    """Return the variables for the programs of a document; `time-execution` and `python` are those under test."""
    programs = folder / ".programs"
    programs.mkdir(exist_ok=True)
    for name, command in {"python": "", "time-execution": " -m time_execution"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{command} "$@"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(("TIME_EXECUTION_", "PYTEST_"))}
    return inherited | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONWARNINGS": "error,ignore:This process:DeprecationWarning",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "COLUMNS": "120",
    }


def execute(command, folder, where, **options):
    """Run a command to success and return what it printed."""
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), timeout=TIMEOUT, check=False, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
    )  # fmt: skip
    assert done.returncode == 0, f"{where}: {command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def run_block(block, folder, number):
    """Run a block and return what it printed."""
    if block.language in _SHELLS:
        for command, expected in session(block):
            if _PLACEHOLDER.search(command):
                assert_synopsis(f"{command} {expected}", folder, block.where)
                continue
            printed = execute(command, folder, block.where, shell=True)
            if expected:
                assert_printed(block.where, expected, printed, numbers_aside=True)
        return ""
    is_test = block.directive == "tests"
    script = folder / (f"test_block_{number}.py" if is_test else f"block_{number}.py")
    script.write_text(block.text + "\n", encoding="utf-8")
    if is_test:
        options = ["-q", "-p", "time_execution.pytest_plugin", "-p", "no:cacheprovider"]
        return execute([sys.executable, "-m", "pytest", *options, script.name], folder, block.where)
    return execute([sys.executable, script.name], folder, block.where)


def session(block):
    """Return the commands of a console block, each with the lines that it is shown to print."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            assert found, f"{block.where}: a console block begins with '$ '"
            found[-1][1].append(line)
    return [(command, "\n".join(lines).strip()) for command, lines in found]


def assert_synopsis(command, folder, where):
    """Compare the options of a command that is shown in general with those that its help names."""
    words = list(takewhile(re.compile(r"[a-z-]*[a-z]").fullmatch, command.split()))
    known = execute(f"{' '.join(words)} --help", folder, where, shell=True)
    for option in _OPTION.findall(command):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", known), f"{where}: {' '.join(words)} knows no {option}"


def assert_printed(where, expected, printed, *, numbers_aside=False):
    """Compare what was printed with what is shown; `...` stands for anything."""
    if numbers_aside:
        expected, printed = shape_of(expected), shape_of(printed)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    matches = doctest.OutputChecker().check_output(expected.strip() + "\n", printed.strip() + "\n", flags)
    assert matches, f"{where}: the document shows\n{expected}\nbut this was printed:\n{printed}"


def shape_of(text):
    """Return a text with its numbers, and the units that go with their sizes, taken out."""
    return re.sub(r"\s+", " ", _NUMBER.sub("#", text))


# ---- documents as a whole ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=_names(DOCUMENTS))
def test_document_parses_without_a_complaint(path):
    """No document has a warning of docutils, and its comments before blocks are ones that this module knows."""
    for block in blocks_of(path):
        assert not block.directive or block.directive.startswith(_DIRECTIVES), (block.where, block.directive)
        if block.directive.startswith("not run:"):
            assert len(block.directive) > len("not run: why"), f"{block.where}: say why it is not run"


@pytest.mark.parametrize("path", DOCUMENTS, ids=_names(DOCUMENTS))
def test_links_within_the_project_lead_somewhere(path):
    """A link to another document or file names one that is there."""
    for reference in parsed(path).findall(nodes.reference):
        target = reference.get("refuri", "").partition("#")[0]
        if target and ":" not in target:
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("path", RUN, ids=_names(RUN))
def test_blocks_do_what_the_document_says(path, tmp_path):
    """Every block runs, in order, and prints what is shown."""
    (tmp_path / "script.py").write_text(_SCRIPT, encoding="utf-8")
    printed = ""
    for number, block in enumerate(blocks_of(path)):
        if block.directive.startswith("file: "):
            target = tmp_path / block.directive.removeprefix("file: ")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text + "\n", encoding="utf-8")
        elif block.directive.startswith("output"):
            assert_printed(block.where, block.text, printed, numbers_aside="numbers aside" in block.directive)
        elif is_run(block):
            printed = run_block(block, tmp_path, number)


@pytest.mark.parametrize("path", RUN, ids=_names(RUN))
def test_files_that_are_shown_are_used(path):
    """A block that is written to a file is named by a later block that runs, so it runs too."""
    blocks = blocks_of(path)
    for number, block in enumerate(blocks):
        if block.directive.startswith("file: ") and block.language == "python":
            stem = Path(block.directive.removeprefix("file: ")).stem
            assert any(is_run(later) and stem in later.text for later in blocks[number + 1 :]), block.where


@pytest.mark.parametrize("path", DOCUMENTS, ids=_names(DOCUMENTS))
def test_make_targets_exist(path):
    """A `make` command that a document shows is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shown = re.findall(r"(?:\$ |``)make ([a-z][a-z-]*)", path.read_text(encoding="utf-8"))
    assert set(shown) <= targets


@pytest.mark.parametrize("path", EXAMPLES, ids=_names(EXAMPLES))
def test_examples_run(path, tmp_path):
    """Every example runs as it stands, and leaves nothing but in its working folder."""
    before = set(path.parent.iterdir())
    assert execute([sys.executable, str(path)], tmp_path, path.name).strip()
    assert {item for item in path.parent.iterdir() if item.name != "__pycache__"} <= before


# ---- lists that must be whole --------------------------------------------------------------------------------------


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def section(name, title):
    """Return the text of a document's section, up to the next heading of its rank."""
    pattern = rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n---+$|\Z)"
    (found,) = re.findall(pattern, text_of(name), re.MULTILINE | re.DOTALL)
    return found


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
    """Every parameter of a backend's constructor stands in docs/backends.rst."""
    text = text_of("docs/backends.rst")
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
    with ThreadedBackend("time_execution.testing.MemoryBackend") as backend:
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
    shown = {reference.get("refuri", "") for reference in parsed(ROOT / "docs/index.rst").findall(nodes.reference)}
    assert {path.name for path in (ROOT / "docs").glob("*.rst")} - {"index.rst"} <= shown


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
