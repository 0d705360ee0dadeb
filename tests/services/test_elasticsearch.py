"""`ElasticsearchBackend` on a real server, which the tests themselves ask for what arrived."""

from __future__ import annotations

import json
import logging

import pytest

from tests.closed_after import closed_after
from tests.fault_server import HANG, RESET
from tests.faults.harness import check_conservation, quick
from tests.services.brokers import Stream, hostile_metrics, wait_until
from tests.services.elasticsearch_pairs import OWN
from tests.services.relay import Relay
from tests.services.search_index import SearchIndex, numbered
from time_execution.backends.elasticsearch import ElasticsearchBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BackendDenied, BackendUnavailable
from time_execution.formats.json import encode
from time_execution.testing.hostile import hostile_values
from time_execution.types import Metric, Reject, Stored

SERVER = OWN[-1]
MAJOR = int(SERVER[-1])
_QUICK = Backoff(base=0.05, cap=0.2)


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


class TestWhatArrives:
    """Documents, compared with what was written."""

    def test_ten_thousand_hostile_metrics_come_back_as_they_were(self, index, make):
        """Every field has its value and type, and none is refused; lists of numbers and texts are of texts."""
        written = [_apart(fields) for fields in hostile_metrics(10_000)]
        with ThreadedBackend(make(timeout=60.0), queue_maxsize=20_000, max_bytes=None, bulk_timeout=0.05) as queue:
            queue.bulk_write(written)
            assert queue.flush(60) is True
            stats = queue.stats()
        found = {document["number"]: document for document in index.documents()}
        check_conservation(stats, offered=10_000, pending=0)
        assert stats["delivered"] == len(found) == 10_000
        for fields in written:
            assert _typed(found[fields["number"]]) == _typed(_expected(fields))

    def test_a_timing_looks_as_documented(self, index, make):
        """The document has the fields of upstream, with a moment in UTC, in an index of the metric's day and its id."""
        fields = {"name": "shop.checkout", "value": 12.5, "hostname": "web-1", "timestamp": 1_700_000_000_123_456_789}
        make().write_many([Metric(fields, id="00112233aabbccdd-1")])
        (hit,) = index.hits()
        assert hit["_index"] == f"{index.name}-2023.11.14"
        assert hit["_id"] == "00112233aabbccdd-1"
        assert hit["_source"] == {**fields, "timestamp": "2023-11-14T22:13:20.123456Z"}

    def test_the_template_says_what_fields_are(self, index, make):
        """Texts are keywords, the moment a date, numbers doubles, and objects cost no fields."""
        fields = {"name": "a", "value": 3, "text": "x", "count": 2, "day": "2024-02-29", "arguments": {"id": {"x": 1}}}
        make().write_many([Metric(fields)])
        mapping = index.mapping()
        kinds = {field: mapping[field]["type"] for field in ("name", "value", "timestamp", "text", "count", "day")}
        keyword = "keyword"
        assert kinds == {
            "name": keyword,
            "value": "double",
            "timestamp": "date",
            "text": keyword,
            "count": "double",
            "day": keyword,
        }
        assert mapping["arguments"] == {"type": "object", "enabled": False}
        assert mapping["text"]["ignore_above"] == 1024

    def test_a_long_text_is_kept_and_harms_nothing(self, index, make):
        """Beyond what Lucene takes as a term, a text is stored and not indexed."""
        make().write("a", value=1, text="\u20ac" * 12_000)
        assert index.documents()[0]["text"] == "\u20ac" * 12_000

    def test_nothing_a_metric_says_chooses_another_index(self, index, make):
        """Fields called as the parts of an action, and moments beyond the calendar, stay within the pattern."""
        hostile = {"_index": "stolen", "_id": "1", "_type": "x", "_routing": "y", "index": "z", "pipeline": "p"}
        moments = [10**40, -(10**30), "../../etc", '"}}\n{"delete":{}}', None, 1.5, True]
        batch = [Metric({"name": "../x", "value": 1, **hostile})]
        batch += [Metric({"name": "b", "value": 1, "timestamp": moment}) for moment in moments]
        results = make().write_many(batch)
        assert results[0] == Stored()
        assert not [name for name in index.names() if not name.startswith(f"{index.name}-20")]
        assert index.count() == sum(isinstance(result, Stored) for result in results)

    def test_a_field_that_changes_its_type_is_kept(self, index, make):
        """Numbers, then a text, a list that was cut: the document is stored as it is, and found by its other fields."""
        backend = make()
        backend.write("b", value=2, size=1)
        sizes = ["x", 2.5, [1, "y", 3], None]
        results = backend.write_many([Metric({"name": "b", "value": 2, "size": size}) for size in sizes])
        assert results == [Stored()] * len(sizes)
        assert index.mapping()["size"]["type"] == "double"
        stored = [document["size"] for document in index.documents()]
        assert sorted(map(str, stored)) == sorted(map(str, [1, "x", 2.5, ["1", "y", "3"], None]))

    @pytest.mark.parametrize("bad", [{"value": "x"}, {"size": {"width": 1}}, {"timestamp": "yesterday"}], ids=str)
    def test_fields_clash_one_metric_at_a_time(self, index, make, bad):
        """What no mapping can hold, and a value that is no number, is refused in the server's words, alone."""
        backend = make()
        backend.write("a", value=1, size=1)
        fields = {"name": "b", "value": 2, "size": 2}
        good, refused, other = backend.write_many([Metric(fields), Metric(fields | bad), Metric(fields)])
        assert (good, other) == (Stored(), Stored())
        assert isinstance(refused, Reject)
        assert refused.reason in {"document_parsing_exception", "mapper_parsing_exception"}
        assert f"[{next(iter(bad))}]" in refused.detail
        assert index.count() == 3

    def test_documents_go_through_the_pipeline(self, index, make):
        """While there is no such pipeline nothing is taken, nor refused for good; the error says what is missing."""
        path = f"/_ingest/pipeline/{index.name}"
        backend = make(pipeline=index.name)
        with pytest.raises(BackendDenied, match="no such ingest pipeline; check the option pipeline"):
            backend.write("a", value=1)
        assert index.call("PUT", path, {"processors": []})[0] == 200  # these builds know no processor
        backend.write("a", value=1)
        index.call("DELETE", path)
        assert index.count() == 1


