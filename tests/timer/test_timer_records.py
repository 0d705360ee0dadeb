"""What `Timer` writes: records in a log and in a table, field by field, and the same as a metric."""

from __future__ import annotations

import json
import os
import re
import time
from datetime import datetime, timedelta
from pathlib import Path
from uuid import RFC_4122, UUID

import pytest

from tests.child import printed_by
from tests.kept import Kept
from tests.timer.written import FIELDS
from time_execution import flush, forking, settings, stats, time_execution
from time_execution.timer import Timer

FD = Path("/proc/self/fd")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def add(x, y=10):
    return x + y


def divide(a, b):
    return a / b


def test_line_has_these_fields_in_this_order(written):
    """A line of timing.log has ten fields, named and ordered as they are documented."""
    assert written.timer()(add)(5, 10) == 15
    assert flush(20)
    (line,) = (written.folder / "timing.log").read_text(encoding="utf-8").splitlines()
    assert list(json.loads(line)) == FIELDS


def test_table_has_the_same_columns(written):
    """The header of timing_results.csv names the fields of the log in their order."""
    written.timer()(add)(5)
    assert written.rows()[0] == FIELDS


def test_log_and_table_agree(written):
    """Each row of the table says of its call what the line of the log says."""
    timed = written.timer()(divide)
    timed(6, 2)
    with pytest.raises(ZeroDivisionError):
        timed(1, 0)
    header, *rows = written.rows()
    found = [dict(zip(header, row, strict=True)) for row in rows]
    as_text = [{key: str(value) for key, value in record.items()} for record in written.timings()]
    assert found == as_text
    assert len(found) == 2


def test_record_describes_the_call(written):
    """Function, arguments and outcome are those of the call, and numbers are numbers."""
    written.timer()(add)(5, y=7)
    (record,) = written.timings()
    assert record["function"] == f"{__name__}.add"
    assert record["arguments"] == "x=5, y=7"
    assert record["outcome"] == "ok"
    assert isinstance(record["wall_ms"], float)
    assert isinstance(record["cpu_ms"], float)
    assert isinstance(record["rss_bytes"], int)
    assert isinstance(record["memory_change_bytes"], int)


def test_moments_are_utc_and_a_wall_time_apart(written, far_from_utc):
    """The call started its wall time before it ended, and both are UTC wherever the machine is."""
    written.timer()(time.sleep)(0.01)
    (record,) = written.timings()
    assert _MOMENT.fullmatch(record["started"])
    assert _MOMENT.fullmatch(record["ended"])
    started, ended = (datetime.fromisoformat(record[key].replace("Z", "+00:00")) for key in ("started", "ended"))
    assert abs((ended - started) - timedelta(milliseconds=record["wall_ms"])) <= timedelta(microseconds=1)
    assert record["wall_ms"] >= 10
    assert abs(time.time() - ended.timestamp()) < 60


def test_cpu_time_is_that_of_the_process_during_the_call(written):
    """A call that computes has CPU time near its wall time, and one that sleeps has hardly any."""

    def compute():
        deadline = time.process_time() + 0.05
        while time.process_time() < deadline:
            pass

    timer = written.timer()
    timer(compute)()
    timer(time.sleep)(0.05)
    busy, asleep = written.timings()
    assert 50 <= busy["cpu_ms"] < 500
    assert asleep["cpu_ms"] < 45


def test_memory_that_a_call_keeps_shows_as_its_change(written):
    """What a call allocates and leaves behind is its memory change, and the process holds at least that."""
    kept = []
    written.timer()(lambda: kept.append(bytearray(os.urandom(1024) * 32 * 1024)))()
    (record,) = written.timings()
    assert record["memory_change_bytes"] > 24 * 2**20
    assert record["rss_bytes"] > record["memory_change_bytes"]


def test_ids_are_unique_random_uuids(written):
    """Each call has an id of its own, and every id is a UUID of version 4 in its usual form."""
    timed = written.timer(results_format=None)(add)
    for number in range(3000):
        timed(number)
    ids = [record["call_id"] for record in written.timings()]
    assert len(set(ids)) == 3000
    for text in ids:
        parsed = UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, RFC_4122)


