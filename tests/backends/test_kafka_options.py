"""What `KafkaBackend` makes of its options, as arguments and in a URL: without a broker."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import urlsplit

import pytest

pytest.importorskip("time_execution.backends.kafka", reason="its client is not installed", exc_type=ImportError)

from time_execution.backends.kafka import KafkaBackend, producer
from time_execution.exceptions import BackendDenied, ConfigurationError


def options_of(monkeypatch, **given):
    """Return what a producer is made with."""
    monkeypatch.setattr(producer, "Producer", lambda **options: options)
    return KafkaBackend("h", **given)._connect(None)


def test_a_producer_is_idempotent_and_confirmed_by_all(monkeypatch):
    """What the promises hang on is set, and cannot be set otherwise."""
    options = options_of(monkeypatch, timeout=7.0, delivery_timeout=60.0)
    assert (options["acks"], options["enable_idempotence"]) == ("all", True)
    assert options["bootstrap_servers"] == ["h:9092"]
    assert options["request_timeout_ms"] == options["max_block_ms"] == 7000
    assert options["delivery_timeout_ms"] >= 60_000
    assert options["security_protocol"] == "PLAINTEXT"


def test_the_client_s_own_options_go_before_our_defaults(monkeypatch):
    """Who knows better may say so."""
    assert options_of(monkeypatch, linger_ms=3, client_id="shop")["linger_ms"] == 3


@pytest.mark.parametrize(
    ("option", "given", "passed"),
    [
        ("client_id", 77, "77"),
        ("ssl_password", 77, "77"),
        ("sasl_kerberos_service_name", 7.5, "7.5"),
        ("linger_ms", 1.5, 1.5),
        ("receive_buffer_bytes", 4096, 4096),
        ("retries", float("inf"), float("inf")),
        ("client_id", None, None),
        ("api_version", "2.8.0", "2.8.0"),
        ("partitioner", len, len),
    ],
)
def test_an_option_of_the_client_s_is_passed_as_it_wants_it(monkeypatch, option, given, passed):
    """A URL makes a number of what looks like one, also where the client wants a text."""
    found = options_of(monkeypatch, **{option: given})[option]
    assert (type(found), found) == (type(passed), passed)


@pytest.mark.parametrize(
    ("given", "protocol", "mechanism"),
    [
        ({"username": "u", "password": "p"}, "SASL_SSL", "PLAIN"),
        ({"username": "u", "password": "p", "sasl_mechanism": "SCRAM-SHA-256"}, "SASL_SSL", "SCRAM-SHA-256"),
        ({"username": "u", "password": "p", "security_protocol": "SASL_PLAINTEXT"}, "SASL_PLAINTEXT", "PLAIN"),
        ({"sasl_mechanism": "GSSAPI"}, "SASL_SSL", "GSSAPI"),
        ({"ssl_cafile": __file__}, "SSL", None),
        ({"ssl_check_hostname": False}, "SSL", None),
    ],
)
def test_what_is_not_said_of_security_is_the_safest(monkeypatch, given, protocol, mechanism):
    """A password is never sent in the clear because somebody forgot an option."""
    options = options_of(monkeypatch, **given)
    assert (options["security_protocol"], options.get("sasl_mechanism")) == (protocol, mechanism)
    assert options.get("sasl_plain_password") == given.get("password")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"topic": "a b"}, "topic must be"),
        ({"topic": ".."}, "topic must be"),
        ({"topic": "x" * 250}, "topic must be"),
        ({"timeout": 0}, "timeout must be a number of seconds"),
        ({"timeout": True}, "timeout must be a number of seconds"),
        ({"delivery_timeout": "soon"}, "delivery_timeout must be a number of seconds"),
        ({"delivery_timeout": 1.0}, "delivery_timeout must be at least timeout"),
        ({"compression": "brotli"}, "compression must be one of gzip, snappy, lz4, zstd"),
        ({"security_protocol": "TLS"}, "security_protocol must be one of"),
        ({"username": "u"}, "needs username and password"),
        ({"password": "planted"}, "needs username and password"),
        (
            {"username": "u", "password": "planted", "security_protocol": "SSL"},
            "username is of no use with security_protocol SSL",
        ),
        ({"ssl_cafile": __file__, "security_protocol": "PLAINTEXT"}, "ssl_cafile is of no use with security_protocol"),
        ({"username": "u", "sasl_mechanism": "GSSAPI"}, "username is of no use with sasl_mechanism GSSAPI"),
        ({"ssl_cafile": "/nowhere/planted"}, "ssl_cafile must be the path of a file"),
        ({"acks": 1}, "acks is set by this backend"),
        ({"value_serializer": str}, "value_serializer is set by this backend"),
        ({"compression_type": "gzip"}, "compression_type is called compression here"),
        ({"sasl_plain_password": "planted"}, "sasl_plain_password is called password here"),
        ({"clientid": "planted"}, "unknown option 'clientid'; did you mean 'client_id'"),
        ({"host": "h", "hosts": "h"}, "two names of one parameter"),
        ({"hosts": "h:planted"}, "a host is written"),
        ({"hosts": ()}, "must name at least one host"),
        ({"username": "u", "password": "p", "sasl_mechanism": "PLAN"}, "sasl_mechanism must be one of PLAIN, SCRAM"),
        ({"username": 5, "password": "p"}, "needs username and password, as texts"),
        ({"ssl_cafile": 5}, "ssl_cafile must be the path of a file"),
        ({"client_id": True}, "client_id must be a text, got bool"),
        ({"sasl_kerberos_service_name": None}, "sasl_kerberos_service_name must be a text, got NoneType"),
        ({"max_request_size": "planted"}, "max_request_size must be a whole number, 0 or more, got str"),
        ({"batch_size": 1e6}, "batch_size must be a whole number, 0 or more, got float"),
        ({"send_buffer_bytes": "planted"}, "send_buffer_bytes must be a whole number"),
        ({"linger_ms": "planted"}, "linger_ms must be a number, 0 or more, got str"),
        ({"linger_ms": True}, "linger_ms must be a number, 0 or more, got bool"),
        ({"max_block_ms": -1}, "max_block_ms must be a number, 0 or more, got int"),
        ({"retries": "planted"}, "retries must be a number, 0 or more, got str"),
        ({"allow_auto_create_topics": "planted"}, "allow_auto_create_topics must be true or false, got str"),
        ({"api_version": 2.1}, r"api_version must have three parts, as in 2\.8\.0, got float"),
    ],
)
def test_a_wrong_option_is_told_when_it_is_configured(given, told):
    """The message names the option, and shows no value."""
    with pytest.raises(ConfigurationError, match=told) as caught:
        KafkaBackend(**{"hosts": "h"} | given)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    {
        "hosts": "planted",
        "host": "planted",
        "delivery_timeout": 300.0,
        "compression": "gzip",
        "security_protocol": "SSL",
        "sasl_mechanism": "PLAIN",
        "username": "planted",
        "password": "planted",
        "client_id": "planted",
    }.items(),
)
def test_nothing_is_taken_beside_a_client_that_it_would_not_hear_of(key, value):
    """It connects and delivers as its maker told it."""
    with pytest.raises(ConfigurationError, match=f"^{key} is of no use beside client, which has its own$"):
        KafkaBackend(client=object(), **{key: value})


def test_a_compression_that_is_not_installed_is_told(monkeypatch):
    """It says what to install, instead of failing at the first batch."""
    monkeypatch.setattr(producer.codec, "has_lz4", lambda: False)
    with pytest.raises(ConfigurationError, match=r"pip install 'kafka-python\[lz4\]'"):
        KafkaBackend("h", compression="lz4")


def test_options_that_the_client_refuses_are_told(monkeypatch):
    """What only it can judge fails at the first batch, by a line that says where to look."""

    def refuse(**_):
        raise TypeError("planted")

    monkeypatch.setattr(producer, "Producer", refuse)
    with pytest.raises(BackendDenied, match=r"the client refuses its options \(TypeError\): check those") as caught:
        KafkaBackend("h", api_version="x").write("a", value=1)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("kafka://one", {"hosts": ["one"]}),
        ("kafka://one:1,two:2/shop.metrics", {"hosts": ["one:1", "two:2"], "topic": "shop.metrics"}),
        ("kafka://u:p%2F@h/t", {"hosts": ["h"], "topic": "t", "username": "u", "password": "p/"}),
    ],
)
def test_a_url_says_hosts_login_and_topic(url, options):
    """Everything else stands in its query."""
    assert KafkaBackend.options_from_url(urlsplit(url)) == options


def test_a_url_with_more_than_a_topic_is_refused():
    """A topic has no slash."""
    with pytest.raises(ConfigurationError, match="name of the topic"):
        KafkaBackend.options_from_url(urlsplit("kafka://h/a/b"))


def test_no_secret_shows():
    """Neither repr nor attributes hold the password."""
    made = KafkaBackend("h", username="u", password="planted")
    assert repr(made) == "KafkaBackend(hosts=('h:9092',), topic='metrics')"
    assert "planted" not in str(vars(made))


def test_without_the_client_the_extra_is_named():
    """Importing the backend says what to install."""
    code = (
        "import sys; sys.modules['kafka'] = None\n"
        "from time_execution.exceptions import MissingExtraError\n"
        "try:\n    import time_execution.backends.kafka\n"
        "except MissingExtraError as exc:\n    print(exc)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "pip install 'timeexecution[kafka]'" in told
