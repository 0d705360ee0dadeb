"""Making and closing what settings ask for: without the lock, under the kill switch, with nothing lost in silence."""

from __future__ import annotations

import contextvars
import gc
import sqlite3
import threading
import weakref
from typing import Any

import pytest

from tests.kept import Kept
from tests.owned_backends import Owned, make_owned, nothing_made, work  # noqa: F401 - see there
from time_execution import flush, settings, write_metric
from time_execution.exceptions import ConfigurationError
from time_execution.settings import _override, live
from time_execution.testing import capture_metrics


class Down:
    """A backend that stores nothing."""

    def write(self, name, **data):
        raise OSError("down")


def in_a_thread(function: Any) -> bool:
    """Run a function in a thread and return whether it came to its end."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(5)
    return not thread.is_alive()


@pytest.mark.parametrize("how", [settings.configure, settings], ids=["configure", "block"])
def test_settings_can_be_used_while_a_backend_is_made(how):
    """Making a backend may import a module that waits for a thread which itself enters a block or configures."""
    ended: list[bool] = []

    def others():
        with settings(origin="block"):
            settings.configure(origin="process")

    def make():
        ended.append(in_a_thread(others))
        return Kept()

    block = how(backends=[make])
    if block is not None:
        with block:
            pass
    assert ended == [True]
    assert settings.origin == "process"


def test_of_two_configured_at_once_one_stays_open():
    """What another thread made and published meanwhile is replaced, and so closed."""

    def make():
        assert in_a_thread(lambda: settings.configure(backends=[Owned], origin="meanwhile"))
        return Owned()

    settings.configure(backends=[make])
    meanwhile, last = Owned.made
    assert (settings.backends, settings.origin) == ((last,), "meanwhile")
    assert (meanwhile.closed, last.closed) == (1, 0)


# ---- the kill switch -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_configured", [True, False], ids=["configured", "not configured"])
@pytest.mark.parametrize("changes", [{}, {"enabled": True}], ids=["as it is", "enabled"])
def test_kill_switch_holds_in_blocks(monkeypatch, is_configured, changes):
    """Neither a block that enables measuring nor one with a backend of its own gets round it."""
    monkeypatch.setenv("TIME_EXECUTION_DISABLED", "1")
    outer, inner = Kept(), Kept()
    if is_configured:
        settings.configure(backends=[outer], enabled=True)
    with settings(backends=[inner], **changes):
        assert settings.enabled is False
        work()
        write_metric("written")
    with capture_metrics(**changes) as captured:
        work()
    assert (outer.names, inner.names, list(captured)) == ([], [], [])


def test_kill_switch_of_no_clear_meaning_is_refused_by_blocks_too(monkeypatch):
    """A value that is neither true nor false is an error rather than a guess."""
    monkeypatch.setenv("TIME_EXECUTION_DISABLED", "perhaps")
    with pytest.raises(ConfigurationError, match="TIME_EXECUTION_DISABLED: expected true or false"):
        settings(origin="x").__enter__()
    assert live.version == live.snapshot.version


# ---- what blocks leave -----------------------------------------------------------------------------------------------


def test_block_refuses_the_log_interval():
    """It could not hold for a block, and saying nothing would let somebody believe that it does."""
    with pytest.raises(ConfigurationError, match=r"settings\(\): log_interval: it holds for the whole process"):
        settings(log_interval=0.0)


def test_blocks_that_ended_are_not_kept_by_later_ones():
    """A block left in another context than it was entered in stays behind there, alone and not in a chain."""
    gone = []
    for number in range(3):
        block = settings(backends=[Kept()], origin=str(number))
        with block:
            gone.append(weakref.ref(settings.backends[0]))
        block.__enter__()
        contextvars.copy_context().run(block.__exit__, None, None, None)
        del block
    left = _override.get()
    assert left is not None
    assert left.ended
    assert left.outer is None
    gc.collect()
    assert [reference() is None for reference in gone] == [True, True, False]


# ---- closing ---------------------------------------------------------------------------------------------------------


def replaced_with_five_undelivered() -> None:
    """Configure a backend that stores nothing, write five metrics, and replace it."""
    settings.configure(backends=[{"class": Down, "shutdown_timeout": 0.01}])
    for _ in range(5):
        work()
    settings.configure(backends=[])


def test_what_a_replaced_backend_could_not_deliver_is_logged(caplog):
    """Each one that is replaced says it in a line of its own, for its books are gone with it."""
    replaced_with_five_undelivered()
    replaced_with_five_undelivered()
    lines = [record.getMessage() for record in caplog.records if "lost" in record.getMessage()]
    assert lines == ["metrics lost because Down did not take them before it was closed: 5"] * 2


def test_nothing_is_said_when_all_was_delivered(caplog):
    """A backend that took everything is closed without a word."""
    settings.configure(backends=[{"class": Kept, "threaded": True}])
    work()
    settings.configure(backends=[])
    assert caplog.records == []


@pytest.mark.parametrize("maker", [Owned, make_owned], ids=["class", "factory"])
def test_backend_is_not_made_for_a_queue_that_is_refused(maker):
    """A wrong option of delivery is found before there is a backend that would stay open."""
    with pytest.raises(ConfigurationError, match="bulk_size must be"):
        settings.configure(backends=[{"class": maker, "bulk_size": 0}])
    assert Owned.made == []


def test_factory_behind_a_queue_gets_its_options():
    """What the factory makes is the queue's to close."""

    def make(kind: str) -> Owned:
        assert kind == "special"
        return Owned()

    settings.configure(backends=[{"class": make, "kind": "special", "threaded": True}])
    work()
    settings.reset()
    assert [(backend.metrics, backend.closed) for backend in Owned.made] == [(["work"], 1)]


