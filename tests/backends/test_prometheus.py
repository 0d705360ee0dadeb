"""What `PrometheusBackend` makes of metrics: names, units, buckets, labels, and the two formats."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, Counter, generate_latest

from tests.backends.prometheus_totals import CALLS, DURATION, families, samples, shown, shown_calls, timing
from time_execution import settings, time_execution, write_metric
from time_execution.backends.prometheus import PrometheusBackend
from time_execution.exceptions import ConfigurationError
from time_execution.testing.hostile import HOSTILE_NAMES, hostile_values
from time_execution.types import STORED, Metric, Reject


def number(name, value=1.0, *, kind="value", unit=None, **fields):
    return Metric({"name": name, "value": value, **fields}, kind=kind, unit=unit)


def test_a_timing_is_a_histogram_in_seconds_and_a_counter():
    """Milliseconds become seconds, in cumulative buckets; calls are counted by what came of them."""
    backend = PrometheusBackend(buckets=[0.01, 0.1])
    backend.write_many([timing(value=5.0), timing(value=10.0), timing(value=50.0, error_type="ValueError")])
    backend.write_many([timing(value=5000.0)])
    buckets = {le: shown(backend, f"{DURATION}_bucket", function="f", le=le) for le in ("0.01", "0.1", "+Inf")}
    assert buckets == {"0.01": 2, "0.1": 3, "+Inf": 4}
    assert shown(backend, f"{DURATION}_count", function="f") == 4
    assert shown(backend, f"{DURATION}_sum", function="f") == pytest.approx(5.065)
    assert shown(backend, CALLS, function="f", outcome="ok") == 3
    assert shown(backend, CALLS, function="f", outcome="error") == 1


def test_the_default_buckets_tell_short_functions_apart():
    """Functions that take 100 and 400 microseconds are not in one bucket."""
    backend = PrometheusBackend()
    backend.write_many([timing("fast", 0.1), timing("slower", 0.4)])
    assert shown(backend, f"{DURATION}_bucket", function="fast", le="0.0001") == 1
    assert shown(backend, f"{DURATION}_bucket", function="slower", le="0.00025") == 0
    assert shown(backend, f"{DURATION}_bucket", function="slower", le="0.0005") == 1


@pytest.mark.parametrize(
    ("metric", "name", "value"),
    [
        (number("cpu.load.1m", 0.5), "cpu_load_1m", 0.5),
        (number("queue", 3, kind="gauge"), "queue", 3),
        (number("on", True), "on", 1),
        (number("2fa/fails", 1), "_2fa_fails", 1),
        (number("", 1), "_", 1),
        (number("orders", 2, kind="counter"), "orders_total", 2),
        (number("orders_total", 2, kind="counter"), "orders_total", 2),
        (number("deploy", "v2", kind="event"), "deploy_total", 1),
        (number("lag", 250, unit="ms"), "lag_seconds", 0.25),
        (number("lag_ms", 250, unit="ms"), "lag_seconds", 0.25),
        (number("lag_seconds", 2, unit="s"), "lag_seconds", 2),
        (number("read", 2, kind="counter", unit="KiB"), "read_bytes_total", 2048),
        (number("read_total", 2, kind="counter", unit="KiB"), "read_bytes_total", 2048),
        (number("disk", 50, kind="gauge", unit="%"), "disk_ratio", 0.5),
        (number("speed", 5, unit="furlongs"), "speed", 5),
    ],
    ids=lambda given: str(given) if isinstance(given, str) else "",
)
def test_numbers_have_names_and_base_units_as_prometheus_wants_them(metric, name, value):
    """Dots become _, units become base units at the end of the name, and counters end in _total."""
    backend = PrometheusBackend()
    assert backend.write_many([metric]) is None
    assert shown(backend, name) == pytest.approx(value)


def test_counters_add_up_and_levels_are_replaced():
    """The latest level counts by its own moment, so one that is sent again late does not return."""
    backend = PrometheusBackend()
    for value, moment in ((1, 100), (7, 300), (3, 200)):
        backend.write_many([number("orders", value, kind="counter"), number("load", value, timestamp=moment)])
    assert (shown(backend, "orders_total"), shown(backend, "load")) == (11, 7)


def test_only_fields_on_the_list_become_labels():
    """Any other field, such as the host's name, would make a series for each of its values."""
    backend = PrometheusBackend(labels=["http.route", "cached", "status"])
    backend.write_many([timing(**{"http.route": "/a", "cached": True, "status": 200, "user": "anna"})])
    backend.write_many([timing(**{"http.route": "/a", "cached": None})])
    backend.write_many([number("load", 1, status="x", user="anna")])
    labels = {"http_route": "/a", "cached": "true", "status": "200"}
    assert shown(backend, CALLS, function="f", outcome="ok", **labels) == 1
    assert shown(backend, CALLS, function="f", outcome="ok", http_route="/a", cached="", status="") == 1
    assert shown(backend, "load", status="x") == 1
    assert "anna" not in backend.exposition()[0].decode()


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=lambda name: ascii(name)[:40])
def test_any_name_is_one_series_of_its_own(name):
    """A name comes back as it was, lone surrogates as escapes, and makes no second record (B5)."""
    backend = PrometheusBackend(labels="label")
    backend.write_many([timing(name, label=name), timing("next", 2.0)])
    safe = name.encode("utf-8", "backslashreplace").decode()
    assert sorted(shown_calls(backend)) == sorted([safe, "next"])
    family = families(backend)[DURATION]
    assert {sample.labels["function"] for sample in family.samples} == {safe, "next"}
    assert {sample.labels.get("label", "") for sample in family.samples} == {safe, ""}


