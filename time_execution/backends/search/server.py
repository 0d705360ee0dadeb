"""What a server is, as far as it says so, and what follows from that for requests and for messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from time_execution.backends.search.failure import status_of

if TYPE_CHECKING:
    from time_execution.backends.search.wire import Wire

ELASTICSEARCH = "Elasticsearch"
OPENSEARCH = "OpenSearch"

# The second for servers and users without the first, which needs a privilege, and a module that small builds lack.
_PAGES = ("/", "/_nodes/_local/http?filter_path=nodes.*.version")
# Answers of a server that does not tell us what it is, and may take metrics all the same.
_UNTOLD = (400, 403, 404, 405, 406, 410)
# OpenSearch began anew at 1; no Elasticsearch that anybody still runs is that old.
_FIRST_ELASTICSEARCH = 5


class Server(NamedTuple):
    """A server.

    Attributes:
        product: `ELASTICSEARCH` or `OPENSEARCH`; empty where it does not say.
        version: Major, minor and patch; empty where it does not say.
    """

    product: str = ""
    version: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Return both, for messages."""
        return f"{self.product} {'.'.join(map(str, self.version))}" if self.version else "this server"

    @property
    def wants_type(self) -> bool:
        """Whether each document must name its type."""
        return self.product == ELASTICSEARCH and bool(self.version) and self.version < (7,)

    @property
    def has_composable_templates(self) -> bool:
        """Whether it has ``_index_template``."""
        return self.product != ELASTICSEARCH or not self.version or self.version >= (7, 8)


def identify(wire: Wire) -> Server:
    """Ask a server what it is; it may not tell.

    Raises:
        Exception: What the client raises when the server is not there, or refuses the credentials.
    """
    for path in _PAGES:
        try:
            page = wire.page(path)
        except Exception as exc:
            if status_of(exc) in _UNTOLD:
                continue
            raise
        found = _read(page)
        if found is not None:
            return found
    return Server()


def _read(page: Any) -> Server | None:
    """Return what one of the pages says, if it is one."""
    if not isinstance(page, Mapping):
        return None
    nodes = page.get("nodes")
    if isinstance(nodes, Mapping):
        page = next((node for node in nodes.values() if isinstance(node, Mapping)), {})
    version = page.get("version")
    distribution = version.get("distribution") if isinstance(version, Mapping) else None
    number = version.get("number") if isinstance(version, Mapping) else version
    parts = _numbers(number) if isinstance(number, str) else ()
    if not parts:
        return None
    is_other = distribution == "opensearch" or parts[0] < _FIRST_ELASTICSEARCH
    return Server(OPENSEARCH if is_other else ELASTICSEARCH, parts)


def _numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of ``8.19.2`` or ``9.0.0-beta1``."""
    parts = text.partition("-")[0].split(".")
    return tuple(int(part) for part in parts if part.isascii() and part.isdigit())[:3]