def test_outcome_is_the_type_of_the_exception(written):
    """A built-in exception is told by its name, any other with its module, and it is the same object that passes."""

    class Refused(Exception):
        pass

    error = Refused("no")

    @written.timer()
    def refuse(exc):
        raise exc

    for raised in (error, KeyError("x"), KeyboardInterrupt()):
        with pytest.raises(type(raised)) as caught:
            refuse(raised)
        assert caught.value is raised
        assert raised.__context__ is None
    local = f"{__name__}.test_outcome_is_the_type_of_the_exception.<locals>.Refused"
    assert [record["outcome"] for record in written.timings()] == [local, "KeyError", "KeyboardInterrupt"]


def test_without_resources_their_fields_are_empty(written):
    """With track_resources off, the three fields stay, as null in the log and empty in the table."""
    written.timer(track_resources=False)(add)(1)
    (record,) = written.timings()
    assert list(record) == FIELDS
    resources = FIELDS[5:8]
    assert [record[key] for key in resources] == [None] * 3
    assert written.rows()[1][5:8] == [""] * 3


def test_nothing_is_made_by_importing_decorating_or_measuring_nothing(written, tmp_path):
    """The folder comes with the first record, and neither a file nor a thread before."""
    written.timer()(add)
    written.catcher()(add)(1)
    assert flush(20)
    assert list(tmp_path.iterdir()) == []
    assert written.timer()(add)(1) == 11
    assert flush(20)
    assert sorted(path.name for path in written.folder.iterdir()) == ["timing.log", "timing_results.csv"]


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_files_are_for_their_owner_only(written):
    """Logs may hold anything, so nobody else reads them."""
    written.timer()(add)(1)
    assert flush(20)
    assert written.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in written.folder.iterdir()} == {0o600}


# ---- the same in the pipeline --------------------------------------------------------------------------------------


def test_same_record_reaches_the_settings_backends_as_a_timing(written):
    """Every configured backend gets the metric of a timing, with the fields of the record beside the core ones."""
    store = Kept()
    settings.configure(backends=[store], origin="shop")
    written.timer()(divide)(6, 3)
    with pytest.raises(ZeroDivisionError):
        written.timer()(divide)(6, 0)
    good, bad = store.metrics
    first, second = written.timings()
    assert set(good) == {"name", "value", "hostname", "origin", "timestamp", "started", *FIELDS[5:], "call_id"}
    assert set(bad) - set(good) == {"error_type"}
    assert (bad["error_type"], bad["outcome"]) == ("ZeroDivisionError", "ZeroDivisionError")
    for metric, record in ((good, first), (bad, second)):
        assert metric["name"] == record["function"]
        assert metric["value"] == record["wall_ms"]
        assert {key: metric[key] for key in ("call_id", *FIELDS[5:])} == {
            key: record[key] for key in ("call_id", *FIELDS[5:])
        }
        assert metric["timestamp"].utcoffset() == timedelta(0)
        assert metric["timestamp"].isoformat(timespec="microseconds").replace("+00:00", "Z") == record["ended"]


def test_hooks_of_the_settings_see_and_change_what_is_recorded(written):
    """Hooks run as for any measured call: they see the timer's fields, may rename the series, and may add more."""
    seen: list = []
    store = Kept()

    def plain(metric, **_):
        seen.append({**metric})
        return {"name": "renamed", "tenant": 7}

    def around(func, func_args, func_kwargs):
        seen.append(func_args)
        _response, _exception, metric = yield
        seen.append(metric["outcome"])

    settings.configure(backends=[store], hooks=[plain, around])
    written.timer()(add)(1)
    assert seen[0] == (1,)
    assert seen[1]["arguments"] == "x=1"
    assert seen[2] == "ok"
    assert [(metric["name"], metric["tenant"]) for metric in store.metrics] == [("renamed", 7)]
    assert [record["function"] for record in written.timings()] == ["renamed"]


def test_failing_hook_costs_the_record_nothing(written):
    """What a hook raises is counted, and the record is whole."""
    settings.configure(hooks=[lambda **_: 1 / 0])
    assert written.timer()(add)(1) == 11
    (record,) = written.timings()
    assert None not in record.values()
    assert stats()["errors"]["hook"] != {}


