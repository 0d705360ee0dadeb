"""Labels that a metric names itself: of a family of its name for timings, of its series for all else; both stores."""

from __future__ import annotations

import os
import subprocess
from shutil import which

import pytest

pytest.importorskip("prometheus_client")

from tests.backends.prometheus_totals import families, samples, shown, shown_calls, timing
from tests.forked import ends_well_in_a_child, needs_fork
from time_execution.backends.prometheus import PrometheusBackend
from time_execution.backends.prometheus.mapping import _MAX_KEPT, _MAX_KNOWN, Mapper
from time_execution.types import Metric

TEXTS = ("1", "true", "1.0")
REQUEST = "http.server.request.duration"
SECONDS = "http_server_request_duration_seconds"
LABELS = ("method", "route", "status_code")


@pytest.fixture(params=["memory", "shared"], name="make")
def make_fixture(request, tmp_path):
    """Make backends with either store; those of the shared one have the same file."""
    made = []

    def make(**options):
        path = {"path": tmp_path / "metrics.db"} if request.param == "shared" else {}
        made.append(PrometheusBackend(**path, **options))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


def request(route="/users/{id}", status=200, value=100.0, **fields):
    metric = timing(REQUEST, value, method="GET", route=route, status_code=status, **fields)
    metric.labels = LABELS
    return metric


def labels_of(route="/users/{id}", status="200"):
    return {"method": "GET", "route": route, "status_code": status}


def test_timings_with_labels_are_a_histogram_of_their_own_name(make):
    """In seconds, by their labels; functions stay in theirs."""
    backend = make()
    backend.write_many([request(), request(value=300.0), request(status=500, error_type="E"), timing("shop.pay", 5.0)])
    assert shown(backend, f"{SECONDS}_count", **labels_of()) == 2
    assert shown(backend, f"{SECONDS}_sum", **labels_of()) == pytest.approx(0.4)
    assert shown(backend, f"{SECONDS}_count", **labels_of(status="500")) == 1
    assert shown(backend, f"{SECONDS}_bucket", le="0.1", **labels_of()) == 1
    assert shown(backend, f"{SECONDS}_bucket", le="+Inf", **labels_of()) == 2
    assert shown_calls(backend) == {"shop.pay": 1}
    assert families(backend)[SECONDS].type == "histogram"
    assert families(backend)[SECONDS].unit == "seconds"


def test_events_and_numbers_have_their_labels(make):
    """Errors by type and place, checks by service, in base units."""
    backend = make(namespace="shop")
    error = {"name": "error", "type": "ValueError", "place": "shop:3", "message": "no", "error_type": "ValueError"}
    backend.write_many(
        [
            Metric(error, kind="event", labels=("type", "place")),
            Metric(error, kind="event", labels=("type", "place")),
            Metric(
                {"name": "health.check", "service": "db", "value": 3.0}, kind="gauge", unit="ms", labels=("service",)
            ),
            Metric({"name": "system.load_1m", "value": 0.5}, kind="gauge"),
        ]
    )
    assert shown(backend, "shop_error_total", type="ValueError", place="shop:3") == 2
    assert shown(backend, "shop_health_check_seconds", service="db") == 0.003
    assert shown(backend, "shop_system_load_1m") == 0.5


def test_what_is_configured_counts_as_well(make):
    """And wins where a metric's own has the same name."""
    backend = make(labels="region,route")
    backend.write_many([request(region="eu"), timing("shop.pay", region="us")])
    assert shown(backend, f"{SECONDS}_count", region="eu", **labels_of()) == 1
    assert shown(backend, "function_calls_total", function="shop.pay", outcome="ok", region="us") == 1


def test_a_trace_is_an_example_of_its_bucket(make):
    """As it is of a function's."""
    backend = make()
    backend.write_many([request(trace_id="ab12")])
    examples = [sample.exemplar for sample in families(backend)[SECONDS].samples if sample.exemplar]
    assert [example.labels for example in examples] == [{"trace_id": "ab12"}]


@pytest.mark.parametrize(
    ("field", "label"),
    [
        ("url.path", "url_path"),
        ("job", "exported_job"),
        ("instance", "exported_instance"),
        ("le", "label_le"),
        ("quantile", "label_quantile"),
        ("__name", "label_name"),
        ("9th", "label_9th"),
        ("ö", "_"),
        ("function", "function"),
    ],
)
def test_any_name_of_a_label_becomes_one_that_prometheus_takes(make, field, label):
    """Nobody configured it, so nobody can be told to rename it."""
    backend = make()
    metric = timing("odd", 1.0, **{field: "x"})
    metric.labels = (field,)
    backend.write_many([metric, Metric({"name": "odd.level", "value": 1, field: "x"}, kind="gauge", labels=(field,))])
    assert shown(backend, "odd_seconds_count", **{label: "x"}) == 1
    assert shown(backend, "odd_level", **{label: "x"}) == 1


