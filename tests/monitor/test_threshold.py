"""When a threshold fires, escalates and recovers: by example, by a simple model, and what it refuses."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from time_execution.exceptions import ConfigurationError
from time_execution.monitor.threshold import MARGIN, Threshold

pytestmark = pytest.mark.nooptionals


def turns(threshold, readings):
    """Return what a threshold says of readings, given as ``(time, value)``: time, level and state of each turn."""
    said = []
    for now, value in readings:
        turn = threshold.update(value, now)
        if turn is not None:
            said.append((now, turn.level, turn.state))
    return said


def every(step, *values):
    """Return readings at regular times from 0 on."""
    return [(number * step, value) for number, value in enumerate(values)]


def test_fires_once_when_exceeded_for_the_whole_duration():
    """Five minutes above the threshold, and not a second less, make one alert."""
    threshold = Threshold("cpu_percent", warning_threshold=80, duration=300)
    assert turns(threshold, every(60, *[90] * 20)) == [(300, "warning", "firing")]


def test_one_reading_at_the_threshold_begins_the_duration_anew():
    """A reading that is not above the threshold, be it right at it, breaks the time of exceeding off."""
    threshold = Threshold("cpu_percent", warning_threshold=80, duration=120)
    assert turns(threshold, every(60, 90, 90, 80, 90, 90, 90)) == [(300, "warning", "firing")]


def test_fires_at_once_without_a_duration():
    """With no duration the first reading above the threshold fires."""
    assert turns(Threshold("x", critical_threshold=1), [(5, 2)]) == [(5, "critical", "firing")]


def test_escalates_and_tells_one_recovery():
    """A warning becomes critical by the critical level's own duration; one recovery ends both, with the worst level."""
    threshold = Threshold("x", warning_threshold=80, critical_threshold=95, duration=60)
    readings = every(60, 90, 90, 97, 97, 90, 97, 97, 70, 97)
    assert turns(threshold, readings) == [
        (60, "warning", "firing"),
        (180, "critical", "firing"),
        (420, "critical", "resolved"),
    ]


def test_fires_only_the_worst_of_two_levels_that_are_due():
    """What rises beyond both levels at once is critical, and no warning besides."""
    threshold = Threshold("x", warning_threshold=80, critical_threshold=95, duration=60)
    assert turns(threshold, every(60, 99, 99, 99)) == [(60, "critical", "firing")]


def test_flapping_around_the_threshold_alerts_once():
    """Between the threshold and the recovery level nothing is over, so nothing begins again."""
    threshold = Threshold("x", warning_threshold=80)
    assert turns(threshold, every(1, *[81, 79, 80.5, 76.1] * 50)) == [(0, "warning", "firing")]


@pytest.mark.parametrize(
    ("options", "over", "not_over"),
    [
        ({"warning_threshold": 80}, 76, 76.01),
        ({"warning_threshold": 80, "critical_threshold": 95}, 76, 76.01),
        ({"critical_threshold": 100}, 95, 95.01),
        ({"warning_threshold": -10}, -10.5, -10.4),
        ({"warning_threshold": 0}, 0, 0.01),
        ({"warning_threshold": 80, "recovery": 50}, 50, 50.01),
        ({"warning_threshold": 80, "recovery": 80}, 80, 80.01),
        ({"warning_threshold": 80, "below": True}, 84, 83.99),
        ({"warning_threshold": 80, "recovery": 99, "below": True}, 99, 98.99),
    ],
)
def test_recovery_is_five_per_cent_on_the_good_side_or_as_given(options, over, not_over):
    """An alert is over at the recovery level itself, and not a little before it."""
    threshold = Threshold("x", **options)
    bad = -1000 if options.get("below") else 1000
    assert [turn[2] for turn in turns(threshold, every(1, bad, not_over, over))] == ["firing", "resolved"]
    assert turns(threshold, every(1, bad, not_over))[0][2] == "firing"
    assert threshold.level is not None


def test_below_fires_for_what_must_not_fall():
    """With ``below`` a figure alerts as it falls, first as a warning, further down as critical."""
    threshold = Threshold("rate", warning_threshold=10, critical_threshold=1, below=True)
    assert turns(threshold, every(1, 20, 9, 10.4, 0.5, 10.5)) == [
        (1, "warning", "firing"),
        (3, "critical", "firing"),
        (4, "critical", "resolved"),
    ]


