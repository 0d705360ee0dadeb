"""What metrics become in OTLP: their series, units, types and bounds; decoded as a collector does."""

from __future__ import annotations

import math
import threading
import time

import pytest

pytest.importorskip("opentelemetry.proto.metrics", reason="the extra otlp is not installed")
pytest.importorskip("urllib3", reason="the extra otlp is not installed")

from tests.backends.otlp_points import DURATION, decoded, metrics_of, number_of, points_of
from tests.fault_server import FaultServer
from time_execution.backends.otlp import OTLPBackend
from time_execution.exceptions import BackendUnavailable
from time_execution.testing import BackendContract
from time_execution.types import STORED, Metric, Reject

MOMENT = 1_700_000_000_123_456_789
SECRET = "hunter2"


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server


@pytest.fixture
def backend(server):
    with OTLPBackend(server.url, temporality="delta", attributes=("status", "count")) as backend:
        yield backend


def sent(server):
    """Return all points that came to a server, in order."""
    return [point for request in server.requests for point in points_of(decoded(request.body))]


def timing(name="a", value=1.0, **fields):
    """Return a metric as a measured function makes it."""
    return Metric({"name": name, "value": value, "hostname": "web-1", "timestamp": MOMENT, **fields})


class TestOTLP(BackendContract):
    """Points of delta sums, taken apart again."""

    secrets = (SECRET, "aHVudGVyMg")

    @pytest.fixture
    def backend(self, server):
        url = server.url.replace("//", f"//user:{SECRET}@")
        headers = {"api-key": SECRET}
        options = {"temporality": "delta", "attributes": ("status", "count"), "headers": headers}
        with OTLPBackend(f"{url}?key={SECRET}", **options) as backend:
            backend.server = server
            yield backend

    def read_back(self, backend):
        return metrics_of(sent(backend.server))

    def stored_name(self, name):
        return name.encode("utf-8", "backslashreplace").decode()


# ---- kinds -----------------------------------------------------------------------------------------------------------


def test_timings_of_a_function_are_one_histogram_in_seconds(backend, server):
    """Counts, sum, bounds and the function's name are those of the calls; ms have become seconds."""
    backend.write_many([timing("shop.pay", value) for value in (0.05, 12.5, 12.6, 20_000)])
    (found,) = sent(server)
    point = found["point"]
    assert (found["name"], found["unit"], found["shape"]) == (DURATION, "s", "histogram")
    assert found["attributes"] == {"code.function.name": "shop.pay"}
    assert (point.count, point.min, point.max) == (4, 0.00005, 20.0)
    assert math.isclose(point.sum, 20.02515)
    counts = zip((*point.explicit_bounds, math.inf), point.bucket_counts, strict=True)
    filled = {bound: count for bound, count in counts if count}
    assert filled == {0.0001: 1, 0.025: 2, math.inf: 1}


def test_a_duration_on_a_bound_counts_below_it(server):
    """The bounds are upper ones and belong to their buckets, as the protocol has it."""
    backend = OTLPBackend(server.url, buckets=(0.001, 0.5))
    backend.write_many([timing(value=1.0), timing(value=500), timing(value=500.1)])
    (found,) = sent(server)
    assert list(found["point"].bucket_counts) == [1, 1, 1]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"error_type": "app.NotFound"}, "app.NotFound"),
        ({"exception": "yes"}, "_OTHER"),
        ({"error": True}, "_OTHER"),
        ({"error_type": ""}, None),
    ],
)
def test_failed_calls_are_a_series_of_their_own(backend, server, fields, expected):
    """The type of the error is told as the conventions say; a call that went well has none."""
    backend.write_many([timing(**fields)])
    assert sent(server)[0]["attributes"].get("error.type") == expected


