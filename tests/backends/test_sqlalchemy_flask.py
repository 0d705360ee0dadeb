"""Flask-SQLAlchemy's `db` in place of an engine: of any application, in a file or in memory, without a context."""

from __future__ import annotations

import gc
import threading

import pytest

pytest.importorskip("flask_sqlalchemy", reason="what connects it with databases")

import flask
import sqlalchemy
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.pool import StaticPool

from tests.error_logs import rows_of
from tests.forked import ends_well_in_a_child, needs_fork
from tests.log_records import record
from time_execution.backends.sqlalchemy import SQLAlchemyBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import BackendDenied, BackendUnavailable, ConfigurationError
from time_execution.types import STORED, Retry

MEMORY = "sqlite://"


@pytest.fixture
def db():
    return SQLAlchemy()


@pytest.fixture
def make(tmp_path):
    """Make applications, whose connections are closed in the end."""
    made = []

    def make(db, uri=None, name="shop"):
        app = flask.Flask(name, root_path=str(tmp_path))
        app.config["SQLALCHEMY_DATABASE_URI"] = uri or f"sqlite:///{tmp_path / name}.db"
        if db is not None:
            db.init_app(app)
        made.append((db, app))
        return app

    yield make
    for db, app in made:
        if db is not None:
            with app.app_context():
                db.session.remove()
                db.engine.dispose()


def texts_in(db, app):
    """Return what is logged, as the application itself reads it."""
    with app.app_context():
        found = db.session.execute(sqlalchemy.text("SELECT message FROM error_logs ORDER BY id")).scalars().all()
        db.session.rollback()
    return found


@pytest.mark.parametrize("uri", [None, MEMORY], ids=["file", "memory"])
def test_the_database_of_the_application_has_the_records(db, make, uri):
    """The backend is made where the application is set up, and no thread has a context."""
    app = make(db, uri)
    with ThreadedBackend(SQLAlchemyBackend(db), bulk_timeout=0.01) as queue:
        for number in range(100):
            queue.enqueue(record(number))
        assert queue.flush(20), queue.stats()
    assert texts_in(db, app) == [f"boom {number}" for number in range(100)]


def test_the_backend_may_be_made_before_the_application_is_known(db, make, tmp_path):
    """Records wait until then."""
    backend = SQLAlchemyBackend(db)
    with pytest.raises(BackendUnavailable, match="init_app"):
        list(backend.write_many([record(1)]))
    make(db)
    assert list(backend.write_many([record(1)])) == [STORED]
    assert len(rows_of(f"sqlite:///{tmp_path / 'shop.db'}")) == 1


def test_of_several_applications_it_is_the_one_at_hand(db, make, tmp_path):
    """That of the context, else the one that was initialised last; or the one that is named."""
    first, second, third = (make(db, name=name) for name in ("first", "second", "third"))
    with first.app_context():
        of_context = SQLAlchemyBackend(db)
    for backend, name in (
        (of_context, "first"),
        (SQLAlchemyBackend(db), "third"),
        (SQLAlchemyBackend(db, app=second), "second"),
    ):
        backend.write_many([record(1, message=name)])
        (row,) = rows_of(f"sqlite:///{tmp_path / name}.db")
        assert row["message"] == name
    assert third.name == "third"


def test_an_application_that_came_later_changes_nothing(db, make, tmp_path):
    """As in a test suite that makes one for each test."""
    make(db, name="first")
    backend = SQLAlchemyBackend(db)
    make(db, name="second")
    gc.collect()
    backend.write_many([record(1)])
    assert len(rows_of(f"sqlite:///{tmp_path / 'first.db'}")) == 1
    assert rows_of(f"sqlite:///{tmp_path / 'second.db'}") == []


def test_only_other_binds_are_no_database(db, make, tmp_path):
    """There has to be a default."""
    app = flask.Flask("binds")
    app.config["SQLALCHEMY_BINDS"] = {"other": f"sqlite:///{tmp_path / 'other.db'}"}
    db.init_app(app)
    with pytest.raises(BackendUnavailable, match="no database"):
        list(SQLAlchemyBackend(db).write_many([record(1)]))


def test_the_repr_is_the_same_before_and_after(db, make):
    """A spool knows by it which backend its records are for."""
    backend = SQLAlchemyBackend(db)
    before = repr(backend)
    make(db)
    backend.write_many([record(1)])
    assert repr(backend) == before == "SQLAlchemyBackend(database='Flask-SQLAlchemy', table='error_logs')"