def test_missing_readings_neither_fire_nor_recover():
    """None and NaN change nothing, before an alert and after it."""
    threshold = Threshold("x", warning_threshold=80, duration=60)
    assert turns(threshold, every(30, 90, None, math.nan, None, 90, None)) == [(120, "warning", "firing")]
    assert threshold.level == "warning"


def test_missing_readings_break_a_duration_off_after_a_while():
    """A gap longer than the patience begins the duration anew; one of just that length does not."""
    short, long = (Threshold("x", warning_threshold=80, duration=60, patience=100) for _ in range(2))
    assert turns(short, [(0, 90), (100, 90)]) == [(100, "warning", "firing")]
    assert turns(long, [(0, 90), (100.5, 90), (160.5, 90)]) == [(160.5, "warning", "firing")]


def test_a_turn_says_what_was_observed_for_how_long():
    """The reading, the level's threshold and the seconds are told with it."""
    threshold = Threshold("x", warning_threshold=80, critical_threshold=95, duration=10)
    for now, value in ((0, 90), (5, 96)):
        assert threshold.update(value, now) is None
    assert threshold.update(97, 15) == ("critical", "firing", 97, 95.0, 10)
    assert threshold.update(10, 35) == ("critical", "resolved", 10, 95.0, 30)


def test_a_replacement_takes_over_what_has_fired():
    """What an earlier threshold has fired recovers by the later one's level, and is told once."""
    before = Threshold("x", critical_threshold=95)
    assert turns(before, [(0, 99)]) == [(0, "critical", "firing")]
    after = Threshold("x", warning_threshold=50)
    after.adopt(before)
    assert turns(after, [(10, 99), (20, 60), (30, 40)]) == [(30, "critical", "resolved")]
    assert turns(after, [(40, 60)]) == [(40, "warning", "firing")]


def test_reset_forgets_all():
    """After a reset no alert fires, and no time of exceeding is under way."""
    threshold = Threshold("x", warning_threshold=1, duration=10)
    assert turns(threshold, [(0, 2), (10, 2)]) == [(10, "warning", "firing")]
    threshold.reset()
    assert threshold.level is None
    assert turns(threshold, [(11, 2), (20, 2), (21, 2)]) == [(21, "warning", "firing")]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"metric": ""}, "metric"),
        ({"metric": 5}, "metric"),
        ({}, "warning_threshold or critical_threshold"),
        ({"warning_threshold": "80"}, "warning_threshold"),
        ({"warning_threshold": True}, "warning_threshold"),
        ({"critical_threshold": math.nan}, "critical_threshold"),
        ({"critical_threshold": math.inf}, "critical_threshold"),
        ({"warning_threshold": 95, "critical_threshold": 80}, "critical_threshold"),
        ({"warning_threshold": 80, "critical_threshold": 80}, "critical_threshold"),
        ({"warning_threshold": 1, "critical_threshold": 2, "below": True}, "critical_threshold"),
        ({"warning_threshold": 80, "duration": -1}, "duration"),
        ({"warning_threshold": 80, "duration": "5m"}, "duration"),
        ({"warning_threshold": 80, "recovery": 81}, "recovery"),
        ({"warning_threshold": 80, "recovery": "low"}, "recovery"),
        ({"warning_threshold": 80, "recovery": 79, "below": True}, "recovery"),
        ({"warning_threshold": 80, "below": 1}, "below"),
    ],
)
def test_wrong_arguments_are_refused(options, named):
    """Each is refused as it is registered, by its name."""
    with pytest.raises(ConfigurationError, match=named):
        Threshold(options.pop("metric", "x"), **options)


# ---- held against a simple model -----------------------------------------------------------------------------------

PATIENCE = 50.0
VALUES = st.one_of(st.none(), st.sampled_from([70.0, 76.0, 76.5, 79.0, 80.0, 81.0, 94.0, 95.0, 96.0]))
READINGS = st.lists(st.tuples(st.integers(0, 60), VALUES), max_size=60)
OPTIONS = st.fixed_dictionaries(
    {"duration": st.sampled_from([0, 1, 20, 100])},
    optional={"recovery": st.sampled_from([60.0, 76.0, 80.0])},
).flatmap(
    lambda options: st.sampled_from(
        [
            {"warning_threshold": 80.0, "critical_threshold": 95.0, **options},
            {"warning_threshold": 80.0, **options},
        ]
    )
)


