"""Arguments, the variables of OpenTelemetry and URLs: which wins, what is refused, and what is never shown."""

from __future__ import annotations

import base64
import configparser
import os
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.proto.metrics", reason="the extra otlp is not installed")
pytest.importorskip("urllib3", reason="the extra otlp is not installed")

from tests.backends.otlp_points import CUMULATIVE, DELTA, decoded, points_of
from tests.fault_server import HANG, FaultServer
from tests.shown_errors import everything_shown
from time_execution import flush, settings, time_execution
from time_execution.backends.otlp import OTLPBackend
from time_execution.backends.otlp.options import endpoint_of
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import BackendTimeout, ConfigurationError
from time_execution.types import Metric

SECRET = "hunter2"
PREFIX = "OTEL_EXPORTER_OTLP_"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    """Start without any variable of OpenTelemetry."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server


def last_point(server):
    """Return the only point of the last request."""
    (found,) = points_of(decoded(server.requests[-1].body))
    return found


CALL = Metric({"name": "a", "value": 1.0, "timestamp": 1_700_000_000_000_000_000})


# ---- where to --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        (None, "http://localhost:4318/v1/metrics"),
        ("http://collector:4318", "http://collector:4318/v1/metrics"),
        ("http://collector:4318/", "http://collector:4318/v1/metrics"),
        ("https://gateway.example/otlp", "https://gateway.example/otlp/v1/metrics"),
        ("https://gateway.example/otlp/v1/metrics", "https://gateway.example/otlp/v1/metrics"),
        ("https://gateway.example/a?key=5", "https://gateway.example/a/v1/metrics?key=5"),
        ("collector", "http://collector:4318/v1/metrics"),
        ("collector:80/otlp", "http://collector:80/otlp/v1/metrics"),
        ("[::1]:4318", "http://[::1]:4318/v1/metrics"),
        ("http://user:pass@collector", "http://collector/v1/metrics"),
    ],
)
def test_an_endpoint_is_completed(given, endpoint):
    """The path of the signal is added, and the port where there is no scheme."""
    assert endpoint_of(given, tls=None).url == endpoint


@pytest.mark.parametrize("path", ["/receiver/v1/otlp/hunter2", "/a?key=hunter2", "/hunter2/v1/metrics"])
def test_of_an_endpoint_only_the_host_is_shown(path):
    """Some vendors have the key in the path, others in the query; neither is in a repr."""
    backend = OTLPBackend(f"https://user:{SECRET}@gateway.example:444{path}")
    assert backend.endpoint == "https://gateway.example:444"
    assert SECRET not in repr(backend)


def test_variables_name_the_endpoint(monkeypatch):
    """That for metrics is taken as it is and wins over the general one; an argument wins over both."""
    monkeypatch.setenv(f"{PREFIX}ENDPOINT", "http://general:1")
    assert endpoint_of(None, tls=None).url == "http://general:1/v1/metrics"
    for own, expected in (("/push", "/push"), ("/push/", "/push/"), ("", "/"), ("/a//?b=/", "/a//?b=/")):
        monkeypatch.setenv(f"{PREFIX}METRICS_ENDPOINT", f"http://own:2{own}")
        assert endpoint_of(None, tls=None).url == f"http://own:2{expected}"
    assert endpoint_of("http://given:3", tls=None).url == "http://given:3/v1/metrics"
    monkeypatch.setenv(f"{PREFIX}METRICS_ENDPOINT", "")
    assert endpoint_of(None, tls=None).url == "http://general:1/v1/metrics"


def test_tls_may_be_asked_for_where_there_is_no_scheme():
    """By the option, or by a certificate."""
    assert OTLPBackend("collector", tls=True).endpoint == "https://collector:4318"
    with pytest.raises(ConfigurationError, match=r"tls=True contradicts the http:// of endpoint"):
        OTLPBackend("http://collector", tls=True)
    with pytest.raises(ConfigurationError, match=r"ca_certs is of no use with an endpoint of http://"):
        OTLPBackend("http://collector", ca_certs="ca.pem")


# ---- variables -------------------------------------------------------------------------------------------------------


def test_variables_set_headers(server, monkeypatch):
    """Percent-encoded pairs; those for metrics win as a whole, and an argument over both."""
    monkeypatch.setenv(f"{PREFIX}HEADERS", "api-key=a%20b, tenant=x")
    OTLPBackend(server.url).write_many([CALL])
    headers = {name.lower(): value for name, value in server.requests[-1].headers.items()}
    assert (headers["api-key"], headers["tenant"]) == ("a b", "x")
    monkeypatch.setenv(f"{PREFIX}METRICS_HEADERS", "api-key=c")
    OTLPBackend(server.url).write_many([CALL])
    headers = {name.lower(): value for name, value in server.requests[-1].headers.items()}
    assert headers["api-key"] == "c"
    assert "tenant" not in headers
    OTLPBackend(server.url, headers="api-key=d").write_many([CALL])
    assert {name.lower(): value for name, value in server.requests[-1].headers.items()}["api-key"] == "d"


def test_a_user_in_the_address_is_basic_authentication(server):
    """Percent-encoded where it must be, and overridden by a header of that name."""
    OTLPBackend(server.url.replace("//", "//an%40na:s%3Afe@")).write_many([CALL])
    kind, _, code = server.requests[0].headers["Authorization"].partition(" ")
    assert (kind, base64.b64decode(code)) == ("Basic", b"an@na:s:fe")
    OTLPBackend(server.url.replace("//", "//a:b@"), headers={"Authorization": "Bearer t"}).write_many([CALL])
    assert server.requests[1].headers["Authorization"] == "Bearer t"


def test_variables_set_the_time_out_in_milliseconds(server, monkeypatch):
    """As the specification has it, not in seconds."""
    server.answer(HANG)
    monkeypatch.setenv(f"{PREFIX}TIMEOUT", "90000")
    monkeypatch.setenv(f"{PREFIX}METRICS_TIMEOUT", "50")
    with pytest.raises(BackendTimeout, match=r"in 0\.05 s"):
        OTLPBackend(server.url).write_many([CALL])


@pytest.mark.parametrize(
    ("text", "argument", "expected"),
    [
        ("delta", None, DELTA),
        ("LowMemory", None, DELTA),
        ("cumulative", None, CUMULATIVE),
        ("", None, CUMULATIVE),
        ("delta", "cumulative", CUMULATIVE),
        ("cumulative", "delta", DELTA),
    ],
)
def test_a_variable_sets_the_temporality(server, monkeypatch, text, argument, expected):
    """Cumulative where nobody says anything; an argument wins."""
    monkeypatch.setenv(f"{PREFIX}METRICS_TEMPORALITY_PREFERENCE", text)
    OTLPBackend(server.url, temporality=argument).write_many([CALL])
    assert last_point(server)["temporality"] == expected


def test_variables_set_compression(server, monkeypatch):
    """That for metrics before the general one."""
    monkeypatch.setenv(f"{PREFIX}COMPRESSION", "gzip")
    monkeypatch.setenv(f"{PREFIX}METRICS_COMPRESSION", "none")
    OTLPBackend(server.url).write_many([CALL])
    assert "Content-Encoding" not in server.requests[0].headers


def test_resources_come_from_arguments_and_variables(server, monkeypatch):
    """Arguments over OTEL_SERVICE_NAME over OTEL_RESOURCE_ATTRIBUTES; types of arguments are kept."""
    OTLPBackend(server.url).write_many([CALL])
    assert last_point(server)["resource"]["service.name"] == "unknown_service:python"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,deployment.environment.name=test%2Cprod,team=x")
    OTLPBackend(server.url, resource={"team": "y", "shard": 3}).write_many([CALL])
    found = last_point(server)["resource"]
    assert found["service.name"] == "a"
    assert (found["deployment.environment.name"], found["team"], found["shard"]) == ("test,prod", "y", 3)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "b")
    OTLPBackend(server.url).write_many([CALL])
    assert last_point(server)["resource"]["service.name"] == "b"
    OTLPBackend(server.url, service_name="c", resource="service.instance.id=seven").write_many([CALL])
    found = last_point(server)["resource"]
    assert (found["service.name"], found["service.instance.id"]) == ("c", "seven")


def test_a_disabled_sdk_sends_nothing(server, monkeypatch):
    """OTEL_SDK_DISABLED throws everything away, which is counted."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    backend = OTLPBackend(server.url)
    backend.write("a", value=1)
    assert server.requests == []
    assert backend.stats()["discarded"] == 1


