"""The contract of the test kit: what it lets pass, and what it finds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.faults.children import ROOT
from time_execution.testing import BackendContract

SUITE = """
import pytest
from tests import faulty_backends
from time_execution.testing import BackendContract

class Common(BackendContract):
    survives_fork = False
    secrets = ("hunter2",)

    @pytest.fixture
    def backend(self):
        return getattr(faulty_backends, type(self).__name__.removeprefix("Test"))()

    def read_back(self, backend):
        return backend.inner.metrics
"""
ADDING = """
class Adding(Common):
    keeps_each = keeps_fields = keeps_moments = keeps_order = False

    def stored_name(self, name):
        return name.encode("utf-8", "backslashreplace").decode().upper()
"""
UNFINISHED = """
class TestUnfinished(BackendContract):
    def test_it(self, backend):
        pass
"""


FAULTS = {
    "LosesLast": "test_a_batch_is_stored_in_order",
    "FailsWhole": "test_a_hostile_value_harms_no_neighbour",
    "Doubles": "test_write_stores_one_metric",
    "Reverses": "test_a_batch_is_stored_in_order",
    "KeepsReferences": "test_later_changes_do_not_reach_the_store",
    "Cuts": "test_any_name_is_one_record",
    "Changes": "test_what_is_handed_in_is_left_alone",
    "Tells": "test_its_repr_shows_no_secret",
    "ClosesOnce": "test_closing_twice_is_no_error",
    "Rounds": "test_timestamps_of_both_shapes_are_kept",
    "LosesFields": "test_write_stores_one_metric",
    "ForgetsNeighbours": "test_a_hostile_value_harms_no_neighbour",
    "DoublesBatches": "test_any_name_is_one_record",
    "TellsLong": "test_its_repr_shows_no_secret",
    "Predates": "test_a_missing_timestamp_is_now",
    "NotThreadSafe": "test_several_threads_write_at_once",
    "KeepsOnlyTheLast": "test_all_ways_to_write_store_the_same",
    "LosesMoments": "test_a_missing_timestamp_is_now",
    "AddsUpByHandOnly": "test_a_batch_is_stored_in_order",
    "AddsUpNoMoments": "test_timestamps_of_both_shapes_are_kept",
}


def run_contract(folder: Path, names: Iterable[str], selection: str) -> str:
    """Run the contract for backends in a process of its own, away from this project's settings; return what it says."""
    file = folder / "test_suite.py"
    classes = [f"\nclass Test{name}({'Adding' if name.startswith('Adds') else 'Common'}): pass\n" for name in names]
    file.write_text(f"{SUITE}{ADDING}{''.join(classes)}{UNFINISHED}")
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=line", "-p", "no:cacheprovider"]
    command += ["--rootdir", str(folder), str(file), "-k", selection]
    # Plug-ins that happen to be installed are no part of the contract, and take half of the time.
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110, env=environment)
    return done.stdout


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """What the contract says of each faulty backend by the test that is there for its fault, and of an unfinished."""
    selection = " or ".join([f"(Test{name} and {test})" for name, test in FAULTS.items()] + ["TestUnfinished"])
    return run_contract(tmp_path_factory.mktemp("suite"), FAULTS, selection)


@pytest.mark.parametrize("name", ["Sound", "AddsUp"])
def test_a_sound_backend_passes_the_contract(tmp_path, name):
    """The whole suite is green for a backend that does what it should, and for a store that adds up."""
    verdicts = run_contract(tmp_path, [name], f"Test{name}")
    assert not re.search("^(FAILED|ERROR) ", verdicts, re.MULTILINE), verdicts[-3000:]
    assert len(re.findall(f"^PASSED .*::Test{name}::", verdicts, re.MULTILINE)) > 100


@pytest.mark.parametrize("name", list(FAULTS))
def test_the_contract_finds_what_is_wrong(verdicts, name):
    """Each kind of fault is found by the test that is there for it."""
    assert re.search(f"^FAILED .*::Test{name}::{FAULTS[name]}", verdicts, re.MULTILINE), verdicts[-3000:]


def test_a_subclass_without_a_backend_is_told(verdicts):
    """The error of an unfinished subclass names what is missing."""
    assert "TestUnfinished must have a fixture named backend" in verdicts
    assert BackendContract.secrets == ()
