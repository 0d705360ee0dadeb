"""What checks may return and raise, what becomes of it, and what of it may be shown."""

from __future__ import annotations

import math

import pytest

from tests.monitor.checked import unlogged  # noqa: F401 - a fixture
from tests.secret_corpus import PLANTED
from time_execution.monitor.health import HealthChecks
from time_execution.monitor.health_outcome import Outcome, outcome_of, outcome_of_exception, shown_text

pytestmark = [pytest.mark.nooptionals, pytest.mark.usefixtures("unlogged")]


class Text(str):
    """A text that does harm when it is asked for anything."""

    __slots__ = ()

    def strip(self, *_):
        raise RuntimeError("asked")

    __eq__ = __hash__ = lower = __len__ = __str__ = __repr__ = strip


@pytest.mark.parametrize("returned", [None, True, "healthy", "pass", "ok", "up", "UP", " Healthy\n", {"status": True}])
def test_what_means_healthy(returned):
    """None, True and the words that people and the draft have for it."""
    assert outcome_of(returned) == Outcome("healthy")


@pytest.mark.parametrize("returned", ["degraded", "warn", "Degraded", {"status": "warn"}])
def test_what_means_degraded(returned):
    """The words that people and the draft have for it."""
    assert outcome_of(returned) == Outcome("degraded")


@pytest.mark.parametrize(
    "returned", [False, "unhealthy", "fail", "down", "error", {"status": "down"}, {"status": False}]
)
def test_what_means_failed(returned):
    """False and the words that people and the draft have for it are one failure."""
    assert outcome_of(returned) == Outcome("failed", "it said that it failed", "CheckFailed")


@pytest.mark.parametrize(
    ("returned", "output"),
    [
        (0, "it returned an int: a check returns"),
        (1, "it returned an int"),
        (1.0, "it returned a float"),
        ([], "it returned a list"),
        (object(), "it returned an object"),
        ("fine", "it returned the text 'fine'"),
        ("", "it returned the text ''"),
        ("password=hunter2", "it returned the text 'password=***'"),
        ({}, "it returned a dict without 'status'"),
        ({"status": ""}, "it returned a dict whose status is the text ''"),
        ({"status": 1}, "it returned a dict whose status is an int"),
        ({"status": "password=hunter2"}, "it returned a dict whose status is the text 'password=***'"),
    ],
)
def test_what_nobody_understands_is_a_failure(returned, output):
    """Anything else fails with a sentence that says what it was, and what a check returns."""
    found = outcome_of(returned)
    assert found.status == "failed"
    assert found.output.startswith(output)
    assert "hunter2" not in found.output


def test_a_dict_says_more():
    """Output and what was observed are kept, under either spelling."""
    said = {"status": "degraded", "output": "17 jobs wait", "observedValue": 17, "observedUnit": "jobs"}
    expected = Outcome("degraded", "17 jobs wait", None, 17, "jobs")
    assert outcome_of(said) == expected
    said = {"status": "degraded", "output": "17 jobs wait", "observed_value": 17, "observed_unit": "jobs"}
    assert outcome_of(said) == expected
    assert outcome_of({"status": "fail", "output": "no"}) == Outcome("failed", "no", "CheckFailed")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (0, 0),
        (-1.5, -1.5),
        (False, False),
        ("3 of 4", "3 of 4"),
        ("token=abc123xyz", "token=***"),
        (math.nan, None),
        (math.inf, None),
        (10**400, None),
        ([1], None),
        (object(), None),
    ],
)
def test_what_was_observed_is_a_plain_value(value, kept):
    """Numbers that JSON has, texts without secrets and booleans are kept, nothing else."""
    assert outcome_of({"status": "ok", "observed_value": value, "observed_unit": 3}).observed_value == kept


def test_output_that_is_no_text_is_none():
    """An output of another type is left out, and no code of it runs."""
    assert outcome_of({"status": "ok", "output": object()}).output == ""
    assert outcome_of({"status": "ok", "output": ["secret"]}).output == ""


def test_subclasses_of_text_are_not_asked():
    """A subclass of str that raises whatever it is asked does not break the check."""
    checks = HealthChecks()
    checks.register("a", lambda: Text("ok"))
    checks.register("b", lambda: {"status": "ok", "output": Text("17 jobs"), "observed_value": Text("x")})
    report = checks.run()
    assert [check["status"] for check in report["checks"].values()] == ["healthy", "healthy"]
    assert report["checks"]["b"]["output"] == "17 jobs"


@pytest.mark.parametrize(
    "text",
    ["a\nb", "a\r\nb", "a\tb", "a\x1b[2Jb", "a\u2028b", "a\x85b", "a\x00b", "a\u202eb", "a\udc80b"],
)
def test_output_is_one_printable_line(text):
    """No output begins a second line, or tells a terminal anything."""
    assert shown_text(text).isprintable()
    assert shown_text(text)[0] == "a"
    assert shown_text(text)[-1] == "b"


def test_output_is_cut():
    """A long output is cut, and says how long it was."""
    found = shown_text("word " * 100_000)
    assert len(found) < 600
    assert found.endswith("[cut, 500000 characters]")


@pytest.mark.parametrize(("secret", "value"), [pair for pair in PLANTED if isinstance(pair[1], str)])
def test_no_secret_is_shown(secret, value):
    """No text with a secret passes, whether it was returned, raised or observed."""

    class Refused(Exception):
        pass

    outcomes = [
        outcome_of({"status": "fail", "output": value, "observed_value": value, "observed_unit": value}),
        outcome_of(value),
        outcome_of_exception(Refused(value)),
    ]
    assert secret not in " ".join(map(repr, outcomes))
    checks = HealthChecks()

    def check():
        raise Refused(value)

    checks.register("db", check)
    assert secret not in f"{checks.run()} {checks!r} {vars(checks)}"


def test_an_exception_without_words_is_its_name():
    """An exception that has no text, or whose text cannot be made, is shown by its class."""

    class Broken(Exception):
        def __str__(self):
            raise ValueError("no text")

    assert outcome_of_exception(LookupError()).output == "LookupError"
    assert outcome_of_exception(Broken()) == Outcome("failed", "Broken", "Broken")
