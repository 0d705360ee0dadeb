"""What the search backends make requests of: names of indices and fields, bodies, templates; no client, no server."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given

from tests.strategies import metrics
from time_execution.backends.search.document import BulkBody, ids_of, lawful
from time_execution.backends.search.index import IndexNames
from time_execution.backends.search.server import ELASTICSEARCH, OPENSEARCH, Server, identify
from time_execution.backends.search.template import Template
from time_execution.exceptions import ConfigurationError
from time_execution.types import Metric

_DAY = 1_700_000_000_000_000_000  # 2023-11-14T22:13:20Z


class TestIndexNames:
    """An index by the metric's own moment."""

    @pytest.mark.parametrize(
        ("pattern", "name", "wildcard"),
        [
            ("{index}-{date:%Y.%m.%d}", "metrics-2023.11.14", "metrics-*"),
            ("{index}", "metrics", "metrics"),
            ("logs-{index}-{date:%G.%V}-x", "logs-metrics-2023.46-x", "logs-metrics-*-x"),
            ("{index}-{date:%Y-%m-%d-%H}", "metrics-2023-11-14-22", "metrics-*"),
            ("{index}-{date:%y%j}", "metrics-23318", "metrics-*"),
            ("{{{index}}}", "{metrics}", "{metrics}"),
        ],
    )
    def test_a_pattern_makes_a_name_of_the_moment(self, pattern, name, wildcard):
        """In UTC, and a wildcard that matches all of its names."""
        names = IndexNames("metrics", pattern)
        assert (names.at(_DAY), names.wildcard) == (name, wildcard)

    def test_days_change_at_midnight_utc(self):
        """Whatever the machine's time zone."""
        names = IndexNames("m")
        midnight = 1_700_006_400_000_000_000
        assert (names.at(midnight - 1), names.at(midnight)) == ("m-2023.11.14", "m-2023.11.15")

    @pytest.mark.parametrize("moment", ["2023-11-14T22:13:20.000001Z", "2023-11-15T00:13:20+02:00", "2023-11-14"])
    def test_a_text_that_is_a_moment_counts(self, moment):
        """As it would be indexed."""
        assert IndexNames("m").at(moment) == "m-2023.11.14"

    @pytest.mark.parametrize("moment", [10**40, -(10**40), "../x", "", None, 1.5, True, {}, b"2023"], ids=str)
    def test_what_is_no_moment_goes_to_todays(self, moment):
        """Nothing a metric says gets into the name."""
        names = IndexNames("m")
        assert names.at(moment) in {names.at(time.time_ns()), names.at(time.time_ns() - 10**9)}

    def test_as_many_names_as_there_are_hours_are_forgotten_again(self):
        """What is kept to be quick is bounded."""
        names = IndexNames("m", "{index}-{date:%Y%j%H}")
        for hour in range(3000):
            names.at(_DAY + hour * 3_600_000_000_000)
        assert len(names._known) <= 1000

    @pytest.mark.parametrize(
        ("index", "pattern", "words"),
        [
            ("Metrics", "{index}", "lower case"),
            ("a b", "{index}", "no space"),
            ("a/b", "{index}", "must give a name"),
            ("a*", "{index}", "must give a name"),
            ("a,b", "{index}", "must give a name"),
            ("-a", "{index}", "not beginning with"),
            ("_all", "{index}", "not beginning with"),
            ("..", "{index}", "must give a name"),
            ("", "{index}", "must give a name"),
            ("x" * 256, "{index}", "255 bytes"),
            ("\u00e9" * 128, "{index}", "255 bytes"),
            ("m", "{index}-{name}", "made of {index}, {date:%Y.%m.%d} and plain text"),
            ("m", "{index}-{date}", "made of"),
            ("m", "{index}-{date:%b}", "a date's codes are among"),
            ("m", "{index}-{date:%M}", "a date's codes are among"),
            ("m", "{index}-{date.year}", "made of"),
            ("m", "{index!r}", "made of"),
            ("m", "{index:>5}", "made of"),
            ("m", "{}", "made of"),
            ("m", "{index", "braces do not match"),
            ("m", "{index}-{date:%Y %m}", "no space"),
            (5, "{index}", "index must be a text, not int"),
            ("m", None, "index_pattern must be a text, not NoneType"),
        ],
        ids=str,
    )
    def test_what_cannot_be_a_name_is_refused_at_once(self, index, pattern, words):
        """With what a name, or a pattern, may hold."""
        with pytest.raises(ConfigurationError) as raised:
            IndexNames(index, pattern)
        assert words in str(raised.value)


