"""What the Elasticsearch and the OpenSearch backend share: all but their clients, which they import themselves."""

from time_execution.backends.search.backend import Layout, SearchBackend

__all__ = ["Layout", "SearchBackend"]
