"""The line of one call of an entry point: what it collects while it is open, and its text in the end.

No I/O, and nothing of settings or pipeline. Everything that a line is given was checked before (`value`).
"""

from __future__ import annotations

import threading
from json.encoder import encode_basestring_ascii as quoted
from typing import TypeAlias

Scalar: TypeAlias = bool | int | float | str | None
"""What JSON has a form for; None stands for a number that it has none for."""

MANY = 500
"""So many latencies are kept one by one; then they are summed up by name, so that a line does not grow for ever."""

_FEW = 20
_ONE = 1000
# The text of a float with three decimals: the whole of it below one, and what it has from the point on.
_BELOW_ONE = tuple(repr(thousandth / _ONE) for thousandth in range(_ONE))
_FRACTIONS = tuple(text[1:] for text in _BELOW_ONE)


class _Turn:
    """Whose turn it is to sum up; one lock for all lines, seldom taken.

    Attributes:
        lock: Reentrant, since a signal handler or a finalizer may come in between.
        busy: The lines that are being summed up by whoever has the lock.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.busy: set[Line] = set()

    def after_fork(self) -> None:
        """Begin afresh: another thread of the parent may have held the lock."""
        self.lock = threading.RLock()
        self.busy = set()


turn = _Turn()

_LITERALS: dict[object, str] = {True: "true", False: "false", None: "null"}


class Line:
    """What one call of an entry point collects. Any thread or task that has it may add to it.

    Attributes:
        finished: The latencies, as they came: escaped name and nanoseconds. Appended to without a lock.
        sums: Of those before them, escaped name -> nanoseconds in all, how often, the longest; None at first.
        notes: What was noted by hand: a metric by its name, an identifier by a tuple of it.
        is_open: Whether the call has not ended, so that the line takes more.
        is_speaking: Whether the output is being called with it.
    """

    __slots__ = ("finished", "is_open", "is_speaking", "notes", "sums")

    def __init__(self) -> None:
        self.finished: list[tuple[str, int]] = []
        self.notes: dict[str | tuple[str], Scalar] = {}
        self.sums: dict[str, list[int]] | None = None
        self.is_open = True
        self.is_speaking = False

    @property
    def metrics(self) -> dict[str, Scalar]:
        """What `set_metric` was given, by name."""
        return {name: value for name, value in self.notes.copy().items() if isinstance(name, str)}

    @property
    def identifiers(self) -> dict[str, Scalar]:
        """What `set_identifier` was given, by name."""
        return {name[0]: value for name, value in self.notes.copy().items() if isinstance(name, tuple)}

    def add(self, key: str, elapsed: int) -> bool:
        """Take a latency; False when the line is closed.

        Args:
            key: The name as JSON.
            elapsed: In nanoseconds.
        """
        if not self.is_open:
            return False
        self.finished.append((key, elapsed))
        if len(self.finished) > MANY:
            self._sum_up()
        return True

    def _sum_up(self) -> dict[str, list[int]]:
        """Add what came so far up by name, in the order of first finishing, and return the sums."""
        new: dict[str, list[int]] = {}
        with turn.lock:
            if self.sums is None:
                self.sums = new
            sums = self.sums
            if self not in turn.busy:
                turn.busy.add(self)
                try:
                    count = len(self.finished)  # others append meanwhile
                    for key, elapsed in self.finished[:count]:
                        _add_up(sums, key, elapsed)
                    del self.finished[:count]
                finally:
                    turn.busy.discard(self)
            return sums

    def text(self, key: str, elapsed: int) -> str:
        """Return the line: JSON of ASCII characters, as `json.dumps` writes the same dict.

        Written out, since each function called here would show in what an entry point costs.

        Args:
            key: The entry point's name as JSON.
            elapsed: How long it took, in nanoseconds.
        """
        text = '{"latencies": {'
        if self.sums is not None:
            return self._full_text(key, elapsed)
        if self.finished:
            finished = self.finished.copy()  # a thread that goes on may still be in `add`
            count = len(finished)
            if count > 1 and (count > _FEW or len(dict(finished)) < count):
                return self._full_text(key, elapsed)
            for name, spent in finished:
                if name == key:  # a part is called as the entry point is
                    return self._full_text(key, elapsed)
                thousandths = spent // 1000
                if thousandths < _ONE:
                    text = f"{text}{name}: {_BELOW_ONE[thousandths]}, "
                else:
                    text = f"{text}{name}: {thousandths // _ONE}{_FRACTIONS[thousandths % _ONE]}, "
        thousandths = elapsed // 1000
        own = _BELOW_ONE[thousandths] if thousandths < _ONE else milliseconds(elapsed)
        if self.notes:
            return f"{text}{key}: {own}{self._notes_text()}"
        return f'{text}{key}: {own}}}, "metrics": {{}}}}'

    def _full_text(self, key: str, elapsed: int) -> str:
        """Return the line with all that one may have."""
        sums = self._sum_up().copy()
        sums[key] = [*sums.pop(key, (0, 0, 0))]  # last
        _add_up(sums, key, elapsed)
        latencies = ", ".join([f"{name}: {milliseconds(total)}" for name, (total, _, _) in sums.items()])
        repeats = ", ".join(
            [
                f'{name}: {{"count": {count}, "max": {milliseconds(longest)}}}'
                for name, (_, count, longest) in sums.items()
                if count > 1
            ]
        )
        repeated = f', "repeats": {{{repeats}}}' if repeats else ""
        return f'{{"latencies": {{{latencies}{self._notes_text(repeated)}'

    def _notes_text(self, repeats: str = "") -> str:
        """Return what follows the latencies."""
        metrics = identifiers = ""
        for name, value in self.notes.copy().items():  # a task that goes on may still note something
            if type(value) is str:
                text = quoted(value)
            else:
                text = _LITERALS[value] if value is None or type(value) is bool else repr(value)
            if type(name) is str:
                metrics = f"{metrics}, {quoted(name)}: {text}" if metrics else f"{quoted(name)}: {text}"
            else:
                identifiers = f"{identifiers}, {quoted(name[0])}: {text}"
        return f'}}, "metrics": {{{metrics}}}{repeats}{identifiers}}}'


def milliseconds(nanoseconds: int) -> str:
    """Return a duration in milliseconds, cut to three decimals, as the text of that float.

    Example:
        >>> milliseconds(2_215_262_999), milliseconds(50_000), milliseconds(0)
        ('2215.262', '0.05', '0.0')
    """
    thousandths = nanoseconds // 1000
    return f"{thousandths // _ONE}{_FRACTIONS[thousandths % _ONE]}"


def _add_up(sums: dict[str, list[int]], key: str, elapsed: int) -> None:
    known = sums.get(key)
    if known is None:
        sums[key] = [elapsed, 1, elapsed]
        return
    known[0] += elapsed
    known[1] += 1
    known[2] = max(known[2], elapsed)
