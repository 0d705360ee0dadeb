"""What all instruments share: from an operation to a record in the tree of a call, and to a metric in the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.complaint import kind_of
from time_execution.exceptions import ConfigurationError
from time_execution.formats.number import finite_number
from time_execution.formats.snapshot import snapshot_fields
from time_execution.guard import faults
from time_execution.pipeline import IN_BACKENDS, emit, this_thread
from time_execution.profiler._trouble import checked_logger
from time_execution.profiler.tree import innermost
from time_execution.settings import current
from time_execution.types import HOSTNAME, NAME, ORIGIN, TIMESTAMP, VALUE, Kind, Metric

if TYPE_CHECKING:
    from time_execution.profiler.publisher import Profiler
    from time_execution.profiler.tree import MethodTreeNode
    from time_execution.profiler.types import Labels, LoggerLike, Record

ERROR_RAISED = "error_raised"
_METHOD, _ITEM, _JOB = "method", "item", "job"
_SCALARS = (str, int, float)
_LONGEST_SHOWN = 10**15


class MetricWrapper:
    """What all instruments share; of use through its subclasses only.

    Thread-safe, task-safe and fork-safe; an operation does not block, unless a handler or a direct backend does.

    Args:
        name: The metric's name, which is also the name of its series in the backends.
        job: Who measures: the program, usually.
        units: Of the values.
        labels: The names of its labels; each operation gives a value for each of them.
        logger: A logger or its name: where wrong values are told; by default the profiler's.

    Raises:
        ConfigurationError: When an argument is of the wrong type, or the name is empty.
    """

    metric: ClassVar[str] = "untyped"
    kind: ClassVar[Kind] = "value"

    def __init__(
        self,
        name: str,
        job: str,
        units: str,
        labels: Iterable[str] | None = None,
        logger: LoggerLike | str | None = None,
    ) -> None:
        given: dict[str, Any] = {"name": name, "job": job, "units": units}
        for key, text in given.items():
            if not isinstance(text, str) or (key == "name" and not text):
                raise ConfigurationError(f"{type(self).__name__}: {key} must be a text, not {shown(text)}")
        self.name, self.job, self.units = name, job, units
        self.logger = None if logger is None else checked_logger(logger)
        self.label_names = names_of(labels, f"{type(self).__name__}: labels")
        self._profiler: Profiler | None = None
        self._is_deleted = False

    def cleanup(self) -> None:
        """Do what is due after records were handled; subclasses that add something up begin anew here.

        Called after each time that the records of a tree were handed over, whether this metric had any among them.
        """

    def attach(self, profiler: Profiler) -> None:
        """Belong to a profiler, and to no other any more."""
        self._profiler, self._is_deleted = profiler, False

    def detach(self, profiler: Profiler) -> None:
        """Be deleted from a profiler, after which nothing is recorded any more, unless it belongs to another by now."""
        if self._profiler is profiler:
            self._profiler, self._is_deleted = None, True

    def record(self, operation: str, value: Any) -> Record:
        """Return a record outside of any call, and without labels."""
        return {
            "item": "",
            "metric": self.metric,
            "units": self.units,
            "job": self.job,
            "method": "",
            "labels": {},
            "value": (operation, value),
        }

    def __repr__(self) -> str:
        """Return the type with name, units and labels."""
        return f"{type(self).__name__}({self.name!r}, units={self.units!r}, labels={sorted(self.label_names)!r})"

    def _number(
        self, operation: str, value: Any, labels: Labels | None, older: Labels | None, least: float = -inf
    ) -> None:
        """Record an operation that takes a number, of at least so much."""
        number = finite_number(value) if is_a(value, int, float) and type(value) is not bool else None
        if number is None or number < least:
            wanted = "a finite number" if least == -inf else f"a finite number of at least {least:g}"
            self._store(operation, None, labels, older, fault=f"takes {wanted}, not {shown(value)}")
        else:
            self._store(operation, number, labels, older)

    def _store(
        self, operation: str, value: Any, labels: Labels | None, older: Labels | None, *, fault: str | None = None
    ) -> None:
        """Record an operation.

        Args:
            operation: Its name.
            value: What is recorded: nobody else's to change.
            labels: Their values.
            older: The same, by their older name.
            fault: What is wrong with the value; None for nothing.
        """
        profiler = self._profiler
        if self._is_deleted or (profiler is not None and not profiler.is_on):
            return
        if fault is not None:
            self._tell(operation, "wrong value", fault)
            return
        if this_thread.place.within is IN_BACKENDS:
            self._tell(operation, "reentrant", "is used by what handles records")
            return
        node = innermost(profiler)
        given = self._labels(operation, labels if older is None else older, node)
        if given is None:
            return
        record = self.record(operation, value)
        record["labels"] = given
        if node is not None:
            record["item"], record["method"] = node.item, node.context
        self._emit(self._fields(operation, value, given), record)
        if node is not None:
            node.add(self, record)
            if node.is_due:
                node.keeper.publish(node.take())
        elif profiler is not None:
            profiler.publish([(self, record)])

    def _labels(self, operation: str, labels: Labels | None, node: MethodTreeNode | None) -> dict[str, Any] | None:
        """Return a copy of the labels with that which the profiler adds; None, after telling, when they are wrong."""
        if labels is not None and not is_a(labels, dict):
            self._tell(operation, "wrong labels", f"takes labels as a dict, not {shown(labels)}")
            return None
        copy = {} if labels is None else snapshot_fields(labels)[0]
        wanted_names = self.label_names
        profiler = self._profiler or (None if node is None else node.keeper)
        if ERROR_RAISED in wanted_names or (profiler is not None and profiler.error_raised_label):
            wanted_names |= {ERROR_RAISED}
            copy[ERROR_RAISED] = node is not None and node.failed
        if copy.keys() != wanted_names:
            wanted = ", ".join(sorted(self.label_names)) or "none"
            self._tell(operation, "wrong labels", f"takes these labels: {wanted}")
            return None
        for value in copy.values():
            if not (value is None or is_a(value, *_SCALARS)):
                self._tell(operation, "wrong labels", f"takes texts as values of labels, not {shown(value)}")
                return None
        return copy

    def _fields(self, operation: str, value: Any, labels: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - for gauges
        """Return the fields that hold the value in the pipeline."""
        return {VALUE: value}

    def _emit(self, fields: dict[str, Any], record: Record) -> None:
        """Send a record down the pipeline, if anything is configured there."""
        snapshot = current()
        values = snapshot.values
        if not values.backends or not fields:
            return
        metric = Metric({NAME: self.name, **fields}, kind=self.kind, unit=self.units)
        metric |= {HOSTNAME: snapshot.hostname, TIMESTAMP: datetime.now(timezone.utc)}
        if values.origin is not None:
            metric[ORIGIN] = values.origin
        metric |= {_METHOD: record["method"], _ITEM: record["item"], _JOB: self.job}
        metric |= {f"{key}_" if key in metric else key: text for key, text in record["labels"].items()}
        emit(metric)

    def _tell(self, operation: str, error: str, complaint: str) -> None:
        label = f"{self.name}.{operation}"
        message = f"metric {self.name!r}: {operation}() {complaint}; it is not recorded"
        node = innermost()
        profiler = self._profiler or (None if node is None else node.keeper)
        if profiler is not None:
            profiler.trouble.tell("instrument", label, error, message, logger=self.logger)
        else:
            faults.count("instrument", label, error)
            faults.log.tell(f"instrument.{label}.{error}", message)


def names_of(names: Any, where: str) -> frozenset[str]:
    if names is None:
        return frozenset()
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ConfigurationError(f"{where} must be a list of names, not {shown(names)}")
    found = list(names)
    for name in found:
        if not isinstance(name, str):
            raise ConfigurationError(f"{where} must be texts, not {shown(name)}")
    return frozenset(found)


def shown(value: object) -> str:
    """Return the type of a value with its article; of a number that is none of use, the number."""
    if type(value) is float or (type(value) is int and abs(value) < _LONGEST_SHOWN):
        return f"{value:g}"
    return kind_of(value)


def is_a(value: object, *kinds: type) -> bool:
    """Whether a value is of one of some types; unlike `isinstance`, without asking the value itself."""
    return issubclass(type(value), kinds)
