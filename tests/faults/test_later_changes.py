"""What a caller changes after it was written does not show: case B8."""

from __future__ import annotations

from tests.kept import Kept
from time_execution import block, flush, settings, time_execution, write_metric
from time_execution.backends.threaded import ThreadedBackend


def test_queued_metric_is_what_it_was_when_written():
    """Lists, dicts and nested ones that the caller or a hook changes later are stored as they were (B8)."""
    store = Kept()
    shared = {"list": [1], "dict": {"a": 1}, "nested": [{"b": [2]}], "set": {1}, "bytes": bytearray(b"x")}
    settings.configure(backends=[ThreadedBackend(store, bulk_timeout=60)], hooks=[lambda **_: {"hooked": shared}])
    time_execution(name="work")(lambda: 7)()
    write_metric("written", **shared)
    with block("block", given=shared):
        pass
    shared["list"].append(9)  # type: ignore[attr-defined]
    shared["dict"]["a"] = 9  # type: ignore[index]
    shared["nested"][0]["b"].append(9)  # type: ignore[index]
    shared["set"].add(9)  # type: ignore[attr-defined]
    shared["bytes"][0] = 0  # type: ignore[index]
    assert flush(10)
    was = {"list": [1], "dict": {"a": 1}, "nested": [{"b": [2]}], "set": [1], "bytes": "x"}
    by_name = {metric["name"]: metric for metric in store.metrics}
    assert by_name["work"]["hooked"] == was
    assert by_name["block"]["given"] == was
    assert {key: by_name["written"][key] for key in was} == was


def test_fields_of_a_block_are_read_when_it_is_left():
    """What is added inside shows, what is changed afterwards does not (B8)."""
    kept = Kept()
    settings.configure(backends=[kept])
    with block("b", n=1) as entered:
        entered.fields["n"] = 2
    entered.fields["n"] = 3
    assert kept.metrics[0]["n"] == 2
