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
