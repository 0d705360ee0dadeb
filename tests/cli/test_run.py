"""`time-execution run`: what a program does, sees and says under it is what it does without."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.cli.conftest import popen


def test_module_is_run_as_by_dash_m(command, counts, python, script):
    """A package run with -m sees what python -m shows it, relative imports included."""
    script("", "app/__init__.py")
    script("def work(): return 7\n", "app/core.py")
    script(
        "import sys\nfrom . import core\n\ndef main():\n"
        "    print(__name__, __package__, __spec__.name, sys.argv, sys.path[0])\n"
        "    return core.work()\n\nif __name__ == '__main__':\n    sys.exit(main())\n",
        "app/__main__.py",
    )
    plain = python("-m", "app", "x", "-m", "--db")
    under = command("run", "-m", "app", "x", "-m", "--db")
    assert (under.stdout, under.returncode) == (plain.stdout, plain.returncode) == (plain.stdout, 7)
    assert counts() == {"app.__main__.main": (1, 0), "app.core.work": (1, 0)}


WORLD = """
    import sys
    print(sys.argv, sys.path[0], __name__, __file__, __package__, __spec__, __doc__)
    print(sys.modules["__main__"].__dict__ is globals())
    print(sorted(name for name in globals() if not name.startswith("__")), type(__loader__).__name__)
"""


def test_script_sees_the_world_of_python(command, python, script):
    """Arguments, path, names and attributes of the main module are those that python gives it."""
    name = script(WORLD, "folder/script.py")
    assert command("run", name, "--db", "-m", "x y").stdout == python(name, "--db", "-m", "x y").stdout != ""


def test_folder_with_main_is_run(command, python, script):
    """A folder with a __main__.py runs as python runs it."""
    script("import sys, beside\nprint(sys.argv, sys.path[0], __package__ == '', beside.f())\n", "app/__main__.py")
    script("def f(): return 1\n", "app/beside.py")
    assert command("run", "app", "x").stdout == python("app", "x").stdout != ""


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("sys.exit(3)", 3),
        ("sys.exit()", 0),
        ("sys.exit('words')", 1),
        ("raise ValueError('x')", 1),
        ("raise SystemExit(4)", 4),
        ("os._exit(5)", 5),
        ("1 +", 1),
    ],
)
def test_ends_as_python_does(command, python, script, ending, status):
    """The exit status and what is printed at the end, traceback included, are python's own."""
    name = script(f"""
        import atexit, os, sys
        def f():
            {ending}
        atexit.register(print, "at exit")
        f()
    """)
    plain, under = python(name), command("run", "--quiet", name)
    assert (under.returncode, under.stdout, under.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert under.returncode == status


def test_a_missing_program_is_told(command):
    """A script or module that is not there ends with one line and python's exit status."""
    missing = command("run", "nothing.py")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    module = command("run", "-m", "nothing.there")
    assert module.returncode == 1
    assert "No module named nothing.there" in module.stderr
    assert "Traceback" not in missing.stderr + module.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_interrupt_is_the_programs_own(tmp_path, counts, script):
    """Ctrl-C shows the program's traceback, ends it by the signal as python does, and keeps what was measured."""
    name = script("""
        import time
        def nap():
            print("ready", flush=True)
            while True:  # not one wait without an end: a signal just before it would go unnoticed
                time.sleep(0.05)
        def main():
            nap()
        main()
    """)
    child = popen(tmp_path, "run", "--quiet", name)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == -signal.SIGINT
    assert errors.startswith('Traceback (most recent call last):\n  File "' + str(tmp_path / name))
    assert "time_execution" not in errors
    assert counts() == {"__main__.nap": (1, 1), "__main__.main": (1, 1)}


def test_functions_look_and_behave_as_ever(command, script):
    """Signature, source, locals, docstring, stack level and module names show nothing of us."""
    name = script('''
        import inspect, sys

        def documented(a, *, b=1):
            """Say something."""
            return locals()

        def only_doc():
            """Nothing else."""

        def generate(a):
            return dict(**vars())

        def caller():
            return sys._getframe(1).f_code.co_name

        def outer():
            return caller()

        def lines():
            raise KeyError(1)

        assert documented.__doc__ == "Say something." and only_doc.__doc__ == "Nothing else." and only_doc() is None
        assert str(inspect.signature(documented)) == "(a, *, b=1)"
        assert "return locals()" in inspect.getsource(documented)
        assert documented(2) == {"a": 2, "b": 1} and generate(2) == {"a": 2}
        assert outer() == "outer"
        assert not [name for name in globals() if "time_execution" in name]
        try:
            lines()
        except KeyError as exc:
            frame = exc.__traceback__.tb_next
            assert frame.tb_next is None and frame.tb_lineno == documented.__code__.co_firstlineno + 17, frame.tb_lineno
            assert exc.__context__ is None and exc.__cause__ is None
        print("fine")
    ''')
    done = command("run", name)
    assert done.stdout == "fine\n", done.stderr


def test_code_with_our_constants_survives_pickling(command, script):
    """Code that travels to another process, as some libraries send it, still runs there."""
    name = script("""
        import pickle, types
        def f(x):
            return x + 1
        ours = [each for each in f.__code__.co_consts if not isinstance(each, (int, str, type(None)))]
        constants = pickle.loads(pickle.dumps(ours))
        assert len(constants) == 1
        series = constants[0]
        series.end(series.clock())
        print(f(1))
    """)
    assert command("run", name).stdout == "2\n"


def test_recursion_and_deep_nesting_run(command, script):
    """Very long chains of operators and branches are no obstacle, and recursion is as deep as ever."""
    chain = "+".join(["1"] * 900)
    branches = "\n".join(f"    elif x == {n}:\n        return {n}" for n in range(1, 150))
    name = script(f"def f(x):\n    if x == 0:\n        return 0\n{branches}\n\nprint(f(149), {chain})\n")
    script_two = script(
        """
        def down(n):
            return n if n == 0 else down(n - 1)
        print(down(900))
    """,
        "deep.py",
    )
    assert command("run", name).stdout == "149 900\n"
    assert command("run", script_two).stdout == "0\n"
