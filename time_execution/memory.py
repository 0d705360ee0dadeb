"""How much memory the process holds: read where the kernel writes it, or by psutil.

Linux has the number in one short line. psutil opens that anew each time, and whatever reads it by Python's own means
gives other threads their turn meanwhile: where some are busy, a reading then takes not two microseconds but hundreds.
So it is read through `ctypes`, by a function that does not let go of the interpreter; the kernel answers at once.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from time_execution.exceptions import MissingExtraError
from time_execution.forking import on_fork

_STATM = "/proc/self/statm"
_NUMBERS = 7  # in that line, see proc_pid_statm(5); the second is the resident set, in pages
_LONGEST = 256


def rss_reader() -> Callable[[], int]:
    """Return a function that reads the resident set size of the process that calls it, in bytes.

    The function is thread-safe and fork-safe, and does not block.

    Raises:
        MissingExtraError: On another system than Linux, when psutil is not installed.
    """
    if sys.platform == "linux" and os.path.exists(_STATM):  # noqa: PTH110 - pathlib would ask the same
        return _statm_reader().read
    return _PsutilReader().read


@cache
def _statm_reader() -> _StatmReader:
    """Return the one of this process: whoever makes many timers needs but one descriptor."""
    return _StatmReader(os.sysconf("SC_PAGE_SIZE"))


class _StatmReader:
    """Reads the kernel's line through a descriptor that is kept: opening it takes three times as long as reading.

    A program may close descriptors that are not its own, as daemons do, and the number may be somebody else's since.
    So what is read is looked at, and one that seems not to be ours is left alone.
    """

    def __init__(self, page: int) -> None:
        self._page = page
        self._line_of = _line_of()
        self._kept: Callable[[], bytes] = bytes  # reads nothing
        self._opening = threading.Lock()
        on_fork(self._after_fork)

    def read(self) -> int:
        """Return the bytes; 0 where the kernel does not tell, or the process has no descriptor left."""
        kept = self._kept
        try:
            numbers = kept().split()
            return int(numbers[1]) * self._page if len(numbers) == _NUMBERS else self._read_again(kept)
        except (OSError, ValueError):
            return self._read_again(kept)

    def _read_again(self, useless: Callable[[], bytes]) -> int:
        try:
            return self._read_anew(useless)
        except (OSError, ValueError, IndexError):
            return 0

    def _read_anew(self, useless: Callable[[], bytes]) -> int:
        file = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)
        is_first, is_kept = self._opening.acquire(blocking=False), False
        try:
            read = self._line_of(file)
            numbers = read().split()
            # Another thread may have kept one since; and a line of another shape would not be known again.
            if is_first and self._kept is useless and len(numbers) == _NUMBERS:
                self._kept, is_kept = read, True
            return int(numbers[1]) * self._page
        finally:
            if is_first:
                self._opening.release()
            if not is_kept:
                os.close(file)

    def _after_fork(self) -> None:
        self._kept = bytes  # what the parent opened tells of the parent
        self._opening = threading.Lock()


def _line_of() -> Callable[[int], Callable[[], bytes]]:
    """Return what returns, for an opened file, a function that reads its first line, and lets no other thread run."""
    try:
        import ctypes  # noqa: PLC0415 - takes time, and some builds of Python have none

        pread = ctypes.PyDLL(None)["pread"]
    except (ImportError, OSError, AttributeError):
        return _line_by_python
    pread.restype = ctypes.c_ssize_t
    # One for all threads: none comes between another's reading and its look at what was read, but with a newer line.
    buffer = ctypes.create_string_buffer(_LONGEST)
    rest = (ctypes.c_void_p(ctypes.addressof(buffer)), ctypes.c_size_t(_LONGEST - 1), ctypes.c_long(0))

    def line_of(file: int) -> Callable[[], bytes]:
        arguments = (ctypes.c_int(file), *rest)  # made once: each would take as long as reading the number does

        def read() -> bytes:
            return buffer.value.partition(b"\n")[0] if pread(*arguments) > 0 else b""

        return read

    return line_of


def _line_by_python(file: int) -> Callable[[], bytes]:
    return partial(os.pread, file, _LONGEST, 0)


class _PsutilReader:
    """Asks psutil, with an object for each process."""

    def __init__(self) -> None:
        self._processes: dict[int, Any] = {}
        self._process()

    def read(self) -> int:
        """Return the bytes."""
        return int(self._process().memory_info().rss)

    def _process(self) -> Any:
        pid = os.getpid()
        process = self._processes.get(pid)
        if process is None:
            try:
                import psutil  # noqa: PLC0415 - only when asked for
            except ImportError as exc:
                msg = "reading the memory of the process needs psutil: pip install 'timeexecution[timer]'"
                raise MissingExtraError(msg) from exc
            self._processes.clear()  # the parent's
            process = self._processes[pid] = psutil.Process()
        return process
