"""What HTTP answers mean for the metrics that were sent."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from time_execution.delivery.retry import Verdict, understand
from time_execution.exceptions import (
    BackendDenied,
    BackendRejected,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
    BatchTooLarge,
)
from time_execution.http_answer import error_of, is_success, retry_after

NOON = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("status", "error", "verdict"),
    [
        (100, BackendUnavailable, Verdict.RETRY),
        (302, BackendUnavailable, Verdict.RETRY),
        (400, BackendRejected, Verdict.REJECT),
        (401, BackendDenied, Verdict.RETRY),
        (403, BackendDenied, Verdict.RETRY),
        (404, BackendDenied, Verdict.RETRY),
        (408, BackendTimeout, Verdict.RETRY),
        (413, BatchTooLarge, Verdict.SPLIT),
        (422, BackendRejected, Verdict.REJECT),
        (425, BackendUnavailable, Verdict.RETRY),
        (429, BackendThrottled, Verdict.RETRY),
        (500, BackendUnavailable, Verdict.RETRY),
        (503, BackendThrottled, Verdict.RETRY),
        (504, BackendTimeout, Verdict.RETRY),
        (599, BackendUnavailable, Verdict.RETRY),
    ],
)
def test_a_status_says_what_becomes_of_the_metrics(status, error, verdict):
    """Each status has its class of error, and delivery acts on it as the status means."""
    found = error_of(status, {}, server="the store")
    assert type(found) is error
    assert understand(found).verdict is verdict
    assert str(found).startswith(f"the store answered {status}")


def test_a_refusal_says_what_to_do():
    """Advice follows refusals, and nothing else."""
    assert str(error_of(401, {}, server="it", advice="check api_key")).endswith("credentials; check api_key")
    assert "api_key" not in str(error_of(500, {}, server="it", advice="check api_key"))


def test_a_pause_is_passed_on():
    """Delivery waits as long as the server asks for."""
    assert understand(error_of(429, {"Retry-After": "7"}, server="it")).after == 7.0
    assert understand(error_of(503, {"retry-after": "7"}, server="it")).after == 7.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, 999_999_999_999.0),
        ("Thu, 29 Feb 2024 12:00:30 GMT", 30.0),
        ("Thu, 29 Feb 2024 11:00:00 GMT", 0.0),
        ("Thu, 29 Feb 2024 12:00:30 -0000", 30.0),
        ("Thursday, 29-Feb-24 12:00:30 GMT", 30.0),
        ("", None),
        ("soon", None),
        ("Mon, 01 Jan 2020 00:00:00 +99999999999999999999", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("Thu, 99 Feb 2024 12:00:30 GMT", None),
    ],
)
def test_a_pause_is_seconds_or_a_date(text, seconds):
    """Both forms of RFC 9110 are read; what makes no sense is no pause."""
    assert retry_after({"RETRY-AFTER": text}, now=NOON) == seconds


def test_without_the_header_there_is_no_pause():
    """Other headers say nothing."""
    assert retry_after({"Date": "Thu, 29 Feb 2024 12:00:30 GMT"}) is None


def test_a_date_counts_from_now():
    """The clock's moment is the default."""
    assert retry_after({"Retry-After": "Thu, 29 Feb 2024 12:00:30 GMT"}) == 0.0


@pytest.mark.parametrize(("status", "expected"), [(199, False), (200, True), (204, True), (299, True), (300, False)])
def test_success_is_the_second_class(status, expected):
    """200 to 299, no others."""
    assert is_success(status) is expected
