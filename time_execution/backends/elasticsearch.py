"""`ElasticsearchBackend`, and what tells its clients apart: 6.8, 7.17, 8 and 9, whichever is installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from time_execution.argument_check import check_use
from time_execution.backends.search import Layout, SearchBackend
from time_execution.backends.search.access import Access, Encryption, Login, access_of
from time_execution.backends.search.failure import elsewhere
from time_execution.backends.search.hosts import Hosts  # noqa: TC001 - the configuration reads annotations
from time_execution.backends.search.server import ELASTICSEARCH, OPENSEARCH, Server
from time_execution.backends.search.wire import (
    TransportWire,
    Wire,
    adopted,
    check_options,
    quiet_connection,
    transport_options,
)
from time_execution.extra import extra

with extra("elasticsearch"):
    import elasticsearch

_CLIENT: Any = elasticsearch  # what it has differs by version, and type checkers know the installed one only
_VERSION: tuple[int, ...] = tuple(_CLIENT.__version__)
_NEW_SHAPE = 8
_DOC_TYPE = "metric"
# Which clients speak to a server, by its major version; tried, see docs/backends/elasticsearch.rst.
_CLIENTS = {5: ">=6.8,<7", 6: ">=7.17,<8", 7: ">=7.17,<9", 8: ">=8,<9", 9: ">=9,<10"}


class ElasticsearchBackend(SearchBackend):
    """Store metrics in Elasticsearch, by the official client: an index a day, or a data stream.

    A metric is a document with the metric's id, so one that is sent twice is stored once. Thread-safe and fork-safe. A
    write blocks until the server has confirmed it, so put it behind a `ThreadedBackend`, as the scheme does.

    Args:
        hosts: ``name``, ``name:9200``, ``https://name:9200/prefix``, a dict with host, port, scheme and url_prefix, or
            several: with commas between them, or a list. By default ``localhost``.
        index: The index's name, or the data stream's.
        doc_type: The document type, for servers before 7, which want one; by default ``metric``.
        index_pattern: Made of ``{index}``, ``{date:…}`` in numeric codes of `strftime` down to the hour, and text. The
            date is that of the metric, in UTC. By default ``{index}-{date:%Y.%m.%d}``.
        host: Another name for `hosts`.
        pipeline: The ingest pipeline that all documents go through.
        username: Of basic authentication.
        password: Of basic authentication.
        api_key: As the server shows it under ``encoded``, or ``id:key``, or both in a tuple.
        tls: Whether to speak TLS to hosts that name no scheme; by default when `ca_certs` is given.
        ca_certs: The file or folder with the certificates to trust, for an authority of your own.
        verify_certs: Whether to check certificates. Without, anybody in between may read and change what is sent.
        timeout: The longest wait for an answer, in seconds; by default 10.
        template: Whether to put an index template before the first metric; an own one of the same name is left alone.
        data_stream: Whether `index` is a data stream: documents get ``@timestamp``, and there is no `index_pattern`.
        client: A client of your own, which stays yours to close; then nothing about hosts, logins, TLS and the like. It
            is not used in forked children.
        compress: Whether to send bodies with gzip.
        value_field: The field that holds the number, if `settings.duration_field` renames it.
        client_options: Handed on to ``elasticsearch.Elasticsearch``.

    Raises:
        ConfigurationError: When an argument is wrong.

    Example:
        >>> ElasticsearchBackend("elastic:9200", index="shop", username="anna", password="secret")
        ElasticsearchBackend(hosts=('http://elastic:9200',), index='shop')
    """

    product: ClassVar[str] = ELASTICSEARCH

    def __init__(
        self,
        hosts: Hosts = None,
        index: str = "metrics",
        doc_type: str | None = None,
        index_pattern: str | None = None,
        *,
        host: Hosts = None,
        pipeline: str | None = None,
        username: str | None = None,
        password: str | None = None,
        api_key: str | tuple[str, str] | None = None,
        tls: bool | None = None,
        ca_certs: str | os.PathLike[str] | None = None,
        verify_certs: bool = True,
        timeout: float | None = None,
        template: bool = True,
        data_stream: bool = False,
        client: Any = None,
        compress: bool = False,
        value_field: str = "value",
        **client_options: Any,
    ) -> None:
        login = Login(username, password, api_key)
        encryption = Encryption(tls, ca_certs, verify_certs)
        rest: Any = {"timeout": timeout, "compress": compress, "options": client_options, "client": client}
        access = access_of(hosts, host, login, encryption, **rest)
        connect = _connector(access) if client is None else _handed_in(client)
        if data_stream:
            check_use("with data_stream: servers that know streams have no types", doc_type=doc_type)
        doc_type = _DOC_TYPE if doc_type is None else doc_type
        layout = Layout(index, index_pattern, doc_type, pipeline, template, data_stream, value_field)
        cluster = access.cluster if client is None else None
        super().__init__(connect, layout, cluster=cluster, client_options=client_options)

    def _mismatch(self, server: Server) -> str:
        mine = f"the client elasticsearch {'.'.join(map(str, _VERSION))}"
        if server.product == OPENSEARCH:
            return f"{mine} refuses {server}: pip install 'timeexecution[opensearch]', and use OpenSearchBackend"
        wanted = _CLIENTS.get(server.version[0]) if server.version else None
        if wanted is None:
            advice = "pip install the elasticsearch of the server's major version"
            doubt = "" if server.version else f"; or {elsewhere(self.product)}"
            return f"{mine} does not speak to {server}: {advice}{doubt}"
        return f"{mine} does not speak to {server}: pip install 'elasticsearch{wanted}'"


class _ClientWire:
    """A client of Elasticsearch 8 or 9."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def bulk(self, lines: str, **parameters: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._client.bulk(operations=[lines], **parameters).body
        return answer

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {"accept": "application/json", "content-type": "application/json"}
        return self._client.perform_request(method, path, headers=headers, body=body).body

    def page(self, path: str) -> Any:
        # Any other type would be made one of the client's own version, which a server of another would not answer.
        try:
            return self._client.perform_request("GET", path, headers={"accept": "*/*"}).body
        except _CLIENT.UnsupportedProductError as exc:
            return exc.body

    def close(self) -> None:
        self._client.close()


