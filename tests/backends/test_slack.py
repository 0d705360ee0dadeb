"""Slack: what is posted, what each of its answers means, and that nothing tells the webhook or the token."""

from __future__ import annotations

import logging
import socket
import time

import pytest

pytest.importorskip("slack_sdk", reason="the client of Slack")
pytest.importorskip("trustme", reason="makes certificates")


from tests.authority import made_authority
from tests.fault_server import DRIP, DROP, HALF, HANG, RESET, Answer, FaultServer
from tests.forked import ends_well_in_a_child, needs_fork
from tests.line_servers import free_port
from tests.patience import least
from tests.shown_errors import everything_shown
from tests.slack_server import CHANNEL, TOKEN, WEBHOOK, SlackServer
from time_execution.backends.messenger import MaybeSentError
from time_execution.backends.slack import SlackBackend
from time_execution.exceptions import (
    BackendDenied,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
)
from time_execution.types import STORED, Metric, Reject

WAYS = ["webhook", "bot"]
SECRETS = (WEBHOOK, WEBHOOK.rpartition("/")[2], TOKEN)


@pytest.fixture(autouse=True)
def _without_proxy(monkeypatch):
    """The servers are on this machine, and the client would ask a proxy of the environment for them."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return made_authority(tmp_path_factory.mktemp("tls"), "127.0.0.1")


def make(server, way, **options):
    if way == "webhook":
        return SlackBackend(f"{server.url}{WEBHOOK}", **options)
    return SlackBackend(bot_token=TOKEN, channel=CHANNEL, base_url=f"{server.url}/api/", **options)


def record(message="boom"):
    return Metric({"name": "log", "level": "CRITICAL", "logger": "shop", "message": message}, kind="event", id="0f-1")


def outcome_of(backend, message="boom"):
    """Return the result of a record, or what was raised for it."""
    try:
        (result,) = backend.write_many([record(message)])
    except Exception as exc:
        return exc
    return result


@pytest.mark.parametrize("way", WAYS)
def test_a_record_is_posted_as_plain_text(way):
    """Both ways ask Slack to leave markup, names and previews alone."""
    with SlackServer() as server:
        assert outcome_of(make(server, way), "a *bold* <!channel>") is STORED
    assert server.messages == ["CRITICAL shop: a *bold* <!channel>"]
    assert server.rang == []
    plain = {"mrkdwn": False, "link_names": False, "unfurl_links": False, "unfurl_media": False}
    assert plain.items() <= server.raw[0].items()


@pytest.mark.parametrize("way", WAYS)
def test_the_longest_record_is_posted(way):
    """A notice is cut to what Slack takes, also where each character becomes five."""
    with SlackServer() as server:
        assert outcome_of(make(server, way), "\n".join(["&" * 400] * 200)) is STORED
    assert len(server.raw[0]["text"]) <= 4000


def test_a_message_that_is_too_long_all_the_same_is_sent_shorter():
    """As for a gateway that takes less than Slack."""
    with FaultServer(Answer(400, "msg_too_long"), Answer(200, "ok")) as server:
        assert outcome_of(make(server, "webhook"), "\n".join(["x" * 300] * 20)) is STORED
    first, second = (request.json()["text"] for request in server.requests)
    assert len(second) <= 1000 < len(first)
    assert first.startswith(second.removesuffix("…"))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(404, "no_service"), BackendDenied),
        (Answer(404, "channel_not_found"), BackendDenied),
        (Answer(410, "channel_is_archived"), BackendDenied),
        (Answer(403, "action_prohibited"), BackendDenied),
        (Answer(403, "invalid_token"), BackendDenied),
        (Answer(404, "something new"), BackendDenied),
        (Answer(410, ""), BackendDenied),
        (Answer(500, "rollup_error"), BackendUnavailable),
        (Answer(503, ""), BackendThrottled),
        (Answer(502, "<html>"), BackendUnavailable),
        (Answer(429, ""), BackendThrottled),
        (Answer(200, "<html>welcome to our network</html>"), BackendDenied),
        (Answer(200, ""), BackendDenied),
        (HANG, MaybeSentError),
        (RESET, MaybeSentError),
        (DROP, MaybeSentError),
        (HALF, MaybeSentError),
    ],
    ids=str,
)
def test_what_answers_to_a_webhook_mean(answer, kind):
    """Refusals are asked again seldom, failures soon, and what may have been posted is known as that."""
    with FaultServer(answer) as server:
        assert type(outcome_of(make(server, "webhook", timeout=0.5))) is kind


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        *((Answer(200, {"ok": False, "error": word}), BackendDenied) for word in ("invalid_auth", "not_in_channel")),
        *((Answer(200, {"ok": False, "error": word}), BackendDenied) for word in ("channel_not_found", "brand_new")),
        (Answer(200, {"ok": False, "error": "fatal_error"}), BackendUnavailable),
        (Answer(200, {"ok": False, "error": "ratelimited"}), BackendThrottled),
        (Answer(200, {"ok": False, "error": 7}), BackendDenied),
        (Answer(200, {"ok": False}), BackendDenied),
        (Answer(200, "[1]"), BackendDenied),
        (Answer(200, '"text"'), BackendDenied),
        (Answer(200, "<html>"), BackendDenied),
        (Answer(200, ""), BackendDenied),
        (Answer(429, {"ok": False, "error": "ratelimited"}), BackendThrottled),
        (Answer(500, ""), BackendUnavailable),
        (HANG, MaybeSentError),
        (RESET, MaybeSentError),
        (HALF, MaybeSentError),
    ],
    ids=str,
)
def test_what_answers_to_a_bot_mean(answer, kind):
    """Slack says what is wrong in a body of status 200."""
    with FaultServer(answer) as server:
        assert type(outcome_of(make(server, "bot", timeout=0.5))) is kind


@pytest.mark.parametrize(
    ("way", "answer"),
    [
        ("webhook", Answer(400, "invalid_payload")),
        ("webhook", Answer(400, "no_text")),
        ("bot", Answer(200, {"ok": False, "error": "no_text"})),
        ("webhook", Answer(413, "")),
    ],
)
def test_a_message_that_slack_does_not_take_is_refused_for_good(way, answer):
    """It becomes a dead letter."""
    with FaultServer(answer) as server:
        result = outcome_of(make(server, way))
    assert isinstance(result, Reject)
    assert result.reason == "refused"


@pytest.mark.parametrize("way", WAYS)
def test_the_pause_that_slack_asks_for_is_told_to_the_delivery(way):
    """The client's own retries are off: one request, and the seconds of Retry-After."""
    with FaultServer(Answer(429, "", {"Retry-After": "17"})) as server:
        error = outcome_of(make(server, way))
    assert isinstance(error, BackendThrottled)
    assert error.retry_after == 17.0
    assert len(server.requests) == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", [Answer(500, ""), RESET, HANG], ids=str)
