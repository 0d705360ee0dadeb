"""Reading JSON lines, however many: those that are no JSON object are counted, and passed over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any

from time_execution.report._lines import Tally, lines


def records(stream: BufferedIOBase, tally: Tally) -> Iterator[dict[str, Any]]:
    """Give the object of each line, in order.

    Args:
        stream: The file.
        tally: Where other lines are counted; blank ones are not.

    Raises:
        OSError: When the file cannot be read.
    """
    # Without the checks around it that `json.loads` makes, a third of the time.
    decode = json.JSONDecoder().raw_decode
    for line in lines(stream, tally):
        text = line.strip()
        if not text:
            continue
        try:
            record, end = decode(text)
        except (ValueError, RecursionError):
            tally.skipped += 1
            continue
        if type(record) is dict and end == len(text):
            yield record
        else:
            tally.skipped += 1