def test_labels_without_a_value_are_left_out(make):
    """A metric none of whose labels has one belongs to the series without labels."""
    backend = make()
    backend.write_many([request(), request(route=None), request(route="", status=None)])
    assert shown(backend, f"{SECONDS}_count", method="GET", route="", status_code="200") == 1
    assert shown(backend, f"{SECONDS}_count", method="GET", route="", status_code="") == 1
    plain = timing("bare")
    plain.labels = ("absent",)
    backend.write_many([plain])
    assert shown(backend, "bare_seconds_count") == 1


def test_series_met_before_are_found_by_equal_values_of_the_same_kind(make):
    """True is not 1, nor 1.0, nor "1" a number; so it is however often they come, and with what is configured."""
    backend = make(labels=["user"])
    for _ in range(2):
        for status, user in ((1, "a"), (True, "a"), (1.0, "a"), (1, "b"), (1, None)):
            backend.write_many([request(status=status, user=user)])
    found = {status: shown(backend, f"{SECONDS}_count", user="a", **labels_of(status=status)) for status in TEXTS}
    assert found == {"1": 2, "true": 2, "1.0": 2}
    assert shown(backend, f"{SECONDS}_count", user="b", **labels_of(status="1")) == 2
    assert shown(backend, f"{SECONDS}_count", user="", **labels_of(status="1")) == 2


def test_few_and_short_series_are_remembered():
    """Neither many values nor long ones stay in memory for the sake of a faster answer; all count alike."""
    mapper = Mapper(labels={}, bounds=(1.0,), exemplars=False, value_field="value")
    many = [request(f"/{number}") for number in range(_MAX_KNOWN + 10)]
    for _ in range(2):
        tally, _ = mapper.tally([*many, request("/" * (_MAX_KEPT + 1))])
        assert len(tally) == len(many) + 1
        assert 0 < len(mapper._known) <= _MAX_KNOWN
    assert max(len(route) for _, (_, _, route, _) in mapper._known) <= _MAX_KEPT


def test_beyond_the_limit_series_of_a_name_are_added_up(make):
    """Of a name that is there by its labels, of a new one as any function."""
    backend = make(max_series=3)
    backend.write_many([request(f"/{number}") for number in range(10)])
    overflow = dict.fromkeys(LABELS, "__overflow__")
    assert shown(backend, f"{SECONDS}_count", **overflow) == 7
    new = timing("new", x="1")
    new.labels = ("x",)
    backend.write_many([new])
    assert shown_calls(backend) == {"__overflow__": 1}
    assert shown(backend, "timeexecution_series_overflow_total") == 8


def test_a_name_is_of_one_kind(make):
    """A number that is called like the histogram, or like a part of it, is refused; so is the reverse."""
    backend = make()
    results = backend.write_many(
        [
            request(),
            Metric({"name": SECONDS, "value": 1}, kind="gauge"),
            Metric({"name": f"{SECONDS}_count", "value": 1}, kind="counter"),
        ]
    )
    assert [type(result).__name__ for result in results] == ["Stored", "Reject", "Reject"]
    taken = timing("function.duration", x="1")
    taken.labels = ("x",)
    (result,) = backend.write_many([taken])
    assert result.reason == "name clash"


@pytest.mark.parametrize("value", [-1.0, None, "text"])
def test_what_is_no_duration_is_refused(make, value):
    """As it is without labels."""
    (result,) = make().write_many([request(value=value)])
    assert result.reason in {"negative", "no number"}


@needs_fork
def test_processes_add_to_one_total(tmp_path):
    """What a child counted stays when it has ended, and each shows the totals of all."""
    backend = PrometheusBackend(path=tmp_path / "metrics.db")
    backend.write_many([request(), request(status=500)])
    assert ends_well_in_a_child(lambda: backend.write_many([request()] * 3))
    assert shown(backend, f"{SECONDS}_count", **labels_of()) == 4
    with PrometheusBackend(path=tmp_path / "metrics.db") as other:
        assert samples(other) == samples(backend)
    backend.close()


@pytest.mark.skipif(which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_wrong(make):
    """Names, units and labels are as Prometheus advises."""
    backend = make()
    backend.write_many(
        [request(), request(status=500), Metric({"name": "error", "type": "E"}, kind="event", labels=("type",))]
    )
    found = subprocess.run(
        ["promtool", "check", "metrics"],
        input=backend.exposition()[0],
        capture_output=True,
        check=False,
        env=os.environ,
    )
    assert (found.returncode, found.stdout + found.stderr) == (0, b"")
