"""A program whose processes all write the same files: ``python -m tests.timer.processes HOW PROCESSES CALLS``.

The folder and the options of the files come from the environment, for processes that begin anew.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import sys
import threading

from time_execution import flush
from time_execution.timer import ErrorCatcher, Timer

FOLDER = os.environ["TIMER_FOLDER"]
OPTIONS = json.loads(os.environ["TIMER_OPTIONS"])


@ErrorCatcher(log_to_console=False, error_log_file=f"{FOLDER}/error.log", **OPTIONS)
@Timer(log_to_console=False, log_dir=FOLDER, **OPTIONS)
def work(process, number):
    """Do one call; one in ten fails."""
    if number % 10 == 0:
        raise ValueError(number)


def call(process, number):
    """Call, and go on."""
    with contextlib.suppress(ValueError):
        work(process, number)


def many(process, calls):
    """Do all calls of one process."""
    for number in range(calls):
        call(process, number)


def by_processes(method, processes, calls):
    """Start processes that end as those of multiprocessing do, while this one writes as well."""
    context = multiprocessing.get_context(method)
    children = [context.Process(target=many, args=(number, calls)) for number in range(processes)]
    for child in children:
        child.start()
    many("parent", calls)
    for child in children:
        child.join(90)
    assert [child.exitcode for child in children] == [0] * processes


def by_pool(method, processes, calls):
    """Let a pool share out the calls, whose ``with`` statement ends its processes by SIGTERM."""
    context = multiprocessing.get_context(method)
    with context.Pool(processes) as pool:
        pool.starmap(many, [(number, calls // 10) for number in range(10 * processes)])
    many("parent", calls)


def by_executor(method, processes, calls):
    """Do the same by the executor of the standard library."""
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as executor:
        list(executor.map(many, range(processes), [calls] * processes))
    many("parent", calls)


def by_threads_and_forks(_, processes, calls):
    """Fork from several threads while all of them write, so that forks come amid everything."""

    def fork_and_write(number):
        many(f"before {number}", calls // 2)
        child = os.fork()
        if child == 0:
            many(number, calls)
            os._exit(0 if flush(60) else 1)
        many(f"after {number}", calls - calls // 2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    threads = [threading.Thread(target=fork_and_write, args=(number,)) for number in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)


WAYS = {"process": by_processes, "pool": by_pool, "executor": by_executor, "threads": by_threads_and_forks}

if __name__ == "__main__":
    way, method = sys.argv[1].split("-")
    WAYS[way](method, int(sys.argv[2]), int(sys.argv[3]))
