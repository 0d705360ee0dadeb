"""`OpenSearchBackend`: as `time_execution.backends.elasticsearch`, by the client of OpenSearch."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

from time_execution.backends.search import Layout, SearchBackend
from time_execution.backends.search.access import Access, Encryption, Login, access_of
from time_execution.backends.search.hosts import Hosts  # noqa: TC001 - the configuration reads annotations
from time_execution.backends.search.server import OPENSEARCH, Server
from time_execution.backends.search.wire import (
    TransportWire,
    Wire,
    adopted,
    check_options,
    quiet_connection,
    transport_options,
)
from time_execution.extra import extra

with extra("opensearch"):
    import opensearchpy

# OpenSearch has no document types; an Elasticsearch that has them does not refuse this client, and takes this one.
_DOC_TYPE = "_doc"


class OpenSearchBackend(SearchBackend):
    """Store metrics in OpenSearch, by the official client: an index a day, or a data stream.

    A metric is a document with the metric's id, so one that is sent twice is stored once. Thread-safe and fork-safe. A
    write blocks until the server has confirmed it, so put it behind a `ThreadedBackend`, as the scheme does.

    Args:
        hosts: ``name``, ``name:9200``, ``https://name:9200/prefix``, a dict with host, port, scheme and url_prefix, or
            several: with commas between them, or a list. By default ``localhost``.
        index: The index's name, or the data stream's.
        index_pattern: Made of ``{index}``, ``{date:…}`` in numeric codes of `strftime` down to the hour, and text. The
            date is that of the metric, in UTC. By default ``{index}-{date:%Y.%m.%d}``.
        host: Another name for `hosts`.
        pipeline: The ingest pipeline that all documents go through.
        username: Of basic authentication.
        password: Of basic authentication.
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
        client_options: Handed on to ``opensearchpy.OpenSearch``; another `http_auth` for instance.

    Raises:
        ConfigurationError: When an argument is wrong.

    Example:
        >>> OpenSearchBackend("search:9200", index="shop", username="anna", password="secret")
        OpenSearchBackend(hosts=('http://search:9200',), index='shop')
    """

    product: ClassVar[str] = OPENSEARCH

    def __init__(
        self,
        hosts: Hosts = None,
        index: str = "metrics",
        *,
        index_pattern: str | None = None,
        host: Hosts = None,
        pipeline: str | None = None,
        username: str | None = None,
        password: str | None = None,
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
        login = Login(username, password)
        encryption = Encryption(tls, ca_certs, verify_certs)
        rest: Any = {"timeout": timeout, "compress": compress, "options": client_options, "client": client}
        access = access_of(hosts, host, login, encryption, **rest)
        connect = _connector(access) if client is None else _handed_in(client)
        layout = Layout(index, index_pattern, _DOC_TYPE, pipeline, template, data_stream, value_field)
        cluster = access.cluster if client is None else None
        super().__init__(connect, layout, cluster=cluster, client_options=client_options)

    def _mismatch(self, server: Server) -> str:
        return f"the client opensearch-py does not speak to {server}: pip install 'timeexecution[elasticsearch]'"


def _connector(access: Access) -> Callable[[], Wire]:
    """Return the function that makes the client; it keeps the secrets."""
    base = opensearchpy.Urllib3HttpConnection
    check_options(access.options, opensearchpy.OpenSearch, opensearchpy.Transport, base)
    options = transport_options(access, quiet_connection(base))
    return lambda: TransportWire(opensearchpy.OpenSearch(**options))


def _handed_in(client: Any) -> Callable[[], Wire]:
    """Return the function that gives a client which was handed in."""
    wire = TransportWire(adopted(client, wanted="opensearchpy.OpenSearch"))
    return lambda: wire