class TestLawful:
    """Names of fields."""

    @pytest.mark.parametrize(
        ("given", "stored"),
        [
            (("name", "value"), ("name", "value")),
            (("http.status", "http"), ("http_status", "http")),
            (("a.b", "a_b"), ("a_b_", "a_b")),
            (("a.b.c", "..", "."), ("a_b_c", "___", "__")),
            (("_id", "_source", "__x"), ("_id_", "_source_", "__x_")),
            (("_id", "_id_"), ("_id_", "_id__")),
            (("", " ", "\u2028"), ("_", " _", "\u2028_")),
            (("a b", "a=b", "*", "\x00", "@timestamp"), ("a b", "a=b", "*", "\x00", "@timestamp")),
        ],
        ids=str,
    )
    def test_they_are_what_every_server_takes(self, given, stored):
        """In their order, with their values; no two become one."""
        fields = dict(zip(given, range(len(given)), strict=True))
        assert list(lawful(fields).items()) == list(zip(stored, range(len(given)), strict=True))

    @pytest.mark.parametrize(
        ("given", "stored"),
        [
            ([1, 2.5, None], [1, 2.5, None]),
            (["a", None], ["a", None]),
            ([True, False], [True, False]),
            ([{"a": 1}, {"b": "x"}], [{"a": 1}, {"b": "x"}]),
            ([], []),
            ([1, "a", None, True, 2.5], ["1", "a", None, "true", "2.5"]),
            ([1, True], ["1", "true"]),
            ([{"a": 1}, 5], ['{"a":1}', "5"]),
            ([[1], ["a"]], [["1"], ["a"]]),
            ((1, "a"), ["1", "a"]),
            (list(range(1000)), [*map(str, range(100)), "\u2026[cut, 1000 items]"]),
        ],
        ids=lambda value: ascii(value)[:40],
    )
    def test_a_list_is_of_one_kind(self, given, stored):
        """If its items are of several, all become texts."""
        found = lawful({"name": "a", "list": given})["list"]
        assert json.dumps(found if isinstance(found, list) else list(found)) == json.dumps(stored)

    def test_a_metric_with_lawful_names_is_not_copied(self):
        """The usual case costs a look."""
        metric = Metric({"name": "a", "value": 1})
        assert lawful(metric) is metric

    def test_keys_that_are_no_texts_become_texts_first(self):
        """No code of theirs is run."""

        class Key(str):  # noqa: SLOT000 - the case
            is_known = False

            def __hash__(self):
                assert not self.is_known, "touched"
                return 1

        fields = {1: "a", Key("b.c"): "b"}
        Key.is_known = True
        assert list(lawful(fields)) == ["1", "b_c"]


class TestBulkBody:
    """The lines of a request."""

    def test_each_metric_is_an_action_and_a_document(self):
        """With its index, its id and no more."""
        metric = Metric({"name": "a", "value": 1.5, "timestamp": _DAY + 1_234_567}, id="0f-1")
        lines = _body().lines([metric], ids_of([metric]), is_typed=False)
        assert lines == (
            '{"create":{"_index":"m-2023.11.14","_id":"0f-1"}}\n'
            '{"name":"a","value":1.5,"timestamp":"2023-11-14T22:13:20.001234Z"}\n'
        )

    def test_a_server_that_wants_a_type_gets_one(self):
        """In the action."""
        metric = Metric({"name": "a", "timestamp": _DAY}, id="0f-1")
        action = _body().lines([metric], ids_of([metric]), is_typed=True).splitlines()[0]
        assert json.loads(action) == {"create": {"_index": "m-2023.11.14", "_type": "metric", "_id": "0f-1"}}

    @pytest.mark.parametrize("fields", [{}, {"@timestamp": "own"}])
    def test_a_stream_has_the_moment_twice(self, fields):
        """As the stream wants it, unless the metric says it itself."""
        metric = Metric({"name": "a", "timestamp": _DAY, **fields})
        body = BulkBody(IndexNames("m", "{index}"), "metric", is_stream=True)
        document = json.loads(body.lines([metric], ids_of([metric]), is_typed=False).splitlines()[1])
        moment = "2023-11-14T22:13:20.000000Z"
        assert document == {"@timestamp": moment, "name": "a", "timestamp": moment, **fields}

    def test_a_metric_keeps_its_id_and_another_gets_one_of_its_own(self):
        """So that what is sent again is known."""
        kept, first, second = ids_of([Metric(id="0f-1"), Metric(), Metric()])
        assert kept == "0f-1"
        assert len({first, second}) == 2

    @pytest.mark.parametrize("key", ['"}}\n{"delete":{}}', "x" * 513, "\ud800", "a b", "\u00e9"], ids=ascii)
    def test_an_odd_id_is_replaced_by_one_that_is_always_the_same(self, key):
        """It cannot end the line, or be longer than the server takes."""
        (first,), (second,) = ids_of([Metric(id=key)]), ids_of([Metric(id=key)])
        assert first == second
        assert first.isalnum()

    @pytest.mark.parametrize("is_stream", [False, True])
    def test_any_metric_is_two_lines_of_strict_json(self, is_stream):
        """Whatever it holds."""

        @given(metrics())
        def check(metric):
            body = BulkBody(IndexNames("m"), "metric", is_stream=is_stream)
            lines = body.lines([metric], ids_of([metric]), is_typed=False)
            action, document, rest = lines.split("\n")
            assert json.loads(action)["create"]["_index"].startswith("m-")
            json.loads(document, parse_constant=_refuse)
            assert rest == ""
            lines.encode()

        check()


