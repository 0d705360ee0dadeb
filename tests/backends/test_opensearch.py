"""`OpenSearchBackend` against a server that fails by script; what is shared is tested with Elasticsearch's."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip("opensearchpy", reason="its client is not installed")

from tests.backends.search_cluster import Cluster
from tests.fault_server import HANG, RESET, Answer
from time_execution.backends.opensearch import OpenSearchBackend
from time_execution.exceptions import BackendDenied, BackendThrottled, BackendTimeout, BackendUnavailable, BatchTooLarge
from time_execution.types import STORED, Metric, Reject, Retry, Stored


@pytest.fixture
def cluster():
    with Cluster("2.19.1") as cluster:
        yield cluster


@pytest.fixture
def backend(cluster):
    with OpenSearchBackend(cluster.host, username="anna", password="hunter2", timeout=0.5) as backend:
        yield backend


def test_each_metric_gets_its_own_result(cluster, backend):
    """Taken, known, to be sent again, or refused."""
    cluster.to_items(201, 409, 429, 400)
    batch = [Metric({"name": "a", "value": n}, id=f"0f-{n}") for n in range(4)]
    refused = Reject("some_exception", "some_exception: for a reason")
    assert backend.write_many(batch) == [STORED, Stored(duplicate=True), Retry("some_exception"), refused]


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (Answer(401, {"status": 401}), BackendDenied, "refuses the credentials"),
        (Answer(413, {"status": 413}), BatchTooLarge, "the batch is too large"),
        (Answer(400, {"error": {"type": "parse_exception"}}), BackendDenied, r"400 \(parse_exception\)"),
        (HANG, BackendTimeout, "did not answer within the timeout"),
        (RESET, BackendUnavailable, "cannot be reached"),
    ],
    ids=str,
)
def test_a_failed_request_says_what_to_do(cluster, backend, answer, error, words):
    """In our words, which name the product."""
    cluster.to_bulks(answer)
    with pytest.raises(error, match=f"OpenSearch at .*{words}"):
        backend.write("a", value=1)


def test_the_pause_that_the_server_asks_for_is_passed_on(cluster, backend):
    """Though the client does not keep the header."""
    cluster.to_bulks(Answer(429, {"status": 429}, {"Retry-After": "7"}))
    with pytest.raises(BackendThrottled) as raised:
        backend.write("a", value=1)
    assert raised.value.retry_after == 7.0


def test_neither_the_client_nor_the_backend_logs_anything(cluster, backend, caplog):
    """At any level, on success and on failure."""
    caplog.set_level(logging.DEBUG)
    backend.write("a", value=1)
    cluster.to_bulks(RESET)
    with pytest.raises(BackendUnavailable):
        backend.write("a", value=1)
    assert not caplog.records


def test_warnings_in_answers_are_not_passed_on(cluster, backend, recwarn):
    """Such as that security is off."""
    warned = {"Warning": '299 OpenSearch-2.19.1 "security is off"'}
    cluster.to_bulks(Answer(200, {"errors": False, "items": []}, warned))
    backend.write("a", value=1)
    assert not recwarn.list
