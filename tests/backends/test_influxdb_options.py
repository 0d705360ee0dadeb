"""`InfluxBackend`: its options, as arguments and in a URL, and what it says of a client that is missing."""

from __future__ import annotations

import base64
import subprocess
import sys
import traceback
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.backends.influxdb_lines import read_points
from tests.fault_server import FaultServer
from time_execution.backends.threaded import ThreadedBackend
from time_execution.config.build import resolve_backend
from time_execution.exceptions import ConfigurationError

pytest.importorskip("time_execution.backends.influxdb.v1", exc_type=ImportError)
from time_execution.backends.influxdb import InfluxBackend


@pytest.fixture
def server():
    with FaultServer(204) as server:
        yield server


def query(request):
    return {key: value for key, (value,) in parse_qs(urlsplit(request.path).query).items()}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"protocol": "3"}, "protocol must be one of 0.8, 1.x, 2.x"),
        ({"host": ""}, "host must be a text"),
        ({"host": "a b"}, "a host is written"),
        ({"database": ""}, "database must be a text"),
        ({"database": 5}, "database must be a text that is not empty, got int"),
        ({"port": 0}, "port must be a whole number"),
        ({"port": "8086"}, "port must be a whole number"),
        ({"udp_port": 70_000}, "udp_port must be a whole number"),
        ({"precision": "n"}, "precision must be one of ns, us, ms, s"),
        ({"consistency": "some"}, "consistency must be one of"),
        ({"timeout": 0}, "timeout must be a number of seconds above 0"),
        ({"timeout": float("nan")}, "timeout must be"),
        ({"timeout": "10"}, "timeout must be"),
        ({"gzip": 1}, "gzip must be true or false, got 1"),
        ({"tags": "area"}, "tags must be a list"),
        ({"tags": [5]}, "tags must be a list"),
        ({"tags": ["name"]}, "tags must not name name"),
        ({"tags": ["value"]}, "tags must not name value"),
        ({"tags": [f"tag{number}" for number in range(100)]}, "too many"),
        ({"ca_certs": "/nowhere"}, "ca_certs must be the path of a file"),
        ({"ca_certs": 5}, "ca_certs must be the path of a file"),
        ({"ca_certs": __file__}, "ca_certs is of no use without tls"),
        ({"protocol": "2.x", "url": "http://a", "ca_certs": __file__}, "ca_certs is of no use without tls"),
        ({"protocol": "2.x", "url": "http://a", "tls": True}, "url must begin with https://"),
        ({"password": "hunter2"}, "password is of no use without username"),
        ({"timeout": 1e12}, "less than a day"),
        ({"value_field": "name"}, "value_field must name a field"),
        ({"value_field": "hostname"}, "value_field must name a field"),
        ({"token": "hunter2"}, "token is an option of protocol 2.x only"),
        ({"url": "http://a"}, "url is an option of protocol 2.x only"),
        ({"protocol": "0.8", "gzip": True}, "gzip is an option of protocol 1.x and 2.x only"),
        ({"protocol": "0.8", "precision": "ns"}, "precision must be us, ms or s"),
        ({"protocol": "0.8", "use_udp": True, "precision": "ms"}, "precision must be s"),
        ({"protocol": "0.8", "retention_policy": "a"}, "retention_policy is an option of protocol 1.x only"),
        ({"protocol": "0.8", "tags": ["area"]}, "tags is an option of protocol 1.x and 2.x only"),
        ({"protocol": "2.x", "create_database": True}, "create_database is an option of protocol 0.8 and 1.x only"),
        ({"protocol": "2.x", "url": "http://a", "host": "localhost"}, "host is of no use with url"),
        ({"protocol": "2.x", "url": "http://a", "port": 8086}, "port is of no use with url"),
        ({"protocol": "2.x", "bucket": "a", "database": "metrics"}, "database is of no use with bucket"),
        ({"host": "a:8087", "port": 8086}, "port is of no use with a host that names its own"),
        ({"udp_port": 8089}, "udp_port is of no use without use_udp"),
        ({"use_udp": True, "port": 8086}, "port is of no use with use_udp"),
        ({"use_udp": True, "host": "a:8089"}, "host must name no port with use_udp"),
        ({"use_udp": True, "username": "anna", "password": "hunter2"}, "username is of no use with use_udp"),
        ({"use_udp": True, "create_database": True}, "create_database is of no use with use_udp"),
        ({"verify_certs": False}, "verify_certs is of no use without tls"),
        ({"tls": True, "ca_certs": __file__, "verify_certs": False}, "ca_certs is of no use with verify_certs=False"),
        ({"use_udp": True, "gzip": True}, "gzip is of no use with use_udp"),
        ({"use_udp": True, "tls": True}, "tls is of no use with use_udp"),
        ({"protocol": "2.x", "username": "anna"}, "username is an option of protocol 0.8 and 1.x only"),
        ({"protocol": "2.x", "use_udp": True}, "use_udp is an option of protocol 0.8 and 1.x only"),
        ({"protocol": "2.x", "url": "influx:8086"}, "url must be an address"),
        ({"protocol": "2.x", "url": "http://anna:hunter2@influx"}, "url must hold no username and password"),
    ],
)
def test_wrong_options_are_refused_at_once(options, text):
    """When the backend is made, with the name of the option and none of the values that could be secret."""
    with pytest.raises(ConfigurationError, match=text) as caught:
        InfluxBackend(**options)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, "protocol='1.x', server='InfluxDB at localhost:8086', target='metrics'"),
        ({"host": "influx:8087"}, "protocol='1.x', server='InfluxDB at influx:8087', target='metrics'"),
        ({"host": "::1"}, "protocol='1.x', server='InfluxDB at [::1]:8086', target='metrics'"),
        ({"use_udp": True}, "protocol='1.x', server='InfluxDB at localhost:8089 (UDP)', target='metrics'"),
        ({"use_udp": True, "protocol": "0.8"},
         "protocol='0.8', server='InfluxDB at localhost:4444 (UDP)', target='metrics'"),
    ],
)  # fmt: skip
def test_its_repr_says_where_metrics_go(options, shown):
    """The server, the protocol and the database."""
    assert repr(InfluxBackend(**options)) == f"InfluxBackend({shown})"


