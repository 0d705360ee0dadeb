"""The contract that every backend keeps, on a real Elasticsearch of the versions the installed client is made for."""

from __future__ import annotations

import pytest

from tests.services.elasticsearch_pairs import OWN
from tests.services.search_index import SearchIndex
from time_execution.backends.elasticsearch import ElasticsearchBackend
from time_execution.testing import BackendContract


class TestElasticsearchContract(BackendContract):
    """Documents in an index a day."""

    keeps_order = False  # an index has none
    secrets = ("hunter2",)

    @pytest.fixture(params=OWN)
    def backend(self, request, servers):
        login = {"username": "anna", "password": "hunter2"}  # the servers here ask for none, and ignore it
        with (
            SearchIndex(servers.port(request.param)) as self.index,
            ElasticsearchBackend(self.index.host, self.index.name, **login) as backend,
        ):
            yield backend

    def read_back(self, backend):
        return self.index.documents()