def at_times(gaps):
    """Return readings with their times, from the gaps between them."""
    now, found = 0, []
    for gap, value in gaps:
        now += gap
        found.append((now, value))
    return found


def exceeded_for(readings, index, bound):
    """Return for how many seconds up to a reading all readings exceeded a bound, with no gap too long; None if not."""
    now, start, later = readings[index][0], None, readings[index][0]
    for moment, value in reversed(readings[: index + 1]):
        if value is None:
            continue
        if value <= bound or later - moment > PATIENCE:
            break
        start = later = moment
    return None if start is None else now - start


def model(options, readings):
    """Return the turns by looking back over all readings anew at each."""
    bounds = [("critical", options.get("critical_threshold")), ("warning", options["warning_threshold"])]
    recovery = options.get("recovery", options["warning_threshold"] * (1 - MARGIN))
    fired, said = None, []
    for index, (now, value) in enumerate(readings):
        if value is None:
            continue
        if fired is not None and value <= recovery:
            said.append((now, fired, "resolved"))
            fired = None
            continue
        for level, bound in bounds:
            lasted = None if bound is None else exceeded_for(readings, index, bound)
            is_worse = fired is None or (fired, level) == ("warning", "critical")
            if is_worse and lasted is not None and lasted >= options["duration"]:
                fired = level
                said.append((now, level, "firing"))
                break
    return said


@given(OPTIONS, READINGS)
def test_says_what_a_simple_model_says(options, gaps):
    """Whatever is read when, the machine and a model that looks back over everything agree on every turn."""
    readings = at_times(gaps)
    assert turns(Threshold("x", patience=PATIENCE, **options), readings) == model(options, readings)


@given(OPTIONS, READINGS)
def test_mirrored_below_says_the_same(options, gaps):
    """A figure that must not fall is treated as its negative that must not rise."""
    mirrored = {name: value if name == "duration" else -value for name, value in options.items()}
    recovery = {"recovery": -options.get("recovery", options["warning_threshold"] * (1 - MARGIN))}
    readings = at_times(gaps)
    negative = [(now, None if value is None else -value) for now, value in readings]
    threshold = Threshold("x", patience=PATIENCE, below=True, **mirrored | recovery)
    assert turns(threshold, negative) == turns(Threshold("x", patience=PATIENCE, **options), readings)


@given(OPTIONS, READINGS)
def test_no_alert_twice_without_a_recovery_between(options, gaps):
    """Turns are a warning or not, a critical or not, then one recovery of the worst of them, and so on."""
    fired = None
    for _, level, state in turns(Threshold("x", patience=PATIENCE, **options), at_times(gaps)):
        if state == "firing":
            assert (fired, level) in {(None, "warning"), (None, "critical"), ("warning", "critical")}
            fired = level
        else:
            assert level == fired
            fired = None


@given(OPTIONS, READINGS)
def test_never_fires_before_the_duration_was_exceeded(options, gaps):
    """As long as the duration back from a firing, every reading was beyond the level, and one is as old as that."""
    readings = at_times(gaps)
    bounds = {"warning": options["warning_threshold"], "critical": options.get("critical_threshold")}
    for now, level, state in turns(Threshold("x", patience=PATIENCE, **options), readings):
        if state == "firing":
            begun = now - options["duration"]
            beyond = [(moment, value) for moment, value in readings if moment <= now and value is not None]
            lately = [value for moment, value in beyond if moment >= begun]
            assert lately
            assert all(value > bounds[level] for value in lately)
            assert any(moment <= begun and value > bounds[level] for moment, value in beyond)


@given(st.lists(st.floats(76.01, 94.9), max_size=100))
def test_flapping_never_alerts_twice(values):
    """However a figure moves between the recovery level and what is critical, there is one alert at the most."""
    threshold = Threshold("x", warning_threshold=80, critical_threshold=95)
    assert len(turns(threshold, every(1, *values))) == any(value > 80 for value in values)