def test_a_failure_is_one_request(way, answer):
    """Trying again is the delivery's work."""
    with FaultServer(answer) as server:
        assert isinstance(outcome_of(make(server, way, timeout=0.3)), BackendUnavailable)
        assert len(server.requests) == 1


@pytest.mark.parametrize("way", WAYS)
def test_where_nobody_listens_nothing_was_sent(way):
    """So it takes nothing of the rate."""

    class Nobody:
        url = f"http://127.0.0.1:{free_port()}"

    error = outcome_of(make(Nobody, way))
    assert type(error) is BackendUnavailable
    assert "cannot be reached" in str(error)


# ---- TLS ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_certificate_is_checked(way, authority):
    """One of an authority that is not trusted is refused; `ca_certs` names another authority."""
    context, path = authority
    with SlackServer(context=context) as server:
        error = outcome_of(make(server, way))
        assert type(error) is BackendDenied
        assert "ca_certs" in str(error)
        assert server.messages == []
        assert outcome_of(make(server, way, ca_certs=path)) is STORED
    assert server.messages == ["CRITICAL shop: boom"]


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_that_drips_is_not_waited_for(way, authority):
    """The time-out is for the whole answer, over TLS, as Slack speaks it."""
    context, path = authority

    def wait():
        with FaultServer(DRIP, context=context) as server:
            backend = make(server, way, ca_certs=path, timeout=0.5)
            began = time.monotonic()
            assert isinstance(outcome_of(backend), BackendUnavailable)
            return time.monotonic() - began

    assert least(wait, 2.0) < 2.0