def test_counters_are_monotonic_sums(backend, server):
    """Increments add up; whole ones stay integers, and others make a float of the sum."""
    counted = [Metric({"name": "bytes", "value": value}, kind="counter", unit="By") for value in (3, 2**40)]
    backend.write_many([*counted, Metric({"name": "share", "value": 0.5}, kind="counter")])
    whole, share = sent(server)
    assert (whole["name"], whole["unit"], whole["shape"]) == ("bytes", "By", "sum")
    assert number_of(whole["point"]) == 3 + 2**40
    assert type(number_of(whole["point"])) is int
    assert (number_of(share["point"]), share["unit"]) == (0.5, "")
    request = decoded(server.requests[0].body)
    assert all(metric.sum.is_monotonic for metric in request.resource_metrics[0].scope_metrics[0].metrics)


def test_events_are_counted(backend, server):
    """An event has no number; how many there were is the number."""
    backend.write_many([Metric({"name": "deployed"}, kind="event"), Metric({"name": "deployed"}, kind="event")])
    (found,) = sent(server)
    assert (found["name"], found["unit"], found["shape"]) == ("deployed", "{event}", "sum")
    assert number_of(found["point"]) == 2


@pytest.mark.parametrize("kind", ["gauge", "value"])
def test_levels_keep_each_value_with_its_moment(backend, server, kind):
    """Nothing is summed up: every value arrives, in its type and at its time."""
    levels = [3, -2.5, math.inf, True]
    backend.write_many(
        [
            Metric({"name": "level", "value": value, "timestamp": MOMENT + place}, kind=kind, unit="ms")
            for place, value in enumerate(levels)
        ]
    )
    found = sent(server)
    assert [(number_of(entry["point"]), entry["time"]) for entry in found] == [
        (3, MOMENT), (-2.5, MOMENT + 1), (math.inf, MOMENT + 2), (1, MOMENT + 3)
    ]  # fmt: skip
    assert {(entry["name"], entry["unit"], entry["shape"]) for entry in found} == {("level", "ms", "gauge")}
    assert [type(number_of(entry["point"])) for entry in found] == [int, float, float, int]


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (timing(value=None), "no number"),
        (timing(value="12"), "no number"),
        (timing(value=10**400), "no number"),
        (timing(value=-1.0), "no amount"),
        (timing(value=math.nan), "no amount"),
        (timing(value=math.inf), "no amount"),
        (Metric({"name": "a", "value": -1}, kind="counter"), "no amount"),
        (Metric({"name": "a"}, kind="gauge"), "no number"),
    ],
)
def test_what_no_series_takes_is_rejected_alone(backend, server, metric, reason):
    """It is told by its reason, and its neighbours are sent."""
    first, refused, last = backend.write_many([timing("b"), metric, timing("b")])
    assert (first, last) == (STORED, STORED)
    assert isinstance(refused, Reject)
    assert refused.reason == reason
    assert sent(server)[0]["point"].count == 2


def test_a_batch_of_nothing_is_no_request(backend, server):
    """Where all metrics are rejected, there is nothing to say to a server."""
    assert isinstance(backend.write_many([timing(value=None)])[0], Reject)
    assert server.requests == []


def test_an_integer_beyond_64_bits_is_a_float(backend, server):
    """The protocol has no larger integers, and their sums have to go on."""
    backend.write_many([Metric({"name": "a", "value": 2**63 - 1}, kind="counter")] * 2)
    backend.write_many([Metric({"name": "b", "value": 2**64}, kind="gauge")])
    assert [number_of(entry["point"]) for entry in sent(server)] == [2.0**64, 2.0**64]


def test_an_unknown_kind_is_a_gauge(backend, server):
    """Kinds are not checked where they are set; what is no amount must not be added up."""
    backend.write_many([Metric({"name": "a", "value": -1}, kind="odd")])
    assert [entry["shape"] for entry in sent(server)] == ["gauge"]


def test_the_field_of_the_number_may_be_renamed(server):
    """A configuration that renames the duration tells the backend so."""
    backend = OTLPBackend(server.url, value_field="duration")
    backend.write_many([Metric({"name": "a", "duration": 5.0}), Metric({"name": "b", "value": 3}, kind="value")])
    timed, by_hand = sent(server)
    assert (timed["point"].sum, number_of(by_hand["point"])) == (0.005, 3)


# ---- attributes and resources ----------------------------------------------------------------------------------------


