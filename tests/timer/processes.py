"""A program whose processes all write the same files: ``python -m tests.timer.processes HOW PROCESSES CALLS``.

The folder and the options of the files come from the environment, for processes that begin anew.
"""

from __future__ import annotations

import contextlib
import json
import os

from tests.many_processes import main
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


if __name__ == "__main__":
    main(many)