def test_a_text_of_a_megabyte_is_cut():
    """A scrape stays small whatever somebody takes for a name."""
    backend = PrometheusBackend(labels="label")
    backend.write_many([timing("x" * 1_000_000, label="y" * 1_000_000), number("z" * 1_000_000, 1)])
    assert len(backend.exposition()[0]) < 200_000


@pytest.mark.parametrize("kind", list(hostile_values()))
@pytest.mark.parametrize("place", ["value", "label", "name", "timestamp", "trace_id", "error"])
def test_a_hostile_value_harms_no_neighbour(kind, place):
    """Whatever stands anywhere, its metric is added or refused, the others are added, and the scrape goes well."""
    backend = PrometheusBackend(labels="label")
    odd = hostile_values()[kind]
    batch = [timing("a"), timing(**{"name": "odd", place: odd}), number(**{"name": "x", place: odd}), timing("b")]
    results = backend.write_many(batch) or [STORED] * 4
    assert (results[0], results[3]) == (STORED, STORED)
    assert all(isinstance(result, Reject) or result is STORED for result in results)
    calls = shown_calls(backend)
    assert (calls["a"], calls["b"]) == (1, 1)
    assert families(backend)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "12", 10**400, [1]], ids=ascii)
@pytest.mark.parametrize("kind", ["timing", "value", "counter", "gauge"])
def test_what_is_no_finite_number_is_refused(value, kind):
    """One NaN would make a sum NaN for ever; the metric goes to the dead letters, and says why (B4)."""
    backend = PrometheusBackend()
    (result,) = backend.write_many([number("f", value, kind=kind)])
    assert (type(result), result.reason) == (Reject, "no number")
    assert not shown_calls(backend)


@pytest.mark.parametrize("kind", ["timing", "counter"])
def test_what_cannot_fall_is_not_made_to(kind):
    """A negative duration, or a counter that is counted down, is refused: Prometheus would see a restart."""
    backend = PrometheusBackend()
    results = backend.write_many([number("f", -1, kind=kind), number("g", -1)])
    assert (results[0].reason, results[1]) == ("negative", STORED)


def test_an_unknown_kind_is_a_number():
    """Kinds are not checked where they are set."""
    backend = PrometheusBackend()
    backend.write_many([number("f", 2, kind="odd")])
    assert shown(backend, "f") == 2


def test_one_name_is_of_one_kind(caplog):
    """Metrics of another kind under the same name are refused and counted; those of the first go on (clashes)."""
    backend = PrometheusBackend()
    first, again = number("a.b", 1, kind="counter"), number("a/b", 1, kind="counter")
    others = [number("a_b", 5, kind=kind) for kind in ("gauge", "value")]
    reserved = [number("function_duration_seconds", 1), number("function_calls", 1, kind="counter")]
    results = backend.write_many([first, *others, number("a_b_total", 5), *reserved, again])
    assert [getattr(result, "reason", "stored") for result in results] == ["stored", *["name clash"] * 5, "stored"]
    assert shown(backend, "a_b_total") == 2
    assert backend.stats()["clashes"] == 5
    assert shown(backend, "timeexecution_name_clashes_total") == 5
    assert {"a_b", "a_b_total"} & set(families(backend)) == {"a_b"}
    assert "Prometheus metrics called 'function_calls' are refused" in caplog.text
    assert caplog.text.count("rename one of them") == 1


