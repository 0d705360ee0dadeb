"""For tests of instrumented code, and of backends that are not ours.

`capture_metrics` (or the pytest fixture ``captured_metrics``) collects what code measures; `MemoryBackend` is a backend
to look into; `FakeClock` and `ScriptedBackend` make time and failures happen on demand; a subclass of `BackendContract`
runs the suite that every backend of this package passes. Only the last one needs pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from time_execution.backends.memory import MemoryBackend
from time_execution.lazy_names import lazy_names
from time_execution.testing.capture import CapturedMetrics, capture_metrics
from time_execution.testing.clock import FakeClock
from time_execution.testing.scripted import Hold, ScriptedBackend, StoreThenRaise

if TYPE_CHECKING:
    from time_execution.testing.contract import BackendContract
else:
    __getattr__ = lazy_names(__name__, {"BackendContract": "contract"})


__all__ = [
    "BackendContract",
    "CapturedMetrics",
    "FakeClock",
    "Hold",
    "MemoryBackend",
    "ScriptedBackend",
    "StoreThenRaise",
    "capture_metrics",
]
