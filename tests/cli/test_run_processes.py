"""`time-execution run`: programs that start or fork processes."""

from __future__ import annotations

import os

import pytest

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
    said = [line for line in done.stderr.splitlines() if line.startswith("time-execution: ")]
    assert len(said) == 2, "how many calls, and how to see them"