def test_variables_are_read_when_the_backend_is_made(server, monkeypatch):
    """What changes later changes nothing."""
    backend = OTLPBackend(server.url)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    backend.write("a", value=1)
    assert len(server.requests) == 1


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"endpoint": "ftp://hunter2"}, "^endpoint must be an address such as http://collector:4318$"),
        ({"endpoint": "http://host:hunter2"}, "^endpoint must be an address"),
        ({"endpoint": "http://[hunter2"}, "^endpoint must be an address"),
        ({"endpoint": "http://"}, "^endpoint must be an address"),
        ({"endpoint": "http://a b"}, "^endpoint must be an address"),
        ({"endpoint": 4318}, "^endpoint must be an address .*, not int$"),
        ({"headers": "hunter2"}, "^headers must be written name=value,name=value$"),
        ({"headers": {"a b": "hunter2"}}, "^headers must be names of headers"),
        ({"headers": {"key": "hunter2\r\nX: 1"}}, "^headers must hold texts of one line"),
        ({"headers": {"key": "hunter2\u20ac"}}, "^headers must hold texts of one line"),
        ({"headers": {"key": 5}}, "^headers must be names of headers"),
        ({"headers": ["hunter2"]}, "^headers must be names of headers"),
        ({"timeout": 0}, "^timeout must be a number of seconds above 0, and less than a day, got 0$"),
        ({"timeout": True}, "^timeout must be"),
        ({"timeout": "hunter2"}, "^timeout must be"),
        ({"timeout": float("inf")}, "^timeout must be"),
        ({"temporality": "hunter2"}, "^temporality must be one of cumulative, delta, lowmemory$"),
        ({"compression": "br"}, "^compression must be one of gzip, none$"),
        ({"compression": 1}, "^compression must be one of gzip, none$"),
        ({"resource": {"a": ["hunter2"]}}, "^resource must be names"),
        ({"resource": {"": "hunter2"}}, "^resource must be names"),
        ({"resource": {"a": 2**64}}, "^resource has a name or a value that OTLP cannot carry$"),
        ({"resource": {"a": "\ud800"}}, "^resource has a name or a value that OTLP cannot carry$"),
        ({"resource": "hunter2"}, "^resource must be written name=value"),
        ({"service_name": ""}, "^service_name must be a text$"),
        ({"attributes": [1]}, "^attributes must be a list of names"),
        ({"buckets": [1, 1]}, "^buckets must be numbers of seconds, each above the one before$"),
        ({"buckets": [float("nan")]}, "^buckets must be numbers"),
        ({"buckets": "1"}, "^buckets must be a list"),
        ({"max_series": 0}, "^max_series must be a whole number of at least 1, got 0$"),
        ({"max_series": True}, "^max_series must be"),
        ({"value_field": 1}, "^value_field must be a str, not int$"),
        ({"endpoint": "https://a", "client_key": "k"}, "^client_key needs client_cert"),
    ],
)
def test_wrong_arguments_are_refused_at_once(options, message):
    """Case B9: the key is named, and no value is shown."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        OTLPBackend(**options)
    assert SECRET not in everything_shown(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (f"{PREFIX}ENDPOINT", "hunter2://"),
        (f"{PREFIX}METRICS_ENDPOINT", "hunter2://"),
        (f"{PREFIX}HEADERS", "hunter2"),
        (f"{PREFIX}METRICS_HEADERS", "a=hunter2%0a"),
        (f"{PREFIX}TIMEOUT", "hunter2"),
        (f"{PREFIX}TIMEOUT", "0"),
        (f"{PREFIX}METRICS_COMPRESSION", "hunter2"),
        (f"{PREFIX}METRICS_TEMPORALITY_PREFERENCE", "hunter2"),
        (f"{PREFIX}PROTOCOL", "grpc"),
        (f"{PREFIX}METRICS_PROTOCOL", "http/json"),
        ("OTEL_RESOURCE_ATTRIBUTES", "hunter2"),
    ],
)
def test_wrong_variables_are_refused_by_name(monkeypatch, name, text):
    """Whoever set it reads which variable it was."""
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigurationError, match=f"^{name} ") as caught:
        OTLPBackend()
    assert SECRET not in everything_shown(caught.value)


def test_a_protocol_of_others_does_not_matter_with_an_endpoint(monkeypatch):
    """The variable goes with the variables' endpoint; an argument is ours."""
    monkeypatch.setenv(f"{PREFIX}PROTOCOL", "grpc")
    assert OTLPBackend("http://collector:4318").endpoint == "http://collector:4318"


