"""A server in this process that checks each request as Slack's documentation has it, and answers as Slack does.

Incoming webhooks: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks, chat.postMessage:
https://docs.slack.dev/reference/methods/chat.postMessage, both with the rate limits of
https://docs.slack.dev/apis/web-api/rate-limits.
"""

from __future__ import annotations

import html
import json
import re

from tests.fault_server import Answer, FaultServer

WEBHOOK = "/services/T0AB12CD3/B0EF45GH6/a1B2c3D4e5F6g7H8"
TOKEN = "xoxb-123456789012-abcdefGHIJKL"
CHANNEL = "C0123456789"
_MOST_CHARACTERS = 40_000
_CONTROL = re.compile(r"<([@#!]?[^<>]*)>")


class SlackServer(FaultServer):
    """A workspace with one channel, one webhook and one bot that is a member of it.

    Attributes:
        messages: What was posted, as people read it.
        raw: The same, as it was sent.
        rang: Mentions and links that were acted on.
    """

    def __init__(self, *, context=None):
        super().__init__(self._answer, context=context)
        self.messages = []
        self.raw = []
        self.rang = []
        self.instead = []

    @property
    def webhook_url(self):
        return f"{self.url}{WEBHOOK}"

    @property
    def base_url(self):
        return f"{self.url}/api/"

    def fail(self, *answers):
        """Answer so to the next requests, in turn, and post nothing."""
        self.instead += answers

    def wait_for_messages(self, count, timeout=20.0):
        with self.changed:
            came = self.changed.wait_for(lambda: len(self.messages) >= count, timeout)
        assert came, f"{len(self.messages)} messages came, not {count}"

    def _answer(self, request):
        if self.instead:
            return self.instead.pop(0)
        if request.method != "POST":
            return Answer(405, "")
        if request.path.startswith("/services/"):
            return self._webhook(request)
        if request.path == "/api/chat.postMessage":
            return Answer(200, self._post_message(request))
        return Answer(200, {"ok": False, "error": "unknown_method"})

    def _webhook(self, request):
        if request.path != WEBHOOK:
            return Answer(404, "no_service")
        if not request.headers.get("Content-Type", "").startswith("application/json"):
            return Answer(400, "invalid_payload")
        try:
            body = json.loads(request.body)
        except ValueError:
            return Answer(400, "invalid_payload")
        if not isinstance(body, dict) or not isinstance(body.get("text"), str) or not body["text"]:
            return Answer(400, "no_text")
        self._post(body)
        return Answer(200, "ok")

    def _post_message(self, request):
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return {"ok": False, "error": "invalid_auth" if "Authorization" in request.headers else "not_authed"}
        if not request.headers.get("Content-Type", "").startswith("application/json"):
            return {"ok": False, "error": "invalid_form_data"}
        body = json.loads(request.body)
        if body.get("channel") != CHANNEL:
            return {"ok": False, "error": "channel_not_found"}
        if not body.get("text"):
            return {"ok": False, "error": "no_text"}
        if len(body["text"]) > _MOST_CHARACTERS:
            return {"ok": False, "error": "msg_too_long"}
        self._post(body)
        return {"ok": True, "channel": CHANNEL, "ts": "1503435956.000247", "message": {"text": body["text"]}}

    def _post(self, body):
        text = body["text"]
        with self.changed:
            self.rang += _CONTROL.findall(text)
            self.raw.append(body)
            self.messages.append(html.unescape(text))
            self.changed.notify_all()
