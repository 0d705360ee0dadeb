"""What `PrometheusBackend` accepts: wrong options are loud, early, and tell no secret."""

from __future__ import annotations

import pickle

import pytest

pytest.importorskip("prometheus_client")

from time_execution import settings
from time_execution.backends.prometheus import PrometheusBackend
from time_execution.exceptions import ConfigurationError


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"labels": 7}, "labels"),
        ({"labels": ["a", 7]}, "labels"),
        ({"labels": ["le"]}, "labels"),
        ({"labels": ["outcome"]}, "labels"),
        ({"labels": ["7days"]}, "labels"),
        ({"labels": ["__name__"]}, "labels"),
        ({"labels": ["a.b", "a/b"]}, "labels"),
        ({"namespace": "7"}, "namespace"),
        ({"namespace": "a-b"}, "namespace"),
        ({"namespace": None}, "namespace"),
        ({"namespace": "timeexecution"}, "namespace"),
        ({"namespace": "timeexecution_shop"}, "namespace"),
        ({"labels": "job", "pushgateway": "http://gateway"}, "labels: job is set by pushgateway"),
        ({"labels": ["instance"], "pushgateway": "http://gateway"}, "labels: instance is set by pushgateway"),
        ({"buckets": []}, "buckets"),
        ({"buckets": [1, 0.5]}, "buckets"),
        ({"buckets": [1, 1]}, "buckets"),
        ({"buckets": [-1, 1]}, "buckets"),
        ({"buckets": ["1"]}, "buckets"),
        ({"buckets": 5}, "buckets"),
        ({"max_series": 0}, "max_series"),
        ({"max_series": 1.5}, "max_series"),
        ({"path": ""}, "path"),
        ({"path": "/proc/x/y"}, "path"),
        ({"registry": "default"}, "registry"),
        ({"port": 0}, "port"),
        ({"port": 65_536}, "port"),
        ({"port": "9100"}, "port"),
        ({"port": 9100, "address": ""}, "address"),
        ({"port": 9100, "exporter_token": ""}, "exporter_token"),
        ({"exporter_token": "hunter2"}, "exporter_token"),
        ({"pushgateway": "gateway:9091"}, "pushgateway"),
        ({"pushgateway": "http://anna:hunter2@gateway:port"}, "pushgateway"),
        ({"pushgateway": "http://gateway?token=hunter2"}, "pushgateway"),
        ({"pushgateway": 7}, "pushgateway"),
        ({"pushgateway": "http://gateway", "job": ""}, "job"),
        ({"pushgateway": "http://gateway", "instance": 7}, "instance"),
        ({"pushgateway": "http://gateway", "password": "hunter2"}, "username"),
        ({"username": "anna", "password": "hunter2"}, "username"),
        ({"pushgateway": "http://gateway", "push_interval": 0}, "push_interval must be"),
        ({"job": "shop"}, "job is of no use without pushgateway"),
        ({"push_interval": 15}, "push_interval is of no use without pushgateway"),
        ({"timeout": 10}, "timeout is of no use without pushgateway or path"),
        ({"exemplars": "yes"}, "exemplars"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": True}, "ttl"),
        ({"value_field": ""}, "value_field"),
        ({"address": "127.0.0.1"}, "address is of no use without port"),
        ({"self_metrics": {}}, "self_metrics"),
        ({"pushgateway": "http://gateway", "timeout": float("inf")}, "timeout must be"),
    ],
    ids=ascii,
)
def test_a_wrong_option_is_refused_by_its_name(options, key):
    """The error comes at construction, names the key, and shows no value that may be secret (B9)."""
    with pytest.raises(ConfigurationError, match=key) as caught:
        PrometheusBackend(**options)
    assert "hunter2" not in str(caught.value)


def test_a_forked_process_without_a_file_is_told_once(tmp_path, caplog):
    """It may be meant so: each child may have a port or a gateway group of its own."""
    alone, shared = PrometheusBackend(), PrometheusBackend(path=tmp_path / "metrics.db")
    for backend in (alone, shared):
        backend._log.interval = 0.0
        backend.write("load", value=1)
        backend.after_fork()
        for _ in range(3):
            backend.write("load", value=1)
        backend.close()
    assert caplog.text.count("give path, a file that processes share") == 1


def test_nothing_is_opened_at_construction(tmp_path):
    """No file, no port, no thread: those come with the first metric."""
    backend = PrometheusBackend(path=tmp_path / "a" / "metrics.db", port=1, pushgateway="http://127.0.0.1:1")
    assert list(tmp_path.iterdir()) == []
    assert backend.stats()["serving"] is False


def test_no_secret_is_shown():
    """Neither token nor password is in what is printed of it (S8)."""
    backend = PrometheusBackend(
        port=9100, exporter_token="hunter2", pushgateway="http://anna:hunter3@gateway:9091", instance="i"
    )
    assert "hunter" not in repr(backend)
    with pytest.raises((TypeError, AttributeError)):
        pickle.dumps(backend)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("prometheus://", {}),
        ("prometheus://127.0.0.1:9464", {"address": "127.0.0.1", "port": 9464}),
        ("prometheus://[::1]:9464", {"address": "::1", "port": 9464}),
        ("prometheus:///run/metrics.db", {"path": "run/metrics.db"}),
        ("prometheus:////run/a%20b.db", {"path": "/run/a b.db"}),
        (
            "prometheus://:s%40fe@localhost:9464//run/metrics.db",
            {"exporter_token": "s@fe", "address": "localhost", "port": 9464, "path": "/run/metrics.db"},
        ),
    ],
)
def test_a_url_says_where_to_serve_and_what_to_share(url, expected):
    """Host, port, token and path are the constructor's arguments."""
    from urllib.parse import urlsplit

    assert PrometheusBackend.options_from_url(urlsplit(url)) == expected


@pytest.mark.parametrize(
    "url", ["prometheus://anna:hunter2@localhost:9464", "prometheus://a:1,b:2", "prometheus://a:x"]
)
def test_a_url_that_makes_no_sense_is_refused(url):
    """The exporter knows tokens and no users, and listens at one address."""
    with pytest.raises(ConfigurationError) as caught:
        settings.configure(backends=[url])
    assert "hunter2" not in str(caught.value)


def test_options_of_a_url_get_their_types(tmp_path):
    """Lists, durations and objects by their import path."""
    url = f"prometheus:///{tmp_path}/m.db?labels=a,b&buckets=10ms,0.1,1&ttl=1h&self_metrics=ext://time_execution.stats"
    settings.configure(backends=[url])
    backend = settings.backends[0].backend
    assert backend.path == tmp_path / "m.db"
    backend.write_many([])


def test_a_dict_says_the_same(tmp_path):
    """The other form of a configuration."""
    settings.configure(backends=[{"class": "prometheus", "labels": ["a"], "path": str(tmp_path / "m.db")}])
    assert settings.backends[0].backend.path == tmp_path / "m.db"


def test_push_without_a_gateway_is_told():
    """It would do nothing."""
    with pytest.raises(ConfigurationError, match="pushgateway"):
        PrometheusBackend().push()
