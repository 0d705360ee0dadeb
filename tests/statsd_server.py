"""What a StatsD server makes of the lines it gets, with the names read back."""

from __future__ import annotations

import re


def decode_name(text):
    """Undo `time_execution.formats.statsd.encode_name`, as its docstring says."""
    return "" if text == "_x_" else re.sub("_x([0-9A-F]+)_", lambda found: chr(int(found[1], 16)), text)


def records(lines, *, prefix=""):
    """Return a dict for each metric of lines: ``name``, ``value``, ``type``; a gauge set below zero is one metric."""
    found = []
    for line in lines:
        head, kind, *_ = line.split("|")
        name, _, number = head.partition(":")
        record = {"name": decode_name(name.removeprefix(prefix)), "value": float(number), "type": kind}
        if kind == "g" and number.startswith("-") and found and found[-1] == {**record, "value": 0.0}:
            found.pop()  # set to nothing first, so that the sign is the number's
        found.append(record)
    return found
