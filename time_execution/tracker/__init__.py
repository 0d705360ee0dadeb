"""`ProcessTracker`: one JSON line for each call of an entry point, with how long its parts took and what was noted.

Import from here. `EMFOutput` makes the line one that Amazon CloudWatch extracts metrics from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from time_execution.lazy_names import lazy_names
from time_execution.tracker.tracker import ProcessTracker

if TYPE_CHECKING:
    from time_execution.tracker.emf import EMFOutput
else:
    # It brings a backend with it.
    __getattr__ = lazy_names(__name__, {"EMFOutput": "emf"})


__all__ = ["EMFOutput", "ProcessTracker"]