# ---- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "answer", [Answer(404, f"no {WEBHOOK} {TOKEN}"), Answer(500, ""), HANG, RESET, Answer(200, "x")], ids=str
)
def test_no_secret_is_in_what_is_raised_shown_or_logged(way, answer, caplog, wake_loggers):
    """Neither in an error or what is behind it, nor in repr and attributes, nor in the client's log."""
    wake_loggers("slack_sdk", "slack_sdk.webhook.client", "slack_sdk.web.base_client", "time_execution")
    with FaultServer(answer) as server, caplog.at_level(logging.DEBUG):
        backend = make(server, way, timeout=0.3)
        error = outcome_of(backend)
    shown = [everything_shown(error), repr(vars(error)), repr(backend), str(backend), repr(vars(backend)), caplog.text]
    assert error.__cause__ is None
    assert error.__context__ is None
    assert not [secret for secret in SECRETS for text in shown if secret in text]


def test_the_repr_names_the_server_and_the_channel():
    """And nothing else."""
    backend = SlackBackend(f"https://hooks.slack.com{WEBHOOK}")
    assert repr(backend) == "SlackBackend(server='hooks.slack.com', channel=None)"
    assert (
        repr(SlackBackend(f"https://u:hunter2@example.org{WEBHOOK}"))
        == "SlackBackend(server='example.org', channel=None)"
    )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "needs webhook_url, or bot_token and channel"),
        ({"webhook_url": WEBHOOK}, "webhook_url"),
        ({"webhook_url": f"ftp://hooks.slack.com{WEBHOOK}"}, "webhook_url"),
        ({"webhook_url": f"https://{WEBHOOK}"}, "webhook_url"),
        ({"webhook_url": f"https://[hooks.slack.com{WEBHOOK}"}, "webhook_url"),
        ({"webhook_url": f"https://hooks.slack.com{WEBHOOK}\n"}, "webhook_url"),
        ({"webhook_url": 7}, "webhook_url"),
        ({"webhook_url": f"https://hooks.slack.com{WEBHOOK}", "bot_token": TOKEN}, "bot_token is of no use"),
        ({"webhook_url": f"https://hooks.slack.com{WEBHOOK}", "channel": CHANNEL}, "channel is of no use"),
        ({"bot_token": TOKEN}, "channel"),
        ({"bot_token": TOKEN, "channel": " "}, "channel"),
        ({"bot_token": f"{TOKEN}\r\nX: y", "channel": CHANNEL}, "bot_token"),
        ({"bot_token": "", "channel": CHANNEL}, "bot_token"),
        ({"bot_token": TOKEN, "channel": CHANNEL, "base_url": "file:///etc"}, "base_url"),
        ({"bot_token": TOKEN, "channel": CHANNEL, "timeout": 0}, "timeout"),
        ({"bot_token": TOKEN, "channel": CHANNEL, "interval": -1}, "interval"),
        ({"bot_token": TOKEN, "channel": CHANNEL, "rate": 0}, "rate"),
        ({"bot_token": TOKEN, "channel": CHANNEL, "ca_certs": "/nowhere.pem"}, "ca_certs"),
    ],
)
def test_a_wrong_argument_is_refused_without_showing_a_secret(options, named):
    """When the backend is made; the error names the argument."""
    with pytest.raises(ConfigurationError, match=named) as caught:
        SlackBackend(**options)
    assert not [secret for secret in SECRETS if secret in everything_shown(caught.value)]


@needs_fork
def test_a_child_posts_on_its_own():
    """After a fork, both go on."""
    with SlackServer() as server:
        backend = make(server, "webhook")
        assert outcome_of(backend, "parent") is STORED
        assert ends_well_in_a_child(lambda: outcome_of(backend, "child") is STORED or pytest.fail("not sent"))
        server.wait_for_messages(2)
    assert [text.rpartition(" ")[2] for text in server.messages] == ["parent", "child"]


def test_a_time_out_while_connecting_is_one():
    """Nothing was sent, so it is no message that may have been."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}{WEBHOOK}"
        assert type(outcome_of(SlackBackend(url, timeout=0.3))) is BackendTimeout


def test_the_words_of_an_answer_are_quoted_only_where_they_are_such_as_slack_says():
    """Anything else may be anybody's."""
    with FaultServer(Answer(400, "<b>custom text</b>")) as server:
        assert "custom" not in str(outcome_of(make(server, "webhook")))
    with FaultServer(
        Answer(200, {"ok": False, "error": "custom text"}), Answer(200, {"ok": False, "error": "brand_new"})
    ) as server:
        assert "custom" not in str(outcome_of(make(server, "bot")))
        assert "answered brand_new" in str(outcome_of(make(server, "bot")))
