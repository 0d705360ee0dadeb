"""`ElasticsearchBackend` on a real server: what it is configured with, and the index template that it puts there."""

from __future__ import annotations

import pytest

from tests.closed_after import closed_after
from tests.fault_server import RESET
from tests.services.elasticsearch_pairs import OWN
from tests.services.relay import Relay
from tests.services.search_index import SearchIndex
from time_execution import flush, settings, time_execution
from time_execution.backends.elasticsearch import ElasticsearchBackend
from time_execution.exceptions import BackendUnavailable
from time_execution.types import Metric

SERVER = OWN[-1]
MAJOR = int(SERVER[-1])


@pytest.fixture
def index(servers):
    with SearchIndex(servers.port(SERVER)) as index:
        yield index


@pytest.fixture
def make(index):
    """Make backends for the index; they are closed after the test."""

    def build(hosts=None, **options):
        return ElasticsearchBackend(hosts or index.host, index.name, **options)

    with closed_after(build) as make:
        yield make


@pytest.fixture
def relay(index):
    with Relay(index.port) as relay:
        yield relay


class TestConfiguration:
    """From a configuration to documents."""

    @pytest.mark.parametrize("form", ["url", "dict", "url and options"])
    def test_a_decorated_function_arrives(self, index, form):
        """By URL and by dict, the function's metric is stored under its name."""
        specs = {
            "url": f"elasticsearch://{index.host}/{index.name}?bulk_timeout=10ms&timeout=5s",
            "dict": {"class": "elasticsearch", "host": index.host, "index": index.name, "bulk_timeout": 0.01},
            "url and options": {"url": f"elasticsearch://{index.host}/{index.name}", "index_pattern": "{index}"},
        }

        @time_execution
        def checkout():
            return 1

        with settings(backends=[specs[form]], duration_field="took"):
            checkout()
            assert flush(30) is True
        (document,) = index.documents()
        assert document["name"].endswith("checkout")
        assert document["took"] >= 0
        assert index.mapping()["took"]["type"] == "double"

    def test_an_index_pattern_names_the_indices(self, index, make):
        """A month, for instance, and the template is for that pattern."""
        make(index_pattern="{index}-{date:%Y.%m}").write("a", value=1, timestamp=1_700_000_000_000_000_000)
        assert index.names() == [f"{index.name}-2023.11"]
        assert index.mapping()["name"]["type"] == "keyword"

    def test_bodies_may_be_compressed(self, index, relay, make):
        """With gzip, the same arrives."""
        make(relay.host, compress=True).write_many([Metric({"name": "a", "number": n}) for n in range(50)])
        (request,) = [request for request in relay.requests if "_bulk" in request.path]
        assert (
            request.headers["Content-Encoding" if "Content-Encoding" in request.headers else "content-encoding"]
            == "gzip"
        )
        assert index.numbers() == list(range(50))

    def test_a_client_of_ones_own_is_used_and_left_open(self, index, make):
        """It stays its maker's to close."""
        maker = make()
        client = maker._connect()._client
        with ElasticsearchBackend(client=client, index=index.name) as backend:
            backend.write("a", value=1)
        assert client.bulk(**_one_document(index)) is not None
        client.close() if hasattr(client, "close") else client.transport.close()
        assert index.count() == 2


class TestTemplate:
    """The index template on the server."""

    def test_one_of_ones_own_is_left_alone(self, index, make):
        """A template of the same name without a version, or with a later one, stays as it is."""
        backend = make()
        backend.write("a", value=1)
        place, body = _template(index)
        assert body["version"] == 1
        for version in (None, 2):
            own = {key: body[key] for key in _OWN_KEYS if key in body} | ({"version": version} if version else {})
            assert index.call("PUT", place, own)[0] == 200
            make().write("a", value=1)
            assert _template(index)[1].get("version") == version

    def test_an_older_one_is_replaced(self, index, make):
        """What an earlier version put is brought up to date."""
        make().write("a", value=1)
        place, body = _template(index)
        assert (
            index.call("PUT", place, {**{key: body[key] for key in _OWN_KEYS if key in body}, "version": 0})[0] == 200
        )
        make().write("a", value=1)
        assert _template(index)[1]["version"] == 1

    def test_it_is_put_again_after_the_server_was_away(self, index, relay, make):
        """It may have come back empty; otherwise the template is asked for once."""
        backend = make(relay.host)
        backend.write("a", value=1)
        backend.write("a", value=2)
        place, _ = _template(index)
        assert sum("template" in request.path for request in relay.requests) == 2
        index.call("DELETE", place)
        relay.to_bulks(RESET)
        with pytest.raises(BackendUnavailable):
            backend.write("a", value=3)
        backend.write("a", value=3)
        assert _template(index)[1]["version"] == 1

    def test_none_is_put_without_wanting_one(self, index, make):
        """The option turns it off."""
        make(template=False).write("a", value=1)
        assert _template(index)[1] is None

    def test_patterns_of_which_one_is_in_the_other_get_along(self, index, make, caplog):
        """An index that is called as another with something behind it has its own template."""
        make().write("a", value=1)
        inner = SearchIndex(index.port)
        inner.name = f"{index.name}-inner"
        with ElasticsearchBackend(inner.host, inner.name) as backend:
            backend.write("a", value=1)
        inner.remove()
        assert not caplog.records


def _one_document(index):
    lines = f'{{"create":{{"_index":"{index.name}-x","_id":"x"{_TYPE}}}}}\n{{"number":1}}\n'
    return {"operations" if MAJOR >= 8 else "body": lines}


_TYPE = ',"_type":"metric"' if MAJOR < 7 else ""


# What is asked for in a template; later servers show more.
_OWN_KEYS = ("index_patterns", "template", "mappings", "priority")


def _template(index):
    """Return where the index's template is, and the template, or None."""
    if MAJOR < 7:
        place = f"/_template/time-execution-{index.name}"
        return place, index.call("GET", place)[1].get(f"time-execution-{index.name}")
    place = f"/_index_template/time-execution-{index.name}"
    found = index.call("GET", place)[1].get("index_templates")
    return place, found[0]["index_template"] if found else None
