"""`ElasticsearchBackend` and its client: when it is made, with which credentials, and what it lets nobody see."""

from __future__ import annotations

import contextlib
import logging
import pickle
import ssl
import threading
from base64 import b64encode

import pytest

pytest.importorskip("elasticsearch", reason="its client is not installed")

from tests.backends.search_cluster import Cluster
from tests.closed_after import closed_after
from tests.fault_server import Answer
from tests.forked import ends_well_in_a_child, needs_fork
from time_execution.backends.elasticsearch import ElasticsearchBackend
from time_execution.exceptions import BackendDenied, BackendThrottled, BackendUnavailable

# What clients 6 and 7 have to say once, when they are made and before their first request.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Connecting to .* is insecure"),
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
    pytest.mark.filterwarnings("ignore:The client is unable to verify"),
]


@pytest.fixture
def cluster():
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def make(cluster):
    """Make backends; they are closed after the test."""
    with closed_after(lambda hosts=None, **options: ElasticsearchBackend(hosts or cluster.host, **options)) as make:
        yield make


class TestLogin:
    """Credentials, where they go and where they do not."""

    @pytest.mark.parametrize(
        ("options", "header"),
        [
            ({"username": "anna", "password": "s:cret"}, "Basic " + b64encode(b"anna:s:cret").decode()),
            ({"api_key": ("id", "key")}, "ApiKey " + b64encode(b"id:key").decode()),
            ({"api_key": "id:key"}, "ApiKey " + b64encode(b"id:key").decode()),
            ({"api_key": "aWQ6a2V5"}, "ApiKey aWQ6a2V5"),
        ],
        ids=["basic", "pair", "text", "encoded"],
    )
    def test_they_are_sent_with_each_request(self, cluster, make, options, header):
        """In the form that the server wants, whichever client is installed."""
        make(**options).write("a", value=1)
        sent = [{key.lower(): value for key, value in request.headers.items()} for request in cluster.requests]
        assert {headers.get("authorization") for headers in sent} == {header}

    def test_those_in_a_host_are_taken_out_of_it(self, cluster, make):
        """They are sent, and shown nowhere."""
        backend = make(f"http://anna:s%40cret@{cluster.host}")
        backend.write("a", value=1)
        headers = {key.lower(): value for key, value in cluster.requests[0].headers.items()}
        assert headers["authorization"] == "Basic " + b64encode(b"anna:s@cret").decode()
        assert repr(backend) == f"ElasticsearchBackend(hosts=('http://{cluster.host}',), index='metrics')"

    @pytest.mark.parametrize(
        "secret", [{"username": "anna", "password": "hunter2"}, {"api_key": "id:hunter2"}], ids=str
    )
    def test_nothing_shows_them(self, cluster, make, caplog, secret):
        """Not what is seen of the object, nor an error, nor a log at any level."""
        caplog.set_level(logging.DEBUG)
        cluster.to_bulks(Answer(401, {"error": {"type": "security_exception", "reason": "hunter2"}}))
        backend = make(**secret)
        with pytest.raises(BackendDenied) as raised:
            backend.write("a", value=1)
        shown = [repr(backend), str(vars(backend)), str(raised.value), repr(raised.value), caplog.text]
        with contextlib.suppress(Exception):
            shown.append(str(pickle.dumps(backend)))
        encoded = b64encode(b"anna:hunter2").decode(), b64encode(b"id:hunter2").decode()
        assert not [text for text in shown for form in ("hunter2", *encoded) if form in text]

    def test_logs_of_the_clients_other_users_are_untouched(self, cluster, make, caplog, wake_loggers):
        """Only what this thread does for the backend is kept quiet."""
        wake_loggers("elasticsearch", "elastic_transport", "elastic_transport.transport")
        wake_loggers("urllib3", "urllib3.connectionpool")
        caplog.set_level(logging.DEBUG)
        make().write("a", value=1)
        for name in ("elasticsearch", "elastic_transport.transport", "urllib3.connectionpool"):
            logging.getLogger(name).warning("by %s", name)
        assert len(caplog.records) == 3


