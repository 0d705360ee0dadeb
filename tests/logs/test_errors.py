"""The ``error`` event: of which lines and exceptions, once for each in a scope, and what it says."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import threading
import weakref

import pytest

from time_execution import settings, stats
from time_execution.hooks.request_id import reset_request_id, set_request_id
from time_execution.logs import error_scope, get_logger, logger, record_error
from time_execution.logs.place import place_of


class Weak(Exception):
    """Can be referred to weakly, unlike the interpreter's own."""


def fail():
    raise Weak("password=hunter2")


def caught(call=fail):
    """Return an exception that was raised."""
    try:
        call()
    except Exception as exc:
        return exc


def test_event_has_the_fields_that_pages_show(kept, events):
    """An exception becomes one event, whose labels are its type and its place, without secrets."""
    request = set_request_id("r-1")
    try:
        assert record_error(caught(), route="/users/<id>", method="GET", user={"id": 7, "token": "hunter2"}) is True
    finally:
        reset_request_id(request)
    (event,) = events
    place = f"{__name__}:fail"
    assert (event["name"], event["type"], event["error_type"], event["place"]) == (
        "error", f"{__name__}.Weak", f"{__name__}.Weak", place,
    )  # fmt: skip
    assert (event["message"], event["level"]) == ("password=***", "ERROR")
    assert (event["route"], event["method"], event["request_id"]) == ("/users/<id>", "GET", "r-1")
    assert event["user"] == {"id": 7, "token": "***"}
    assert event["traceback"].startswith("Traceback (most recent call last):\n")
    assert "hunter2" not in repr(event)
    assert (event.kind, event.labels) == ("event", ("type", "place"))
    assert kept.records() == []


def test_lines_that_are_errors_become_events(kept, events):
    """A line from ERROR on is an event with what the line says, also without an exception; others are none."""
    logger.warning("no event")
    get_logger("billing").error("no stock", extra={"component": "stock", "token": "hunter2"})
    error = caught(lambda: 1 / 0)
    logger.critical("failed", exc_info=error, extra={"user_id": 7})
    line, exception = events
    assert (line["type"], line["place"], line["message"]) == (
        "ERROR", "test_errors:test_lines_that_are_errors_become_events", "no stock",
    )  # fmt: skip
    assert (line["logger"], line["component"], line["token"]) == ("shop.billing", "stock", "***")
    assert "traceback" not in line
    assert (exception["type"], exception["message"], exception["log_message"], exception["level"]) == (
        "ZeroDivisionError", "division by zero", "failed", "CRITICAL",
    )  # fmt: skip
    assert exception["user_id"] == 7
    assert not any(key.startswith("_") for event in events for key in event)
    assert len(kept.records()) == 3


def test_an_exception_is_told_once_in_a_scope(kept, events):
    """However many lines and handlers an exception passes within a scope, it is one event; another one is another."""
    error, other = caught(), caught()
    with error_scope():
        logger.error("first", exc_info=error)
        logger.critical("second", exc_info=error)
        assert record_error(error) is False
        assert record_error(other) is True
        logger.error("a line by itself")
    assert len(events) == 3
    with error_scope():
        assert record_error(error) is True
    logger.error("outside", exc_info=error)
    logger.error("outside", exc_info=error)
    assert len(events) == 6
    assert len(kept.records()) == 5


def test_scopes_are_those_of_a_context(events):
    """A task and a thread that take the context along share a scope; others do not, nor those that outlive it."""
    error = caught()

    async def later(event):
        await event.wait()
        return record_error(error)

    async def main():
        event = asyncio.Event()
        with error_scope():
            assert await asyncio.to_thread(record_error, error) is True
            assert await asyncio.create_task(asyncio.sleep(0, record_error(error))) is False
            outliving = asyncio.create_task(later(event))
        event.set()
        return await outliving

    assert asyncio.run(main()) is True
    found = []
    with error_scope():
        record_error(error)
        thread = threading.Thread(target=lambda: found.append(record_error(error)))
        thread.start()
        thread.join(20)
    assert found == [True]


