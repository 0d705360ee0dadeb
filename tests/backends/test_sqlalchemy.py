"""Records as rows: what goes where, what a database refuses, and that nothing tells the password."""

from __future__ import annotations

import gc
import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("sqlalchemy", reason="what the backend speaks to databases with")

import sqlalchemy
from sqlalchemy.pool import AssertionPool, NullPool, StaticPool

from tests.error_logs import execute, rows_of
from tests.forked import ends_well_in_a_child, needs_fork
from tests.log_records import record
from tests.monitor.silent_server import SilentServer
from tests.shown_errors import everything_shown
from time_execution.backends.sqlalchemy import SQLAlchemyBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import (
    BackendDenied,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
    MissingExtraError,
)
from time_execution.types import STORED, Metric, Reject, Stored

MOMENT = datetime(2025, 5, 10, 6, 35, 12, 548000, tzinfo=timezone.utc)
COLUMNS = [
    *("id", "timestamp", "level", "logger", "message", "module", "function", "line", "process_id", "thread_id"),
    *("environment", "exception_type", "exception_message", "traceback", "request_id", "extra"),
]


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
def backend(url):
    with SQLAlchemyBackend(url) as backend:
        yield backend


def test_a_record_is_a_row_with_a_column_for_each_of_its_fields(url, backend):
    """What has no column is JSON in `extra`, and what begins with `_` is nowhere."""
    backend.write_many([record(7, timestamp=MOMENT)])
    (row,) = rows_of(url)
    assert list(row) == COLUMNS
    assert json.loads(row.pop("extra")) == {"user_id": "12345", "component": {"name": "database"}}
    assert row == {
        "id": "00000000000000aa-000000000007",
        "timestamp": "2025-05-10 06:35:12.548000",
        "level": "ERROR",
        "logger": "proletto",
        "message": "boom 7",
        "module": "database_service",
        "function": "connect",
        "line": 45,
        "process_id": 1234,
        "thread_id": 140_000_000_000_000,
        "environment": "production",
        "exception_type": "ConnectionError",
        "exception_message": "Connection refused",
        "traceback": "Traceback:\n  here",
        "request_id": "5f3c",
    }


def test_moments_are_stored_in_utc(url, backend):
    """Whatever zone they come in; a record without one gets the present."""
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    before = datetime.now(timezone.utc).replace(tzinfo=None)
    backend.write_many([record(1, timestamp=elsewhere), record(2, timestamp="yesterday")])
    first, second = rows_of(url)
    assert first["timestamp"] == "2025-05-10 06:35:12.548000"
    assert datetime.fromisoformat(second["timestamp"]) >= before
    assert json.loads(second["extra"])["timestamp"] == "yesterday"


def test_an_error_event_is_a_row_too(url, backend):
    """It has the exception flat."""
    event = {"name": "error", "type": "KeyError", "error_type": "KeyError", "place": "shop.cart", "message": "'sku'"}
    backend.write_many([Metric(event | {"traceback": "a\nb"}, kind="event", id="0f-1")])
    (row,) = rows_of(url)
    assert (row["exception_type"], row["message"], row["traceback"]) == ("KeyError", "'sku'", "a\nb")
    assert json.loads(row["extra"]) == {"name": "error", "type": "KeyError", "place": "shop.cart"}


def test_what_does_not_fit_is_cut_or_put_aside(url, backend):
    """Texts are cut to their column; a value of another kind goes to `extra`, and its column stays empty."""
    odd = record(1, request_id="r" * 500, logger="Ł" * 300, line="abc", process_id=2**70, level=["x"], module=None)
    backend.write_many([odd])
    (row,) = rows_of(url)
    assert row["request_id"] == "r" * 127 + "…"
    assert row["logger"] == "Ł" * 254 + "…"
    assert (row["line"], row["process_id"], row["level"], row["module"]) == (None, None, None, None)
    extra = json.loads(row["extra"])
    assert (extra["line"], extra["process_id"], extra["level"]) == ("abc", str(2**70), ["x"])