def test_duration_field_of_the_settings_changes_no_record(written):
    """However the settings call the duration, the files call it wall_ms."""
    store = Kept()
    settings.configure(backends=[store], duration_field="took")
    written.timer()(add)(1)
    (record,) = written.timings()
    assert record["wall_ms"] == store.metrics[0]["took"]
    assert "value" not in store.metrics[0]


@pytest.mark.parametrize(
    "options", [{"enabled": False}, {"sample_rate": 0.0}, {"exclude": ["*.add"]}, {"include": ["other.*"]}]
)
def test_settings_that_measure_nothing_leave_no_record(written, options):
    """Switched off, sampled out or filtered out by name, a call is just the call."""
    with settings(**options):
        assert written.timer()(add)(1) == 11
    assert written.timings() == []


def test_share_that_is_sampled_is_recorded(written):
    """With a sample rate of one half, about half of the calls have a record."""
    timed = written.timer(results_format=None)(add)
    with settings(sample_rate=0.5):
        for number in range(1000):
            timed(number)
    assert 350 < len(written.timings()) < 650


def test_operations_cover_the_files(written):
    """flush waits for the files, and stats counts their records."""
    timed = written.timer()(add)
    for number in range(500):
        timed(number)
    assert flush(20)
    counted = {label: found["delivered"] for label, found in stats()["backends"].items()}
    assert counted == {"ThreadedBackend(RecordLog)": 500, "ThreadedBackend(RecordTable)": 500}


def test_program_that_just_ends_has_all_its_records(written):
    """Nothing need be called at the end of a program: what was measured is written."""
    code = (
        "from time_execution.timer import Timer, ErrorCatcher\n"
        f"@ErrorCatcher(log_to_console=False, error_log_file={str(written.folder / 'error.log')!r})\n"
        f"@Timer(log_to_console=False, log_dir={str(written.folder)!r})\n"
        "def work(n):\n    return 1 // n\n"
        "for n in range(500): work(n + 1)\n"
        "try: work(0)\nexcept ZeroDivisionError: print('raised')\n"
    )
    assert printed_by(code) == ["raised"]
    assert len(written.timings()) == 501
    assert len(written.rows()) == 502
    assert len(written.errors()) == 1


def test_core_decorator_around_it_measures_apart(written):
    """A function that both decorators measure has a record and a metric of its own from each."""
    store = Kept()
    settings.configure(backends=[store])
    assert time_execution(written.timer()(add))(1) == 11
    assert store.names == [f"{__name__}.add"] * 2
    assert len(written.timings()) == 1


@pytest.mark.skipif(not FD.is_dir(), reason="needs /proc")
def test_many_timers_cost_one_descriptor(written):
    """Timers that come and go, as in a function that makes one for each call, leave nothing open and nothing behind."""

    def once():
        with Timer(log_to_console=False, log_dir=written.folder, name="once"):
            pass

    once()
    assert flush(20)
    descriptors, functions = len(list(FD.iterdir())), len(forking._functions)
    for _ in range(100):
        once()
    assert len(written.timings()) == 101
    assert len(list(FD.iterdir())) <= descriptors
    assert len(forking._functions) == functions


def test_memory_that_cannot_be_read_is_none(written):
    """Where the kernel does not tell, a record says so, and not that there was none; before the call or after it."""
    for readings in ((0, 0), (0, 4096), (4096, 0), (4096, 12288)):
        timer = written.timer()
        timer.read_rss = iter(readings).__next__
        timer(len)("x")
    found = [(record["memory_change_bytes"], record["rss_bytes"]) for record in written.timings()]
    assert found == [(None, None), (None, 4096), (None, None), (8192, 12288)]


@pytest.mark.parametrize("odd", [None, 5, "x"])
def test_sanitizer_that_returns_what_claims_to_be_a_text_lets_nothing_through(written, odd):
    """A result counts as what it is, not as what it says that it is."""

    class Claim:
        @property
        def __class__(self):
            if odd is None:
                raise RuntimeError
            return type(odd)

    timed = written.timer(sanitize_func=lambda text: Claim())(lambda n: n)
    assert timed(5) == 5
    (record,) = written.timings()
    assert record["arguments"] == "<sanitizer failed>"
    assert None not in record.values()
