"""Sessions and lockouts: they end when they should, by a clock of the test, and never grow without bound."""

from __future__ import annotations

import threading

from time_execution.testing.clock import FakeClock
from time_execution.web.dashboard.sessions import Lockout, Sessions


def test_a_session_is_found_by_its_id_and_by_no_other():
    """Every id is new, and so is every token."""
    sessions = Sessions(clock=FakeClock())
    first, second = sessions.open(), sessions.open()
    assert first != second
    assert sessions.find(first).token != sessions.find(second).token
    assert sessions.find(first).token != first
    assert sessions.find("") is None
    assert sessions.find(first[:-1]) is None


def test_a_session_ends_when_nobody_used_it_for_an_hour():
    """Each request begins the hour anew."""
    clock = FakeClock()
    sessions = Sessions(clock=clock)
    key = sessions.open()
    for _ in range(3):
        clock.advance(3599)
        assert sessions.find(key)
    clock.advance(3601)
    assert sessions.find(key) is None
    assert len(sessions) == 0


def test_a_session_ends_after_half_a_day_however_busy():
    """A stolen id does not last for ever."""
    clock = FakeClock()
    sessions = Sessions(clock=clock)
    key = sessions.open()
    for _ in range(24):
        clock.advance(1800)
        assert sessions.find(key)
    clock.advance(1)
    assert sessions.find(key) is None


def test_a_closed_session_is_gone():
    """Closing one twice, or one that there never was, does nothing."""
    sessions = Sessions(clock=FakeClock())
    key = sessions.open()
    for each in (key, key, "never there"):
        sessions.close(each)
    assert sessions.find(key) is None


def test_of_too_many_sessions_the_one_idle_longest_ends():
    """Memory is bounded, and whoever is at work stays."""
    sessions = Sessions(most=3, clock=FakeClock())
    keys = [sessions.open() for _ in range(3)]
    sessions.find(keys[0])
    keys.append(sessions.open())
    assert [sessions.find(key) is not None for key in keys] == [True, False, True, True]
    assert len(sessions) == 3


def test_a_session_does_not_show_its_token():
    """Nor does anything of what is kept hold the id."""
    sessions = Sessions(clock=FakeClock())
    key = sessions.open()
    session = sessions.find(key)
    assert session.token not in repr(session)
    assert key not in repr(vars(sessions))


def test_ten_wrong_tries_lock_one_client_out_for_a_while():
    """The eleventh is not even looked at; another client goes on; after the period all begins anew."""
    clock = FakeClock()
    lockout = Lockout(clock=clock)
    assert [lockout.admit("a") for _ in range(10)] == [0.0] * 10
    clock.advance(100)
    assert lockout.admit("a") == 800.0
    assert lockout.admit("b") == 0.0
    clock.advance(799)
    assert lockout.admit("a") == 1.0
    clock.advance(1)
    assert lockout.admit("a") == 0.0


def test_waiting_is_not_prolonged_by_asking():
    """Whoever keeps knocking waits no longer than who does not."""
    clock = FakeClock()
    lockout = Lockout(tries=1, period=60, clock=clock)
    lockout.admit("a")
    for _ in range(5):
        clock.advance(10)
        assert lockout.admit("a") > 0
    clock.advance(10)
    assert lockout.admit("a") == 0.0


def test_a_right_password_forgives_the_wrong_ones():
    """Who remembers it at the ninth try has ten again."""
    lockout = Lockout(clock=FakeClock())
    for _ in range(9):
        lockout.admit("a")
    lockout.forgive("a")
    assert [lockout.admit("a") for _ in range(10)] == [0.0] * 10
    assert lockout.admit("a") > 0


def test_many_clients_together_are_locked_out_as_well():
    """A thousand addresses with one try each get no further than a hundred tries."""
    clock = FakeClock()
    lockout = Lockout(clock=clock)
    admitted = [number for number in range(1000) if lockout.admit(f"client {number}") == 0.0]
    assert len(admitted) == 100
    clock.advance(900)
    assert lockout.admit("anybody") == 0.0


def test_no_number_of_clients_fills_the_memory():
    """Those that tried longest ago are forgotten; the count of all together stays."""
    lockout = Lockout(tries_in_all=10**9, most=50, clock=FakeClock())
    for number in range(500):
        lockout.admit(f"client {number}")
    assert len(lockout._wrong) == 50
    assert lockout._all[0] == 500


def test_tries_at_the_same_moment_are_all_counted():
    """Forty threads that try at once get ten tries between them: a try counts before it is judged."""
    lockout = Lockout(clock=FakeClock())
    barrier, admitted = threading.Barrier(40), []

    def attempt():
        barrier.wait(10)
        admitted.append(lockout.admit("a") == 0.0)

    threads = [threading.Thread(target=attempt) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert admitted.count(True) == 10
