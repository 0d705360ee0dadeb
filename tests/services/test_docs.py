"""What the documents of the backends show is run against the real servers."""

from __future__ import annotations

import pytest

from tests.documents import RUN, blocks_of, is_run, names_of, run_document, servers_of

WITH_SERVERS = [path for path in RUN if any(map(servers_of, blocks_of(path)))]


@pytest.mark.parametrize("path", WITH_SERVERS, ids=names_of(WITH_SERVERS))
def test_blocks_that_need_a_server_do_what_the_document_says(path, tmp_path, servers):
    """Every block runs, in order, and prints what is shown."""
    assert run_document(path, tmp_path, servers.port) == sum(map(is_run, blocks_of(path)))
