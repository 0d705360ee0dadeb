"""`OpenSearchBackend` on a real server; what it shares with the other search backend is tested there, too."""

from __future__ import annotations

import logging

import pytest

from tests.closed_after import closed_after
from tests.fault_server import HANG, RESET
from tests.faults.harness import check_conservation
from tests.services.brokers import Stream
from tests.services.relay import Relay
from tests.services.search_index import RACED, SearchIndex, numbered, race_for_mappings
from time_execution import flush, settings, time_execution
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.testing import BackendContract
from time_execution.types import Stored

pytest.importorskip("opensearchpy", reason="its client is not installed")
from time_execution.backends.opensearch import OpenSearchBackend

SERVER = "opensearch-2"


@pytest.fixture
def index(servers):
    with SearchIndex(servers.port(SERVER)) as index:
        yield index


@pytest.fixture
def make(index):
    """Make backends for the index; they are closed after the test."""

    def build(hosts=None, **options):
        return OpenSearchBackend(hosts or index.host, index.name, **options)

    with closed_after(build) as make:
        yield make


class TestOpenSearchContract(BackendContract):
    """Documents in an index a day."""

    keeps_order = False  # an index has none
    secrets = ("hunter2",)

    @pytest.fixture
    def backend(self, index):
        self.index = index
        with OpenSearchBackend(index.host, index.name, username="anna", password="hunter2") as backend:
            yield backend

    def read_back(self, backend):
        return self.index.documents()


class TestDocuments:
    """What arrives, and how it gets there."""

    def test_the_template_says_what_fields_are(self, index, make):
        """As for Elasticsearch."""
        make().write("a", value=1, text="x", arguments={"a": 1})
        mapping = index.mapping()
        assert {field: kind["type"] for field, kind in mapping.items()} == {
            "name": "keyword",
            "value": "double",
            "timestamp": "date",
            "text": "keyword",
            "arguments": "object",
        }

    def test_a_race_for_the_mapping_of_a_new_field_loses_nothing(self, index):
        """Shards that see a text and a number first disagree for a moment; all is stored, in several new indices."""
        assert race_for_mappings(index, OpenSearchBackend) == RACED

    def test_a_data_stream_gets_documents_once(self, index, make):
        """The stream is made by the template."""
        backend = make(data_stream=True)
        assert backend.write_many(numbered(3)) == [Stored()] * 3
        assert backend.write_many(numbered(3)) == [Stored(duplicate=True)] * 3
        assert {hit["_index"][: len(index.name) + 4] for hit in index.hits()} == {f".ds-{index.name}"}
        assert all(document["@timestamp"] == document["timestamp"] for document in index.documents())

    def test_a_decorated_function_arrives(self, index):
        """By URL, from the decorator to the document."""

        @time_execution
        def checkout():
            return 1

        with settings(backends=[f"opensearch://{index.host}/{index.name}?bulk_timeout=10ms"]):
            checkout()
            assert flush(30) is True
        (document,) = index.documents()
        assert document["name"].endswith("checkout")


class TestFaults:
    """What goes wrong on the way."""

    def test_lost_answers_and_broken_connections_make_no_duplicates(self, index, make):
        """Everything is stored once."""
        with Relay(index.port) as relay:
            relay.to_bulks(RESET, relay.lose_answer, relay.pass_on, relay.lose_answer)
            retry = Backoff(base=0.05, cap=0.2)
            with ThreadedBackend(make(relay.host), bulk_timeout=0.05, retry=retry) as queue:
                queue.bulk_write([dict(metric) for metric in numbered(2000)])
                assert queue.flush(60) is True
                stats = queue.stats()
        assert index.numbers() == list(range(2000))
        assert (stats["delivered"], stats["duplicates_suppressed"]) == (2000, 1000)

    def test_a_server_that_hangs_holds_nobody_up(self, index, make):
        """The request ends at its time-out, and what was written arrives later."""
        with Relay(index.port) as relay:
            relay.to_bulks(HANG)
            retry = Backoff(base=0.05, cap=0.2)
            with ThreadedBackend(make(relay.host, timeout=1.0), bulk_timeout=0.01, retry=retry) as queue:
                queue.write("stream", value=0, number=-1)
                relay.wait_for(5)
                with Stream(queue) as stream:
                    stream.reach(300)
                assert queue.flush(30) is True
                assert queue.stats()["last_error"].startswith("BackendTimeout: OpenSearch at")
        assert index.numbers() == [-1, *range(stream.count)]

    @pytest.mark.slow
    @pytest.mark.serial
    def test_a_server_killed_in_mid_stream_gets_everything_once(self, index, make, servers):
        """Killed with -9 and started again, it has every metric once, and the caller never waited."""
        retry = Backoff(base=0.2, cap=2.0)
        with ThreadedBackend(make(timeout=5.0), queue_maxsize=100_000, bulk_timeout=0.05, retry=retry) as queue:
            with Stream(queue) as stream:
                stream.reach(500)
                servers.kill(SERVER)
                servers.start(SERVER)
                stream.reach(stream.count + 500)
            assert queue.flush(60) is True
            stats = queue.stats()
        check_conservation(stats, offered=stream.count, pending=0)
        assert stats["retries"] > 0
        assert index.numbers() == list(range(stream.count))
        assert stream.p99() < 0.05


def test_the_client_logs_nothing(make, caplog):
    """Whatever the level: bodies hold metrics."""
    caplog.set_level(logging.DEBUG)
    make().write("a", value=1)
    assert not caplog.records