class TestTemplate:
    """What servers of each kind are told about the fields."""

    def test_each_server_gets_the_form_it_knows(self):
        """By its version; one that does not say gets the latest."""
        template = _template()
        keys = {
            Server(ELASTICSEARCH, (5, 6, 16)): {"template", "version", "mappings", "settings"},
            Server(ELASTICSEARCH, (6, 8, 23)): {"index_patterns", "version", "mappings", "settings"},
            Server(ELASTICSEARCH, (7, 7)): {"index_patterns", "version", "mappings", "settings"},
            Server(ELASTICSEARCH, (7, 8)): {"index_patterns", "version", "template", "priority", "_meta"},
            Server(OPENSEARCH, (2, 19, 1)): {"index_patterns", "version", "template", "priority", "_meta"},
            Server(): {"index_patterns", "version", "template", "priority", "_meta"},
        }
        assert {server: set(template.body(server)) for server in keys} == keys

    def test_types_are_for_servers_that_have_them(self):
        """Later ones refuse them."""
        template = _template()
        assert list(template.body(Server(ELASTICSEARCH, (6, 8)))["mappings"]) == ["metric"]
        assert "properties" in template.body(Server(ELASTICSEARCH, (7, 7)))["mappings"]

    def test_the_longer_pattern_wins(self):
        """Servers refuse two templates of one priority that match the same index."""
        priorities = [
            _template(wildcard).body(Server())["priority"] for wildcard in ("m-*", "m-app-*", "x" * 200 + "*")
        ]
        assert priorities == [3, 7, 99]

    def test_a_stream_has_a_template_of_its_own(self):
        """Under another name, above those that come with the server."""
        stream, indices = _template("m", is_stream=True), _template("m-*")
        assert stream.name != indices.name
        body = stream.body(Server())
        assert (body["data_stream"], body["priority"], body["index_patterns"]) == ({}, 501, ["m"])
        assert "@timestamp" in body["template"]["mappings"]["properties"]

    def test_the_field_of_the_number_may_have_another_name(self):
        """It is a double all the same."""
        template = Template("m-*", value_field="took", doc_type="metric", is_stream=False)
        properties = template.body(Server())["template"]["mappings"]["properties"]
        assert properties["took"]["type"] == "double"

    @pytest.mark.parametrize("version", [(8, 13), (8, 14), (9, 5, 3)])
    def test_fields_beyond_the_limit_are_ignored_where_the_server_can(self, version):
        """Elsewhere a metric with a new one is refused."""
        settings = _template().body(Server(ELASTICSEARCH, version))["template"]["settings"]
        limit = "index.mapping.total_fields.ignore_dynamic_beyond_limit"
        assert (limit in settings) is (version >= (8, 14))


class TestServer:
    """What a server says it is."""

    @pytest.mark.parametrize(
        ("page", "server"),
        [
            ({"version": {"number": "5.6.16"}}, Server(ELASTICSEARCH, (5, 6, 16))),
            ({"version": {"number": "9.0.0-beta1"}}, Server(ELASTICSEARCH, (9, 0, 0))),
            ({"version": {"number": "2.19.1", "distribution": "opensearch"}}, Server(OPENSEARCH, (2, 19, 1))),
            ({"version": {"number": "7.10.2", "distribution": "opensearch"}}, Server(OPENSEARCH, (7, 10, 2))),
            ({"nodes": {"x": {"version": "8.19.21"}}}, Server(ELASTICSEARCH, (8, 19, 21))),
            ({"nodes": {"x": {"version": "2.19.1"}}}, Server(OPENSEARCH, (2, 19, 1))),
            *[(page, Server()) for page in (None, [], "x", {}, {"version": 5}, {"version": {}}, {"version": "x"})],
            *[(page, Server()) for page in ({"nodes": {}}, {"nodes": []}, {"nodes": {"x": None}})],
        ],
        ids=str,
    )
    def test_it_is_read_from_either_page(self, page, server):
        """One that says nothing, or something else, is unknown."""
        assert identify(_Pages(page)) == server

    def test_one_that_does_not_tell_is_not_asked_for_good(self):
        """A user without the privilege may write all the same."""
        assert identify(_Pages(_Status(403))) == Server()

    def test_one_that_refuses_the_credentials_is_not_asked_again(self):
        """Everything else would be refused, too."""
        pages = _Pages(_Status(401))
        with pytest.raises(_Status):
            identify(pages)
        assert pages.asked == 1


class _Status(Exception):
    def __init__(self, status_code):
        super().__init__()
        self.status_code = status_code


class _Pages:
    def __init__(self, page):
        self._page = page
        self.asked = 0

    def page(self, path):
        self.asked += 1
        if isinstance(self._page, Exception):
            raise self._page
        return self._page


def _body():
    return BulkBody(IndexNames("m"), "metric", is_stream=False)


def _template(wildcard="m-*", *, is_stream=False):
    return Template(wildcard, value_field="value", doc_type="metric", is_stream=is_stream)


def _refuse(token):
    raise AssertionError(token)
