"""Moments as people type them: so long ago, or an ISO 8601 time."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta, timezone

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def moment(text: str) -> datetime:
    """Return an aware moment for ``90s``, ``15m``, ``1h``, ``7d`` or ``2w`` ago, or an ISO time (local without zone).

    Raises:
        argparse.ArgumentTypeError: When it is neither.
    """
    text = text.strip()
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return datetime.now(timezone.utc) - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
        # Before Python 3.11, ``Z`` is not understood.
        found = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
        return (found if found.tzinfo else found.astimezone()).astimezone(timezone.utc)
    except (ValueError, OverflowError) as exc:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time span such as 90s, 15m, 1h, 7d nor a time such as 2024-05-01T12:00"
        ) from exc
