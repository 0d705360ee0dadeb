"""How the backend speaks to a client, whichever it is; and what is added to a client that is made here.

The clients of Elasticsearch 6 and 7 and that of OpenSearch have one shape, and are spoken to here; that of
Elasticsearch 8 and 9 has another, see `time_execution.backends.elasticsearch`. No client is imported here.
"""

from __future__ import annotations

import inspect
import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from time_execution.argument_check import check_counts, check_seconds, check_switches
from time_execution.complaint import suggestion
from time_execution.exceptions import ConfigurationError

if TYPE_CHECKING:
    from time_execution.backends.search.access import Access

_ANY_FAILURE = range(300, 600)
_JSON = {"content-type": "application/json"}
# Options of the clients that are plainly numbers or switches: clients take texts, too, and fail with the first request.
_COUNTS = {"connections_per_node", "maxsize", "pool_maxsize"}
_SECONDS = {
    "dead_node_backoff_factor",
    "dead_timeout",
    "max_dead_node_backoff",
    "min_delay_between_sniffing",
    "request_timeout",
    "retry_backoff_base",
    "retry_backoff_cap",
    "sniff_timeout",
    "sniffer_timeout",
}
_SWITCHES = {
    "http_compress",
    "retry_on_timeout",
    "sniff_before_requests",
    "sniff_on_connection_fail",
    "sniff_on_node_failure",
    "sniff_on_start",
}


class Wire(Protocol):
    """A client, as the backend wants it. What its methods raise is the client's own."""

    def bulk(self, lines: str, **parameters: str) -> Mapping[str, Any]:
        """Send a bulk request, its body finished, and return the answer."""
        ...

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send any other request and return the answer."""
        ...

    def page(self, path: str) -> Any:
        """Return a page that says what the server is, whatever the client thinks of such a server."""
        ...

    def close(self) -> None:
        """Close the client."""
        ...


class TransportWire:
    """A client whose connections can be asked directly: Elasticsearch 6 and 7, OpenSearch."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def bulk(self, lines: str, **parameters: str) -> Mapping[str, Any]:
        """See `Wire`."""
        answer: Mapping[str, Any] = self._client.bulk(body=lines, **parameters)
        return answer

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """See `Wire`."""
        return self._client.transport.perform_request(method, path, headers=dict(_JSON), body=body)

    def page(self, path: str) -> Any:
        """See `Wire`; the check of the product is the transport's, so the connection is asked."""
        _, _, text = self._client.transport.get_connection().perform_request("GET", path)
        try:
            return json.loads(text)
        except ValueError:
            return None

    def close(self) -> None:
        """See `Wire`."""
        self._client.transport.close()


def quiet_connection(base: Any) -> Any:
    """Return a connection class for `TransportWire` that keeps what its base throws away, and warns nobody.

    The exception for an answer gets its ``headers``, among which ``Retry-After`` may be. Warnings in answers, such as
    that security is off, are not passed on to whoever runs the program.
    """
    taken = len(inspect.signature(base._raise_error).parameters) - 1  # noqa: SLF001 - overriding is what it is for

    class Connection(base):  # type: ignore[misc]
        def _raise_warnings(self, warning_headers: Any) -> None:
            pass

        def perform_request(self, *args: Any, ignore: Sequence[int] = (), **kwargs: Any) -> Any:
            answer = super().perform_request(*args, ignore=_ANY_FAILURE, **kwargs)
            status, found, data = answer
            if status in _ANY_FAILURE and status not in ignore:
                try:
                    self._raise_error(*(status, data, found.get("content-type"))[:taken])
                except Exception as exc:
                    exc.headers = found  # type: ignore[attr-defined]
                    raise
            return answer

    return Connection


def adopted(client: Any, *, wanted: str) -> Any:
    """Return a client that was handed in.

    Raises:
        ConfigurationError: When it is none, or an asynchronous one.
    """
    if not callable(getattr(client, "bulk", None)) or inspect.iscoroutinefunction(client.bulk):
        raise ConfigurationError(f"client must be an instance of {wanted}, not of {type(client).__name__}")
    return client


_LOGGERS = (
    "elasticsearch",
    "elasticsearch.trace",
    "elastic_transport.node",
    "elastic_transport.node_pool",
    "elastic_transport.transport",
    "opensearch",
    "opensearchpy.trace",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.util.retry",
)
_busy = threading.local()


class _Hush(logging.Filter):
    """Drops what is logged while a thread is in `hushed`."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - which one does not matter
        return not getattr(_busy, "hushed", False)


_HUSH = _Hush()


@contextmanager
def hushed() -> Iterator[None]:
    """Let the clients log nothing of what this thread does: bodies hold metrics, and failures are told once.

    What an application's own use of the same clients logs is untouched.
    """
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_HUSH)  # adds it once
    before = getattr(_busy, "hushed", False)
    _busy.hushed = True
    try:
        yield
    finally:
        _busy.hushed = before


def transport_options(access: Access, connection_class: Any) -> dict[str, Any]:
    """Return what a client for `TransportWire` is made with: no retries of its own, which are delivery's."""
    nodes = [
        {
            "host": node.host.name,
            "port": node.host.port,
            "use_ssl": node.scheme == "https",
            "url_prefix": node.prefix,
        }
        for node in access.cluster.nodes
    ]
    login = {} if access.cluster.login is None else {"http_auth": access.cluster.login}
    key = {} if access.api_key is None else {"headers": {"authorization": f"ApiKey {access.api_key}"}}
    return {
        "hosts": nodes,
        "timeout": access.timeout,
        "max_retries": 0,
        "retry_on_timeout": False,
        "http_compress": access.compress,
        "connection_class": connection_class,
        **login,
        **key,
        **access.tls,
        **access.options,
    }


def check_options(options: Mapping[str, Any], *classes: type) -> None:
    """Refuse options that none of the classes which make up a client takes: some clients would ignore them.

    Raises:
        ConfigurationError: For the first; it names the option and, if there is one, its look-alike. Also for a value
            that is plainly of the wrong type.
    """
    bases = {base for cls in classes for base in cls.__mro__ if base is not object}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = [item for base in bases for item in inspect.signature(base.__init__).parameters.values()]  # type: ignore[misc]
    known = {parameter.name for parameter in parameters if parameter.kind in named} - {"self"}
    for option in options:
        if option not in known:
            raise ConfigurationError(
                f"unknown option {option!r}, of the backend or its client{suggestion(option, known)}"
            )
    check_counts(least=0, **_among(options, {"max_retries"}))
    check_counts(**_among(options, _COUNTS))
    check_seconds(or_zero=True, **_among(options, _SECONDS))
    check_switches(**_among(options, _SWITCHES))


def _among(options: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {option: value for option, value in options.items() if option in names and value is not None}
