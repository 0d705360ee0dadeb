"""Ids where context does not bring them: in the threads of a pool, and in handlers of others (complaint 23)."""

from __future__ import annotations

import io
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from time_execution.hooks.request_id import reset_request_id, set_request_id
from time_execution.hooks.trace import reset_traceparent, set_traceparent
from time_execution.logs import ContextFilter, in_context, logger


@pytest.fixture
def request_id():
    """Return the id of the request that the test is in."""
    request, trace = set_request_id("r-1"), set_traceparent("00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    yield "r-1"
    reset_traceparent(trace)
    reset_request_id(request)


def test_threads_of_a_pool_take_the_context_along(kept, request_id):
    """Lines of many calls at once, in threads that were there before, have the id; others have none."""
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(in_context(lambda number: logger.info("inside %d", number)), range(100)))
        executor.submit(logger.info, "outside").result()
    *inside, outside = kept.records()
    assert {record["request_id"] for record in inside} == {request_id}
    assert len(inside) == 100
    assert "request_id" not in outside


def test_what_is_set_there_is_not_seen_here(request_id):
    """Each call has a context of its own, and the function's name and result are its own."""

    def work(name):
        """Work."""
        set_request_id(name)
        return name

    inside = in_context(work)
    assert (inside("other"), inside.__name__, inside.__doc__) == ("other", "work", "Work.")
    assert in_context(lambda: logging.getLogger("x"))() is logging.getLogger("x")
    with pytest.raises(ZeroDivisionError):
        in_context(lambda: 1 / 0)()


def test_handlers_of_others_can_show_the_ids(kept, request_id):
    """With the filter, a format may name the ids; ours has them once, as before."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(ContextFilter())
    handler.setFormatter(logging.Formatter("%(request_id)s %(trace_id)s %(span_id)s %(message)s"))
    logger.handlers.insert(0, handler)
    try:
        logger.info("inside")
        logger.info("with its own", extra={"request_id": "mine"})
        in_new_thread = ThreadPoolExecutor(1)
        in_new_thread.submit(logger.info, "outside").result()
        in_new_thread.shutdown()
    finally:
        logger.removeHandler(handler)
    assert stream.getvalue().splitlines() == [
        f"r-1 {'a' * 32} {'b' * 16} inside",
        f"mine {'a' * 32} {'b' * 16} with its own",
        "- - - outside",
    ]
    inside, own, outside = kept.records()
    assert (inside["request_id"], inside["trace_id"]) == ("r-1", "a" * 32)
    assert not any(key.endswith("id_") for record in (inside, outside) for key in record)
    assert (own["request_id"], own["request_id_"]) == ("r-1", "mine")
    assert "request_id" not in outside