def test_only_allowed_fields_become_attributes(backend, server):
    """Of the fields of a metric, those named are attributes, in their types; None is left out."""
    backend.write_many([timing(status=200, count="many", user="anna"), timing(status=None)])
    assert [entry["attributes"] for entry in sent(server)] == [
        {"code.function.name": "a", "status": 200, "count": "many"},
        {"code.function.name": "a"},
    ]


def test_equal_values_of_other_types_are_other_series(backend, server):
    """1, 1.0, True and "1" are equal to Python or look alike, and are told apart."""
    backend.write_many([timing(status=status) for status in (1, 1.0, True, "1")])
    found = [entry["attributes"]["status"] for entry in sent(server)]
    assert list(map(type, found)) == [int, float, bool, str]


def test_each_host_is_a_resource(backend, server):
    """Metrics tell where they were measured; those that do not come from here."""
    backend.write_many([timing(hostname="web-1"), timing(hostname="web-2"), Metric({"name": "a", "value": 1.0})])
    hosts = [entry["resource"]["host.name"] for entry in sent(server)]
    assert hosts[:2] == ["web-1", "web-2"]
    assert hosts[2] not in {"", "web-1", "web-2"}


def test_a_resource_that_names_its_host_holds_for_all(server):
    """Somebody who names the host in the resource knows better than the metrics."""
    OTLPBackend(server.url, resource={"host.name": "cell-7"}).write_many([timing(), timing(hostname="web-2")])
    assert [entry["resource"]["host.name"] for entry in sent(server)] == ["cell-7"]


def test_traced_calls_leave_an_exemplar_in_their_bucket(backend, server):
    """The latest of each bucket is kept with its ids; what is no id is passed over."""
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    ids = {"trace_id": trace, "span_id": span}
    others = [("A" * 32, span), (trace, "0" * 16), (trace, 5)]
    backend.write_many(
        [
            timing(value=1.0, trace_id="f" * 32, span_id=span),
            timing(value=0.9, **ids),
            timing(value=700, **ids),
            *(timing(value=80, trace_id=found, span_id=other) for found, other in others),
        ]
    )
    exemplars = sent(server)[0]["point"].exemplars
    assert [(found.as_double, found.trace_id.hex(), found.span_id.hex()) for found in exemplars] == [
        (0.0009, trace, span), (0.7, trace, span)
    ]  # fmt: skip
    assert {found.time_unix_nano for found in exemplars} == {MOMENT}


def test_huge_texts_are_cut(backend, server):
    """A value of an attribute is at most 1 024 characters, a name 4 096."""
    backend.write_many([timing("n" * 5000, status="s" * 20_000)])
    attributes = sent(server)[0]["attributes"]
    assert (len(attributes["code.function.name"]), len(attributes["status"])) == (4096, 1024)


# ---- bounds ----------------------------------------------------------------------------------------------------------


def test_series_beyond_the_bound_count_together(server):
    """Case B6: their number stays bounded, none of the metrics is lost, and those that overflowed are counted."""
    backend = OTLPBackend(server.url, temporality="delta", max_series=3)
    assert set(backend.write_many([timing(f"f{number}") for number in range(1000)])) == {STORED}
    found = sent(server)
    counts = {entry["attributes"].get("code.function.name"): entry["point"].count for entry in found}
    assert counts == {"f0": 1, "f1": 1, "f2": 1, None: 997}
    assert found[-1]["attributes"] == {"otel.metric.overflow": True}
    assert (backend.stats()["series"], backend.stats()["overflowed"]) == (3, 997)


def test_a_batch_that_is_sent_again_overflows_once(server):
    """What is counted are metrics, not attempts."""
    server.answer(503, 503, 200)
    backend = OTLPBackend(server.url, max_series=1)
    for _ in range(2):
        with pytest.raises(BackendUnavailable):
            backend.write_many([timing("a"), timing("b")])
    backend.write_many([timing("a"), timing("b")])
    assert backend.stats()["overflowed"] == 1