class TestTLS:
    """Certificates, made for the test."""

    @pytest.fixture
    def authority(self):
        return pytest.importorskip("trustme", reason="makes certificates").CA()

    @pytest.fixture
    def secured(self, authority):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        with Cluster(context=context) as cluster:
            yield cluster

    def test_an_authority_of_ones_own_is_trusted_by_its_file(self, secured, make, authority, tmp_path):
        """With the certificate given, TLS is spoken without saying so."""
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        backend = make(secured.host, ca_certs=tmp_path / "ca.pem")
        backend.write("a", value=1)
        assert (len(secured.documents), backend.hosts) == (1, (f"https://{secured.host}",))

    def test_a_stranger_is_not(self, secured, make):
        """Metrics are not sent, and the error says what to check."""
        with pytest.raises(BackendDenied, match="certificate that is not trusted; check ca_certs"):
            make(secured.host, tls=True).write("a", value=1)
        assert not secured.requests

    def test_checking_can_be_turned_off(self, secured, make):
        """At one's own risk, and without a warning for each request."""
        make(f"https://{secured.host}", verify_certs=False).write("a", value=1)
        assert len(secured.documents) == 1

    def test_a_server_without_tls_is_told_from_one_that_is_away(self, cluster, make):
        """The error names what to check."""
        with pytest.raises(BackendUnavailable, match="cannot be spoken to by TLS; check tls, ca_certs and the port"):
            make(cluster.host, tls=True).write("a", value=1)


class TestClient:
    """When it is made, and when not."""

    def test_making_a_backend_opens_nothing(self, cluster, make):
        """Neither does closing one that was never used."""
        make().close()
        assert cluster.connections == 0

    def test_a_closed_backend_opens_again(self, cluster, make):
        """With the next write."""
        backend = make()
        backend.write("a", value=1)
        backend.close()
        backend.close()
        backend.write("a", value=2)
        assert len(cluster.documents) == 2

    def test_threads_share_one_client(self, cluster, make):
        """It is made once, however many write first."""
        backend = make()
        threads = [threading.Thread(target=backend.write, args=("a",), kwargs={"value": n}) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(cluster.documents) == 8

    @needs_fork
    def test_a_forked_child_has_a_connection_of_its_own(self, cluster, make):
        """Without a word from anybody: parent and child do not read each other's answers."""
        backend = make()
        backend.write("a", value=1)
        before = cluster.connections
        assert ends_well_in_a_child(lambda: backend.write("a", value=2))
        assert cluster.connections == before + 1
        backend.write("a", value=3)
        assert (cluster.connections, len(cluster.documents)) == (before + 1, 3)

    @needs_fork
    def test_a_forked_child_waits_for_no_lock_and_closes_nothing_of_its_parent_s(self, cluster, make):
        """Whatever another thread of the parent was doing, and also where the child never writes."""
        backend = make()
        backend.write("a", value=1)
        before = cluster.connections
        with backend._lock:
            assert ends_well_in_a_child(backend.close)
        backend.write("a", value=2)
        assert cluster.connections == before

    @needs_fork
    @pytest.mark.parametrize("is_used", [True, False])
    def test_a_client_that_was_handed_in_is_not_used_in_a_forked_child(self, cluster, make, is_used):
        """Two processes on one connection would mix their requests up; the error says what to do instead."""
        client = make()._connect()._client
        backend = ElasticsearchBackend(client=client)
        if is_used:
            backend.write("a", value=1)

        def write_in_vain():
            with pytest.raises(BackendDenied, match="belongs to the parent process; hand in hosts instead"):
                backend.write("a", value=2)

        assert ends_well_in_a_child(write_in_vain)
        backend.write("a", value=3)
        assert len(cluster.documents) == 1 + is_used
        client.transport.close()

    def test_a_second_host_takes_over(self, cluster, make):
        """The client turns to it when the first does not answer."""
        backend = make(f"127.0.0.1:1,{cluster.host}")
        for value in range(4):
            with contextlib.suppress(BackendUnavailable):
                backend.write("a", value=value)
        assert len(cluster.documents) >= 2

    def test_each_metric_is_sent_in_one_attempt(self, cluster, make):
        """Sending again is the queue's work, not the client's."""
        cluster.to_bulks(*[Answer(503, {"status": 503})] * 5)
        backend = make()
        with pytest.raises(BackendThrottled):
            backend.write("a", value=1)
        assert len(cluster.bulks) == 1