def test_characters_that_databases_refuse_are_escaped(url, backend):
    """NUL, which PostgreSQL does not take, and halves of characters, which no driver does."""
    backend.write_many([record(1, message="a\0b", logger="\ud800", user="c\0d\udfff")])
    (row,) = rows_of(url)
    assert (row["message"], row["logger"]) == (r"a\x00b", r"\ud800")
    assert "\0" not in row["extra"]


@pytest.mark.parametrize("attack", ["'); DROP TABLE error_logs; --", '"; --', "%s %(id)s :id ?", "\\'"])
def test_nothing_in_a_record_is_part_of_a_statement(url, backend, attack):
    """Values are parameters, and no field becomes a column."""
    backend.write_many([record(1, message=attack, **{attack: attack})])
    (row,) = rows_of(url)
    assert row["message"] == attack
    assert json.loads(row["extra"])[attack] == attack
    assert list(row) == COLUMNS


# ---- once and for all -----------------------------------------------------------------------------------------------


def test_a_record_that_is_sent_twice_is_stored_once(url, backend):
    """As after an answer that was lost; the duplicate is told."""
    batch = [record(number) for number in range(5)]
    assert list(backend.write_many(batch[:3])) == [STORED] * 3
    assert list(backend.write_many(batch)) == [Stored(duplicate=True)] * 3 + [STORED] * 2
    assert [row["message"] for row in rows_of(url)] == [f"boom {number}" for number in range(5)]


def test_ids_are_in_the_order_of_a_process(url):
    """So that a table ordered by them reads as it was written."""
    with SQLAlchemyBackend(url) as store, ThreadedBackend(store, bulk_size=50, bulk_timeout=0.01) as queue:
        for number in range(300):
            queue.enqueue(record(number))
        assert queue.flush(20)
    assert [row["message"] for row in rows_of(url)] == [f"boom {number}" for number in range(300)]


