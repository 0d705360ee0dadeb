"""`time-execution run`: what a program does under it, and what is measured of it."""

from __future__ import annotations

import os
import signal
import sys
import textwrap

import pytest

from tests.cli.conftest import popen


@pytest.fixture
def script(tmp_path):
    """Return a function that writes a file in `tmp_path` and returns its name."""

    def write(text, name="script.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
        return name

    return write


def test_counts_each_kind_of_function_exactly(command, counts, script):
    """Functions, methods, nested functions, generators, coroutines and async generators are counted once a call."""
    name = script("""
        import asyncio

        def plain():
            def inner():
                pass
            inner()
            inner()

        class Shop:
            @classmethod
            def make(cls):
                return cls()

            @staticmethod
            def tax():
                return 1

            @property
            def total(self):
                return 2

            def __len__(self):
                return 3

        def numbers(n):
            yield from range(n)

        async def wait():
            await asyncio.sleep(0)
            return 1

        async def stream():
            yield 1
            yield 2

        async def main():
            await asyncio.gather(*(wait() for _ in range(5)))
            return [each async for each in stream()]

        for _ in range(3):
            plain()
        shop = Shop.make()
        assert shop.tax() + shop.total + len(shop) == 6
        assert list(numbers(4)) == [0, 1, 2, 3]
        numbers(4)  # never started: no call
        assert asyncio.run(main()) == [1, 2]
    """)
    done = command("run", name)
    assert done.returncode == 0, done.stderr
    assert counts() == {
        "__main__.plain": (3, 0),
        "__main__.plain.inner": (6, 0),
        "__main__.Shop.make": (1, 0),
        "__main__.Shop.tax": (1, 0),
        "__main__.Shop.total": (1, 0),
        "__main__.Shop.__len__": (1, 0),
        "__main__.numbers": (1, 0),
        "__main__.wait": (5, 0),
        "__main__.stream": (1, 0),
        "__main__.main": (1, 0),
    }
    assert "21 calls measured, none lost, written to metrics.db" in done.stderr
    assert "time-execution report metrics.db" in done.stderr


def test_exceptions_count_as_errors_with_their_type(command, counts, script):
    """A call that raises is an error; the end of an iterator and a closed generator are none."""
    name = script("""
        class Odd(Exception):
            pass

        def fail(kind):
            raise kind("x")

        class Once:
            def __iter__(self):
                return self

            def __next__(self):
                raise StopIteration

        def endless():
            while True:
                yield 1

        for kind in (ValueError, Odd):
            try:
                fail(kind)
            except kind:
                pass
        assert list(Once()) == []
        steps = endless()
        next(steps)
        steps.close()
    """)
    assert command("run", name).returncode == 0
    assert counts()["__main__.fail"] == (2, 2)
    assert counts()["__main__.Once.__next__"] == (1, 0)
    assert counts()["__main__.endless"] == (1, 0)
    shown = command("tail", "--no-follow", "--json", "--pattern", "*.fail").stdout
    assert '"error_type": "ValueError"' in shown
    assert '"error_type": "__main__.Odd"' in shown


def test_threads_lose_nothing(command, counts, script):
    """What eight threads call at once is stored to the last call."""
    name = script("""
        import threading

        def work():
            pass

        def loop():
            for _ in range(5_000):
                work()

        threads = [threading.Thread(target=loop) for _ in range(8)]
        for thread in threads:
            thread.start()
    """)
    done = command("run", name)
    assert counts() == {"__main__.work": (40_000, 0), "__main__.loop": (8, 0)}
    assert "40,008 calls measured, none lost" in done.stderr


@pytest.mark.slow
def test_more_calls_than_the_queue_holds_lose_nothing(command, counts, script):
    """A program that is faster than the disk waits for it: every one of 500 000 calls is stored."""
    name = script("""
        def work(): pass
        for _ in range(500_000):
            work()
    """)
    done = command("run", name)
    assert counts() == {"__main__.work": (500_000, 0)}
    assert "500,000 calls measured, none lost" in done.stderr


def test_patterns_choose_and_exclude(command, counts, script):
    """Only names that match a pattern and no exclusion are measured, in packages as they are imported."""
    script("from shop.orders import Order\n\ndef hidden(): pass\n", "shop/__init__.py")
    script(
        "def helper(): pass\n\nclass Order:\n    def total(self): helper()\n    def _private(self): pass\n",
        "shop/orders.py",
    )
    name = script(
        "import shop\n\ndef own(): pass\n\norder = shop.Order()\n"
        "order.total(); order._private(); shop.hidden(); own()\n"
    )
    assert command("run", "-p", "shop.orders.*", "-x", "*._*", "--db", "a.db", name).returncode == 0
    assert counts("a.db") == {"shop.orders.helper": (1, 0), "shop.orders.Order.total": (1, 0)}
    assert command("run", "--db", "b.db", name).returncode == 0
    assert set(counts("b.db")) == {
        "__main__.own",
        "shop.hidden",
        "shop.orders.helper",
        "shop.orders.Order.total",
        "shop.orders.Order._private",
    }


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


def test_wrong_usage_and_a_wrong_database_exit_with_2(command, script):
    """Without a program, or with a database that cannot be written, nothing runs."""
    assert command("run").returncode == 2
    wrong = command("run", "--db", "no/such/folder/m.db", script("print('ran')"))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "does not exist" in wrong.stderr


def test_says_so_when_nothing_matched(command, script):
    """A pattern without a wildcard gets the pattern that was probably meant."""
    done = command("run", "--pattern", "shop", script("print('ran')"))
    assert done.stdout == "ran\n"
    assert "no call was measured" in done.stderr
    assert "--pattern 'shop.*'" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_interrupt_is_the_programs_own(tmp_path, counts, script):
    """Ctrl-C shows the program's traceback, ends it by the signal as python does, and keeps what was measured."""
    name = script("""
        import time
        def nap():
            print("ready", flush=True)
            time.sleep(60)
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


MULTIPROCESSING = """
    import multiprocessing, sys

    def work(n):
        return n * n

    if __name__ == "__main__":
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            print(pool.map(work, range(4)))
            pool.close()
            pool.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works(command, counts, script, method):
    """Child processes work however they are started; those that are forked are measured, too."""
    if method not in __import__("multiprocessing").get_all_start_methods():
        pytest.skip("not on this platform")
    done = command("run", script(MULTIPROCESSING), method)
    assert done.stdout == "[0, 1, 4, 9]\n", done.stderr
    assert "Traceback" not in done.stderr
    if method == "fork":
        assert counts() == {"__main__.work": (4, 0)}
        assert "Traceback" not in done.stderr


def test_os_fork_keeps_one_voice(command, counts, script):
    """A forked child that ends the ordinary way delivers its calls, and only the parent speaks."""
    name = script("""
        import os
        def work(): pass
        work()
        child = os.fork()
        work()
        if child:
            os.waitpid(child, 0)
    """)
    if not hasattr(os, "fork"):
        pytest.skip("not on this platform")
    done = command("run", name)
    assert counts() == {"__main__.work": (3, 0)}
    assert done.stderr.count("calls measured") == 1


def test_decorated_functions_are_counted_once(command, counts, script):
    """A function under our own decorator is measured by it, into the same file, and not twice."""
    name = script("""
        from time_execution import settings, time_execution
        settings.configure()

        @time_execution
        def decorated(): pass

        def plain(): pass

        decorated(); plain()
    """)
    assert command("run", name).returncode == 0
    assert counts() == {"__main__.decorated": (1, 0), "__main__.plain": (1, 0)}


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


def test_time_of_a_coroutine_and_generator_spans_its_pauses(command, tmp_path, script):
    """A generator is measured until it is exhausted, a coroutine over its awaits."""
    from time_execution.report import read

    name = script("""
        import asyncio, time
        async def wait():
            await asyncio.sleep(0.05)
        def steps():
            yield 1
            yield 2
        asyncio.run(wait())
        for _ in steps():
            time.sleep(0.03)
    """)
    assert command("run", name).returncode == 0
    totals = {row.name: row.total or 0.0 for row in read(tmp_path / "metrics.db")}
    assert totals["__main__.wait"] >= 50
    assert totals["__main__.steps"] >= 60


def test_compiling_a_module_is_not_the_programs_time(command, tmp_path, script):
    """The time that importing takes longer because of us is taken off the importing function."""
    from time_execution.report import read

    body = "\n".join(
        f"def f{n}(a, b=2):\n    if a:\n        return [a, b, {n}]\n    return (a, b)\n" for n in range(3000)
    )
    script(body, "big.py")
    name = script("""
        import time
        def load():
            import big
        started = time.perf_counter()
        load()
        print((time.perf_counter() - started) * 1e3)
    """)
    done = command("run", name)
    measured = {row.name: row.total or 0.0 for row in read(tmp_path / "metrics.db")}["__main__.load"]
    assert measured < float(done.stdout) / 2


def test_docutils_makes_the_same_page(command, counts, python, tmp_path):
    """A real program gives the same output, and its functions are counted the same each time."""
    pytest.importorskip("docutils")
    (tmp_path / "page.rst").write_text("Title\n=====\n\n*text* with ``code``\n\n- one\n- two\n", "utf-8")
    arguments = ["-m", "docutils", "--no-datestamp", "--no-generator", "page.rst"]
    plain = python(*arguments)
    first = command("run", "--pattern", "docutils.*", "--db", "1.db", *arguments)
    second = command("run", "--pattern", "docutils.*", "--db", "2.db", *arguments)
    assert first.stdout == second.stdout == plain.stdout
    assert "<em>text</em>" in plain.stdout
    assert counts("1.db") == counts("2.db")
    assert counts("1.db")["docutils.core.publish_cmdline"] == (1, 0)
    assert counts("1.db")["docutils.nodes.document.__init__"][0] >= 1
    assert sum(calls for calls, _ in counts("1.db").values()) > 500
