"""How the search backends are made and configured: what is taken, and what is refused before the first metric."""

from __future__ import annotations

import pytest

from tests.backends.search_cluster import Cluster
from time_execution import flush, settings, write_metric
from time_execution.exceptions import BackendDenied, ConfigurationError

pytest.importorskip("elasticsearch", reason="its client is not installed")
pytest.importorskip("opensearchpy", reason="its client is not installed")
from time_execution.backends.elasticsearch import ElasticsearchBackend
from time_execution.backends.opensearch import OpenSearchBackend

BOTH = pytest.mark.parametrize("backend_class", [ElasticsearchBackend, OpenSearchBackend])


class TestHosts:
    """Where the server is."""

    @BOTH
    @pytest.mark.parametrize(
        ("hosts", "urls"),
        [
            (None, ["http://localhost:9200"]),
            ("elastic", ["http://elastic:9200"]),
            ("elastic:9201", ["http://elastic:9201"]),
            ("one, two:9201", ["http://one:9200", "http://two:9201"]),
            ("[::1]:9201", ["http://[::1]:9201"]),
            ("https://elastic", ["https://elastic:443"]),
            ("http://elastic:9201/es/", ["http://elastic:9201/es"]),
            ("https://anna:secret@elastic:9200", ["https://elastic:9200"]),
            (["one", "https://two:9201"], ["http://one:9200", "https://two:9201"]),
            ([{"host": "one"}], ["http://one:9200"]),
            ([{"host": "::1", "port": 9201, "use_ssl": True}], ["https://[::1]:9201"]),
            (
                [{"host": "one", "scheme": "https", "url_prefix": "/es"}, "two"],
                ["https://one:9200/es", "http://two:9200"],
            ),
        ],
        ids=str,
    )
    def test_they_are_taken_in_every_form(self, backend_class, hosts, urls):
        """Of upstream, of the clients, by the URL, by either name."""
        assert list(backend_class(hosts).hosts) == urls
        if hosts is not None:
            assert list(backend_class(host=hosts).hosts) == urls

    @BOTH
    def test_tls_is_for_those_that_name_no_scheme(self, backend_class):
        """By itself, and with a certificate to trust."""
        assert backend_class(["one", "http://two:9200"], tls=True).hosts == ("https://one:9200", "http://two:9200")
        assert backend_class("one", ca_certs=__file__).hosts == ("https://one:9200",)
        assert backend_class("one", ca_certs=__file__, tls=True).hosts == ("https://one:9200",)

    @BOTH
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"hosts": "a", "host": "b"}, "hosts and host are two names of one parameter"),
            ({"hosts": 5}, "hosts must be a text or a list of texts and dicts, not int"),
            ({"hosts": [5]}, "hosts must be"),
            ({"hosts": ""}, "at least one host"),
            ({"hosts": []}, "at least one host"),
            ({"hosts": "a:secret"}, "port"),
            ({"hosts": "a:99999"}, "port"),
            ({"hosts": "ftp://a"}, "name:port or https://name:port"),
            ({"hosts": "http://a?x=secret"}, "name:port or https://name:port"),
            ({"hosts": "a/b"}, "name:port"),
            ({"hosts": [{"port": 5}]}, "a dict in hosts has host"),
            ({"hosts": [{"host": "a", "port": "5"}]}, "a dict in hosts has host"),
            ({"hosts": [{"host": "a", "http_auth": "secret"}]}, "a dict in hosts has host"),
            ({"hosts": [{"host": "a", "scheme": "ftp"}]}, "must be http or https"),
            ({"hosts": ["http://a:secret@one:9200", "http://b:secret@two:9200"]}, "several logins"),
            ({"hosts": "http://a:secret@one:9200", "username": "b", "password": "secret"}, "several logins"),
            ({"username": "a"}, "belong together"),
            ({"password": "secret"}, "belong together"),
            ({"username": "a", "password": 5}, "password must be a text, not int"),
            ({"ca_certs": "/secret/none.pem"}, "ca_certs must be the path"),
            ({"ca_certs": 5}, "ca_certs must be the path"),
            ({"hosts": "http://a:9200", "ca_certs": __file__}, "ca_certs is of no use without TLS"),
            ({"hosts": "https://a", "ca_certs": __file__, "verify_certs": False}, "ca_certs is of no use with verify"),
            ({"verify_certs": False}, "verify_certs is of no use without TLS"),
            ({"hosts": "http://a", "tls": True}, "tls is of no use with hosts that all say http://"),
            ({"hosts": "https://a", "tls": False}, "tls is of no use with hosts that all say https://"),
            *[({"timeout": timeout}, "timeout must be a number") for timeout in (0, -1, "5", True, float("inf"))],
            ({"pipeline": ""}, "pipeline must be a text that is not empty"),
            ({"pipeline": 5}, "pipeline must be a text"),
            ({"value_field": ""}, "value_field must be"),
            ({"index": "Metrics"}, "lower case"),
            ({"index_pattern": "{secret}"}, "made of"),
            ({"data_stream": True, "index_pattern": "{index}"}, "index_pattern is of no use with data_stream"),
            ({"data_stream": True, "index_pattern": "{index}-{date:%Y.%m.%d}"}, "index_pattern is of no use"),
            ({"no_such_option": "secret"}, "unknown option 'no_such_option'"),
            ({"max_retries": "secret"}, "max_retries must be a whole number of at least 0, got str"),
            ({"max_retries": 1.5}, "max_retries must be a whole number of at least 0"),
            ({"sniff_timeout": "secret"}, "sniff_timeout must be a number of seconds, 0 or more, got str"),
            ({"retry_on_timeout": "secret"}, "retry_on_timeout must be true or false, got str"),
            ({"sniff_on_start": 5}, "sniff_on_start must be true or false"),
            ({"max_retrys": 5}, "did you mean 'max_retries'"),
            ({"client": 5.5}, "client must be an instance of"),
            *[
                ({"client": 5.5, key: value}, f"{key} is of no use beside client")
                for key, value in {
                    "hosts": "a",
                    "host": "a",
                    "username": "a",
                    "password": "secret",
                    "tls": True,
                    "ca_certs": __file__,
                    "verify_certs": False,
                    "timeout": 5,
                    "compress": True,
                    "max_retries": 5,
                }.items()
            ],
        ],
        ids=str,
    )
    def test_what_is_wrong_is_refused_when_constructing(self, backend_class, options, words):
        """The message names the key, and shows no value that may be a secret."""
        with pytest.raises(ConfigurationError) as raised:
            backend_class(**options)
        assert words in str(raised.value)
        assert "secret" not in str(raised.value).replace("{secret}", "")

    def test_a_data_stream_has_no_document_type(self):
        """Servers that know streams have none; not even the usual one is taken in silence."""
        with pytest.raises(ConfigurationError, match="doc_type is of no use with data_stream"):
            ElasticsearchBackend(data_stream=True, doc_type="metric")

    @pytest.mark.parametrize("key", [5, "", ("a",), ("a", 5), "\u00e9"], ids=str)
    def test_an_api_key_is_a_text_or_a_pair(self, key):
        """Anything else is refused."""
        with pytest.raises(ConfigurationError, match="api_key must be a text, encoded or id:key, or a pair"):
            ElasticsearchBackend(api_key=key)

    def test_there_is_one_way_to_log_in(self):
        """Not two."""
        with pytest.raises(ConfigurationError, match="username and api_key are two ways to log in"):
            ElasticsearchBackend(username="a", password="b", api_key="c")

    def test_an_asynchronous_client_is_refused(self):
        """Its answers would never come."""

        class Client:
            async def bulk(self, **_):
                """Never called."""

        for backend_class in (ElasticsearchBackend, OpenSearchBackend):
            with pytest.raises(ConfigurationError, match="client must be an instance of"):
                backend_class(client=Client())

    def test_upstreams_arguments_come_in_their_order(self):
        """Hosts, index, document type, pattern."""
        backend = ElasticsearchBackend("elasticsearch", "shop", "timing", "{index}-{date:%Y.%m}")
        assert repr(backend) == "ElasticsearchBackend(hosts=('http://elasticsearch:9200',), index='shop')"

    def test_client_options_are_handed_on(self):
        """Whatever the installed client takes."""
        with Cluster() as cluster, ElasticsearchBackend(cluster.host, headers={"x-team": "ours"}) as backend:
            backend.write("a", value=1)
        assert {request.headers.get("x-team") for request in cluster.requests} == {"ours"}

    @BOTH
    def test_a_client_that_refuses_its_options_says_which_there_were(self, backend_class):
        """By their names, since a value may be a secret; the metrics wait."""
        refused = {"headers": "hunter2", "client_cert": "hunter2"}
        with backend_class("127.0.0.1:1", **refused) as backend, pytest.raises(BackendDenied) as raised:
            backend.write("a", value=1)
        assert "the client refuses its options (" in str(raised.value)
        assert str(raised.value).endswith("handed on were client_cert, headers")
        assert "hunter2" not in str(raised.value)