def test_a_record_that_the_database_refuses_fails_by_itself(url, backend):
    """A rule of the table turns down two of a hundred; the others are stored, in order."""
    backend.write_many([record(1000)])
    execute(
        url,
        "CREATE TRIGGER picky BEFORE INSERT ON error_logs WHEN NEW.message IN ('boom 13', 'boom 77') "
        "BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    )
    results = list(backend.write_many([record(number) for number in range(100)]))
    refused = [number for number, result in enumerate(results) if isinstance(result, Reject)]
    assert refused == [13, 77]
    assert results[13].reason == "refused"
    assert "not this one" not in results[13].detail
    assert len(rows_of(url)) == 99


def test_processes_that_begin_at_once_make_one_table_and_lose_nothing(url):
    """Eight of them, each with its own connections, on a file that locks; the table is there once, with its index."""
    code = (
        "import sys; from tests.log_records import record; from time_execution.types import Metric\n"
        "from time_execution.backends.sqlalchemy import SQLAlchemyBackend\n"
        "from time_execution.backends.threaded import ThreadedBackend\n"
        "with ThreadedBackend(SQLAlchemyBackend(sys.argv[1]), bulk_size=20, bulk_timeout=0.01) as queue:\n"
        "    sys.stdin.read()\n"
        "    for number in range(100): queue.enqueue(record(number, process_id=int(sys.argv[2])))\n"
        "    assert queue.flush(60), queue.stats()\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, url, str(label)], stdin=subprocess.PIPE) for label in range(8)
    ]
    for child in children:
        child.stdin.close()
    assert [child.wait(90) for child in children] == [0] * 8
    found = sorted((row["process_id"], row["message"]) for row in rows_of(url))
    assert found == sorted((label, f"boom {number}") for label in range(8) for number in range(100))
    indexes = sqlalchemy.inspect(sqlalchemy.create_engine(url, poolclass=NullPool)).get_indexes("error_logs")
    assert [index["name"] for index in indexes] == ["ix_error_logs_timestamp"]


def test_a_lock_of_somebody_else_delays_records_and_loses_none(url, tmp_path):
    """The error says what it is; the queue sends again."""
    with SQLAlchemyBackend(url, timeout=0.1) as store:
        store.write_many([record(0)])
        with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(BackendTimeout, match="locked"):
                list(store.write_many([record(1)]))
            with ThreadedBackend(store, bulk_timeout=0.01, retry=Backoff(base=0.01, cap=0.05)) as queue:
                queue.enqueue(record(2))
                assert not queue.flush(0.5)
                holder.execute("COMMIT")
                assert queue.flush(20)
    assert len(rows_of(url)) == 2


def test_a_table_that_goes_away_is_made_again(url, backend):
    """By the next attempt."""
    backend.write_many([record(1)])
    execute(url, "DROP TABLE error_logs")
    with pytest.raises(BackendUnavailable):
        list(backend.write_many([record(2)]))
    assert list(backend.write_many([record(2)])) == [STORED]
    assert [row["message"] for row in rows_of(url)] == ["boom 2"]


@pytest.mark.parametrize("content", [b"this is no database, but a text of some length", None], ids=["text", "folder"])
def test_a_file_that_is_no_database_is_left_alone(url, tmp_path, content):
    """The records wait, and nothing is moved or written."""
    path = tmp_path / "shop.db"
    path.mkdir() if content is None else path.write_bytes(content)
    with SQLAlchemyBackend(url) as store, pytest.raises(BackendDenied):
        list(store.write_many([record(1)]))
    assert path.is_dir() if content is None else path.read_bytes() == content


# ---- engines --------------------------------------------------------------------------------------------------------


def test_an_engine_stays_its_owners(url):
    """It is used, and not disposed of with the backend."""
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect(), SQLAlchemyBackend(engine) as store:
            store.write_many([record(1)])
        pool = engine.pool
        store.close()
        assert engine.pool is pool
        assert len(rows_of(url)) == 1
    finally:
        engine.dispose()


def test_a_transaction_of_the_application_is_not_touched(url):
    """Records are committed on a connection of their own, and what the application rolls back is gone."""
    engine = sqlalchemy.create_engine(url)
    execute(url, "CREATE TABLE orders (id INTEGER)")
    try:
        with SQLAlchemyBackend(engine, timeout=5) as store:
            store.write_many([record(1)])
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text("SELECT * FROM orders"))
                store.write_many([record(2)])
                connection.execute(sqlalchemy.text("INSERT INTO orders VALUES (1)"))
                connection.rollback()
        assert len(rows_of(url)) == 2
        assert rows_of(url, "orders") == []
    finally:
        engine.dispose()


def test_whatever_has_an_engine_will_do(url):
    """As the database objects of several frameworks do."""

    class Database:
        engine = sqlalchemy.create_engine(url, poolclass=NullPool)

    with SQLAlchemyBackend(Database()) as store:
        store.write_many([record(1)])
    assert len(rows_of(url)) == 1


@needs_fork
def test_a_child_does_not_use_its_parents_connections(url):
    """Neither those that the backend had, nor those that it left in the pool of the application."""
    engine = sqlalchemy.create_engine(url)
    pids = []
    sqlalchemy.event.listen(engine, "connect", lambda *_: pids.append(threading.get_native_id()))
    store = SQLAlchemyBackend(engine)
    store.write_many([record(1)])
    assert engine.pool.checkedin() == 1

    def work():
        assert engine.pool.checkedin() == 0  # before anything else of the child runs
        assert list(store.write_many([record(2)])) == [STORED]
        assert len(pids) == 2

    try:
        assert ends_well_in_a_child(work)
        assert engine.pool.checkedin() == 1
        store.write_many([record(3)])
        assert len(pids) == 1
    finally:
        engine.dispose()
    assert [row["message"] for row in rows_of(url)] == ["boom 1", "boom 2", "boom 3"]