def test_names_beyond_the_bound_share_one_name(server):
    """A counter of a known name overflows under it, unknown names under one of their own: names are bounded, too."""
    backend = OTLPBackend(server.url, max_series=2, attributes=("status",))
    counters = [
        Metric({"name": "known", "value": 1, "status": status}, kind="counter", unit=f"u{status}")
        for status in range(4)
    ]
    unknown = [Metric({"name": f"n{number}", "value": 1}, kind="counter") for number in range(50)]
    backend.write_many(counters + unknown)
    found = [(entry["name"], entry["attributes"], number_of(entry["point"])) for entry in sent(server)]
    overflow = {"otel.metric.overflow": True}
    assert found[2:] == [("known", overflow, 2), ("__overflow__", overflow, 50)]


def test_the_series_for_all_others_keeps_the_unit_of_durations(server):
    """They are always in seconds, and a store knows them by that."""
    OTLPBackend(server.url, max_series=1).write_many([timing("a"), timing("b")])
    assert [(entry["name"], entry["unit"]) for entry in sent(server)] == [(DURATION, "s")] * 2


@pytest.mark.parametrize("temporality", ["delta", "cumulative"])
def test_a_known_series_stays_one_when_it_is_full(server, temporality):
    """What was told apart before is told apart for ever."""
    backend = OTLPBackend(server.url, temporality=temporality, max_series=1)
    backend.write_many([timing("a"), timing("b")])
    backend.write_many([timing("a")])
    assert sent(server)[-1]["attributes"] == {"code.function.name": "a"}


def test_several_threads_lose_nothing(server):
    """Used directly, each thread's calls are in the totals."""
    backend = OTLPBackend(server.url)

    def write():
        for _ in range(25):
            backend.write_many([timing()])

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20.0)
    assert [entry["point"].count for entry in sent(server)] == list(range(1, 101))


def test_metrics_without_a_sensible_moment_are_of_now(backend, server):
    """A timestamp that the protocol cannot hold is replaced by the present."""
    before = time.time_ns()
    for moment in (-1, 2**63, "yesterday"):
        backend.write_many([Metric({"name": "a", "value": 1, "timestamp": moment}, kind="gauge")])
    assert all(before <= entry["time"] <= time.time_ns() for entry in sent(server))


# ---- the reference implementation ------------------------------------------------------------------------------------


def test_the_payload_is_that_of_the_reference_exporter(server):
    """OpenTelemetry's own SDK and encoder make the same message of the same calls, but for times and resource."""
    encoder = pytest.importorskip("opentelemetry.exporter.otlp.proto.common.metrics_encoder")
    sdk = pytest.importorskip("opentelemetry.sdk.metrics")
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    backend = OTLPBackend(server.url, attributes=("status",))
    backend.write_many([timing("shop.pay", value, status=200) for value in (0.5, 12.5, 700)])
    backend.write_many(
        [Metric({"name": "orders", "value": number}, kind="counter", unit="{order}") for number in (2, 3)]
    )
    reader = InMemoryMetricReader()
    meter = sdk.MeterProvider([reader], shutdown_on_exit=False).get_meter("time_execution")
    advice = list(points_of(decoded(server.requests[0].body))[0]["point"].explicit_bounds)
    duration = meter.create_histogram(DURATION, unit="s", explicit_bucket_boundaries_advisory=advice)
    for value in (0.5, 12.5, 700):
        duration.record(value / 1000, {"code.function.name": "shop.pay", "status": 200})
    orders = meter.create_counter("orders", unit="{order}")
    for number in (2, 3):
        orders.add(number)
    reference = encoder.encode_metrics(reader.get_metrics_data())
    ours = [_comparable(decoded(request.body)) for request in server.requests]
    assert ours[0] + ours[1] == _comparable(reference)


def _comparable(request):
    """Return the metrics of a request as texts, without the times."""
    metrics = [
        metric for group in request.resource_metrics for scope in group.scope_metrics for metric in scope.metrics
    ]
    for metric in metrics:
        for point in getattr(metric, metric.WhichOneof("data")).data_points:
            point.ClearField("start_time_unix_nano")
            point.ClearField("time_unix_nano")
    return [str(metric) for metric in metrics]
