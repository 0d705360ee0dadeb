"""Records as text: one line each, in the form that programs which read such lines know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from time_execution.profiler.types import Record


class OutputFormatter:
    """Makes a line of a record. Stateless, so thread-safe."""

    @staticmethod
    def record_to_str(name: str, record: Record) -> str:
        """Return a record as one line without an end; what would end it, or command a terminal, is escaped.

        Args:
            name: The metric's.
            record: Not changed.

        Example:
            >>> OutputFormatter.record_to_str(
            ...     "orders",
            ...     {
            ...         "item": "Shop",
            ...         "metric": "counter",
            ...         "units": "orders",
            ...         "job": "shop",
            ...         "method": "Shop:buy",
            ...         "labels": {"kind": "book"},
            ...         "value": ("inc", 2),
            ...     },
            ... )
            'profiler: orders, method: Shop:buy, value: 2 orders, labels: kind=book'
        """
        line = f"profiler: {name}, method: {record['method']}, value: {record['value'][1]} {record['units']}"
        labels = record.get("labels")
        if labels:
            line += f", labels: {', '.join([f'{key}={value}' for key, value in labels.items()])}"
        return line if line.isprintable() else "".join(map(_escaped, line))


def text_of(name: str, records: Iterable[Record]) -> str:
    """Return the lines of records, with ends between them."""
    return "\n".join([OutputFormatter.record_to_str(name, record) for record in records])


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