def test_it_is_not_called_from_within_itself(url):
    """A listener of the engine that logs would wait for its own lock otherwise."""
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    store = SQLAlchemyBackend(engine)
    met = []

    @sqlalchemy.event.listens_for(engine, "before_cursor_execute")
    def log(*_):
        try:
            list(store.write_many([record(2)]))
        except BackendUnavailable as exc:
            met.append(str(exc))

    assert list(store.write_many([record(1)])) == [STORED]
    assert set(met) == {"called from within itself"}


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: 7, "must be a URL, an Engine"),
        (lambda: None, "must be a URL, an Engine"),
        (lambda: "shop.db", "no URL such as"),
        (lambda: "hunter2", "no URL such as"),
        (lambda: "foo://user:hunter2@host/shop", "does not know"),
        (lambda: "sqlite://", "name a file"),
        (lambda: "sqlite:///:memory:", "name a file"),
        (lambda: "sqlite:///file:shop?mode=memory&uri=true", "name a file"),
        (lambda: sqlalchemy.create_engine("sqlite://"), "name a file, or use StaticPool"),
        (lambda: sqlalchemy.create_engine("sqlite:///shop.db", poolclass=AssertionPool), "with a pool"),
    ],
)
def test_what_no_records_can_be_stored_by_is_refused(make, named):
    """When the backend is made, without showing a secret."""
    with pytest.raises(ConfigurationError, match=named) as caught:
        SQLAlchemyBackend(make())
    assert "hunter2" not in everything_shown(caught.value)


def test_an_asynchronous_driver_is_refused():
    """There is no loop in the worker's thread."""
    pytest.importorskip("psycopg", reason="a driver of PostgreSQL")
    with pytest.raises(ConfigurationError, match="asynchronous"):
        SQLAlchemyBackend("postgresql+psycopg_async://host/shop")


def test_a_missing_driver_is_named():
    """SQLAlchemy brings none but that of SQLite."""
    with pytest.raises(MissingExtraError, match=r"oracledb|cx_Oracle") as caught:
        SQLAlchemyBackend("oracle://user:hunter2@host/shop")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("table", ["", ".", "a.", ".b", "a.b.c", 7, None, "x" * 64, "a\0b", "a\nb"])
def test_what_is_no_name_of_a_table_is_refused(url, table):
    """The error names the argument."""
    with pytest.raises(ConfigurationError, match="table"):
        SQLAlchemyBackend(url, table)


@pytest.mark.parametrize("table", ["Error Logs", "select", "logs; DROP TABLE x", 'a"b', "Ошибки"])
def test_any_other_name_will_do(url, table):
    """It is quoted."""
    with SQLAlchemyBackend(url, table) as store:
        store.write_many([record(1)])
    assert sqlalchemy.inspect(sqlalchemy.create_engine(url, poolclass=NullPool)).get_table_names() == [table]


def test_app_goes_with_flask_only(url):
    """Nothing would read it."""
    with pytest.raises(ConfigurationError, match="app is of no use"):
        SQLAlchemyBackend(url, app=object())


def test_the_repr_shows_neither_user_nor_password_nor_options():
    """Whatever the URL holds."""
    pytest.importorskip("psycopg", reason="a driver of PostgreSQL")
    backend = SQLAlchemyBackend("postgresql+psycopg://anna:hunter2@db.example.org:5433/shop?sslpassword=hunter2")
    assert repr(backend) == "SQLAlchemyBackend(database='postgresql://db.example.org:5433/shop', table='error_logs')"
    assert "hunter2" not in repr(vars(backend))
    assert "hunter2" not in repr(vars(backend._source))


def test_static_pools_of_other_databases_are_refused():
    """A transaction of the application could not be told from ours."""
    pytest.importorskip("psycopg", reason="a driver of PostgreSQL")
    engine = sqlalchemy.create_engine("postgresql+psycopg://host/shop", poolclass=StaticPool)
    with pytest.raises(ConfigurationError, match="share one connection"):
        SQLAlchemyBackend(engine)


def test_connection_that_is_never_made_is_closed():
    """What psycopg has open when a server says nothing is closed there and then, not when garbage is collected."""
    pytest.importorskip("psycopg")
    gc.disable()
    try:
        with SilentServer() as server:
            backend = SQLAlchemyBackend(f"postgresql+psycopg://app@127.0.0.1:{server.port}/shop", timeout=1)
            with pytest.raises(BackendUnavailable):
                list(backend.write_many([record(1)]))
            assert server.left.wait(5)
    finally:
        gc.enable()
