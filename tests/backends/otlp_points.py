"""Requests of OTLP as flat records, whichever way they were kept: what a backend sent is compared with these."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

DURATION = "function.duration"
DELTA, CUMULATIVE = 1, 2


def decoded(body: bytes) -> ExportMetricsServiceRequest:
    """Return what a request's body says."""
    return ExportMetricsServiceRequest.FromString(body)


def parsed(line: str) -> MetricsData:
    """Return what a collector wrote as a line of JSON; without exemplars, whose ids its dialect writes differently."""
    found = json.loads(line)
    for resource in found["resourceMetrics"]:
        for scope in resource["scopeMetrics"]:
            for metric in scope["metrics"]:
                for point in metric.get("histogram", {}).get("dataPoints", []):
                    point.pop("exemplars", None)
    return Parse(json.dumps(found), MetricsData())


def points_of(request: Any) -> list[dict[str, Any]]:
    """Return each point with its metric's name and unit, and its resource's attributes under ``resource``."""
    return [
        _entry(metric, point, attributes_of(group.resource.attributes))
        for group in request.resource_metrics
        for scope in group.scope_metrics
        for metric in scope.metrics
        for point in getattr(metric, metric.WhichOneof("data")).data_points
    ]


def _entry(metric: Any, point: Any, resource: dict[str, Any]) -> dict[str, Any]:
    shape = metric.WhichOneof("data")
    return {
        "name": metric.name,
        "unit": metric.unit,
        "shape": shape,
        "temporality": getattr(getattr(metric, shape), "aggregation_temporality", None),
        "attributes": attributes_of(point.attributes),
        "resource": resource,
        "start": point.start_time_unix_nano,
        "time": point.time_unix_nano,
        "point": point,
    }


def attributes_of(pairs: Any) -> dict[str, Any]:
    """Return attributes as a dict, with the types that they were sent in."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def number_of(point: Any) -> Any:
    """Return the number of a point of a sum or a gauge, in the type that it was sent in."""
    return getattr(point, point.WhichOneof("value"))


def metrics_of(points: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return points as the metrics they were made of; calls that one point stands for share their mean."""
    found = []
    for entry in points:
        point, attributes = entry["point"], dict(entry["attributes"])
        if entry["shape"] == "histogram":
            name = attributes.pop("code.function.name")
            number = round(point.sum * 1000 / point.count, 9)
            copies = point.count
        else:
            name, number, copies = entry["name"], number_of(point), 1
        found += [{"name": name, "value": number, "timestamp": entry["time"], **attributes}] * copies
    return found


def latest(points: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return of each cumulative series the last point, and all points of gauges."""
    kept: dict[Any, dict[str, Any]] = {}
    for number, entry in enumerate(points):
        series = (entry["name"], entry["unit"], repr(entry["attributes"]), entry["resource"]["service.instance.id"])
        kept[(*series, number) if entry["shape"] == "gauge" else series] = entry
    return list(kept.values())