class TestURL:
    """The backend's URL and its options."""

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("elasticsearch://", "(hosts=('http://localhost:9200',), index='metrics')"),
            ("elasticsearch://one", "(hosts=('http://one:9200',), index='metrics')"),
            ("elasticsearch://one:9201,two/shop", "(hosts=('http://one:9201', 'http://two:9200'), index='shop')"),
            ("elasticsearch://anna:s%40cret@one/shop?tls=true", "(hosts=('https://one:9200',), index='shop')"),
            ("opensearch://anna:s%40cret@[::1]:9201/shop?tls=yes", "(hosts=('https://[::1]:9201',), index='shop')"),
        ],
    )
    def test_it_says_where_who_and_which_index(self, url, shown):
        """And whether by TLS."""
        with settings(backends=[url]) as _:
            from time_execution import settings as current

            assert repr(current.backends[0].backend).endswith(f"Backend{shown}")

    def test_secrets_may_lie_in_files(self, tmp_path):
        """As for every backend; they are sent."""
        (tmp_path / "key").write_text("aWQ6a2V5\n")
        with Cluster() as cluster:
            url = f"elasticsearch://{cluster.host}/shop?api_key_file={tmp_path}/key&bulk_timeout=10ms&data_stream=true"
            with settings(backends=[url]):
                write_metric("a", value=1)
                assert flush(10) is True
        headers = {key.lower(): value for key, value in cluster.requests[-1].headers.items()}
        assert headers["authorization"] == "ApiKey aWQ6a2V5"
        assert cluster.bulks[0][0][0]["create"]["_index"] == "shop"

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("elasticsearch://one/a/b", "the path must be the name of an index"),
            ("elasticsearch://one:x", "port"),
            ("elasticsearch://one?bulk_sise=5", "unknown option 'bulk_sise', of the backend or its client"),
            ("elasticsearch://one?max_retries=abc", "max_retries must be a whole number of at least 0, got str"),
            ("opensearch://one?pool_maxsize=abc", "pool_maxsize must be a whole number of at least 1, got str"),
            ("elasticsearch://anna:hunter2@one?timeout=soon", "'timeout' must be"),
            ("elasticsearch://anna@one", "belong together"),
        ],
    )
    def test_what_is_wrong_is_refused_by_settings(self, url, words):
        """Without the password."""
        with pytest.raises(ConfigurationError) as raised, settings(backends=[url]):
            pass
        assert words in str(raised.value)
        assert "hunter2" not in str(raised.value)
