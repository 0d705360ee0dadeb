"""What each process does for itself, whatever the framework."""

from __future__ import annotations

import os

from tests.forked import ends_well_in_a_child, needs_fork
from time_execution.web.monitoring import Monitoring
from time_execution.web.options import Options


def test_first_request_prepares_a_process():
    """Those that come later find it prepared."""
    monitoring, pids = Monitoring(Options(store=None, sampler=False)), []
    monitoring.at_first_request(lambda: pids.append(os.getpid()))
    monitoring.prepare()
    monitoring.prepare()
    assert pids == [os.getpid()]


@needs_fork
def test_forked_worker_prepares_itself():
    """Also where its parent has served requests already, as one that was warmed up before it forked."""
    monitoring, pids = Monitoring(Options(store=None, sampler=False)), []
    monitoring.at_first_request(lambda: pids.append(os.getpid()))
    monitoring.prepare()

    def work():
        monitoring.prepare()
        assert pids == [os.getppid(), os.getpid()]

    assert ends_well_in_a_child(work)
