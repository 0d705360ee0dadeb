"""`time-execution run`: what is stored and said when a signal or another process ends what was measured."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys

import pytest

from tests.cli.conftest import popen

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks")

ENDLESS = """
    import time

    def work():
        return 1

    def main():
        for _ in range(10):
            work()
        try:
            print("ready", flush=True)
            while True:  # not one wait without an end: a signal just before it would go unnoticed
                time.sleep(0.05)
        finally:
            print("not python's way to end", flush=True)

    main()
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_program_and_loses_no_call(tmp_path, counts, script, name):
    """It dies of that very signal, running no line more than under python, and what was measured is stored and told."""
    number = getattr(signal, name)
    child = popen(tmp_path, "run", script(ENDLESS))
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(number)
    printed, told = child.communicate(timeout=30)
    assert (child.returncode, printed) == (-number, "")
    assert counts() == {"__main__.work": (10, 0)}
    assert "10 calls measured, none lost" in told


def test_a_signal_that_is_ignored_or_handled_stays_so(command, counts, script):
    """What the program does about a signal is its own affair."""
    name = script("""
        import os, signal

        def work(): pass

        print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: print("handled"))
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        work()
    """)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        done = command("run", name)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (done.stdout, done.returncode) == ("True\nhandled\n", 0)
    assert counts() == {"__main__.work": (1, 0)}


TERMINATED = """
    import multiprocessing, time

    def work(n):
        return n

    def wait():
        while True:  # as above
            time.sleep(0.05)

    if __name__ == "__main__":
        context = multiprocessing.get_context("fork")
        with context.Pool(2) as pool:  # leaving it ends the workers by SIGTERM
            pool.map(work, range(40))
        ended = set()
        for _ in range(30):  # at once: a signal may find a child that has hardly begun
            child = context.Process(target=wait)
            child.start()
            child.terminate()
            child.join(10)
            ended.add(child.exitcode)
            child.kill()
        print(ended)
"""


def test_workers_that_are_terminated_deliver_what_they_measured(command, counts, script):
    """A pool ends its workers by a signal: their calls are stored, they die of it, and the parent knows of them."""
    done = command("run", script(TERMINATED))
    assert done.stdout == f"{{{-signal.SIGTERM}}}\n", done.stderr
    assert counts() == {"__main__.work": (40, 0)}
    assert "in this process; what its forked children measured, if anything, is in metrics.db" in done.stderr
    assert "no function" not in done.stderr


SPAWNED = """
    import multiprocessing, sys

    def work():
        return 1

    if __name__ == "__main__":
        child = multiprocessing.get_context(sys.argv[1]).Process(target=work)
        child.start()
        child.join()
        if sys.argv[2:]:
            work()
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("also_here", [False, True])
def test_what_was_spawned_is_said_not_to_be_measured(command, counts, script, method, also_here):
    """Neither a pattern nor the function is to blame."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("not on this platform")
    done = command("run", script(SPAWNED), method, *["here"] * also_here)
    assert "processes that multiprocessing spawned were not measured" in done.stderr
    assert ("no call was measured in this process" in done.stderr) is not also_here
    assert "no function" not in done.stderr
    if also_here:
        assert counts() == {"__main__.work": (1, 0)}


def test_forks_are_not_taken_for_spawned(command, script):
    """Where everything was measured, nothing is said of what was not."""
    name = script("""
        import os
        def work(): pass
        work()
        if child := os.fork():
            os.waitpid(child, 0)
    """)
    assert os.name == "posix"
    done = command("run", name)
    assert "what forked children measured is stored, too" in done.stderr
    assert "spawned" not in done.stderr
