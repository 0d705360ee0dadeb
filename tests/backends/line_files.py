"""What stands in a file of lines and in its older ones; and how to run a program that writes such files."""

from __future__ import annotations

import json
import os
from pathlib import Path

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def lines_of(path):
    """Return the lines of a file and of its older ones, oldest first."""
    older = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:]))
    return [line for file in [*older, path] if file.exists() for line in file.read_bytes().splitlines()]


def names_in(path):
    """Return the names of all metrics in a JSON-lines file and in its older ones."""
    return [json.loads(line)["name"] for line in lines_of(path)]
