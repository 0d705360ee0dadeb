"""`SlackBackend`: tells people in a channel of Slack what has happened, through a webhook or as a bot."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import ssl
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any, ClassVar
from urllib.error import URLError
from urllib.parse import urlsplit

from time_execution.argument_check import check_use
from time_execution.backends.messenger import MaybeSentError, MessengerBackend
from time_execution.bounded_socket import tls_context
from time_execution.exceptions import (
    BackendDenied,
    BackendError,
    BackendRejected,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
    BatchTooLarge,
    ConfigurationError,
)
from time_execution.extra import extra
from time_execution.formats.notice import Notice, slack_text
from time_execution.http_answer import error_of, is_success, retry_after

with extra("slack"):
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError, SlackClientError
    from slack_sdk.webhook import WebhookClient

_API = "https://slack.com/api/"
_OK = 200
_SHORT = 1000
_PRINTABLE = re.compile(r"[!-~]+")
_WORD = re.compile(r"[a-z][a-z_]{0,60}")
# Text as it is written: no markup, no names that ring, no pages fetched for a preview.
_PLAIN: Mapping[str, Any] = {"mrkdwn": False, "link_names": False, "unfurl_links": False, "unfurl_media": False}
_CHANNEL = (
    "channel_not_found not_in_channel is_archived channel_is_archived restricted_action user_not_found "
    "posting_to_general_channel_denied"
)
_LOGIN = (
    "invalid_auth not_authed account_inactive token_revoked token_expired missing_scope no_permission access_denied "
    "not_allowed_token_type org_login_required ekm_access_denied"
)
_WEBHOOK = "no_service no_service_id no_team team_disabled invalid_token no_active_hooks action_prohibited"
_ITSELF = "fatal_error internal_error service_unavailable request_timeout rollup_error team_added_to_org"
_MESSAGE = "no_text invalid_payload too_many_attachments invalid_arguments invalid_json invalid_charset"
_MEANINGS: tuple[tuple[str, type[BackendError], str], ...] = (
    (_CHANNEL, BackendDenied, "the channel is gone, archived or closed to this app; check channel, invite the app"),
    (_LOGIN, BackendDenied, "it refuses the token; check bot_token, and that the app has the scope chat:write"),
    (_WEBHOOK, BackendDenied, "the webhook is gone or may not post; make a new one"),
    (_ITSELF, BackendUnavailable, "it has failed within itself"),
    (_MESSAGE, BackendRejected, "it does not take this message"),
    ("ratelimited rate_limited", BackendThrottled, "it asks for a pause"),
    ("msg_too_long", BatchTooLarge, "the message is too long"),
)
"""What the words that Slack answers with mean: the words, our class, and a text."""

Sender = Callable[[str, float], "BackendError | None"]
"""Posts a text, waiting so many seconds at most; returns what went wrong, without a cause that could tell a secret."""


class SlackBackend(MessengerBackend):
    """Post a message to a channel of Slack for records, few of a kind and few in all, and summaries of the rest.

    For destinations of the log, and for alerts: each record is a message, unless one of its kind was posted within
    `interval`, or `rate` messages were. Those that are held back are counted, and a summary tells exactly how many.
    Markup, mentions and links in records are shown as they are written, and do nothing.

    A write blocks until Slack has answered, so put the backend behind a `ThreadedBackend`, as the log does; its worker
    sends the summaries, too. Thread-safe and fork-safe; each process has limits of its own.

    Args:
        webhook_url: The address of an incoming webhook, which has the channel in it. A secret.
        bot_token: Instead, the token of a bot with the scope ``chat:write``. A secret.
        channel: With `bot_token`, the id of the channel, of which the bot is a member.
        interval: Seconds in which one kind is told once.
        rate: How many messages an interval has, summaries aside.
        timeout: The longest wait for an answer, in seconds.
        base_url: With `bot_token`, where Slack's methods are.
        ca_certs: A file of the authorities to trust, for a proxy that has one of its own.

    Raises:
        ConfigurationError: When an argument is wrong, or does not go with another one.

    Example:
        >>> SlackBackend(bot_token="xoxb-secret", channel="C0123456789")
        SlackBackend(server='slack.com', channel='C0123456789')
    """

    repr_fields: ClassVar[tuple[str, ...]] = ("server", "channel")

    def __init__(
        self,
        webhook_url: str | None = None,
        *,
        bot_token: str | None = None,
        channel: str | None = None,
        interval: float = 300.0,
        rate: int = 10,
        timeout: float = 10.0,
        base_url: str = _API,
        ca_certs: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(interval=interval, rate=rate, timeout=timeout)
        address = base_url if webhook_url is None else webhook_url
        self.server = _host_of("base_url" if webhook_url is None else "webhook_url", address)
        self.channel = channel
        context = tls_context(ca_certs)
        if webhook_url is not None:
            check_use("with webhook_url, which has all of that in it", bot_token=bot_token, channel=channel)
            self._post = _by_webhook(webhook_url, server=self.server, context=context)
        else:
            self._post = _as_bot(_token(bot_token), _channel(channel), base_url=base_url, context=context)

    def _send(self, told: Notice, key: str | None, timeout: float) -> None:  # noqa: ARG002 - Slack knows no keys
        error = self._post(slack_text(told), timeout)
        if isinstance(error, BatchTooLarge):
            error = self._post(slack_text(told, max_chars=_SHORT), timeout)
        if error is not None:
            raise error


def _by_webhook(url: str, *, server: str, context: ssl.SSLContext) -> Sender:
    """Return the function that posts through a webhook; being one, it shows nobody the address."""

    def post(text: str, timeout: float) -> BackendError | None:
        client = WebhookClient(url, timeout=timeout, ssl=context, logger=_silence(), retry_handlers=[])  # type: ignore[arg-type]  # a float does
        try:
            answer = client.send_dict({"text": text, **_PLAIN})
        except (OSError, HTTPException, SlackClientError, ValueError) as exc:
            return _trouble(exc, server)
        word = (answer.body or "").strip()
        if is_success(answer.status_code) and (word == "ok" or _says_ok(word)):
            return None
        return _refusal(word, answer.status_code, answer.headers, server)

    return post


def _as_bot(token: str, channel: str, *, base_url: str, context: ssl.SSLContext) -> Sender:
    """Return the function that posts as a bot; being one, it shows nobody the token."""
    server = _host_of("base_url", base_url)

    def post(text: str, timeout: float) -> BackendError | None:
        client = WebClient(token, base_url, timeout=timeout, ssl=context, logger=_silence(), retry_handlers=[])  # type: ignore[arg-type]  # a float does
        try:
            client.chat_postMessage(channel=channel, text=text, parse="none", **_PLAIN)
        except SlackApiError as exc:
            data: Any = exc.response.data
            word = data.get("error") if isinstance(data, dict) else None
            return _refusal(str(word), exc.response.status_code, exc.response.headers, server)
        except (OSError, HTTPException, SlackClientError, ValueError) as exc:
            return _trouble(exc, server)
        except AttributeError:  # the client's, of an answer that is JSON and no object
            return _refusal("", _OK, {}, server)
        return None

    return post


def _trouble(exc: Exception, server: str) -> BackendError:
    """Return what it means that there is no answer; what the client raised knows the secrets, and goes no further."""
    if isinstance(exc, URLError):
        reason = exc.reason
        if isinstance(reason, ssl.SSLCertVerificationError):
            return BackendDenied(f"{server}: its certificate is not trusted; check ca_certs")
        if isinstance(reason, TimeoutError):
            return BackendTimeout(f"{server} cannot be reached in time")
        return BackendUnavailable(f"{server} cannot be reached; check the network, and the proxy if there is one")
    return MaybeSentError(f"{server} did not answer in time" if isinstance(exc, TimeoutError) else f"{server} hung up")


def _refusal(word: str, status: int, headers: Any, server: str) -> BackendError:
    """Return what an answer means that is none of success; its text quotes a word of Slack's at the most."""
    kind, text = next(((kind, text) for words, kind, text in _MEANINGS if word in words.split()), (None, ""))
    if kind is BackendThrottled or status == 429:  # noqa: PLR2004 - too many requests, RFC 6585
        return BackendThrottled(f"{server} asks for a pause", retry_after=retry_after(headers))
    if kind is not None:
        return kind(f"{server} answered {word}: {text}")
    if not is_success(status):
        return error_of(status, headers, server=server, advice="check the address of the webhook, or base_url")
    if _WORD.fullmatch(word):
        return BackendDenied(f"{server} answered {word}")
    return BackendDenied(f"what answers at {server} is not Slack; check the address, and the proxy if there is one")