class TestFaults:
    """What goes wrong on the way to a real server."""

    def test_a_batch_that_failed_once_is_stored_once(self, index, relay, make):
        """Connections are reset, then all is well: 10 000 stored, none lost, none twice."""
        relay.to_bulks(RESET)
        with ThreadedBackend(make(relay.host), queue_maxsize=20_000, bulk_timeout=0.05, retry=_QUICK) as queue:
            queue.bulk_write([dict(metric) for metric in numbered(10_000)])
            assert queue.flush(60) is True
            stats = queue.stats()
        assert index.numbers() == list(range(10_000))
        assert (stats["delivered"], stats["retries"], stats["duplicates_suppressed"]) == (10_000, 1, 0)

    def test_a_lost_answer_makes_no_duplicate(self, index, relay, make):
        """What the server stored before the connection broke is known to it when it comes again."""
        relay.to_bulks(relay.lose_answer, relay.pass_on, relay.lose_answer)
        with ThreadedBackend(make(relay.host), bulk_timeout=0.05, retry=_QUICK) as queue:
            queue.bulk_write([dict(metric) for metric in numbered(2000)])
            assert queue.flush(60) is True
            stats = queue.stats()
        assert index.numbers() == list(range(2000))
        assert (stats["delivered"], stats["duplicates_suppressed"]) == (2000, 1000)

    @pytest.mark.serial
    def test_a_server_that_hangs_holds_nobody_up(self, index, relay, make):
        """Callers do not wait, the request ends at its time-out, and what was written arrives later."""
        relay.to_bulks(HANG)
        with ThreadedBackend(make(relay.host, timeout=1.0), bulk_timeout=0.01, retry=_QUICK) as queue:
            queue.write("stream", value=0, number=-1)
            relay.wait_for(4)
            with Stream(queue) as stream:
                stream.reach(300)
            assert queue.flush(30) is True
            stats = queue.stats()
        assert stream.p99() < 0.05
        assert (
            stats["last_error"]
            == f"BackendTimeout: Elasticsearch at http://{relay.host} did not answer within the timeout"
        )
        assert index.numbers() == [-1, *range(stream.count)]

    def test_an_unreachable_host_is_told_once_and_loses_nothing(self, index, make, caplog):
        """One line says where nothing answers; the metrics stay."""
        with quick(make("127.0.0.1:1")) as queue:
            queue.write("a", value=1)
            wait_until(lambda: queue.stats()["retries"] > 3)
            stats = queue.stats()
            assert (stats["pending"], stats["health"]["state"] if "health" in stats else "open") == (1, "open")
        lines = [record.getMessage() for record in caplog.records if "BackendUnavailable" in record.getMessage()]
        assert len(lines) == 1
        assert "Elasticsearch at http://127.0.0.1:1 cannot be reached; check hosts, and that it runs" in lines[0]

    @pytest.mark.parametrize("trouble", ["closed", "blocked"])
    def test_an_index_that_takes_nothing_keeps_the_metrics_waiting(self, index, make, caplog, trouble):
        """One line says what to do, nobody is refused for good, and once it is done all is delivered."""
        make().write("a", value=1, number=0)
        (name,) = index.names()
        close, reopen = {
            "closed": (("POST", f"/{name}/_close", None), ("POST", f"/{name}/_open", None)),
            "blocked": (
                ("PUT", f"/{name}/_settings", {"index.blocks.write": True}),
                ("PUT", f"/{name}/_settings", {"index.blocks.write": None}),
            ),
        }[trouble]
        assert index.call(*close)[0] == 200
        with quick(make()) as queue:
            queue.write("a", value=1, number=1)
            wait_until(lambda: queue.stats()["retries"] > 1)
            assert (queue.stats()["pending"], queue.stats()["dropped"]) == (1, {})
            assert index.call(*reopen)[0] == 200
            assert queue.flush(30) is True
        assert index.numbers() == [0, 1]
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 1
        assert {"closed": "the index is closed; open it", "blocked": "writing is blocked"}[trouble] in lines[0]

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
        assert stats["delivered"] == stream.count
        assert index.numbers() == list(range(stream.count))
        assert stream.p99() < 0.05