@pytest.mark.parametrize("suffix", ["_total", "_bucket", "_count", "_sum", "_created", "_info"])
def test_a_name_that_a_familys_samples_may_have_is_taken(suffix):
    """Some of both formats' parsers would take such a gauge for a sample of the other family."""
    for names in (("a", f"a{suffix}"), (f"a{suffix}", "a")):
        backend = PrometheusBackend()
        first, second = (number(name, kind=kind) for name, kind in zip(names, ("gauge", "counter"), strict=True))
        results = backend.write_many([first, second])
        assert [getattr(result, "reason", "stored") for result in results] == ["stored", "name clash"]


def test_a_trace_id_makes_an_exemplar_in_openmetrics_only():
    """The latest call with a trace id stands for its bucket; the older format has no place for it."""
    backend = PrometheusBackend(buckets=[0.01, 0.1])
    ids = {"trace_id": "a" * 32, "span_id": "b" * 16}
    backend.write_many([timing(value=5.0, **ids), timing(value=50.0, **(ids | {"trace_id": "c" * 32}))])
    backend.write_many([timing(value=6.0, trace_id="d" * 32), timing(value=7.0, trace_id=""), timing(value=8.0)])
    found = {
        sample.labels["le"]: (sample.exemplar.labels, sample.exemplar.value)
        for sample in families(backend)[DURATION].samples
        if sample.exemplar
    }
    assert found == {
        "0.01": ({"trace_id": "d" * 32}, 0.006),
        "0.1": ({"trace_id": "c" * 32, "span_id": "b" * 16}, 0.05),
    }
    assert b"trace_id" not in backend.exposition()[0]


@pytest.mark.parametrize("moments", [(100, 200), (200, 100)])
def test_the_latest_example_of_a_bucket_is_shown(moments):
    """Calls that failed and calls that did not are in one bucket, which has room for one example."""
    backend = PrometheusBackend(buckets=[1.0])
    backend.write_many([timing(trace_id=f"t{moments[0]}", timestamp=moments[0])])
    backend.write_many([timing(trace_id=f"t{moments[1]}", timestamp=moments[1], error_type="ValueError")])
    (example,) = [sample.exemplar for sample in families(backend)[DURATION].samples if sample.exemplar]
    assert example.labels == {"trace_id": "t200"}


def test_an_exemplar_that_is_too_long_is_left_out():
    """OpenMetrics allows 128 characters; a server would refuse the whole answer."""
    backend = PrometheusBackend()
    backend.write_many([timing(trace_id="x" * 200), timing(trace_id=7, span_id="b")])
    PrometheusBackend(exemplars=False).write_many([timing(trace_id="a")])
    assert "# {" not in backend.exposition("application/openmetrics-text; version=1.0.0")[0].decode()


def test_exemplars_can_be_left_out():
    """With ``exemplars=False`` trace ids do not show."""
    backend = PrometheusBackend(exemplars=False)
    backend.write_many([timing(trace_id="secret-id")])
    assert b"secret-id" not in backend.exposition("application/openmetrics-text; version=1.0.0")[0]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "text/plain; version=0.0.4"),
        ("text/html,*/*", "text/plain; version=0.0.4"),
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=0.5", "openmetrics-text"),
    ],
)
def test_the_format_is_what_the_scraper_asks_for(accept, kind):
    """The content type says what follows."""
    backend = PrometheusBackend()
    backend.write_many([timing()])
    body, content_type = backend.exposition(accept)
    assert kind in content_type
    assert body.endswith(b"# EOF\n") is ("openmetrics" in kind)


def test_an_empty_backend_shows_its_own_counters_at_zero():
    """So that the first rise can be seen, which a series that begins with it would hide."""
    assert samples(PrometheusBackend()) == {
        (f"timeexecution_{name}_total", frozenset()): 0.0
        for name in ("series_overflow", "name_clashes", "store_errors")
    }


def test_a_namespace_comes_before_each_name_but_our_own():
    """Two applications in one Prometheus are told apart by it, and our own metrics are found everywhere."""
    backend = PrometheusBackend(namespace="shop")
    backend.write_many([timing(), number("load", 1), number("orders", 1, kind="counter")])
    names = {name for name, _ in samples(backend)}
    assert {"shop_function_calls_total", "shop_load", "shop_orders_total", "timeexecution_name_clashes_total"} <= names
    assert not any(name.startswith(("function", "load", "orders")) for name in names)


