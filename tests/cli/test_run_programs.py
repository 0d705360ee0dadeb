"""`time-execution run`: where a program and the modules beside it may be, and what is no program."""

from __future__ import annotations

import tempfile
import zipapp
from pathlib import Path

import pytest

from tests.test_config_refusals import without_privileges
from time_execution.tracing import Program, ProgramMissingError

BESIDE = "def g():\n    return 1\n"
MAIN = """\
# -*- coding: latin-1 -*-
import beside, package.inner

def f():
    return "é"

print(f(), beside.g(), package.inner.h())
"""


@pytest.fixture
def archive(tmp_path, script):
    """Return the name of a zip file that holds a program, a module and a package."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text(MAIN, "latin-1")
    script(BESIDE, "app/beside.py")
    script("", "app/package/__init__.py")
    script("def h():\n    return 2\n", "app/package/inner.py")
    script("raise SystemExit('not to be run')\n", "neighbour.py")
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    return "app.pyz"


def test_a_zip_file_is_measured_as_the_folder_is(archive, command, counts, python):
    """Its main module, those beside it in the archive, and their packages; source in any encoding."""
    plain, under = python(archive), command("run", archive)
    assert under.stdout == plain.stdout == "é 1 2\n", under.stderr
    assert counts() == dict.fromkeys(("__main__.f", "beside.g", "package.inner.h"), (1, 0))


def test_tracebacks_out_of_a_zip_file_are_pythons(command, python, script, tmp_path):
    """They begin in the archive, and show nothing of ours."""
    script("import broken\nbroken.f()\n", "app/__main__.py")
    script("def f():\n    return 1 / 0\n", "app/broken.py")
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    plain, under = python("app.pyz"), command("run", "--quiet", "app.pyz")
    of_the_program = plain.stderr[plain.stderr.index(f'  File "{tmp_path}') :]
    assert under.stderr == f"Traceback (most recent call last):\n{of_the_program}"


def test_patterns_are_of_the_archive_and_not_of_its_neighbours(archive, tmp_path, monkeypatch):
    """What lies beside a zip file is not what it imports."""
    monkeypatch.chdir(tmp_path)
    assert Program(archive).default_patterns() == ["__main__.*", "beside.*", "package.*"]
    assert Program("neighbour.py").default_patterns() == ["__main__.*", "neighbour.*"]
    assert Program("app").default_patterns() == ["__main__.*", "beside.*", "package.*"]


def test_a_folder_that_is_not_ours_to_read_is_no_obstacle():
    """Another user's folder beside the script, or one that we may enter and not list, holds no module for us."""
    with tempfile.TemporaryDirectory() as name:  # the temporary folders of tests are their owner's alone
        folder = Path(name)
        (folder / "script.py").write_text(BESIDE)
        (folder / "beside.py").write_text(BESIDE)
        (folder / "private").mkdir(mode=0o000)
        program = Program(str(folder / "script.py"))
        folder.chmod(0o755)
        with without_privileges():
            assert program.default_patterns() == ["__main__.*", "beside.*", "script.*"]
        folder.chmod(0o111)
        with without_privileges():
            assert program.default_patterns() == ["__main__.*"]
        folder.chmod(0o755)


@pytest.mark.parametrize("ask", [Program.default_patterns, lambda program: program.load(compile)])
def test_a_script_out_of_sight_is_missing(tmp_path, ask):
    """One that we may not see ends with python's words and status."""
    (tmp_path / "hidden").mkdir(mode=0o000)
    program = Program(str(tmp_path / "hidden" / "script.py"))
    with (
        without_privileges(),
        pytest.raises(ProgramMissingError, match=r"can't open file .*: Permission denied") as caught,
    ):
        ask(program)
    assert caught.value.status == 2


@pytest.mark.parametrize(
    "words", [["-c", "print(1)"], ["-c", "print(1)", "x"], ["-"], ["-", "x"], ["--quiet", "-c", "1"]]
)
def test_code_without_a_file_is_refused_in_words_that_help(in_process, words):
    """Python takes it from the command line and from standard input; here, the way out is named."""
    done = in_process("run", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "put it in a file" in done.stderr
    assert "time-execution run [options]" in done.stderr


def test_a_program_has_options_of_its_own(command, script):
    """What follows the script is the script's, whatever it is called."""
    name = script("import sys\nprint(sys.argv[1:])\n")
    assert command("run", "--quiet", name, "-c", "-", "-m").stdout == "['-c', '-', '-m']\n"