def _connector(access: Access) -> Callable[[], Wire]:
    """Return the function that makes the client; it keeps the secrets."""
    if _VERSION[0] >= _NEW_SHAPE:
        return _new_client(access)
    base = _CLIENT.Urllib3HttpConnection
    check_options(access.options, _CLIENT.Elasticsearch, _CLIENT.Transport, base)
    options = transport_options(access, quiet_connection(base))
    return lambda: TransportWire(_CLIENT.Elasticsearch(**options))


def _new_client(access: Access) -> Callable[[], Wire]:
    import elastic_transport  # noqa: PLC0415 - a part of the client from version 8 on

    class Transport(elastic_transport.Transport):
        """Does not pass warnings in answers on to whoever runs the program."""

        def perform_request(self, *args: Any, **kwargs: Any) -> Any:
            answer = super().perform_request(*args, **kwargs)
            answer.meta.headers.pop("warning", None)
            return answer

    check_options(access.options, _CLIENT.Elasticsearch)
    login = {} if access.cluster.login is None else {"basic_auth": access.cluster.login}
    key = {} if access.api_key is None else {"api_key": access.api_key}
    options = {
        "hosts": [str(node) for node in access.cluster.nodes],
        "request_timeout": access.timeout,
        "max_retries": 0,
        "retry_on_timeout": False,
        "http_compress": access.compress,
        "transport_class": Transport,
        **login,
        **key,
        **access.tls,
        **access.options,
    }
    return lambda: _ClientWire(_CLIENT.Elasticsearch(**options))


def _handed_in(client: Any) -> Callable[[], Wire]:
    """Return the function that gives a client which was handed in."""
    found = adopted(client, wanted="elasticsearch.Elasticsearch")
    wire: Wire = _ClientWire(found) if hasattr(found, "options") else TransportWire(found)
    return lambda: wire
