"""What tests of access ask for: an application with a password, a clock of their own, and a browser."""

from __future__ import annotations

import pytest

from tests.web.dashboard.asking import PASSWORD, Browser
from time_execution.testing.clock import FakeClock


@pytest.fixture(scope="session")
def password():
    pytest.importorskip("jinja2")
    from time_execution.web.dashboard.password import Password, hash_password

    return Password(hash_password(PASSWORD))


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def guarded(tmp_path, password, clock):
    """Return an application with a password."""
    from time_execution.web.dashboard.sessions import Lockout, Sessions
    from time_execution.web.dashboard.standalone import Standalone

    return Standalone(
        str(tmp_path / "metrics.db"), password=password, sessions=Sessions(clock=clock), lockout=Lockout(clock=clock)
    )


@pytest.fixture
def browser(guarded):
    return Browser(guarded)
