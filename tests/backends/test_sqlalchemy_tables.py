"""Tables that were there before: as much of a record is stored as has a column that takes it."""

from __future__ import annotations

import json
import os
import stat

import pytest

pytest.importorskip("sqlalchemy", reason="what the backend speaks to databases with")

import sqlalchemy
from sqlalchemy import JSON, BigInteger, Column, DateTime, Enum, Integer, MetaData, SmallInteger, String, Table, Text
from sqlalchemy.pool import NullPool

from tests.error_logs import execute, rows_of
from tests.log_records import record
from time_execution.backends.sqlalchemy import SQLAlchemyBackend
from time_execution.backends.sqlalchemy.row import row_of
from time_execution.backends.sqlalchemy.table import COLUMNS, layout_of, new_table
from time_execution.exceptions import BackendDenied
from time_execution.types import STORED


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'shop.db'}"


def rows_after(url, *records):
    with SQLAlchemyBackend(url) as backend:
        assert list(backend.write_many(records)) == [STORED] * len(records)
    return rows_of(url)


def layout(*columns, dialect="postgresql"):
    return layout_of(Table("error_logs", MetaData(), *columns), dialect=dialect)


def test_a_table_with_numbers_for_ids_gives_them_itself(url):
    """As that of an application's own model; what it has no column for is in `extra`."""
    execute(
        url,
        "CREATE TABLE error_logs (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp DATETIME NOT NULL, level VARCHAR(4),"
        " message TEXT NOT NULL, extra TEXT, seen BOOLEAN NOT NULL DEFAULT 0, comment TEXT)",
    )
    first, second = rows_after(url, record(1), record(2))
    assert (first["id"], second["id"], first["level"], first["message"]) == (1, 2, "ERR…", "boom 1")
    assert (first["seen"], first["comment"]) == (0, None)
    extra = json.loads(first["extra"])
    assert (extra["logger"], extra["line"], extra["exception_type"]) == ("proletto", 45, "ConnectionError")


def test_a_table_without_extra_drops_what_it_has_no_column_for(url):
    """Rather than the record."""
    execute(url, "CREATE TABLE error_logs (message VARCHAR(5))")
    (row,) = rows_after(url, record(1))
    assert row == {"message": "boom…"}


def test_a_column_that_nothing_fills_is_named(url):
    """Before any record is refused for it."""
    execute(url, "CREATE TABLE error_logs (message TEXT, tenant INTEGER NOT NULL)")
    with SQLAlchemyBackend(url) as backend, pytest.raises(BackendDenied, match="column tenant"):
        list(backend.write_many([record(1)]))


def test_a_table_of_something_else_is_left_alone(url):
    """It has no column for a message."""
    execute(url, "CREATE TABLE error_logs (id INTEGER PRIMARY KEY, amount INTEGER)")
    with SQLAlchemyBackend(url) as backend, pytest.raises(BackendDenied, match="no column message"):
        list(backend.write_many([record(1)]))


def test_a_column_of_json_gets_an_object(url):
    """And not a text that holds one."""
    execute(url, "CREATE TABLE error_logs (message TEXT, extra JSON)")
    (row,) = rows_after(url, record(1))
    assert json.loads(row["extra"])["user_id"] == "12345"


def test_a_table_that_another_process_makes_at_the_same_moment_is_used(url):
    """Between the look and the CREATE."""
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    made = []

    @sqlalchemy.event.listens_for(engine, "before_cursor_execute")
    def be_quicker(_connection, _cursor, statement, *_):
        if "CREATE TABLE" in statement and not made:
            made.append(execute(url, statement))

    with SQLAlchemyBackend(engine) as backend:
        assert list(backend.write_many([record(1)])) == [STORED]
    assert made
    assert len(rows_of(url)) == 1


def test_a_file_that_is_made_is_for_its_owner_alone(url, tmp_path):
    """S11: whatever the umask; one that is there keeps its mode."""
    before = os.umask(0)
    try:
        rows_after(url, record(1))
        (tmp_path / "open.db").touch(mode=0o644)
        rows_after(f"sqlite:///{tmp_path / 'open.db'}", record(1))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "shop.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "open.db").stat().st_mode) == 0o644


def test_a_schema_stands_before_the_dot(url):
    """Each of SQLite's databases is one."""
    with SQLAlchemyBackend(url, "main.faults") as backend:
        assert list(backend.write_many([record(1)])) == [STORED]
        assert list(backend.write_many([record(2)])) == [STORED]
    assert len(rows_of(url, "faults")) == 2


def test_the_table_that_is_made_takes_all_that_there_is():
    """Every column, in order, on any database."""
    for dialect in ("sqlite", "postgresql", "mysql"):
        assert tuple(layout_of(new_table("error_logs"), dialect=dialect).fits) == COLUMNS


@pytest.mark.parametrize(
    ("kind", "dialect", "bound"),
    [
        (SmallInteger(), "postgresql", 2**15),
        (Integer(), "postgresql", 2**31),
        (BigInteger(), "postgresql", 2**63),
        (Integer(), "sqlite", 2**63),
    ],
)
def test_numbers_are_stored_as_far_as_a_column_takes_them(kind, dialect, bound):
    """A larger one would fail its record; it goes to `extra`."""
    found = layout(Column("message", Text()), Column("line", kind), Column("extra", Text()), dialect=dialect)
    for number, expected in ((bound - 1, bound - 1), (-bound, -bound), (bound, None), (-bound - 1, None), (True, None)):
        row = row_of(record(1, line=number), found)
        assert row["line"] == expected
        assert ("line" in json.loads(row["extra"])) is (expected is None)


def test_columns_of_other_kinds_are_left_empty():
    """They would fail the record."""
    found = layout(
        Column("message", Text()),
        Column("level", Enum("LOW", "HIGH", name="levels")),
        Column("line", String()),
        Column("timestamp", Integer()),
        Column("module", Integer()),
        Column("extra", JSON()),
    )
    assert set(found.fits) == {"message", "extra"}
    assert not found.has_ids
    assert row_of(record(1), found)["extra"]["level"] == "ERROR"


@pytest.mark.parametrize("with_zone", [True, False])
def test_moments_have_the_zone_that_their_column_has(with_zone):
    """Drivers refuse the one in place of the other."""
    found = layout(Column("message", Text()), Column("timestamp", DateTime(timezone=with_zone)))
    assert (row_of(record(1), found)["timestamp"].tzinfo is not None) is with_zone


@pytest.mark.parametrize(("length", "expected"), [(None, "abcdef"), (6, "abcdef"), (5, "abcd…"), (1, "…"), (0, "")])
def test_texts_are_cut_to_their_column(length, expected):
    """The mark of the cut is within its length."""
    found = layout(Column("message", String(length)))
    assert row_of(record(1, message="abcdef"), found)["message"] == expected