def _says_ok(text: str) -> bool:
    """Whether an answer is what workflows that begin with a webhook give."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("ok") is True


def _silence() -> logging.Logger:
    """Return a logger that says nothing: the client would log addresses with the secrets in them."""
    logger = logging.Logger("time_execution.slack", level=logging.CRITICAL + 1)  # noqa: LOG001 - nobody else's
    logger.disabled = True
    return logger


def _host_of(key: str, url: Any) -> str:
    """Return the host of an address, with its port if it has one."""
    host = ""
    if isinstance(url, str) and _PRINTABLE.fullmatch(url):
        with contextlib.suppress(ValueError):  # brackets that hold no address
            parts = urlsplit(url)
            host = parts.netloc.rpartition("@")[2] if parts.scheme in {"http", "https"} and parts.hostname else ""
    if not host:
        raise ConfigurationError(f"{key} must be an address that begins with https://")
    return host


def _token(token: Any) -> str:
    if token is None:
        raise ConfigurationError("SlackBackend needs webhook_url, or bot_token and channel")
    if not isinstance(token, str) or not _PRINTABLE.fullmatch(token):
        raise ConfigurationError("bot_token must be a token without blanks, such as xoxb-…")
    return token


def _channel(channel: Any) -> str:
    if not isinstance(channel, str) or not channel.strip():
        raise ConfigurationError("channel must be the id of a channel, which bot_token needs")
    return channel.strip()
