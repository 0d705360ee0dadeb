"""Structured logs, and asking for their lines."""

from __future__ import annotations

from tests.web.dashboard.stored import ask, fresh_store
from time_execution.formats.log_line import flat_line
from time_execution.types import Metric

NAME = "shop_structured.json"


def line(number, level="INFO", **fields):
    """Return a line as the package writes it."""
    own = {"timestamp": 1_700_000_000_000_000_000 + number * 10**9, "level": level, "logger": "shop"}
    return flat_line(Metric({**own, "message": f"line {number:05d}", "number": number, **fields})).encode()


def logs(folder, **parameters):
    return ask(fresh_store(folder / "none.db", logs=folder), "logs", **parameters)


def numbers(answer):
    return [shown["fields"]["number"] for shown in answer["lines"]]


def everything(folder, **parameters):
    """Return the numbers of all lines, going back page by page."""
    found, older = [], None
    for _ in range(1000):
        answer = logs(folder, **parameters, **({} if older is None else {"before": older}))
        found += numbers(answer)
        older = answer["older"]
        if older is None:
            return found
    raise AssertionError("there is always more")