def test_mistake_is_what_is_raised_though_a_backend_cannot_be_closed():
    """What closing the backends made before it raises does not take the place of the message."""

    class Stubborn(Kept):
        def close(self):
            raise RuntimeError("cannot be closed")

    with pytest.raises(ConfigurationError, match="no backend has that name"):
        settings.configure(backends=[Stubborn, "nosuch://x"])


# ---- the field of the duration ---------------------------------------------------------------------------------------


def values_in(path: Any) -> list[Any]:
    """Return the numbers in a metrics database, once all are there."""
    assert flush(10.0)
    settings.reset()
    with sqlite3.connect(path) as connection:
        found = [value for (value,) in connection.execute("SELECT value FROM metrics")]
    connection.close()
    return found


@pytest.mark.parametrize("is_dict", [True, False], ids=["dict", "URL"])
@pytest.mark.parametrize("earlier", [True, False], ids=["earlier", "at once"])
def test_database_finds_the_duration_under_its_name(tmp_path, is_dict, earlier):
    """A database that is made from a URL or a dict takes the value from where the durations go."""
    path = tmp_path / "metrics.db"
    spec = {"class": "sqlite", "path": str(path)} if is_dict else f"sqlite:///{path}"
    if earlier:
        settings.configure(duration_field="took")
        settings.configure(backends=[spec])
    else:
        settings.configure(duration_field="took", backends=[spec])
    work()
    (value,) = values_in(path)
    assert type(value) is float


def test_value_field_that_is_given_is_kept(tmp_path):
    """Whoever names the field means it."""
    path = tmp_path / "metrics.db"
    settings.configure(duration_field="took", backends=[f"sqlite:///{path}?value_field=other"])
    work()
    assert values_in(path) == [None]


def test_number_written_by_hand_is_kept_beside_a_renamed_duration(tmp_path):
    """It stays under ``value``, whatever durations are called."""
    path = tmp_path / "metrics.db"
    settings.configure(duration_field="took", backends=[f"sqlite:///{path}"])
    write_metric("orders", value=3)
    assert values_in(path) == [3]
