"""`BackendContract`: what every backend has to do, as tests to inherit."""

from __future__ import annotations

import math
import os
import threading
import time
import warnings
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

import pytest

from time_execution.backends.base import batch_sender
from time_execution.backends.threaded import ThreadedBackend
from time_execution.formats.timestamp import to_datetime
from time_execution.testing.hostile import HOSTILE_KEYS, HOSTILE_NAMES, hostile_values
from time_execution.types import NAME, TIMESTAMP, VALUE, Metric, Reject, Stored

_DEADLINE = 20.0
_VALUES = tuple(hostile_values())


class BackendContract:
    """The suite for a backend: subclass it, name it ``Test…``, give it a fixture ``backend`` and a `read_back`.

    The backend must be empty at the start of each test. What a product cannot do is said by the class attributes, with
    the reason beside it. Tests run in the calling thread, behind a `ThreadedBackend`, and in a forked process.

    Attributes:
        keeps_each: Each metric comes back as a record of its own; False where those of one name become one.
        keeps_fields: Fields other than the core ones come back by name.
        keeps_moments: The timestamp comes back; False where a store knows no moment but that of arrival.
        keeps_order: Metrics come back in the order they were written.
        survives_fork: What a forked child writes can be read back in the parent, as in a file or a server.
        secrets: Texts that were given to the constructor and that its repr must not show.

    Example:
        >>> class TestMyBackend(BackendContract):
        ...     @pytest.fixture
        ...     def backend(self, tmp_path):
        ...         with MyBackend(tmp_path / "store") as backend:
        ...             yield backend
        ...
        ...     def read_back(self, backend):
        ...         return [{"name": row.name, "value": row.value} for row in backend.rows()]
    """

    keeps_each: ClassVar[bool] = True
    keeps_fields: ClassVar[bool] = True
    keeps_moments: ClassVar[bool] = True
    keeps_order: ClassVar[bool] = True
    survives_fork: ClassVar[bool] = True
    secrets: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture
    def backend(self) -> Any:
        """Give the backend under test; a subclass must have its own."""
        raise TypeError(f"{type(self).__name__} must have a fixture named backend")

    def read_back(self, backend: Any) -> Iterable[dict[str, Any]]:  # noqa: ARG002 - for subclasses
        """Return what the store holds: dicts with ``name``, ``value``, ``timestamp`` and the other fields.

        Names are as `stored_name` has them. A timestamp may be an aware datetime, integer nanoseconds or ISO 8601 text.
        """
        raise TypeError(f"{type(self).__name__} must define read_back()")

    def stored_name(self, name: str) -> str:
        """Return what a name becomes in the store; by default itself."""
        return name

    def test_write_stores_one_metric(self, backend: Any) -> None:
        """A metric written by hand can be read back, with its fields."""
        backend.write("shop.orders", value=1.5, hostname="web-1", status="ok", count=3)
        (found,) = self.read_back(backend)
        assert (found[NAME], found[VALUE]) == (self.stored_name("shop.orders"), 1.5)
        if self.keeps_fields:
            assert (found["status"], found["count"]) == ("ok", 3)

    def test_all_ways_to_write_store_the_same(self, backend: Any) -> None:
        """One by one, as upstream's batch or as our own, a metric is stored the same."""
        names = ("a", "a", "a") if self.keeps_each else ("a", "b", "c")
        moment = datetime.now(timezone.utc) - timedelta(seconds=1)
        one, two, three = ({NAME: name, VALUE: 2.5, "hostname": "h", TIMESTAMP: moment} for name in names)
        backend.write(**one)
        backend.bulk_write([two])
        self.send(backend, [Metric(three, kind="value")])
        found = list(self.read_back(backend))
        self.expect(found, names)
        first, *others = map(self._comparable, found)
        assert others == [first, first]

    def test_a_batch_is_stored_in_order(self, backend: Any) -> None:
        """Every metric of a batch is stored once, and in order where the store has one."""
        names = [f"m{number}" for number in range(100)]
        self.send(backend, [Metric({NAME: name, VALUE: number}) for number, name in enumerate(names)])
        found = list(self.read_back(backend))
        self.expect(found, names)
        if self.keeps_order:
            assert [record[NAME] for record in found] == [self.stored_name(name) for name in names]

    def test_an_empty_batch_stores_nothing(self, backend: Any) -> None:
        """A batch without metrics is no error and no record."""
        backend.bulk_write([])
        self.send(backend, [])
        assert list(self.read_back(backend)) == []

    def test_what_is_handed_in_is_left_alone(self, backend: Any) -> None:
        """A metric may be going to other backends, too."""
        given = [{NAME: "a", VALUE: 1, "list": [1]}, Metric({NAME: "b", VALUE: 2}, kind="gauge", id="0f-1")]
        backend.bulk_write(given)
        assert given == [{NAME: "a", VALUE: 1, "list": [1]}, {NAME: "b", VALUE: 2}]

    def test_later_changes_do_not_reach_the_store(self, backend: Any) -> None:
        """What is stored is what the metric held when it was written."""
        items = ["before"]
        backend.write("a", value=1, items=items)
        items.append("after")
        assert "after" not in str(list(self.read_back(backend)))

    @pytest.mark.parametrize("name", HOSTILE_NAMES, ids=lambda name: ascii(name)[:40])
    def test_any_name_is_one_record(self, backend: Any, name: str) -> None:
        """A name comes back as the backend documents, and makes no second record."""
        self.send(backend, [Metric({NAME: name, VALUE: 1}), Metric({NAME: "next", VALUE: 2})])
        assert self.numbers(backend) == {self.stored_name(name): 1, self.stored_name("next"): 2}

    def test_hostile_names_stay_apart(self, backend: Any) -> None:
        """No two names become one."""
        self.send(backend, [Metric({NAME: name, VALUE: number}) for number, name in enumerate(HOSTILE_NAMES)])
        assert sorted(self.numbers(backend).values()) == list(range(len(HOSTILE_NAMES)))

    @pytest.mark.parametrize("key", HOSTILE_KEYS, ids=ascii)
    def test_any_key_is_taken(self, backend: Any, key: str) -> None:
        """A field may have any name; its metric and its neighbour are stored."""
        self.send(backend, [Metric({NAME: "a", VALUE: 1, key: "x"}), Metric({NAME: "b", VALUE: 2})])
        self.expect(self.read_back(backend), ["a", "b"])

    @pytest.mark.parametrize("kind", _VALUES)
    def test_a_hostile_value_harms_no_neighbour(self, backend: Any, kind: str) -> None:
        """A value that no store takes is kept in a safe form, or its metric rejected; the rest is stored untouched."""
        odd = Metric({NAME: "odd", VALUE: 2, "field": hostile_values()[kind]})
        results = self.send(backend, [Metric({NAME: "a", VALUE: 1}), odd, Metric({NAME: "b", VALUE: 3})])
        expected = {"a": 1, "odd": 2, "b": 3}
        if isinstance(results[1], Reject):
            del expected["odd"]
        assert self.numbers(backend) == {self.stored_name(name): number for name, number in expected.items()}

    @pytest.mark.parametrize("kind", _VALUES)
    def test_a_hostile_number_harms_no_neighbour(self, backend: Any, kind: str) -> None:
        """The same holds where the number should be."""
        odd = Metric({NAME: "odd", VALUE: hostile_values()[kind]})
        results = self.send(backend, [Metric({NAME: "a", VALUE: 1}), odd, Metric({NAME: "b", VALUE: 3})])
        found = self.numbers(backend)
        assert self.stored_name("odd") in found or isinstance(results[1], Reject)
        assert (found[self.stored_name("a")], found[self.stored_name("b")]) == (1, 3)

    @pytest.mark.parametrize("number", [0, 1, -1, 1.5, -1.5, 1e-9, 1e18, 2**53])
    def test_numbers_come_back_as_numbers(self, backend: Any, number: float) -> None:
        """Sign, size and fraction survive."""
        backend.write("a", value=number)
        (found,) = self.read_back(backend)
        assert type(found[VALUE]) in {int, float}
        assert math.isclose(found[VALUE], number, rel_tol=1e-12)

    def test_timestamps_of_both_shapes_are_kept(self, backend: Any) -> None:
        """Nanoseconds, as the queue carries them, and datetimes name the same moment, to the microsecond.

        Where moments are not kept, they do no harm.
        """
        moment = datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=timezone.utc)
        nanoseconds = (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1) * 1000
        names = ["a", "a"] if self.keeps_each else ["a", "b"]
        given = zip(names, (moment, nanoseconds), strict=True)
        self.send(backend, [Metric({NAME: name, VALUE: 1, TIMESTAMP: at}) for name, at in given])
        found = list(self.read_back(backend))
        self.expect(found, names)
        if self.keeps_moments:
            assert [_moment(record[TIMESTAMP]) for record in found] == [moment, moment]

    def test_a_missing_timestamp_is_now(self, backend: Any) -> None:
        """A metric written without a moment gets the present one, where moments are kept."""
        before = datetime.now(timezone.utc) - timedelta(milliseconds=5)
        backend.write("a", value=1)
        (found,) = self.read_back(backend)
        assert found[NAME] == self.stored_name("a")
        if self.keeps_moments:
            assert before <= _moment(found[TIMESTAMP]) <= datetime.now(timezone.utc) + timedelta(milliseconds=5)

    def test_closing_twice_is_no_error(self, backend: Any) -> None:
        """What was written is there after the first close, and the second does nothing."""
        backend.write("a", value=1)
        assert backend.flush(1.0) is True
        backend.close()
        backend.close()
        self.expect(self.read_back(backend), ["a"])

    def test_its_repr_shows_no_secret(self, backend: Any) -> None:
        """A repr names the class, on one line, and nothing that must not be logged."""
        shown = repr(backend)
        assert type(backend).__name__ in shown
        assert len(shown.splitlines()) == 1
        assert not [secret for secret in self.secrets if secret in shown]

    def test_several_threads_write_at_once(self, backend: Any) -> None:
        """Used directly, a backend is called by whichever thread made the metric."""
        _write_from_threads(backend, 50)
        self.expect(self.read_back(backend), _names(50))

    def test_it_works_behind_a_queue(self, backend: Any) -> None:
        """Behind a `ThreadedBackend`, every metric is delivered once, and the books balance."""
        queue = ThreadedBackend(backend, bulk_size=100, bulk_timeout=0.05)
        try:
            _write_from_threads(queue, 250)
            assert queue.flush(_DEADLINE) is True
            stats = queue.stats()
        finally:
            queue.close()
        assert (stats["offered"], stats["delivered"], stats["pending"]) == (1000, 1000, 0)
        self.expect(self.read_back(backend), _names(250))

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
    def test_a_forked_child_writes_too(self, backend: Any) -> None:
        """After a fork, parent and child go on, and nothing is stored twice."""
        backend.write("before", value=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # about forking with threads, which is the point
            child = os.fork()
        if child == 0:
            _write_and_leave(backend)
        status = _wait_for(child)
        backend.write("after", value=3)
        assert status == 0
        self.expect(self.read_back(backend), ["before", "after", *(["child"] if self.survives_fork else [])])

    def expect(self, found: Iterable[dict[str, Any]], names: Iterable[str]) -> None:
        """Fail unless there is a record for each of some names, in any order, and no other."""
        assert sorted(record[NAME] for record in found) == sorted(map(self.stored_name, names))

    def numbers(self, backend: Any) -> dict[str, Any]:
        """Read back the number of each name; fail when a name is there twice."""
        pairs = [(found[NAME], found.get(VALUE)) for found in self.read_back(backend)]
        numbers = dict(pairs)
        assert len(numbers) == len(pairs), pairs
        return numbers

    def send(self, backend: Any, metrics: list[Metric]) -> list[Any]:
        """Send a batch as the worker does, and return a result for each metric."""
        results = batch_sender(backend)(metrics)
        listed = [Stored()] * len(metrics) if results is None else list(results)
        assert len(listed) == len(metrics)
        return listed

    def _comparable(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return a record without what may differ between two of one metric."""
        moment = {TIMESTAMP: _moment(found[TIMESTAMP])} if self.keeps_moments else {}
        return {**found, NAME: "", TIMESTAMP: None, **moment}


def _moment(stored: Any) -> datetime:
    if isinstance(stored, int):
        return to_datetime(stored)
    return stored if isinstance(stored, datetime) else datetime.fromisoformat(stored.replace("Z", "+00:00"))


_LABELS = "abcd"


def _names(count: int) -> list[str]:
    return [f"{label}-{number}" for label in _LABELS for number in range(count)]


def _write_from_threads(backend: Any, count: int) -> None:
    """Write so many metrics from each of some threads, and pass on what goes wrong in them."""
    failures: list[BaseException] = []

    def run(label: str) -> None:
        try:
            for number in range(count):
                backend.write(f"{label}-{number}", value=number)
        except BaseException as exc:
            failures.append(exc)
            raise

    threads = [threading.Thread(target=run, args=(label,), daemon=True) for label in _LABELS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_DEADLINE)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    assert not failures


def _write_and_leave(backend: Any) -> None:
    """Write in a forked child and end it at once, whatever happens: the test goes on in the parent alone."""
    status = 1
    try:
        backend.after_fork()
        backend.write("child", value=2)
        backend.close()
        status = 0
    finally:
        os._exit(status)


def _wait_for(child: int) -> int:
    deadline = time.monotonic() + _DEADLINE
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")
