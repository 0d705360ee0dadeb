"""Backends for the contract of the test kit: one that is sound, and one for each fault that it must find."""

from __future__ import annotations

import threading
from typing import Any

from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.memory import MemoryBackend
from time_execution.types import Metric


class Sound(BaseMetricsBackend):
    """The least that passes."""

    def __init__(self) -> None:
        self.inner = MemoryBackend()

    def write_many(self, metrics: Any) -> Any:
        self.inner.write_many(metrics)


class KeepsOnlyTheLast(Sound):
    def write_many(self, metrics: Any) -> Any:
        self.inner.write_many(metrics)
        self.inner.metrics[:] = {metric["name"]: metric for metric in self.inner.metrics}.values()


class LosesMoments(Sound):
    def write_many(self, metrics: Any) -> Any:
        self.inner.write_many(metrics)
        for metric in self.inner.metrics:
            metric.pop("timestamp", None)


class AddsUp(Sound):
    """Sound, for a store that keeps one number for each name, and no moments."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._records: dict[str, dict[str, Any]] = {}

    def write_many(self, metrics: Any) -> Any:
        with self._lock:
            for metric in metrics:
                name = metric["name"].encode("utf-8", "backslashreplace").decode().upper()
                kept = MemoryBackend()
                kept.write_many([metric])
                self._records[name] = {"name": name, "value": kept.metrics[0].get("value")}
            self.inner.metrics[:] = self._records.values()


class AddsUpByHandOnly(AddsUp):
    def write_many(self, metrics: Any) -> Any:
        super().write_many([metric for metric in metrics if metric.kind == "value"])


class AddsUpNoMoments(AddsUp):
    def write_many(self, metrics: Any) -> Any:
        super().write_many([metric for metric in metrics if "timestamp" not in metric])


class LosesLast(Sound):
    def write_many(self, metrics: Any) -> Any:
        self.inner.write_many(list(metrics)[:-1] if len(metrics) > 1 else metrics)


class FailsWhole(Sound):
    def write_many(self, metrics: Any) -> Any:
        if any(type(value) not in (str, int, float) for metric in metrics for value in metric.values()):
            raise TypeError
        super().write_many(metrics)


class Doubles(Sound):
    def write_many(self, metrics: Any) -> Any:
        self.inner.write_many([*metrics, *metrics])


class Reverses(Sound):
    def write_many(self, metrics: Any) -> Any:
        self.inner.write_many(list(metrics)[::-1])


class KeepsReferences(Sound):
    def write_many(self, metrics: Any) -> Any:
        super().write_many(metrics)
        self.inner.metrics[-len(metrics) :] = [
            Metric({**mine, **{key: metric[key] for key in metric if key != "timestamp"}})
            for mine, metric in zip(self.inner.metrics[-len(metrics) :], metrics, strict=True)
        ]


class Cuts(Sound):
    def write_many(self, metrics: Any) -> Any:
        self.inner.write_many([Metric({**metric, "name": metric["name"].split("\n")[0]}) for metric in metrics])


class Changes(Sound):
    def bulk_write(self, metrics: Any) -> None:
        for metric in metrics:
            metric["extra"] = 1
        self.inner.bulk_write(metrics)


class Tells(Sound):
    def __repr__(self) -> str:
        return "Tells(password=hunter2)"


class ClosesOnce(Sound):
    closed = False

    def close(self, timeout: float | None = None) -> None:
        if self.closed:
            raise RuntimeError
        self.closed = True


class Rounds(Sound):
    def write_many(self, metrics: Any) -> Any:
        super().write_many(metrics)
        for metric in self.inner.metrics:
            metric["timestamp"] = metric["timestamp"].replace(microsecond=0)


class NotThreadSafe(Sound):
    def write_many(self, metrics: Any) -> Any:
        kept = list(self.inner.metrics)
        threading.Event().wait(0.0005)
        super().write_many(metrics)
        kept.append(self.inner.metrics[-1])
        self.inner.metrics[:] = kept if len(metrics) == 1 else self.inner.metrics


class LosesFields(Sound):
    def write_many(self, metrics: Any) -> Any:
        core = ("name", "value", "timestamp")
        self.inner.write_many([Metric({key: metric[key] for key in core if key in metric}) for metric in metrics])


class TellsLong(Sound):
    def __repr__(self) -> str:
        return "TellsLong(\n)"


class Predates(Sound):
    def write_many(self, metrics: Any) -> Any:
        self.inner.write_many([Metric({"timestamp": 0, **metric}) for metric in metrics])


class ForgetsNeighbours(Sound):
    def write_many(self, metrics: Any) -> Any:
        if any(type(value) not in (str, int, float) for metric in metrics for value in metric.values()):
            metrics = metrics[:1]
        super().write_many(metrics)


class DoublesBatches(Sound):
    def write_many(self, metrics: Any) -> Any:
        super().write_many(metrics if len(metrics) == 1 else [*metrics, *metrics])
