"""Ways in which several processes do the same work at once, for programs such as ``python -m tests.logs.processes``.

The work is a function at the head of the program that takes a name for who does it and a number of times.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import sys
import threading

from time_execution import flush


def by_processes(work, method, processes, times):
    """Start processes that end as those of multiprocessing do, while this one works as well."""
    context = multiprocessing.get_context(method)
    children = [context.Process(target=work, args=(number, times)) for number in range(processes)]
    for child in children:
        child.start()
    work("parent", times)
    for child in children:
        child.join(90)
    assert [child.exitcode for child in children] == [0] * processes


def by_pool(work, method, processes, times):
    """Let a pool share out the work, whose ``with`` statement ends its processes by SIGTERM."""
    with multiprocessing.get_context(method).Pool(processes) as pool:
        pool.starmap(work, [(number, times // 10) for number in range(10 * processes)])
    work("parent", times)


def by_executor(work, method, processes, times):
    """Do the same by the executor of the standard library."""
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as executor:
        list(executor.map(work, range(processes), [times] * processes))
    work("parent", times)


def by_threads_and_forks(work, _, processes, times):
    """Fork from several threads while all of them work, so that forks come amid everything."""

    def fork_and_work(number):
        work(f"before {number}", times // 2)
        child = os.fork()
        if child == 0:
            work(number, times)
            os._exit(0 if flush(60) else 1)
        work(f"after {number}", times - times // 2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    threads = [threading.Thread(target=fork_and_work, args=(number,)) for number in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)


_WAYS = {"process": by_processes, "pool": by_pool, "executor": by_executor, "threads": by_threads_and_forks}


def main(work):
    """Do what the command line says: the way and how processes begin, such as ``pool-fork``, how many, how often."""
    way, method = sys.argv[1].split("-")
    _WAYS[way](work, method, int(sys.argv[2]), int(sys.argv[3]))