def test_making_it_twice_for_one_registry_shows_the_sum_of_both():
    """A module that is imported twice, or settings that are made anew, break no scrape and lose no count (25)."""
    registry = CollectorRegistry(auto_describe=True)
    first = PrometheusBackend(registry=registry)
    first.write_many([timing(), number("load", 1, timestamp=5)])
    first.close()
    second = PrometheusBackend(registry=registry)
    second.write_many([timing(), number("load", 2, timestamp=6)])
    text = generate_latest(registry).decode()
    assert f'{CALLS}{{function="f",outcome="ok"}} 2.0' in text
    assert "\nload 2.0" in text
    assert first.registry is second.registry is registry


@pytest.mark.parametrize("is_shared", [False, True], ids=["memory", "file"])
def test_two_namespaces_in_one_registry_show_our_own_families_once(tmp_path, is_shared):
    """They have no namespace; a family that is there twice makes the whole answer invalid."""
    registry = CollectorRegistry(auto_describe=True)
    path = tmp_path / "metrics.db" if is_shared else None
    backends = [PrometheusBackend(registry=registry, namespace=name, path=path, max_series=1) for name in ("a", "b")]
    for backend in backends:
        backend.write_many([number("load", 1), number("queue", 2, kind="counter"), number("jobs", 3, kind="counter")])
    # `samples` fails where a series is there twice, and of a file that both have, each counts all.
    wanted = {"a_load": 1, "b_load": 1, "timeexecution_overflow_total": 10}
    label = {"name": "__overflow__"}
    assert {name: shown(backend, name, **({} if "load" in name else label)) for name in wanted} == wanted
    assert shown(backends[0], "timeexecution_series_overflow_total") == 4
    text = backends[0].exposition()[0].decode()
    assert text.count("# HELP timeexecution_series_overflow_total") == 1
    for backend in backends:
        backend.close()


def test_one_registry_shows_a_shared_file_once(tmp_path):
    """Two backends with one file show the same totals, not twice as much."""
    registry = CollectorRegistry()
    backends = [PrometheusBackend(registry=registry, path=tmp_path / "metrics.db") for _ in range(2)]
    for backend in backends:
        backend.write_many([timing()])
    assert shown_calls(backends[0]) == {"f": 2}
    for backend in backends:
        backend.close()


def test_a_name_that_the_registry_has_already_is_a_configuration_error():
    """Somebody else's metric of our name is found at construction, and the message says what to do."""
    registry = CollectorRegistry()
    Counter("function_calls", "theirs", registry=registry)
    with pytest.raises(ConfigurationError, match="give a namespace"):
        PrometheusBackend(registry=registry)
    PrometheusBackend(registry=registry, namespace="ours").write_many([timing()])
    assert b"ours_function_calls_total" in generate_latest(registry)


def test_it_lives_beside_other_metrics_in_a_registry():
    """An application's own metrics are in the same answer."""
    registry = CollectorRegistry()
    Counter("logins", "theirs", registry=registry).inc()
    backend = PrometheusBackend(registry=registry)
    backend.write_many([timing()])
    assert shown(backend, "logins_total") == 1
    assert shown_calls(backend) == {"f": 1}


def test_configured_by_url_it_counts_decorated_calls():
    """From the decorator to the exposition, with the delivery's own thread in between."""
    settings.configure(backends=["prometheus://?labels=route&namespace=shop&linger=10ms"])

    @time_execution(name="checkout")
    def checkout():
        return 1

    for _ in range(5):
        checkout()
    write_metric("cart.size", value=3, route="/cart")
    assert settings.backends[0].flush(10.0)
    backend = settings.backends[0].backend
    assert shown(backend, "shop_function_calls_total", function="checkout", outcome="ok") == 5
    assert shown(backend, "shop_cart_size", route="/cart") == 3


def test_a_field_of_another_name_may_hold_the_duration():
    """``settings.duration_field`` reaches the backend."""
    settings.configure(backends=["prometheus://?linger=10ms"], duration_field="took")

    @time_execution(name="f")
    def f():
        return 1

    f()
    write_metric("load", value=2)
    assert settings.backends[0].flush(10.0)
    backend = settings.backends[0].backend
    assert shown(backend, f"{DURATION}_count", function="f") == 1
    assert shown(backend, "load") == 2
