"""`SearchBackend`: all that the Elasticsearch and the OpenSearch backend do alike, which is all but making a client."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.address import address_of
from time_execution.argument_check import check_use
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.search.answer import FILTER, results_of
from time_execution.backends.search.clash import Clashes
from time_execution.backends.search.document import BulkBody, ids_of
from time_execution.backends.search.failure import (
    NOWHERE,
    elsewhere,
    error_reason,
    error_type,
    failure_of,
    is_mismatch,
    status_of,
)
from time_execution.backends.search.index import DAILY, IndexNames
from time_execution.backends.search.server import ELASTICSEARCH, Server, identify
from time_execution.backends.search.template import Template
from time_execution.backends.search.wire import Wire, hushed
from time_execution.exceptions import (
    BackendDenied,
    BackendError,
    BackendThrottled,
    BackendUnavailable,
    ConfigurationError,
)
from time_execution.quietlog import QuietLog

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from time_execution.backends.search.hosts import Cluster
    from time_execution.types import Metric, Results

# Clients of a parent process, kept from being collected: closing one in the child could harm the parent.
_inherited: list[object] = []
_MAX_REASON = 300
_NO_TYPE = "action_request_validation_exception"
# What a server without the templates asked for answers; a user who may not put them gets 403.
_NO_TEMPLATES = (400, 404, 405)
# The server refuses a request about templates for good; 401 is about all requests, 408, 413 and 429 about the moment.
_TEMPLATE_REFUSALS = (*_NO_TEMPLATES, 403, 410)


@dataclass(frozen=True, slots=True)
class Layout:
    """The arguments of a backend that say where documents go, and how.

    Attributes:
        index: The index, or the data stream.
        index_pattern: How the names of indices are made; None for an index a day.
        doc_type: The document type, for servers that want one.
        pipeline: The ingest pipeline that all documents go through; None for none.
        template: Whether to put an index template on the server before the first metric.
        data_stream: Whether `index` is a data stream.
        value_field: The field that holds the number.
    """

    index: str
    index_pattern: str | None
    doc_type: str
    pipeline: str | None
    template: bool
    data_stream: bool
    value_field: str

    def names(self) -> IndexNames:
        """Return what names the indices.

        Raises:
            ConfigurationError: When this or any other argument is wrong.
        """
        for key in ("doc_type", "value_field", "pipeline"):
            value = getattr(self, key)
            if (not isinstance(value, str) or not value) and not (key == "pipeline" and value is None):
                raise ConfigurationError(f"{key} must be a text that is not empty, not {type(value).__name__}")
        if not self.data_stream:
            return IndexNames(self.index, DAILY if self.index_pattern is None else self.index_pattern)
        check_use("with data_stream: index names the stream", index_pattern=self.index_pattern)
        return IndexNames(self.index, "{index}")


class SearchBackend(BaseMetricsBackend):
    """Base of the backends for search engines; a subclass says how a client is made, and which one helps.

    Thread-safe and fork-safe. A write blocks until the server has confirmed it, at most `timeout` for each request.

    Args:
        connect: Makes the client; called lazily, again after `close` and in a forked child. It keeps the secrets,
            which therefore are no attribute.
        layout: Where documents go, and how.
        cluster: Where the client leads; None for a client that was handed in, which is not ours to close.
        client_options: Names of what is handed on to the client, for messages.
    """

    wants_nanoseconds: ClassVar[bool] = True
    repr_fields: ClassVar[tuple[str, ...]] = ("hosts", "index")
    product: ClassVar[str]

    def __init__(
        self,
        connect: Callable[[], Wire],
        layout: Layout,
        *,
        cluster: Cluster | None,
        client_options: Iterable[str] = (),
    ) -> None:
        names = layout.names()
        self.hosts = () if cluster is None else tuple(map(str, cluster.nodes))
        self.index = layout.index
        self._connect = connect
        self._client_options = sorted(client_options)
        self._is_ours = cluster is not None
        self._is_stream = layout.data_stream
        self._body = BulkBody(names, layout.doc_type, is_stream=layout.data_stream)
        self._template = (
            Template(
                names.wildcard,
                value_field=layout.value_field,
                doc_type=layout.doc_type,
                is_stream=layout.data_stream,
            )
            if layout.template
            else None
        )
        self._parameters = {"filter_path": FILTER} | ({} if layout.pipeline is None else {"pipeline": layout.pipeline})
        self._log = QuietLog()
        self._is_orphaned = False
        self._begin()

    def _begin(self) -> None:
        """Set what belongs to one process."""
        self._lock = threading.Lock()
        self._wire: Wire | None = None
        self._server: Server | None = None
        self._is_templated = False
        self._clashes = Clashes()
        self._process = os.getpid()  # last: another thread that sees it must not find the parent's client

    def write_many(self, metrics: Sequence[Metric]) -> Results:
        """Store a batch by one bulk request; see the base class.

        Raises:
            BackendError: Of the class that says what to do about it, see `time_execution.exceptions`.
        """
        if not metrics:
            return None
        ids = ids_of(metrics)
        with hushed():
            try:
                answer = self._send(metrics, ids)
            except BackendError:
                raise
            except Exception as exc:
                failure = self._failure(exc)
                if failure is None:
                    raise
                raise failure from exc
        return results_of(answer, ids, clashes=self._clashes, server=self._place)

    def close(self, timeout: float | None = None) -> None:  # noqa: ARG002 - there is nothing to wait for
        """Close the client, unless it was handed in; idempotent. The next write makes a new one."""
        self.after_fork()
        with self._lock:
            wire, self._wire = self._wire, None
            self._forget()
        if wire is not None and self._is_ours:
            with hushed():
                wire.close()

    def after_fork(self) -> None:
        """Forget the parent's client without closing it; done by the child's first batch, too."""
        if self._process != os.getpid():
            if self._wire is not None:
                _inherited.append(self._wire)
            self._is_orphaned = not self._is_ours
            self._log.after_fork()
            self._begin()

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:
        """Return hosts, login and index of ``elasticsearch://user:secret@one:9200,two/index``."""
        address = address_of(url)
        if len(address.path) > 1:
            raise ConfigurationError("the path must be the name of an index")
        hosts = {"hosts": [str(host) for host in address.hosts]} if address.hosts else {}
        return {**hosts, **address.login, **({"index": address.path[0]} if address.path else {})}

    def _mismatch(self, server: Server) -> str:  # noqa: ARG002 - for those that override it
        """Return what to install, in a few words, so that the client speaks to this server."""
        raise TypeError(f"{type(self).__qualname__} must override _mismatch()")

    @property
    def _place(self) -> str:
        """Name the server for messages."""
        more = f" and {len(self.hosts) - 1} more" if len(self.hosts) > 1 else ""
        return f"{self.product} at {self.hosts[0]}{more}" if self.hosts else self.product

    def _send(self, metrics: Sequence[Metric], ids: Sequence[str]) -> Mapping[str, Any]:
        wire = self._opened()
        server = self._prepared(wire)
        try:
            return wire.bulk(self._body.lines(metrics, ids, is_typed=server.wants_type), **self._parameters)
        except Exception as exc:
            if server.version or error_type(exc) != _NO_TYPE:
                raise
        # It would not say what it is; now it has shown that it is one of those that want a type.
        self._server = Server(ELASTICSEARCH, (6,))
        return wire.bulk(self._body.lines(metrics, ids, is_typed=True), **self._parameters)

    def _opened(self) -> Wire:
        """Return the client, made now if there is none."""
        self.after_fork()
        with self._lock:
            if self._wire is None:
                if self._is_orphaned:
                    msg = "the client that was handed in belongs to the parent process; hand in hosts instead"
                    raise BackendDenied(f"{self.product}: {msg}")
                try:
                    self._wire = self._connect()
                except Exception as exc:
                    given = f"; handed on were {', '.join(self._client_options)}" if self._client_options else ""
                    msg = f"the client refuses its options ({type(exc).__name__}){given}"
                    raise BackendDenied(f"{self.product}: {msg}") from exc
            return self._wire

    def _prepared(self, wire: Wire) -> Server:
        """Return what the server is, and see to the template; two threads may do so at once, which does no harm."""
        server = self._server
        if server is None:
            server = self._server = identify(wire)
        if self._template is not None and not self._is_templated:
            self._put_template(self._template, wire, server)
            self._is_templated = True
        return server

    def _put_template(self, template: Template, wire: Wire, server: Server) -> None:
        try:
            template.put(wire, server)
        except Exception as exc:
            status = status_of(exc)
            if is_mismatch(exc) or status not in _TEMPLATE_REFUSALS:
                raise
            answered = f"{self._place} answered {status} to the index template"
            if self._is_stream and status in _NO_TEMPLATES:
                doubt = f" {elsewhere(self.product)}" if status in NOWHERE else ""
                raise BackendDenied(f"{answered}: does this server know data streams?{doubt}") from exc
            advice = "allow manage_index_templates, or say template=False and put one of your own"
            if status in NOWHERE:
                advice = elsewhere(self.product)
            said = error_reason(exc)[:_MAX_REASON]  # about the template, which holds nothing of metrics
            quoted = f" ({said})" if said else ""
            self._log.tell("template", f"{answered}, so metrics are sent without it; {advice}{quoted}")

    def _failure(self, exc: Exception) -> BackendError | None:
        if is_mismatch(exc):
            return BackendDenied(self._mismatch(self._server or Server()))
        failure = failure_of(exc, product=self.product, server=self._place)
        is_away = isinstance(failure, BackendUnavailable) and not isinstance(failure, (BackendDenied, BackendThrottled))
        if is_away:
            self._forget()  # it may come back empty, or as another version
        return failure

    def _forget(self) -> None:
        self._server = None
        self._is_templated = False
