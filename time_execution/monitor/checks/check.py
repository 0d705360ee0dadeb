"""The base of checks that know what they ask: they take the time-out, and can be told to give up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from time_execution.monitor.health_outcome import Outcome

_TIMEOUT = 5.0


class Check(ABC):
    """Asks a service whether it works. Thread-safe; runs once at a time where `HealthChecks` runs it.

    Attributes:
        kind: What reports call its type.
    """

    kind: ClassVar[str] = "callable"

    def __call__(self) -> Outcome:
        """Ask now, with a time-out of five seconds; blocks."""
        return self.probe(_TIMEOUT)

    @abstractmethod
    def probe(self, timeout: float) -> Outcome:
        """Ask, and say what came of it. Blocks; what it raises counts as a failure.

        Args:
            timeout: Wait for nothing longer than this, in seconds: the caller has gone by then.
        """

    def abandon(self) -> None:  # noqa: B027 - most need nothing but their time-outs
        """End the `probe` that another thread is in, whose time is over; neither blocks nor raises."""
