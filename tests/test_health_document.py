"""A report of health as HTTP shows it."""

from __future__ import annotations

import copy
import json

import pytest

from time_execution.formats import health

pytestmark = pytest.mark.nooptionals


def check(status="healthy", **changes):
    """A check of a report."""
    return {
        "status": status,
        "since": "2024-05-01T12:00:00.000000Z",
        "time": "2024-05-01T12:01:00.000000Z",
        "duration_ms": 1.5,
        "failures": 0,
        "output": "" if status == "healthy" else "nobody listens there",
        "critical": True,
        "type": "callable",
        **changes,
    }


def report(**checks):
    return {"status": health.overall(checks), "time": "2024-05-01T12:02:00.000000Z", "checks": checks}


MIXED = report(
    db=check(type="database"),
    cache=check("degraded", type="redis"),
    mail=check("unhealthy", critical=False, type="tcp"),
)
BROKEN = report(db=check("unhealthy", type="database"), cache=check(type="redis"))


@pytest.mark.parametrize(
    ("statuses", "whole"),
    [
        ([], "healthy"),
        ([("healthy", True)], "healthy"),
        ([("degraded", True), ("healthy", True)], "degraded"),
        ([("degraded", False)], "degraded"),
        ([("unhealthy", False), ("healthy", True)], "degraded"),
        ([("degraded", True), ("unhealthy", True)], "unhealthy"),
    ],
)
def test_the_whole_goes_by_the_worst(statuses, whole):
    """Unhealthy if a critical check is, degraded if any is not healthy, healthy otherwise."""
    checks = {str(number): {"status": s, "critical": c} for number, (s, c) in enumerate(statuses)}
    assert health.overall(checks) == whole


@pytest.mark.parametrize(
    ("status", "word", "code"),
    [("healthy", "pass", 200), ("degraded", "warn", 200), ("unhealthy", "fail", 503)],
)
def test_words_and_codes_of_the_draft(status, word, code):
    """Each status has its word in the draft, and only a failure is an error to HTTP."""
    found = health.answer({"status": status, "checks": {}}, accept="application/health+json")
    assert (found.status, json.loads(found.body)) == (code, {"status": word})
    assert dict(found.headers)["Content-Type"] == "application/health+json"


def test_without_details_nothing_is_told():
    """Whoever may not see details learns the status, whatever is asked for, and no name of a check."""
    for accept in ("application/health+json", "text/plain"):
        found = health.answer(BROKEN, accept=accept, verbose=True, exclude=["other"], about={"version": "1.2.3"})
        text = found.body.decode()
        assert text in {'{"status": "fail"}', "readyz check failed"}
    assert health.document(BROKEN, about={"version": "1.2.3"}) == {"status": "fail"}
    assert health.plain_text(MIXED, verbose=True) == "ok"


def test_the_document_with_details():
    """Each check is a list of one object under its name and what was measured, an output where all is not well."""
    found = health.document(MIXED, details=True, about={"version": "1", "serviceId": "shop"})
    assert found == {
        "status": "warn",
        "version": "1",
        "serviceId": "shop",
        "output": "2 of 3 checks not healthy: cache, mail",
        "checks": {
            "db:responseTime": [
                {
                    "componentId": "db",
                    "componentType": "datastore",
                    "status": "pass",
                    "observedValue": 1.5,
                    "observedUnit": "ms",
                    "time": "2024-05-01T12:01:00.000000Z",
                }
            ],
            "cache:responseTime": [
                {
                    "componentId": "cache",
                    "componentType": "datastore",
                    "status": "warn",
                    "observedValue": 1.5,
                    "observedUnit": "ms",
                    "time": "2024-05-01T12:01:00.000000Z",
                    "output": "nobody listens there",
                }
            ],
            "mail:responseTime": [
                {
                    "componentId": "mail",
                    "componentType": "component",
                    "status": "fail",
                    "observedValue": 1.5,
                    "observedUnit": "ms",
                    "time": "2024-05-01T12:01:00.000000Z",
                    "output": "nobody listens there",
                }
            ],
        },
    }


def test_what_a_check_observed_stands_in_place_of_its_time():
    """A value of the check's own goes under its name alone, with its unit if it has one; zero is a value."""
    made = report(queue=check(observed_value=0, observed_unit="jobs"), level=check(observed_value="low"))
    found = health.document(made, details=True)["checks"]
    assert found["queue"][0]["observedValue"] == 0
    assert found["queue"][0]["observedUnit"] == "jobs"
    assert found["level"][0]["observedValue"] == "low"
    assert "observedUnit" not in found["level"][0]