def test_a_url_configures_it(server, tmp_path):
    """Host, login and database from the address, the rest from the query; it stands behind a queue."""
    (tmp_path / "password").write_text("hunter2\n")
    url = (
        f"influxdb://anna@127.0.0.1:{server.port}/shop?precision=ms&tags=area,team&gzip=true"
        f"&timeout=2s&password_file={tmp_path}/password"
    )
    queue = resolve_backend(url, index=0)
    try:
        queue.write("a", value=1, area="eu", team="x", other="y")
        assert queue.flush(10.0)
    finally:
        queue.close()
    assert isinstance(queue, ThreadedBackend)
    (request,) = server.requests
    assert query(request) == {"db": "shop", "precision": "ms"}
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"anna:hunter2"
    assert read_points(request.body)[0].tags == {"area": "eu", "team": "x"}


@pytest.mark.parametrize("url", ["influxdb://a,b/metrics", "influxdb://a/metrics/more"])
def test_a_url_has_one_host_and_one_database(url):
    """Anything else is a mistake, told when it is made."""
    with pytest.raises(ConfigurationError, match="one host and one database"):
        resolve_backend(url, index=0)


def test_an_address_without_a_database_has_the_default():
    """Of host and database."""
    backend = resolve_backend("influxdb://?threaded=false", index=0)
    assert (backend.server, backend.target) == ("InfluxDB at localhost:8086", "metrics")


@pytest.mark.parametrize(
    ("missing", "made", "refused", "extra"),
    [("influxdb_client", "1.x", "2.x", "influxdb2"), ("influxdb", "2.x", "1.x", "influxdb")],
)
def test_the_client_that_is_missing_is_named(missing, made, refused, extra):
    """By the extra of the protocol asked for, when the backend is made; the other one need not be there."""
    program = f"""
import sys
from importlib.machinery import PathFinder
class WithoutIt:
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] == {missing!r} else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutIt()
from time_execution.backends.influxdb import InfluxBackend
InfluxBackend(protocol={made!r})
InfluxBackend(use_udp=True)
InfluxBackend(protocol={refused!r})
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == (
        f"time_execution.exceptions.MissingExtraError: {missing} is not installed: pip install 'timeexecution[{extra}]'"
    )


def test_without_any_client_the_module_says_so():
    """As it is imported, with both extras that would do."""
    program = """
import importlib.util, sys
importlib.util.find_spec = lambda name: None
import time_execution.backends.influxdb
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert "MissingExtraError: neither influxdb nor influxdb-client is installed: pip install" in done.stderr
