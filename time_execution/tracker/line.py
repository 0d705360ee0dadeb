"""The line of one call of an entry point: what it collects while it is open, and its text in the end.

No I/O, and nothing of settings or pipeline. Everything that a line is given was checked before (`value`).
"""

from __future__ import annotations

import threading
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final, NamedTuple, TypeAlias

Scalar: TypeAlias = bool | int | float | str | None
"""What JSON has a form for; None stands for a number that it has none for."""

LATENCY: Final = None
METRIC: Final = True
IDENTIFIER: Final = False

Item: TypeAlias = tuple[str, Any, bool | None]
"""A latency by its name as JSON, in nanoseconds; or a metric or an identifier by its name, a `Scalar`."""

MANY = 500
"""So many items are kept one by one; then they are summed up by name, so that a line does not grow for ever."""

_SOME = 20
_FEW = 4
_ONE = 1000
# The text of a float with three decimals: the whole of it below one, and what it has from the point on.
_BELOW_ONE = tuple(repr(thousandth / _ONE) for thousandth in range(_ONE))
_FRACTIONS = tuple(text[1:] for text in _BELOW_ONE)


class _Turn:
    """Whose turn it is to sum up; one lock for all lines, seldom taken.

    Attributes:
        lock: Reentrant, since a signal handler or a finalizer may come in between.
        busy: The ids of the lines that are being summed up by whoever has the lock.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.busy: set[int] = set()

    def after_fork(self) -> None:
        """Begin afresh: another thread of the parent may have held the lock."""
        self.lock = threading.RLock()
        self.busy = set()


turn = _Turn()

_LITERALS: dict[object, str] = {True: "true", False: "false", None: "null"}


class Summary(NamedTuple):
    """What a line says of each name.

    Attributes:
        latencies: Escaped name -> nanoseconds in all, how often, the longest; in the order of first finishing.
        metrics: What `set_metric` was given at last, by name.
        identifiers: What `set_identifier` was given at last, by name.
    """

    latencies: dict[str, list[int]]
    metrics: dict[str, Scalar]
    identifiers: dict[str, Scalar]

    def add(self, item: Item) -> None:
        """Take one more item."""
        name, value, kind = item
        if kind is LATENCY:
            _add_up(self.latencies, name, value)
        elif kind is METRIC:
            self.metrics[name] = value
        else:
            self.identifiers[name] = value

    def text(self, key: str, elapsed: int) -> str:
        """Return the line of an entry point, as `Line.text` does."""
        latencies = self.latencies.copy()  # a thread that goes on may still add; so are the others
        latencies[key] = [*latencies.pop(key, (0, 0, 0))]  # last
        _add_up(latencies, key, elapsed)
        durations = [f"{name}: {milliseconds(total)}" for name, (total, _, _) in latencies.items()]
        repeats = [
            f'{name}: {{"count": {count}, "max": {milliseconds(longest)}}}'
            for name, (_, count, longest) in latencies.items()
            if count > 1
        ]
        members = [
            f'"latencies": {{{", ".join(durations)}}}',
            f'"metrics": {{{", ".join(_members(self.metrics))}}}',
            *([f'"repeats": {{{", ".join(repeats)}}}'] if repeats else ()),
            *_members(self.identifiers),
        ]
        return f"{{{', '.join(members)}}}"


class Line(list[Item]):
    """What one call of an entry point collects, as it came. Any thread or task that has it may add to it.

    It is a list, since appending needs no lock and costs less than anything else.

    Attributes:
        summary: Of the items before those that the list has; None at first.
        is_open: Whether the call has not ended, so that the line takes more.
        is_speaking: Whether the output is being called with it.
    """

    __slots__ = ("is_open", "is_speaking", "summary")

    def __init__(self) -> None:  # a list that is made empty needs no more
        self.summary: Summary | None = None
        self.is_open = True
        self.is_speaking = False

    def add(self, item: Item) -> bool:
        """Take an item; False when the line is closed."""
        if not self.is_open:
            return False
        self.append(item)
        if len(self) > MANY:
            self._sum_up()
        return True

    def _sum_up(self) -> Summary:
        """Move what came so far to the summary, and return it."""
        new = Summary({}, {}, {})
        with turn.lock:
            if self.summary is None:
                self.summary = new
            summary = self.summary
            if id(self) not in turn.busy:
                turn.busy.add(id(self))
                try:
                    count = len(self)  # others append meanwhile
                    for item in self[:count]:
                        summary.add(item)
                    del self[:count]
                finally:
                    turn.busy.discard(id(self))
            return summary

    def noted(self) -> Summary | None:
        """Return the summary, or None when nothing was noted by hand."""
        if self.summary is None and not [kind for _, _, kind in self if kind is not LATENCY]:
            return None
        return self._sum_up()

    def text(self, key: str, elapsed: int) -> str:  # noqa: C901, PLR0912 - see below
        """Return the line: JSON of ASCII characters, as `json.dumps` writes the same dict.

        Written out, since each function called here would show in what an entry point costs. A line of many items is
        the summary's to write, and so is one in which a name came twice.

        Args:
            key: The entry point's name as JSON.
            elapsed: How long it took, in nanoseconds.
        """
        thousandths = elapsed // 1000
        own = _BELOW_ONE[thousandths] if thousandths < _ONE else milliseconds(elapsed)
        items: list[Item] = self
        count = len(items)
        if self.summary is not None or count > _FEW:
            items = self.copy()  # a thread that goes on may still be in `add`
            if self.summary is not None or count > _SOME or len({name for name, _, _ in items}) < count:
                return self._sum_up().text(key, elapsed)
        elif not count:
            return f'{{"latencies": {{{key}: {own}}}, "metrics": {{}}}}'
        latencies = metrics = identifiers = comma = ""
        for name, value, kind in items:
            if kind is LATENCY:
                if name == key or (count <= _FEW and name in latencies):
                    break
                thousandths = value // 1000
                if thousandths < _ONE:
                    latencies = f"{latencies}{name}: {_BELOW_ONE[thousandths]}, "
                else:
                    latencies = f"{latencies}{name}: {thousandths // _ONE}{_FRACTIONS[thousandths % _ONE]}, "
                continue
            note = quoted(name)
            if type(value) is str:
                form = quoted(value)
            else:
                form = _LITERALS[value] if value is None or type(value) is bool else value
            if kind is METRIC:
                if note in metrics:
                    break
                metrics = f"{metrics}{comma}{note}: {form}"
                comma = ", "
            else:
                if note in identifiers:
                    break
                identifiers = f"{identifiers}, {note}: {form}"
        else:
            return f'{{"latencies": {{{latencies}{key}: {own}}}, "metrics": {{{metrics}}}{identifiers}}}'
        return self._sum_up().text(key, elapsed)


def milliseconds(nanoseconds: int) -> str:
    """Return a duration in milliseconds, cut to three decimals, as the text of that float.

    Example:
        >>> milliseconds(2_215_262_999), milliseconds(50_000), milliseconds(0)
        ('2215.262', '0.05', '0.0')
    """
    thousandths = nanoseconds // 1000
    return f"{thousandths // _ONE}{_FRACTIONS[thousandths % _ONE]}"


def _members(notes: dict[str, Scalar]) -> list[str]:
    return [f"{quoted(name)}: {_literal(value)}" for name, value in notes.copy().items()]


def _literal(value: Scalar) -> str:
    if isinstance(value, str):
        return quoted(value)
    return _LITERALS[value] if value is None or isinstance(value, bool) else repr(value)


def _add_up(sums: dict[str, list[int]], key: str, elapsed: int) -> None:
    known = sums.get(key)
    if known is None:
        sums[key] = [elapsed, 1, elapsed]
        return
    known[0] += elapsed
    known[1] += 1
    known[2] = max(known[2], elapsed)
