"""`Tracer`: from patterns to rows in a metrics database."""

from __future__ import annotations

import socket
import sys
from types import CodeType
from typing import TYPE_CHECKING, Any

from time_execution.tracing.importer import Importer
from time_execution.tracing.rewrite import instrument
from time_execution.tracing.series import Pauses, TracedFunction

if TYPE_CHECKING:
    from time_execution.backends.threaded import ThreadedBackend
    from time_execution.tracing.selection import Selection


class Tracer:
    """Measures the functions of modules that are imported from now on.

    Modules that are loaded already, those that this package itself needs among them, stay as they are. What is measured
    goes straight to one backend, whatever the program does with the settings of this package. Thread-safe.

    Args:
        selection: Which functions.
        backend: Takes the metrics.

    Attributes:
        functions: The names of the functions that were instrumented.
    """

    def __init__(self, selection: Selection, backend: ThreadedBackend) -> None:
        self.selection = selection
        self._backend = backend
        self._hostname = socket.gethostname()
        self._pauses = Pauses()
        self._series: dict[str, TracedFunction] = {}
        self._importer = Importer(selection.concerns, self._compile)

    @property
    def functions(self) -> list[str]:
        """The names of the functions that were instrumented, sorted."""
        return sorted(self._series)

    @property
    def skipped(self) -> list[str]:
        """The modules that were wanted and could not be instrumented, sorted."""
        return sorted(self._importer.skipped)

    def start(self) -> None:
        """Instrument what is imported from now on."""
        sys.meta_path.insert(0, self._importer)

    def stop(self) -> None:
        """Leave what is imported from now on alone; what is instrumented stays so."""
        if self._importer in sys.meta_path:
            sys.meta_path.remove(self._importer)

    def compile_main(self, source: bytes, filename: str, name: str) -> CodeType:
        """Return code for the main program, whose functions are measured under a name of its own.

        Raises:
            SyntaxError: As compiling the source does.
        """
        try:
            return self._compile(source, filename, name)
        except RecursionError:
            self._importer.skipped.add(name)
            code: CodeType = compile(source, filename, "exec", dont_inherit=True)
            return code

    def _compile(self, source: bytes, filename: str, module: str) -> CodeType:
        with self._pauses.counted():
            return instrument(source, filename, module, is_wanted=self.selection.matches, series_of=self._series_of)

    def _series_of(self, name: str) -> Any:
        series = self._series.get(name)
        if series is None:
            series = self._series.setdefault(name, self._new_series(name))
        return series

    def _new_series(self, name: str) -> TracedFunction:
        return TracedFunction(name, self._hostname, self._backend.channel, self._pauses)
