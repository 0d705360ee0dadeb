"""Lines as documents of CloudWatch's embedded metric format, held against its schema."""

from __future__ import annotations

import io
import json
import socket
import threading

import pytest

from tests.backends.emf_schema import check
from time_execution import stats
from time_execution.exceptions import ConfigurationError
from time_execution.tracker import EMFOutput, ProcessTracker


def handled(output):
    """Call a handler with a part, numbers, a text and identifiers."""
    tracker = ProcessTracker(output)

    @tracker
    def handler(event, context):
        for _ in range(2):
            with tracker.timer("query"):
                pass
        tracker.set_metric("rows", 5)
        tracker.set_metric("full", True)
        tracker.set_metric("load", 0.5)
        tracker.set_metric("error", "KeyError")
        tracker.set_metric("nothing", float("nan"))
        tracker.set_identifier("region", "eu-1")
        tracker.set_identifier("request_id", "r-1")
        tracker.set_identifier("name", "mine")
        return event

    return handler("event", None)


def test_a_line_is_one_document_of_the_format():
    """Latencies are milliseconds, numbers have no unit, dimensions are those chosen; all else is beside them."""
    stream = io.StringIO()
    assert handled(EMFOutput(stream, namespace="Shop", dimensions=["region", "absent"])) == "event"
    (text,) = stream.getvalue().splitlines()
    document = check(text)
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Shop"
    assert directive["Dimensions"] == [["region"]]
    units = {metric["Name"]: metric.get("Unit") for metric in directive["Metrics"]}
    assert units == {"query": "Milliseconds", "handler": "Milliseconds", "rows": None, "full": None, "load": None}
    assert (document["rows"], document["full"], document["load"]) == (5, 1, 0.5)
    assert document["handler"] >= document["query"] >= 0
    members = {name: document[name] for name in ("region", "request_id", "name_", "error")}
    assert members == {"region": "eu-1", "request_id": "r-1", "name_": "mine", "error": "KeyError"}
    assert document["repeats"]["query"]["count"] == 2
    assert "nothing" not in document


def test_a_name_that_is_a_latency_and_a_number_makes_two_documents():
    """Neither of the two is lost."""
    stream = io.StringIO()
    tracker = ProcessTracker(EMFOutput(stream))
    tracker("total")(lambda: tracker.set_metric("total", 7))()
    documents = [check(text) for text in stream.getvalue().splitlines()]
    assert len(documents) == 2
    assert documents[1]["total"] == 7


def test_more_than_a_hundred_names_are_several_documents():
    """The limit of a document is kept, and every latency is in one of them."""
    stream = io.StringIO()
    tracker = ProcessTracker(EMFOutput(stream))

    @tracker
    def main():
        for number in range(250):
            with tracker.timer(f"part {number}"):
                pass

    main()
    names = set()
    for text in stream.getvalue().splitlines():
        document = check(text)
        names |= {metric["Name"] for metric in document["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert names == {f"part {number}" for number in range(250)} | {"main"}


def test_output_is_standard_output_by_default(capsys):
    """On Lambda, that is all there is to do."""
    handled(EMFOutput())
    check(capsys.readouterr().out.strip())
    assert repr(EMFOutput()) == "EMFOutput('stdout', namespace='timeexecution')"


def test_documents_go_to_files_and_to_an_agent(tmp_path):
    """A file gets a line a call; an agent gets what names its log group, and the connection can be closed."""
    handled(EMFOutput(path=tmp_path / "emf.log"))
    check((tmp_path / "emf.log").read_text(encoding="utf-8").strip())
    received = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection, connection.makefile() as lines:
                received.extend(lines)

        thread = threading.Thread(target=serve)
        thread.start()
        output = EMFOutput(agent=f"tcp://127.0.0.1:{server.getsockname()[1]}", log_group="shop", timeout=5.0)
        handled(output)
        output.close()
        thread.join(10)
    (document,) = [check(text.strip()) for text in received]
    assert document["_aws"]["LogGroupName"] == "shop"


def test_what_cannot_be_written_is_counted_and_reaches_nobody():
    """A closed stream, and a number that CloudWatch does not take: the call returns, and the rest is written."""
    stream = io.StringIO()
    output = EMFOutput(stream)
    tracker = ProcessTracker(output)

    @tracker
    def main():
        tracker.set_metric("huge", 1e300)
        tracker.set_metric("fine", 1)
        return 5

    assert main() == 5
    assert json.loads(stream.getvalue())["fine"] == 1
    stream.close()
    assert main() == 5
    assert stats()["errors"]["hook"] == {"EMFOutput: BackendRejected": 1, "EMFOutput: BackendDenied": 1}


@pytest.mark.parametrize(
    "options",
    [{"namespace": "AWS/X"}, {"dimensions": "region"}, {"stream": "nowhere"}, {"log_group": "x"}, {"timeout": 1}],
)
def test_wrong_options_are_refused_when_it_is_made(options):
    """What could not work is an error at once, not at the first line."""
    with pytest.raises(ConfigurationError):
        EMFOutput(**options)
