"""A program whose processes all write the same log: ``python -m tests.logs.processes HOW PROCESSES LINES``.

The folder comes from the environment, for processes that begin anew.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading

from time_execution import flush
from time_execution.logs import configure, destinations, logger

FOLDER = os.environ["LOG_FOLDER"]
MAX_BYTES = 50_000

destinations._LOG = destinations._STRUCTURED = {"max_bytes": MAX_BYTES, "backup_count": 5000}
configure(log_dir=FOLDER, log_console=False, app_name="shop")


def many(process, lines):
    """Write lines; one in ten is an error."""
    for number in range(lines):
        level = logger.ERROR if number % 10 == 0 else logger.INFO
        logger.log(level, "%s wrote %d", process, number)


def by_processes(method, processes, lines):
    """Start processes that end as those of multiprocessing do, while this one writes as well."""
    context = multiprocessing.get_context(method)
    children = [context.Process(target=many, args=(number, lines)) for number in range(processes)]
    for child in children:
        child.start()
    many("parent", lines)
    for child in children:
        child.join(90)
    assert [child.exitcode for child in children] == [0] * processes


def by_pool(method, processes, lines):
    """Let a pool share out the lines, whose ``with`` statement ends its processes by SIGTERM."""
    with multiprocessing.get_context(method).Pool(processes) as pool:
        pool.starmap(many, [(number, lines // 10) for number in range(10 * processes)])
    many("parent", lines)


def by_threads_and_forks(_, processes, lines):
    """Fork from several threads while all of them write, so that forks come amid everything."""

    def fork_and_write(number):
        many(f"before {number}", lines // 2)
        child = os.fork()
        if child == 0:
            many(number, lines)
            os._exit(0 if flush(60) else 1)
        many(f"after {number}", lines - lines // 2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    threads = [threading.Thread(target=fork_and_write, args=(number,)) for number in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)


WAYS = {"process": by_processes, "pool": by_pool, "threads": by_threads_and_forks}

if __name__ == "__main__":
    way, method = sys.argv[1].split("-")
    WAYS[way](method, int(sys.argv[2]), int(sys.argv[3]))
