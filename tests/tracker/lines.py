"""What trackers hand to their output, kept for a test to look at."""

from __future__ import annotations

import json

from time_execution.tracker import ProcessTracker


class Lines(list):
    """The texts of lines, in the order in which they came."""

    @property
    def read(self):
        """The lines as dicts."""
        return [json.loads(text) for text in self]

    @property
    def one(self):
        """The only line, as a dict."""
        (line,) = self.read
        return line


def tracking():
    """Return a tracker and the lines that it writes."""
    lines = Lines()
    return ProcessTracker(lines.append), lines


def check_each(lines, count):
    """Assert that each of so many calls has a line with its own number everywhere, and nothing of another's."""
    assert sorted(line["number"] for line in lines.read) == list(range(count))
    for line in lines.read:
        number = line["number"]
        assert line["metrics"] == {"number": number}
        assert set(line["latencies"]) == {"main", "part", f"block {number}"}
        assert line.get("repeats") == ({"part": line["repeats"]["part"]} if "repeats" in line else None)
        assert line.get("repeats", {}).get("part", {"count": 1})["count"] == number % 3 + 1
