"""Series as the messages of OTLP, and its answers: the only module that knows the protocol's classes.

The messages are those of opentelemetry-proto, ``opentelemetry/proto/metrics/v1/metrics.proto``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from time_execution.backends.otlp.series import Counts, Histogram, Key, Levels, Number, Points
from time_execution.exceptions import ConfigurationError
from time_execution.extra import extra

with extra("otlp"):
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.message import DecodeError
    from google.protobuf.unknown_fields import UnknownFieldSet
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service
    from opentelemetry.proto.common.v1 import common_pb2 as common
    from opentelemetry.proto.metrics.v1 import metrics_pb2 as proto
    from opentelemetry.proto.resource.v1 import resource_pb2 as resources

SCOPE = "time_execution"
HOST_NAME = "host.name"
_TEMPORALITIES = {
    "delta": proto.AGGREGATION_TEMPORALITY_DELTA,
    "cumulative": proto.AGGREGATION_TEMPORALITY_CUMULATIVE,
}
_WORD = 1 << 63
_MESSAGE_FIELD = 2
_MOST_WORDS = 300


class Window(NamedTuple):
    """The time that the points of a request speak of, in nanoseconds since the epoch: after `start`, up to `end`."""

    start: int
    end: int


class Verdict(NamedTuple):
    """What an answer says of the points.

    Attributes:
        rejected: How many were not taken.
        words: Why, or what else the server wanted to say; cut at 300 characters.
    """

    rejected: int
    words: str


def request_of(
    points: Mapping[Key, Points],
    window: Window,
    *,
    temporality: str,
    resource: Mapping[str, Any],
    bounds: Sequence[float],
    version: str,
) -> bytes:
    """Return the message that holds all points, packed.

    Args:
        points: By series.
        window: The time that sums and histograms speak of; values have times of their own.
        temporality: ``delta`` or ``cumulative``.
        resource: Attributes that all points share.
        bounds: Upper bounds of the buckets, in seconds.
        version: Of this package.
    """
    request = service.ExportMetricsServiceRequest()
    by_host: dict[Any, Any] = {}
    by_metric: dict[tuple[Any, ...], Any] = {}
    for key, found in points.items():
        scope = by_host.get(key.host)
        if scope is None:
            shared = {HOST_NAME: key.host, **resource} if key.host is not None else resource
            group = request.resource_metrics.add(resource=resources.Resource(attributes=attributes_of(shared.items())))
            scope = by_host[key.host] = group.scope_metrics.add()
            scope.scope.name, scope.scope.version = SCOPE, version
        metric = by_metric.get(key[:4])
        if metric is None:
            metric = by_metric[key[:4]] = scope.metrics.add(name=key.name, unit=key.unit)
        _add(metric, key, found, window, temporality=temporality, bounds=bounds)
    return bytes(request.SerializeToString())


def verdict_of(kind: str, body: bytes) -> Verdict:
    """Return what the answer to a request that succeeded says; one in another form than we asked for says nothing."""
    try:
        if kind == "application/json":
            partial = json.loads(body).get("partialSuccess") or {}
            return Verdict(int(partial.get("rejectedDataPoints", 0)), _cut(str(partial.get("errorMessage", ""))))
        if kind not in {"", "application/x-protobuf", "application/protobuf"}:
            return Verdict(0, "")
        answer = service.ExportMetricsServiceResponse.FromString(body).partial_success
    except (DecodeError, ValueError, TypeError, AttributeError):
        return Verdict(0, "")
    return Verdict(max(0, answer.rejected_data_points), _cut(answer.error_message))


def refusal_of(kind: str, body: bytes) -> str:
    """Return the words of a refusal: of a ``google.rpc.Status``, as the specification wants it, or of plain text."""
    if kind not in {"application/x-protobuf", "application/protobuf"}:
        return _cut(body.decode("utf-8", "replace"))
    try:
        # Its class would be one more package to install; the message is its second field.
        fields = UnknownFieldSet(Empty.FromString(body))
    except DecodeError:
        return ""
    words = [field.data for field in fields if field.field_number == _MESSAGE_FIELD and isinstance(field.data, bytes)]
    return _cut(words[0].decode("utf-8", "replace")) if words else ""


def check_attributes(attributes: Mapping[str, Any], *, key: str) -> None:
    """Refuse attributes that no message can hold.

    Raises:
        ConfigurationError: When one is an integer beyond 64 bits, or a text with half a surrogate pair.
    """
    try:
        attributes_of(attributes.items())
    except ValueError:  # UnicodeEncodeError is one, too, and shows the text
        is_right = False
    else:
        is_right = True
    if not is_right:
        raise ConfigurationError(f"{key} has a name or a value that OTLP cannot carry")


def attributes_of(pairs: Any) -> list[Any]:
    """Return names and values, each a text, a bool or a number, as the protocol's attributes."""
    return [common.KeyValue(key=name, value=_value_of(value)) for name, value in pairs]


def _value_of(value: Any) -> Any:
    kind = type(value)
    if kind is bool:
        return common.AnyValue(bool_value=value)
    if kind is int:
        return common.AnyValue(int_value=value)
    if kind is float:
        return common.AnyValue(double_value=value)
    return common.AnyValue(string_value=value)


def _add(metric: Any, key: Key, points: Points, window: Window, *, temporality: str, bounds: Sequence[float]) -> None:
    attributes = attributes_of((name, value) for name, _, value in key.attributes)
    if isinstance(points, Levels):
        for moment, number in points.points:
            point = metric.gauge.data_points.add(attributes=attributes, time_unix_nano=moment)
            _set(point, number)
        return
    times = {"start_time_unix_nano": window.start, "time_unix_nano": window.end}
    if isinstance(points, Counts):
        metric.sum.aggregation_temporality = _TEMPORALITIES[temporality]
        metric.sum.is_monotonic = True
        _set(metric.sum.data_points.add(attributes=attributes, **times), points.total)
        return
    metric.histogram.aggregation_temporality = _TEMPORALITIES[temporality]
    metric.histogram.data_points.add(
        attributes=attributes,
        count=sum(points.counts),
        sum=points.total,
        min=points.low,
        max=points.high,
        bucket_counts=points.counts,
        explicit_bounds=bounds,
        exemplars=_exemplars(points),
        **times,
    )


def _exemplars(points: Histogram) -> list[Any]:
    return [
        proto.Exemplar(as_double=seconds, time_unix_nano=moment, trace_id=trace, span_id=span)
        for seconds, moment, trace, span in points.exemplars.values()
    ]


def _set(point: Any, number: Number) -> None:
    """Set the value of a point: an integer where it is one of 64 bits."""
    if type(number) is int and -_WORD <= number < _WORD:
        point.as_int = number
    else:
        point.as_double = number


def _cut(words: str) -> str:
    return words if len(words) <= _MOST_WORDS else f"{words[:_MOST_WORDS]}…"
