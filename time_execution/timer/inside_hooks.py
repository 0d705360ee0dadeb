"""Others' code that runs beside a measured call: a sanitizer, what an exception says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from time_execution.pipeline import IN_HOOKS, this_thread

if TYPE_CHECKING:
    from time_execution.guard import Step


def attempt(step: Step, *args: Any) -> Any:
    """Return what a step returns, or `Failed`; like a hook, it is not measured itself, which might have no end."""
    place = this_thread.place
    before, place.within = place.within, IN_HOOKS
    try:
        return step.attempt(*args)
    finally:
        place.within = before