def test_a_check_that_never_ran_has_no_time():
    """What is not known is left out."""
    made = report(db=check("degraded", time=None, duration_ms=None, output="it has not run yet"))
    (found,) = health.document(made, details=True)["checks"]["db:responseTime"]
    assert found == {
        "componentId": "db",
        "componentType": "component",
        "status": "warn",
        "output": "it has not run yet",
    }


def test_names_with_colons_stay_apart():
    """The draft separates with a colon, so names have none; two that become alike are in one list."""
    made = report(**{"a:b": check(), "a.b": check("degraded")})
    found = health.document(made, details=True)["checks"]
    assert list(found) == ["a.b:responseTime"]
    assert [one["componentId"] for one in found["a.b:responseTime"]] == ["a:b", "a.b"]


def test_plain_text_is_ok():
    """All is well in two letters; what is degraded is still at work."""
    for made in (report(), report(db=check()), MIXED):
        assert health.answer(made).body == b"ok"


def test_plain_text_in_lines():
    """With details a failure names what failed, and `verbose` names everything."""
    assert health.plain_text(BROKEN, details=True) == (
        "[-]db failed: nobody listens there\n[+]cache ok\nreadyz check failed\n"
    )
    assert health.plain_text(MIXED, "healthz", details=True, verbose=True) == (
        "[+]db ok\n"
        "[+]cache degraded: nobody listens there\n"
        "[+]mail unhealthy: nobody listens there\n"
        "healthz check passed\n"
    )


def test_excluded_checks_do_not_count():
    """An excluded check changes neither status nor code, shows as excluded, and unknown names are told of."""
    found = health.answer(BROKEN, details=True, verbose=True, exclude=["db", 'no "such"\nname'])
    assert found.status == 200
    assert found.body.decode().splitlines() == [
        "[+]db excluded: ok",
        "[+]cache ok",
        'warn: some health checks cannot be excluded: no matches for "no "such" name"',
        "readyz check passed",
    ]
    found = health.answer(BROKEN, details=True, exclude=["db"], accept="application/json")
    assert (found.status, list(json.loads(found.body)["checks"])) == (200, ["cache:responseTime"])
    assert health.answer(BROKEN, exclude=["db"]).status == 200
    assert health.answer(BROKEN, exclude=["cache"]).status == 503


def test_lines_are_lines():
    """No name and no output begins a line of its own in plain text, or tells a terminal anything."""
    made = report(**{"a\nb": check("unhealthy", output="x\r\n[+]y ok\u2028z\x1b[2J")})
    text = health.plain_text(made, details=True)
    assert text.splitlines() == ["[-]a b failed: x  [+]y ok z [2J", "readyz check failed"]


@pytest.mark.parametrize(
    ("accept", "wants"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("application/health+json", True),
        ("Application/Health+JSON; charset=utf-8", True),
        ("application/json", True),
        ("application/json, text/plain", False),
        ("application/json;q=0.9, text/plain;q=0.1", True),
        ("application/json;q=0.1, text/*;q=0.9", False),
        ("application/json;q=0", False),
        ("application/json;q=nonsense", False),
        ("application/json;q=7", False),
        ("application/json;q=nan", False),
        (";;;,,q=,", False),
    ],
)
def test_who_wants_the_document(accept, wants):
    """JSON has to be asked for, by either of its names, and more than plain text."""
    assert health.wants_document(accept) is wants


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "no-store"),
        ({"max_age": 5}, "max-age=5"),
        ({"max_age": 5, "details": True}, "private, max-age=5"),
    ],
)
def test_caches(options, expected):
    """Nothing is kept unless it is allowed, and details by no cache that is shared."""
    assert dict(health.answer(MIXED, **options).headers)["Cache-Control"] == expected


def test_the_body_is_json_whatever_the_report_holds():
    """Lone surrogates and other letters are written as ASCII that any reader takes."""
    made = report(**{"d\udc80b": check("degraded", output="über\u2028")})
    body = health.answer(made, accept="application/json", details=True).body
    assert body.isascii()
    assert "d\udc80b:responseTime" in json.loads(body)["checks"]


def test_the_report_is_left_as_it_is():
    """No function changes what it is given."""
    given = copy.deepcopy(MIXED)
    health.answer(given, details=True, verbose=True, exclude=["db"], about={"version": "1"})
    health.answer(given, details=True, exclude=["db"], accept="application/json")
    assert given == MIXED
