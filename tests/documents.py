"""Documents as programs: their blocks, how these are run, and how what they print is compared with what is shown.

Each document gets a folder with nothing but a ``script.py`` to measure, in which its blocks run from top to bottom,
each in a process of its own, so a reader may copy any of them. ``python`` blocks run as scripts. In ``console`` blocks,
lines after ``$`` are commands and the others what they print, its numbers aside; of a synopsis (``report [--json]``),
the options are compared with the command's help. A comment right before a block says what else there is to it:

- ``.. file: NAME``: the block is written to this file, for a later block to use;
- ``.. output``: what the block before prints, ``...`` standing for anything; ``.. output, numbers aside``: its shape;
- ``.. tests``: the block is a test module, run by pytest;
- ``.. server: NAME ADDRESS``: the block needs a server, and is run by the service tests only, with the address of the
  one of that name in place of the one that is shown; several are separated by commas;
- ``.. not run: REASON``: the block is only shown.
"""

from __future__ import annotations

import doctest
import functools
import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import pytest

docutils_core = pytest.importorskip("docutils.core", reason="documents are parsed by docutils")
from docutils import nodes  # noqa: E402 - see above

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.rst"), *(ROOT / "docs").rglob("*.rst"), *(ROOT / "backends").glob("*.rst")])
RUN = [path for path in DOCUMENTS if ROOT / "docs" in path.parents or path == ROOT / "README.rst"]
TIMEOUT = 100
_NUMBER = re.compile(r"[+-]?\d(?:[\d.,:T-]*\d)?(?:Z\b)?(?:\s*(?:ns|µs|us|ms|s|min|h|d|B|kB|KiB|MiB)\b)?")
_SHELLS = {"console", "bash", "sh"}
_PLACEHOLDER = re.compile(r"\[|\s[A-Z]{4,}\b(?!=)")
_OPTION = re.compile(r"(?<!\S)\[*(--?[a-z][a-z-]*)")
SCRIPT = """\
def work(n):
    return sum(range(n))


for n in range(10):
    work(n)
"""
DIRECTIVES = ("file: ", "output", "tests", "server: ", "not run: ")


def names_of(paths):
    """Return paths as the project knows them, to name tests by."""
    return [str(path.relative_to(ROOT)) for path in paths]


@dataclass
class Shown:
    """A block of a document."""

    where: str
    language: str
    text: str
    directive: str


@functools.cache
def parsed(path):
    """Return a document's tree, which is shared and not to be changed; what docutils complains of is an error."""
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
        found.append(Shown(f"{path.relative_to(ROOT)}:{node.line or '?'}", language, node.astext(), directive))
    return found


def links_of(path):
    """Return what a document's links lead to, in order."""
    return [reference.get("refuri", "") for reference in parsed(path).findall(nodes.reference)]


def text_of(name):
    """Return the text of a file of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(name, title):
    """Return the text of a document's section, up to the next heading of its rank."""
    pattern = rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n---+$|\Z)"
    (found,) = re.findall(pattern, text_of(name), re.MULTILINE | re.DOTALL)
    return found


def is_run(block):
    """Whether a block is a program that readers are meant to run."""
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


def servers_of(block):
    """Return the servers that a block needs: name -> the address that it shows."""
    if not block.directive.startswith("server: "):
        return {}
    pairs = (pair.split() for pair in block.directive.removeprefix("server: ").split(","))
    return dict(pairs)


def run_document(path, folder, ports=None):
    """Run the blocks of a document in order, and compare what they print with what is shown.

    Args:
        path: The document.
        folder: An empty one to work in.
        ports: Gives the port of a server by its name; without it, blocks that need a server are left out.

    Returns:
        How many blocks were run.
    """
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    printed = ""
    is_left_out = False
    count = 0
    for number, block in enumerate(blocks_of(path)):
        if block.directive.startswith("file: "):
            target = folder / block.directive.removeprefix("file: ")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text + "\n", encoding="utf-8")
        elif block.directive.startswith("output"):
            aside = "numbers aside" in block.directive
            assert is_left_out or is_shown(printed, block.text, numbers_aside=aside), difference(
                block, block.text, printed
            )
        elif is_run(block):
            needed = servers_of(block)
            is_left_out = bool(needed) and ports is None
            if not is_left_out:
                printed = run_block(_with_addresses(block, needed, ports), folder, number)
                count += 1
    return count


def _with_addresses(block, needed, ports):
    """Return a block with the servers that run in place of those that it shows."""
    text = block.text
    for name, address in needed.items():
        assert address in text, f"{block.where}: {address} does not stand in the block"
        text = text.replace(address, f"127.0.0.1:{ports(name)}")
    return replace(block, text=text)


def run_block(block, folder, number):
    """Run a block and return what it printed."""
    if block.language in _SHELLS:
        for command, expected in session(block):
            if _PLACEHOLDER.search(command):
                assert_synopsis(f"{command} {expected}", folder, block.where)
                continue
            printed = execute(command, folder, block.where, shell=True)
            assert not expected or is_shown(printed, expected, numbers_aside=True), difference(block, expected, printed)
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


def is_shown(printed, expected, *, numbers_aside=False):
    """Whether what was printed is what is shown; `...` stands for anything."""
    if numbers_aside:
        expected, printed = shape_of(expected), shape_of(printed)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(expected.strip() + "\n", printed.strip() + "\n", flags)


def difference(block, expected, printed):
    """Return what to say when a block does not print what is shown."""
    return f"{block.where}: the document shows\n{expected}\nbut this was printed:\n{printed}"


def shape_of(text):
    """Return a text with its numbers, and the units that go with their sizes, taken out."""
    return re.sub(r"\s+", " ", _NUMBER.sub("#", text))