def test_the_extra_names_all_that_is_imported():
    """The messages' own package takes older versions of protobuf, too, which lack a module that is read here."""
    parser = configparser.RawConfigParser()
    parser.read(Path(__file__).parents[2] / "setup.cfg")
    assert "protobuf>=4.21" in parser["options.extras_require"]["otlp"].split()


# ---- configuration ---------------------------------------------------------------------------------------------------


def test_a_url_configures_it(server):
    """Address and options arrive in their types, and a decorated function's calls at the server."""
    url = server.url.replace("http://", f"otlp://user:{SECRET}@")
    options = "headers=api-key%3Dhunter2&timeout=500ms&attributes=status,region&buckets=0.1,1&temporality=delta"
    settings.configure(backends=[f"{url}?{options}&max_series=10&bulk_timeout=10ms&resource=team%3Dx"])
    (backend,) = settings.backends
    assert isinstance(backend, ThreadedBackend)
    assert isinstance(backend.backend, OTLPBackend)
    assert SECRET not in repr(settings)
    time_execution(name="shop.pay")(lambda: None)()
    assert flush(10.0)
    found = last_point(server)
    assert found["attributes"] == {"code.function.name": "shop.pay"}
    assert list(found["point"].explicit_bounds) == [0.1, 1.0]
    assert found["resource"]["team"] == "x"
    assert server.requests[0].headers["Authorization"].startswith("Basic ")


def test_a_dict_configures_it(server):
    """Options by name; the number's field is the one that the settings name."""
    settings.configure(
        duration_field="duration", backends=[{"class": "otlp", "endpoint": server.url, "bulk_timeout": 0.01}]
    )
    time_execution(name="shop.pay")(lambda: None)()
    assert flush(10.0)
    assert last_point(server)["point"].count == 1


def test_a_wrong_url_shows_no_password():
    """The message names the place and the option."""
    with pytest.raises(ConfigurationError, match=r"backends\[0\].*endpoint must be an address") as caught:
        settings.configure(backends=[f"otlp://user:{SECRET}@host:port"])
    assert SECRET not in everything_shown(caught.value)
