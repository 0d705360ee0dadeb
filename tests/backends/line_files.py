"""What stands in a file of lines and in its older ones; and how to run a program that writes such files."""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def older_files(path):
    """Return the older files of a file of lines by their numbers; one that is compressed counts for the plain one."""
    found = {}
    for file in sorted(path.parent.glob(f"{path.name}.*")):
        number = re.fullmatch(re.escape(path.name) + r"\.(\d+)(\.gz)?", file.name)
        if number is not None:
            found[int(number[1])] = file  # sorted, so the compressed one comes last
    return found


def lines_of(path):
    """Return the lines of a file and of its older ones, oldest first."""
    older = older_files(path)
    files = [older[number] for number in sorted(older, reverse=True)]
    return [line for file in [*files, path] if file.exists() for line in content_of(file).splitlines()]


def content_of(file):
    """Return what stands in a file, decompressed."""
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def names_in(path):
    """Return the names of all metrics in a JSON-lines file and in its older ones."""
    return [json.loads(line)["name"] for line in lines_of(path)]