def test_the_clients_log_nothing_of_metrics(index, make, relay, caplog):
    """Neither on success nor on failure, whatever the level of logging; one line of ours tells of the failure."""
    caplog.set_level(logging.DEBUG)
    backend = make(relay.host, username="anna", password="hunter2")
    backend.write("secret.name", value=1, field="secret value")
    relay.to_bulks(RESET, 503)
    for _ in range(2):
        with pytest.raises(BackendUnavailable):
            backend.write("secret.name", value=1, field="secret value")
    assert not caplog.records


@pytest.mark.skipif(MAJOR < 8, reason="data streams are not in the builds of earlier servers that are tested")
class TestDataStream:
    """A data stream instead of an index a day."""

    def test_documents_get_their_moment_beside_the_fields(self, index, make):
        """The stream is made by the template, and each document has `@timestamp`, too."""
        make(data_stream=True).write_many(numbered(3, timestamp=1_700_000_000_123_456_789))
        hits = index.hits()
        assert len(hits) == 3
        assert all(hit["_index"].startswith(f".ds-{index.name}-") for hit in hits)
        moment = "2023-11-14T22:13:20.123456Z"
        assert {(hit["_source"]["@timestamp"], hit["_source"]["timestamp"]) for hit in hits} == {(moment, moment)}

    def test_what_is_sent_twice_is_stored_once(self, index, make):
        """A stream knows ids as well."""
        backend = make(data_stream=True)
        backend.write_many(numbered(3))
        assert backend.write_many(numbered(3)) == [Stored(duplicate=True)] * 3
        assert index.numbers() == [0, 1, 2]


_NAMES = ("name", "value", "number", "text", "flag", "nothing", "timestamp")
_KINDS = list(hostile_values())


def _apart(fields):
    """Give each kind of hostile value a field of its own, for one that changes its type is refused."""
    kind = fields["number"] % len(_KINDS)
    return {key if key in _NAMES else f"{key}{kind}": value for key, value in fields.items()}


def _expected(fields):
    """Return the document for fields, under the names that the server takes."""
    found = json.loads(encode(fields))
    for key, value in found.items():
        if isinstance(value, list) and len({type(item) for item in value if item is not None}) > 1:
            found[key] = [item if item is None else str(item) for item in value]
    found["timestamp"] = f"2023-11-14T22:13:20.{fields['timestamp'] % 10**9 // 1000:06d}Z"
    return found


def _typed(document):
    return {key: (type(value), value) for key, value in document.items()}
