"""A log of a test's own: its folder, and what stands in its files."""

from __future__ import annotations

import json
import time

from time_execution import flush, stats
from time_execution.logs import configure, logger


def backends():
    """Return the accounts of all destinations, by the class of each."""
    return {name.removeprefix("ThreadedBackend(").removesuffix(")"): each for name, each in stats()["backends"].items()}


def settled_but(kind, *, shows="failures"):
    """Return the accounts, once those of one destination show something and nothing waits for any other."""
    deadline = time.monotonic() + 20
    while not _is_settled_but(kind, shows) and time.monotonic() < deadline:
        flush(0.1)
    return backends()


def _is_settled_but(kind, shows):
    found = backends()
    return found[kind][shows] and not any(each["pending"] for name, each in found.items() if name != kind)


class KeptLog:
    """The log, configured to write to a folder; reading waits until all is written."""

    def __init__(self, folder, **options):
        self.folder = folder
        self.logger = logger
        configure(**{"log_dir": folder, "log_console": False, "app_name": "shop", **options})

    def lines(self, ending=".log"):
        """Return the lines of a file of text, without their ends; none when there is no file."""
        assert flush(20)
        path = self.folder / f"shop{ending}"
        return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []

    def records(self):
        """Return what stands in the structured file."""
        return [json.loads(line) for line in self.lines("_structured.json")]

    def record(self):
        """Return the only record."""
        (record,) = self.records()
        return record

    def error(self):
        """Return the only record, once it is one of an error."""
        record = self.record()
        assert record["level"] == "ERROR"
        assert record["exception"]["type"]
        return record

    def messages(self):
        """Return the messages of all records."""
        return [record["message"] for record in self.records()]
