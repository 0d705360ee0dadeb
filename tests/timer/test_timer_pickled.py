"""Classes that extend a timer or a catcher, by way of pickle."""

from __future__ import annotations

import pickle

import pytest

from time_execution.timer import ErrorCatcher, Timer
from time_execution.timer import error_catcher as catcher_module
from time_execution.timer import timer as timer_module

cloudpickle = pytest.importorskip("cloudpickle")


class TeamTimer(Timer):
    """A timer whose constructor takes something else than the arguments of `Timer`."""

    def __init__(self, folder, team):
        self.team = team
        super().__init__(log_to_console=False, log_dir=folder, name=team)


class TeamCatcher(ErrorCatcher):
    """The same of an `ErrorCatcher`."""

    def __init__(self, folder, team):
        super().__init__(log_to_console=False, error_log_file=folder / "error.log")
        self.team = team


def test_classes_that_extend_ours_pickle_as_themselves(written):
    """What comes back is of the same class, has what that added, and goes on in the same files."""
    for module in (pickle, cloudpickle):
        timer = module.loads(module.dumps(TeamTimer(written.folder, "orders")))
        catcher = module.loads(module.dumps(TeamCatcher(written.folder, "orders")))
        assert (type(timer), timer.team, type(catcher), catcher.team) == (TeamTimer, "orders", TeamCatcher, "orders")
        with pytest.raises(ZeroDivisionError):
            catcher(timer(lambda: 1 / 0))()
    assert [record["function"] for record in written.timings()] == ["orders"] * 2
    assert len(written.errors()) == 2


def test_what_is_pickled_names_all_attributes(written):
    """One that is forgotten would come back twice: as the constructor made it, and as it was."""
    assert set(vars(written.timer())) == timer_module._OWN
    assert set(vars(written.catcher())) == catcher_module._OWN
