"""Measuring the functions of a program that does not know of it: the engine of ``time-execution run``.

Modules whose functions are wanted are compiled from their source with a few instructions around the body of each
function (`rewrite`), as they are imported (`importer`). No wrapper is called: tracebacks, signatures, ``inspect`` and
the depth of recursion stay as they are, other functions cost nothing, and generators and coroutines are measured from
their first step to their last. `Tracer` puts the parts together, `program` runs a script or module as ``python`` would.
"""

from time_execution.tracing.program import Program, ProgramMissingError, execute
from time_execution.tracing.selection import Selection
from time_execution.tracing.tracer import Tracer

__all__ = ["Program", "ProgramMissingError", "Selection", "Tracer", "execute"]
