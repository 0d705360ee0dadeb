"""The installed client of Elasticsearch with every server: pairs that speak to each other, or say why not."""

from __future__ import annotations

import logging
import warnings

import pytest

from tests.fault_server import Answer
from tests.faults.harness import quick
from tests.services.brokers import wait_until
from tests.services.elasticsearch_pairs import CLIENT, MENDED_BY, SERVERS, SPOKEN
from tests.services.relay import Relay
from tests.services.search_index import RACED, SearchIndex, race_for_mappings
from time_execution.backends.elasticsearch import ElasticsearchBackend
from time_execution.exceptions import BackendDenied
from time_execution.types import Metric, Stored

UNSPOKEN = [server for server in SERVERS if server not in SPOKEN]
# The builds of 8 and 9 that are tested have no front page, which the client 7.17 wants to see.
_FRONT_PAGES = {8: "8.19.21", 9: "9.5.3"}


@pytest.fixture
def index(request, servers):
    with SearchIndex(servers.port(request.param)) as index:
        yield index


def batch(count, **fields):
    """Return so many metrics with their ids."""
    return [Metric({"name": "a", "value": n, "text": "x", **fields}, id=f"0f-{n}") for n in range(count)]


@pytest.mark.parametrize("index", SPOKEN, indirect=True)
def test_a_pair_that_speaks_stores_once_and_under_the_template(index, caplog):
    """Documents arrive, come once though they are sent twice, and fields are what the template says."""
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned, ElasticsearchBackend(index.host, index.name) as backend:
        warnings.simplefilter("always")
        assert backend.write_many(batch(50)) == [Stored()] * 50
        assert backend.write_many(batch(50)) == [Stored(duplicate=True)] * 50
    assert sorted(document["value"] for document in index.documents()) == list(range(50))
    assert {field: kind["type"] for field, kind in index.mapping().items()} == {
        "name": "keyword",
        "text": "keyword",
        "timestamp": "date",
        "value": "double",
    }
    assert not caplog.records
    assert not [warning for warning in warned if "lasticsearch" in warning.category.__name__]


@pytest.mark.parametrize("index", SPOKEN, indirect=True)
def test_a_race_for_the_mapping_of_a_new_field_loses_nothing(index):
    """Shards that see a text and a number first disagree for a moment; all is stored, in several new indices."""
    assert race_for_mappings(index, ElasticsearchBackend) == RACED


@pytest.mark.parametrize("index", SPOKEN, indirect=True)
def test_what_can_never_be_stored_is_not_sent_for_ever(index):
    """Objects where the mapping has a number, and lists that clash with themselves, become dead letters."""
    sizes = [1, {"width": 1}, [{"width": 1}, {"width": {"x": 1}}]]
    with quick(ElasticsearchBackend(index.host, index.name, template=False), bulk_size=10) as queue:
        for size in sizes:
            queue.write("a", value=1, size=size)
        queue.write("b", value=1, apart=[{"width": 1}, {"width": {"x": 1}}])
        assert queue.flush(30) is True
        stats = queue.stats()
    assert stats["delivered"] == 1
    assert sum(stats["dropped"].values()) == 3


@pytest.mark.filterwarnings("ignore:The client is unable to verify")
@pytest.mark.parametrize("index", SPOKEN, indirect=True)
def test_a_pair_speaks_though_the_server_does_not_say_what_it_is(index):
    """A user without the privilege to ask is answered 403; documents are stored all the same, of the type wanted."""
    with Relay(index.port) as relay:
        forbidden = {"/": 403, "/_nodes/_local/http": 403}
        product = {"X-Elastic-Product": "Elasticsearch"}
        relay.answer(
            lambda request: (
                Answer(403, {"status": 403}, product)
                if request.method == "GET" and request.path.partition("?")[0] in forbidden
                else relay.pass_on(request)
            )
        )
        with ElasticsearchBackend(relay.host, index.name, template=False) as backend:
            assert backend.write_many(batch(5)) == [Stored()] * 5
            assert backend.write_many(batch(5)) == [Stored(duplicate=True)] * 5
    assert index.count() == 5


@pytest.mark.skipif(not UNSPOKEN or CLIENT == 7, reason="this client speaks to all servers that are tested")
@pytest.mark.parametrize("index", [server for server in UNSPOKEN if server in MENDED_BY], indirect=True)
def test_a_pair_that_does_not_speak_says_what_mends_it(index, request, caplog):
    """One line names both versions and the installation that helps; the metrics wait."""
    server = request.node.callspec.params["index"]
    with quick(ElasticsearchBackend(index.host, index.name)) as queue:
        queue.write("a", value=1)
        wait_until(lambda: queue.stats()["retries"] > 1)
        assert (queue.stats()["pending"], queue.stats()["dropped"]) == (1, {})
    (line,) = [record.getMessage() for record in caplog.records if "BackendDenied" in record.getMessage()]
    assert f"does not speak to Elasticsearch {server[-1]}." in line
    assert MENDED_BY[server] in line


@pytest.mark.skipif(CLIENT != 7, reason="only that client asks for the front page")
@pytest.mark.parametrize("index", ["elasticsearch-8", "elasticsearch-9"], indirect=True)
def test_client_7_speaks_to_later_servers_that_have_a_front_page(index):
    """The client's own check of the product passes, and documents arrive."""
    number = _FRONT_PAGES[(index.port) % 10]
    front = Answer(200, {"version": {"number": number}, "tagline": "x"}, {"X-Elastic-Product": "Elasticsearch"})
    with Relay(index.port) as relay:
        relay.answer(lambda request: front if request.path == "/" else relay.pass_on(request))
        with ElasticsearchBackend(relay.host, index.name) as backend:
            assert backend.write_many(batch(5)) == [Stored()] * 5
    assert index.count() == 5


@pytest.mark.skipif(CLIENT == 6, reason="this client does not look at what it speaks to")
def test_opensearch_is_recognised(servers):
    """The line says which extra is for it."""
    backend = ElasticsearchBackend(f"127.0.0.1:{servers.port('opensearch-2')}")
    with pytest.raises(BackendDenied, match=r"OpenSearch 2\..*pip install 'timeexecution\[opensearch\]'"):
        backend.write("a", value=1)
