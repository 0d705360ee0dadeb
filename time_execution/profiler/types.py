"""The shapes of the profiler: what a record holds, what a handler is, what is called around a profiled function."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, TypedDict

LoggerLike: TypeAlias = "logging.Logger | logging.LoggerAdapter[Any]"
Labels: TypeAlias = Mapping[str, Any]
BeforeFunc: TypeAlias = Callable[..., object]
"""Called as ``before(func=, args=, kwargs=)``; where it does not take these names, with the three in this order."""
AfterFunc: TypeAlias = Callable[..., object]
"""Called as ``after(fn_result=, args=, kwargs=)``; where it does not take these names, with the three in this order."""


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
        """Take the records of one metric, whose name is `profiler_name`; what it raises is counted, and logged."""
        ...
