"""The shapes of the profiler: what a record holds, and what a handler is."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, TypedDict

LoggerLike: TypeAlias = "logging.Logger | logging.LoggerAdapter[Any]"
Labels: TypeAlias = Mapping[str, Any]


class Record(TypedDict):
    """One measured value.

    Attributes:
        item: Who owns the root of the call: a class, or the module of a function.
        metric: The type of the metric, such as ``histogram``.
        units: Of the value; ``mS`` for times, ``B`` for sizes.
        job: Who measured.
        method: The call, as ``Owner:root.child.grandchild``; empty outside of any.
        labels: By name; empty when there are none.
        value: The operation and its value, such as ``("observe", 0.25)``; an array in JSON.
    """

    item: str
    metric: str
    units: str
    job: str
    method: str
    labels: dict[str, Any]
    value: tuple[str, Any]


class Handler(Protocol):
    """What records are handed to; known by this shape, whatever it extends.

    Attributes:
        handler_name: By which it is deleted; a second handler of a name takes the place of the first.
    """

    handler_name: str

    def handle(self, records: list[Record], profiler_name: str) -> object:
        """Take the records of one metric, whose name is `profiler_name`; what it raises is counted, and logged.

        The list is the handler's own; the records are not, and the next handler gets them as they are left.
        """
        ...
