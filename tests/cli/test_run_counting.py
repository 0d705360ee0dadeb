"""`time-execution run`: what is measured of a program, how long it took, and that no call is lost."""

from __future__ import annotations

import pytest


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


def test_wrong_usage_and_a_wrong_database_exit_with_2(command, in_process, script):
    """Without a program, or with a database that cannot be written, nothing runs."""
    assert in_process("run").returncode == 2
    name = script("print('ran')")
    wrong = command("run", "--db", f"{name}/m.db", name)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "is no folder" in wrong.stderr


def test_says_so_when_nothing_matched(command, script):
    """A pattern without a wildcard gets the pattern that was probably meant."""
    done = command("run", "--pattern", "shop", script("print('ran')"))
    assert done.stdout == "ran\n"
    assert "no call was measured" in done.stderr
    assert "--pattern 'shop.*'" in done.stderr


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
        f"def f{n}(a, b=2):\n    if a:\n        return [a, b, {n}]\n    return (a, b)\n" for n in range(1000)
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