def test_inner_scopes_give_way(events):
    """After an inner scope, the one around it holds again, with what it knew."""
    error = caught()
    with error_scope():
        record_error(error)
        with error_scope():
            assert record_error(error) is True
        assert record_error(error) is False


def test_nothing_refers_to_an_exception_after_its_scope(kept, events):
    """An exception that was logged and told is left as it was, and gone when nobody else keeps it."""
    error = caught()
    before = (error.args, dict(vars(error)), error.__context__, error.__cause__, error.__traceback__)
    with error_scope():
        logger.error("line", exc_info=error)
        record_error(error)
    assert (error.args, dict(vars(error)), error.__context__, error.__cause__, error.__traceback__) == before
    kept.records()
    settings.reset()
    reference = weakref.ref(error)
    del error, before
    gc.collect()
    assert reference() is None


def test_a_scope_remembers_few(events):
    """A scope that goes on for ever keeps the last exceptions only."""
    with error_scope():
        references, error = [], None
        for _ in range(100):
            error = caught()
            record_error(error)
            references.append(weakref.ref(error))
        error = None
        gc.collect()
        assert sum(reference() is not None for reference in references) == 16
    gc.collect()
    assert not any(reference() for reference in references)


def test_place_is_the_applications():
    """Of the frames of a traceback, the innermost counts that is the application's, if there is one."""

    class Encoder(json.JSONEncoder):
        pass

    assert str(place_of(caught(lambda: json.loads("{")))).startswith(f"{__name__}:")
    namespace = {"__name__": "shop.orders"}
    exec(compile("def pay():\n    import json\n    json.loads('{')\n", "/srv/shop/orders.py", "exec"), namespace)
    assert str(place_of(caught(namespace["pay"]))) == "shop.orders:pay"
    exec(compile("def f():\n    1 / 0\n", "/v/lib/python3/site-packages/lib.py", "exec"), namespace)
    assert str(place_of(caught(namespace["f"]))).startswith(f"{__name__}:")
    assert str(place_of(ValueError())) == "?:?"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="code has no qualified name before")
def test_place_names_the_class():
    """A method's place has its class."""

    class Cart:
        def add(self):
            raise ValueError

    assert str(place_of(caught(Cart().add))).endswith(":test_place_names_the_class.Cart.add")


def test_hostile_exceptions_and_fields_raise_nothing(events):
    """An exception whose own code fails, and fields that fail, are told as far as that goes."""

    class Hostile(Exception):
        def __str__(self):
            raise RuntimeError

        __repr__ = __eq__ = __str__
        __hash__ = None

    error = caught(lambda: (_ for _ in ()).throw(Hostile()))
    with error_scope():
        assert record_error(error, thing=Hostile(), type="mine", name="mine") is True
        assert record_error(error) is False
    (event,) = events
    assert (event["type"], event["type_"], event["name_"]) == (
        f"{Hostile.__module__}.{Hostile.__qualname__}",
        "mine",
        "mine",
    )
    assert event["message"] == "<its str() failed>"


def test_backends_that_fail_are_counted(kept):
    """A backend of the pipeline that raises costs no line and no exception of the caller's."""

    class Broken:
        def write(self, name, **data):
            raise OSError("away")

    settings.configure(backends=[Broken()])
    logger.error("line")
    assert record_error(caught()) is True
    assert kept.messages() == ["line"]
    assert list(stats()["errors"]["backend"]) == ["test_backends_that_fail_are_counted.<locals>.Broken: OSError"]


def test_nothing_is_made_where_nobody_listens(kept, monkeypatch):
    """Without a backend, or with measuring switched off, no event is made."""
    monkeypatch.setattr("time_execution.logs.errors._event", lambda *_: 1 / 0)
    logger.error("line", exc_info=caught())
    record_error(caught())
    assert stats()["errors"]["hook"] == {}
    assert logging.getLevelName(logging.ERROR) == kept.record()["level"]
