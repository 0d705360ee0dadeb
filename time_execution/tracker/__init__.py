"""`ProcessTracker`: one JSON line for each call of an entry point, with how long its parts took and what was noted.

Import from here. `EMFOutput` makes the line one that Amazon CloudWatch extracts metrics from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from time_execution.tracker.tracker import ProcessTracker

if TYPE_CHECKING:
    from time_execution.tracker.emf import EMFOutput
else:

    def __getattr__(name: str) -> object:
        """Load what only few need when it is first asked for."""
        if name != "EMFOutput":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from time_execution.tracker.emf import EMFOutput  # noqa: PLC0415 - brings a backend with it

        globals()[name] = EMFOutput
        return EMFOutput


__all__ = ["EMFOutput", "ProcessTracker"]
