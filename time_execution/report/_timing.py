"""The short way from a record of `Timer` to what is stored of it: for calls that went well, as nearly all do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import inf
from operator import itemgetter
from typing import Any, TypeAlias

from time_execution.report._record import (
    ARGUMENTS,
    CALL_ID,
    CPU_MS,
    ENDED,
    FINE,
    FUNCTION,
    MEMORY_CHANGE_BYTES,
    OUTCOME,
    RSS_BYTES,
    STARTED,
    WALL_MS,
    nanoseconds_of,
)

Timing: TypeAlias = tuple[str, float, int, str]
"""Name, milliseconds, nanoseconds since the epoch, and everything else as a JSON object."""

NEEDED = (FUNCTION, ENDED, WALL_MS, CALL_ID, ARGUMENTS, CPU_MS, MEMORY_CHANGE_BYTES, RSS_BYTES, OUTCOME)
"""The fields that `timing_of` takes, in their order."""

FIELDS = frozenset((*NEEDED, STARTED))

_needed = itemgetter(*NEEDED)
_quote = json.encoder.encode_basestring_ascii


def plain_timing(record: dict[str, Any]) -> Timing | None:
    """Return what is stored of a record; None for one that has not just the usual fields, or failed."""
    if len(record) != len(FIELDS):
        return None
    try:
        return timing_of(_needed(record))
    except KeyError:
        return None


def timing_of(values: Sequence[Any]) -> Timing | None:
    """Return what is stored of a call; None for one that failed, or where something is not as it usually is.

    Args:
        values: What its record has under `NEEDED`.
    """
    name, ended, wall, call_id, arguments, cpu, change, rss, outcome = values
    is_usual = outcome == FINE and type(name) is str and type(call_id) is str and type(arguments) is str
    if not is_usual or type(wall) is not float or not 0.0 < wall < inf or (moment := nanoseconds_of(ended)) is None:
        return None
    fields = f'{{"call_id":{_quote(call_id)},"arguments":{_quote(arguments)}'
    if type(cpu) is float and 0.0 <= cpu < inf and type(change) is int and type(rss) is int:
        fields += f',"cpu_ms":{cpu!r},"memory_change_bytes":{change},"rss_bytes":{rss}'
    elif not (cpu is change is rss is None):
        return None
    return name, wall, moment, f"{fields}}}"