def test_sessions_of_the_application_go_on(db, make):
    """An object that was added and not committed is still there after a record was stored, and can be rolled back."""
    app = make(db)
    backend = SQLAlchemyBackend(db, timeout=5)
    backend.write_many([record(0)])
    with app.app_context():
        db.session.execute(sqlalchemy.text("SELECT 1"))
        backend.write_many([record(1)])
        db.session.execute(sqlalchemy.text("INSERT INTO error_logs (id, timestamp) VALUES ('mine', '2025-05-10')"))
        db.session.rollback()
    assert texts_in(db, app) == ["boom 0", "boom 1"]


# ---- in memory: one connection for all threads ----------------------------------------------------------------------


def in_a_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def write(backend, *records):
    """Write in another thread, as the worker does, and return the results."""
    results = []
    in_a_thread(lambda: results.extend(backend.write_many(records)))
    return results


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_a_transaction_on_the_shared_connection_is_neither_ended_nor_rolled_back(db, make, ending):
    """A record waits for its end, and is then there in either case; the application's own rows are as it decided."""
    app = make(db, MEMORY)
    backend = SQLAlchemyBackend(db)
    with app.app_context():
        db.session.execute(sqlalchemy.text("CREATE TABLE orders (id INTEGER)"))
        db.session.commit()
        assert write(backend, record(0)) == [STORED]
        db.session.execute(sqlalchemy.text("INSERT INTO orders VALUES (1)"))
        (waiting,) = write(backend, record(1))
        assert isinstance(waiting, Retry)
        assert db.session.connection().connection.dbapi_connection.in_transaction
        getattr(db.session, ending)()
        assert write(backend, record(1)) == [STORED]
        count = db.session.execute(sqlalchemy.text("SELECT count(*) FROM orders")).scalar()
        assert count == (1 if ending == "commit" else 0)
        db.session.rollback()
    assert texts_in(db, app) == ["boom 0", "boom 1"]


def test_the_last_row_id_of_the_application_stays_its_own(db, make):
    """Which its object mapper asks the shared connection for."""
    app = make(db, MEMORY)
    backend = SQLAlchemyBackend(db)
    with app.app_context():
        connection = db.engine.raw_connection()
        try:
            connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
            connection.execute("INSERT INTO orders VALUES (4711)")
            connection.commit()
            assert write(backend, record(1)) == [STORED]
            assert connection.execute("SELECT last_insert_rowid()").fetchall() == [(4711,)]
        finally:
            connection.close()


def test_a_table_of_another_shape_is_left_alone_in_memory(db, make):
    """There it would take more than one statement."""
    app = make(db, MEMORY)
    with app.app_context():
        db.session.execute(sqlalchemy.text("CREATE TABLE error_logs (id INTEGER PRIMARY KEY, message TEXT)"))
        db.session.commit()
    with pytest.raises(BackendDenied, match="another shape"):
        list(SQLAlchemyBackend(db).write_many([record(1)]))


def test_an_engine_with_one_connection_is_used_when_the_application_has_it():
    """Made by another thread, it might be of no use to the application."""
    engine = sqlalchemy.create_engine(MEMORY, poolclass=StaticPool, connect_args={"check_same_thread": False})
    backend = SQLAlchemyBackend(engine)
    try:
        with pytest.raises(BackendUnavailable, match="no connection as yet"):
            list(backend.write_many([record(1)]))
        with engine.connect():
            pass
        assert write(backend, record(1)) == [STORED]
    finally:
        engine.dispose()


def test_a_connection_for_one_thread_is_left_alone():
    """The error says what to set."""
    engine = sqlalchemy.create_engine(MEMORY, poolclass=StaticPool)
    backend = SQLAlchemyBackend(engine)
    errors = []

    def try_it():
        try:
            list(backend.write_many([record(1)]))
        except BackendDenied as exc:
            errors.append(str(exc))

    try:
        with engine.connect():
            pass
        in_a_thread(try_it)
    finally:
        engine.dispose()
    assert "check_same_thread" in errors[0]


@needs_fork
def test_a_child_has_the_database_in_memory_too(db, make):
    """It is a copy, on which both go on."""
    app = make(db, MEMORY)
    backend = SQLAlchemyBackend(db)
    backend.write_many([record(1)])

    def work():
        assert list(backend.write_many([record(2)])) == [STORED]
        assert texts_in(db, app) == ["boom 1", "boom 2"]

    assert ends_well_in_a_child(work)
    assert texts_in(db, app) == ["boom 1"]


def test_what_could_never_work_is_told_when_the_backend_is_made(db):
    """If the application is known by then."""
    pytest.importorskip("psycopg", reason="a driver of PostgreSQL")
    app = flask.Flask("odd")
    app.config["SQLALCHEMY_DATABASE_URI"] = "postgresql+psycopg_async://host/shop"
    db.init_app(app)
    with pytest.raises(ConfigurationError, match="asynchronous"):
        SQLAlchemyBackend(db)
