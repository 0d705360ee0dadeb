"""A program whose processes all write the same log: ``python -m tests.logs.processes HOW PROCESSES LINES``.

The folder comes from the environment, for processes that begin anew.
"""

from __future__ import annotations

import os

from tests.many_processes import main
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


if __name__ == "__main__":
    main(many)
