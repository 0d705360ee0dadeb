"""`ElasticsearchBackend` against a server that fails by script: what becomes of metrics, and what is said about it."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("elasticsearch", reason="its client is not installed")

from tests.backends.search_cluster import Cluster
from tests.closed_after import closed_after
from tests.fault_server import DROP, HALF, HANG, RESET, Answer, FaultServer
from tests.faults.harness import FakeClock, check_conservation, longest, quick, tick, wait_for
from time_execution.backends.elasticsearch import ElasticsearchBackend
from time_execution.backends.search.answer import results_of
from time_execution.backends.search.clash import Clashes
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import (
    BackendDenied,
    BackendRejected,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
    BatchTooLarge,
)
from time_execution.types import STORED, Metric, Reject, Retry, Stored

# What clients 6 and 7 have to say once, when they are made and before their first request.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Connecting to .* is insecure"),
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
    pytest.mark.filterwarnings("ignore:The client is unable to verify"),
]
PLACES = {
    "cluster_block_exception": "writing is blocked",
    "index_closed_exception": "the index is closed; open it",
    "index_not_found_exception": "there is no such index",
    "security_exception": "this user may not write there",
    "validation_exception": "limit of shards",
}

CLASHES = [
    "mapper [x] of different type, current_type [keyword], merged_type [double]",
    "mapper [x] cannot be changed from type [double] to [keyword]",
    "mapper [a\n]b] cannot be changed from type [double] to [keyword]",
    "can't merge a non object mapping [x] with an object mapping",
    "Can't merge a non object mapping [x] with an object mapping [x]",
]


@pytest.fixture
def cluster():
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def make(cluster):
    """Make backends; they are closed after the test."""

    def build(hosts=None, *args, **options):
        return ElasticsearchBackend(hosts or cluster.host, *args, **options)

    with closed_after(build) as make:
        yield make


def batch(count, first=0):
    """Return so many metrics with ids."""
    return [Metric({"name": "a", "value": n}, id=f"0f-{n}") for n in range(first, first + count)]


class TestItems:
    """What the server says of each document."""

    def test_each_metric_gets_its_own_result_in_order(self, cluster, make):
        """Taken, known, to be sent again, or refused with the server's words."""
        cluster.to_items(201, 409, 429, 400, 503, (400, "mapper_parsing_exception", "failed to parse [x]"))
        assert make().write_many(batch(6)) == [
            STORED,
            Stored(duplicate=True),
            Retry("some_exception"),
            Reject("some_exception", "some_exception: for a reason"),
            Retry("some_exception"),
            Reject("mapper_parsing_exception", "mapper_parsing_exception: failed to parse [x]"),
        ]

    def test_only_what_failed_is_sent_again(self, cluster, make, tmp_path):
        """Of 200 with mixed answers, the accepted are sent once, and the refused are dead letters with the reason."""
        cluster.to_items(*[(201, 429, 400, 503)[n % 4] for n in range(200)])
        letters = tmp_path / "letters"
        with quick(make(), bulk_size=200, bulk_timeout=60.0, dead_letters=letters) as queue:
            queue.bulk_write([{"name": "a", "value": n} for n in range(200)])
            assert queue.flush(10) is True
            stats = queue.stats()
        check_conservation(stats, offered=200, pending=0)
        assert (stats["delivered"], stats["dropped"]) == (150, {"some_exception": 50})
        sent = [document["value"] for bulk in cluster.bulks for _, document in bulk]
        assert sorted(sent) == sorted([*range(200), *(n for n in range(200) if n % 4 in {1, 3})])
        assert sorted(document["value"] for document in cluster.documents.values()) == [
            n for n in range(200) if n % 4 != 2
        ]
        assert letters.read_text().count("some_exception: for a reason") == 50

    @pytest.mark.parametrize("kind", PLACES)
    def test_a_place_that_takes_nothing_is_no_fault_of_the_metrics(self, cluster, make, kind):
        """They wait, and the error says what to do."""
        cluster.to_items(*[(403, kind, "no")] * 3)
        with pytest.raises(BackendDenied, match=PLACES[kind]):
            make().write_many(batch(3))

    def test_where_some_have_a_place_and_others_none_the_latter_wait(self, cluster, make):
        """Nobody is refused for good."""
        cluster.to_items(201, (400, "index_closed_exception", "closed"), (400, "mapper_parsing_exception", "bad"))
        results = make().write_many(batch(3))
        assert results[1] == Retry("index_closed_exception", after=30.0)
        assert [type(result) for result in results] == [Stored, Retry, Reject]

    def test_refusals_are_told_without_the_metrics(self, cluster, make, caplog):
        """The line counts and names the kinds; the server's words may quote a metric, and stay out of it."""
        cluster.to_items((400, "mapper_parsing_exception", "hunter2"))
        with quick(make()) as queue:
            queue.write("a", value=1)
            assert queue.flush(10) is True
        (line,) = [record.getMessage() for record in caplog.records]
        assert line.endswith("1 of 1 metrics refused for good, and lost (mapper_parsing_exception)")

    @pytest.mark.parametrize("answer", [[], "text", {"items": [{}]}, {"items": [None]}, {"items": [{"create": 5}]}])
    def test_what_is_no_answer_to_a_bulk_is_an_outage(self, answer):
        """As from a proxy that answers for the server: nobody's metric is to blame."""
        with pytest.raises(BackendUnavailable, match="Elasticsearch at x answered something"):
            results_of(answer, ["0f-1"], clashes=Clashes(), server="Elasticsearch at x")

    @pytest.mark.parametrize("words", CLASHES)
    def test_who_loses_a_race_for_the_mapping_is_sent_again(self, cluster, make, words):
        """A document that clashes with one beside it is stored when it comes again; in the words of any server."""
        clash = (400, "illegal_argument_exception", words)
        cluster.to_items(201, clash, clash, clash, 201)  # three, then two, then the last
        backend = make()
        with quick(backend, bulk_size=3, bulk_timeout=60.0) as queue:
            queue.bulk_write([{"name": "a", "value": n} for n in range(3)])
            assert queue.flush(10) is True
            stats = queue.stats()
        assert (stats["delivered"], stats["dropped"]) == (3, {})
        assert sorted(document["value"] for document in cluster.documents.values()) == [0, 1, 2]
        assert not backend._clashes._counts

    def test_who_clashes_with_himself_is_refused_after_a_while(self, cluster, make):
        """The server says the same of a document that it can never take; others are stored meanwhile and afterwards."""
        refusal = (400, "illegal_argument_exception", CLASHES[0])
        cluster.to_items(201, *[refusal] * 1000)
        backend = make()
        with quick(backend, bulk_size=2, bulk_timeout=60.0) as queue:
            queue.bulk_write([{"name": "a", "value": n} for n in range(2)])
            assert queue.flush(10) is True
            cluster.to_items()
            queue.write("a", value=2)
            assert queue.flush(10) is True
            stats = queue.stats()
        check_conservation(stats, offered=3, pending=0)
        assert (stats["delivered"], stats["dropped"]) == (2, {"illegal_argument_exception": 1})
        assert len(cluster.bulks) == 11
        assert not backend._clashes._counts

    def test_who_loses_a_race_and_does_not_fit_is_refused(self, cluster, make):
        """The second time the server says so in other words; nothing is remembered of it."""
        backend = make()
        cluster.to_items(
            (400, "illegal_argument_exception", CLASHES[0]), (400, "mapper_parsing_exception", "failed to parse [x]")
        )
        assert backend.write_many(batch(1)) == [Retry("illegal_argument_exception")]
        assert [type(result) for result in backend.write_many(batch(1))] == [Reject]
        assert not backend._clashes._counts

    def test_other_illegal_arguments_are_refused_at_once(self, cluster, make):
        """Such as one field too many."""
        cluster.to_items((400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"))
        (result,) = make().write_many(batch(1))
        assert isinstance(result, Reject)

    def test_clashes_are_counted_for_each_document_until_it_is_settled(self):
        """What is known is bounded, and a document that was stored in between has all its chances again."""
        clashes = Clashes()
        assert [clashes.is_hopeless("a") for _ in range(9)] == [False] * 9
        assert clashes.is_hopeless("b") is False
        clashes.forget(["a"])
        assert [clashes.is_hopeless("a") for _ in range(10)] == [False] * 9 + [True]
        for number in range(200_001):
            clashes.is_hopeless(str(number))
        assert len(clashes._counts) <= 100_000

    def test_the_servers_words_are_redacted_and_cut(self, cluster, make):
        """They are kept beside the metric, without what looks like a secret."""
        cluster.to_items((400, "mapper_parsing_exception", f"password=hunter2 {'x' * 1000}"))
        (result,) = make().write_many(batch(1))
        assert "hunter2" not in result.detail
        assert len(result.detail) < 600

    def test_a_missing_answer_means_again(self, cluster, make):
        """A server that answers for fewer documents than were sent has said nothing of the others."""
        cluster.to_bulks(Answer(200, {"errors": True, "items": [{"create": {"status": 201}}]}))
        with quick(make(), bulk_size=3, bulk_timeout=60.0) as queue:
            queue.bulk_write([{"name": "a", "value": n} for n in range(3)])
            assert queue.flush(10) is True
        assert sorted(document["value"] for document in cluster.documents.values()) == [1, 2]


class TestWholeRequests:
    """What a status, or none, means for all metrics of a batch."""

    @pytest.mark.parametrize(
        ("answer", "error", "words"),
        [
            (401, BackendDenied, "refuses the credentials; check username, password and api_key"),
            (403, BackendDenied, "does not allow this user to write; check username"),
            (404, BackendDenied, "perhaps it is no Elasticsearch; check hosts, port and prefix"),
            (405, BackendDenied, "perhaps it is no Elasticsearch; check hosts, port and prefix"),
            (408, BackendTimeout, "answered 408"),
            (429, BackendThrottled, "too many requests"),
            (500, BackendUnavailable, "answered 500"),
            (502, BackendUnavailable, "answered 502"),
            (503, BackendThrottled, "cannot answer now"),
            (504, BackendTimeout, "answered 504"),
            (413, BatchTooLarge, "the batch is too large"),
            (HANG, BackendTimeout, "did not answer within the timeout"),
            (RESET, BackendUnavailable, "cannot be reached"),
            (DROP, BackendUnavailable, "cannot be reached"),
            (HALF, BackendUnavailable, "cannot be reached"),
            (Answer(200, "<html>login</html>", {"Content-Type": "application/json"}), BackendUnavailable, "no JSON"),
            (Answer(400, {"error": {"type": "parse_exception"}}), BackendDenied, r"400 \(parse_exception\)"),
        ],
        ids=str,
    )
    def test_it_becomes_the_error_that_says_what_to_do(self, cluster, make, answer, error, words):
        """In our words, with the client's exception as the cause."""
        cluster.to_bulks(Answer(answer, {"status": answer}) if isinstance(answer, int) else answer)
        with pytest.raises(error, match=words) as raised:
            make(timeout=0.5 if answer is HANG else 10.0).write("a", value=1)
        assert type(raised.value) is error
        assert raised.value.__cause__ is not None
        assert cluster.host in str(raised.value)

    def test_a_wrong_service_is_called_one(self, make, caplog):
        """Where nothing of all that is asked for is there, nobody is sent to look at privileges and passwords."""
        elsewhere = Answer(404, "not here", {"Content-Type": "text/plain"})
        with FaultServer(lambda _: elsewhere) as other, pytest.raises(BackendDenied) as raised:
            make(f"127.0.0.1:{other.port}").write("a", value=1)
        told = [str(raised.value), *(record.getMessage() for record in caplog.records)]
        assert all(line.endswith("perhaps it is no Elasticsearch; check hosts, port and prefix") for line in told), told

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(("asked", "heard"), [("7", 7.0), ("soon", None), ("99999999999999", 999999999999.0)])
    def test_the_pause_that_the_server_asks_for_is_passed_on(self, cluster, make, status, asked, heard):
        """By every client, though some do not keep the header."""
        cluster.to_bulks(Answer(status, {"status": status}, {"Retry-After": asked}))
        with pytest.raises(BackendThrottled) as raised:
            make().write("a", value=1)
        assert raised.value.retry_after == heard

    def test_a_batch_too_large_is_halved_until_it_fits(self, cluster, make):
        """All but one metric that is too large by itself are stored."""
        too_large = Answer(413, {"status": 413})
        cluster.answer(
            lambda request: (
                too_large if len(request.body) > 2000 or b"huge" in request.body else cluster.respond(request)
            )
        )
        with quick(make(template=False), bulk_size=100, bulk_timeout=60.0) as queue:
            queue.bulk_write([{"name": "huge" if n == 40 else "a", "value": n} for n in range(100)])
            assert queue.flush(10) is True
            stats = queue.stats()
        check_conservation(stats, offered=100, pending=0)
        assert stats["dropped"] == {"BatchTooLarge": 1}
        assert sorted(document["value"] for document in cluster.documents.values()) == [
            n for n in range(100) if n != 40
        ]

    @pytest.mark.parametrize("status", [401, 403, 404])
    def test_a_permanent_refusal_makes_no_storm(self, cluster, make, status):
        """At most one request in each longest pause; the circuit opens; nothing is lost; then all is delivered."""
        clock = FakeClock()
        refusal = Answer(status, {"status": status}, {"X-Elastic-Product": "Elasticsearch"})
        cluster.answer(refusal)
        retry = Backoff(base=0.5, cap=30.0, jitter=longest)
        queue = ThreadedBackend(make(), bulk_timeout=0.01, queue_timeout=0.05, retry=retry, clock=clock)
        queue.write("a", value=1)
        tick(queue, clock, 1.0)
        counts = []
        for failures in range(1, 7):
            assert wait_for(queue, lambda: queue._worker.failures == failures)  # noqa: B023 - called at once
            tick(queue, clock, 29.0)
            counts.append(len(cluster.requests))
            tick(queue, clock, 2.0)
        counts = [after - before for before, after in itertools.pairwise(counts)]
        assert counts == [1] * 5
        assert queue._worker.health()["state"] == "open"
        assert wait_for(queue, lambda: queue._worker.failures == 7)
        cluster.answer(cluster.respond)
        tick(queue, clock, 31.0)
        assert queue.flush(10) is True
        assert queue.stats()["delivered"] == 1
        queue.close()

    def test_a_faulty_backend_holds_no_other_up(self, cluster, make):
        """One that is told to wait, and one beside it."""
        with Cluster() as other, quick(make(other.host)) as well, quick(make()) as throttled:
            cluster.to_bulks(*[Answer(503, {"status": 503}, {"Retry-After": "3600"})] * 100)
            throttled.write("a", value=1)
            well.write("a", value=1)
            assert well.flush(10) is True
            assert wait_for(throttled, lambda: throttled.stats()["last_error"])
            assert (well.stats()["delivered"], throttled.stats()["pending"]) == (1, 1)


class TestRefusedTemplate:
    """A server on which no template may be put."""

    @pytest.mark.parametrize("status", [400, 403, 404, 405])
    def test_metrics_are_stored_without_it(self, cluster, make, caplog, status):
        """One line says what is missing."""
        refusal = Answer(
            status, {"error": {"type": "x", "reason": "not yours"}}, {"X-Elastic-Product": "Elasticsearch"}
        )
        cluster.answer(lambda request: refusal if "template" in request.path else cluster.respond(request))
        backend = make()
        backend.write("a", value=1)
        backend.write("a", value=2)
        assert len(cluster.documents) == 2
        (line,) = [record.getMessage() for record in caplog.records]
        assert f"answered {status} to the index template, so metrics are sent without it" in line
        assert ("perhaps it is no Elasticsearch" in line) is (status in {404, 405})
        assert ("manage_index_templates" in line) is (status in {400, 403})

    def test_a_stream_without_template_takes_nothing(self, cluster, make):
        """A plain index would be made in its place."""
        refusal = Answer(400, {"status": 400}, {"X-Elastic-Product": "Elasticsearch"})
        cluster.answer(lambda request: refusal if request.method == "PUT" else cluster.respond(request))
        with pytest.raises(BackendDenied, match="does this server know data streams"):
            make(data_stream=True).write("a", value=1)
        assert not cluster.bulks

    def test_a_server_that_is_away_while_it_is_asked_is_asked_again(self, cluster, make):
        """The metrics wait for the template."""
        left = [503]
        down = Answer(503, {"status": 503}, {"X-Elastic-Product": "Elasticsearch"})
        cluster.answer(
            lambda request: down if "template" in request.path and left and left.pop() else cluster.respond(request)
        )
        backend = make()
        with pytest.raises(BackendThrottled):
            backend.write("a", value=1)
        backend.write("a", value=1)
        assert len(cluster.templates) == 1


def test_refusing_all_is_raised_to_whoever_writes_directly(cluster, make):
    """A direct write has nobody else to tell."""
    cluster.to_items((400, "mapper_parsing_exception", "bad"))
    with pytest.raises(BackendRejected, match="mapper_parsing_exception"):
        make().write("a", value=1)
