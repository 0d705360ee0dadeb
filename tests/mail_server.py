"""A real SMTP server in this process, aiosmtpd, that takes mail, or answers by script."""

from __future__ import annotations

import asyncio
import email
import ssl
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from typing import Any

import pytest

pytest.importorskip("aiosmtpd", reason="the server that mail is sent to")
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

OK = "250 OK"
HANG = "hang"
"""Never answer, until the server is closed."""
DROP = "drop"
"""Hang up without a word."""


@dataclass(frozen=True)
class Received:
    """A mail with its envelope."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    is_encrypted: bool

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.content, policy=POLICY)  # type: ignore[return-value]

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        return str(self.message.get_content()).replace("\r\n", "\n")


class MailServer:
    """Listens on 127.0.0.1 from entering to leaving the ``with`` block.

    Args:
        context: For TLS.
        is_tls_at_once: Speak it from the start, instead of after STARTTLS.
        login: The user and the password that it wants.
        sender: Takes the address of the sender and returns what to answer.
        recipient: Takes the address of a recipient and returns what to answer.
        data: What to answer to mails, in turn; the last one from then on.

    Attributes:
        mails: What it took.
        logins: Users who tried to log in.
        connections: How many there were.
    """

    def __init__(
        self,
        *,
        context: ssl.SSLContext | None = None,
        is_tls_at_once: bool = False,
        login: tuple[str, str] | None = None,
        sender: Callable[[str], str] = lambda _: OK,
        recipient: Callable[[str], str] = lambda _: OK,
        data: Any = (OK,),
    ) -> None:
        self.mails: list[Received] = []
        self.logins: list[str] = []
        self.connections = 0
        self.data = list(data)
        self.sender, self.recipient = sender, recipient
        self.changed = threading.Condition()
        self._login = login
        self._options: dict[str, Any] = {"hostname": "localhost", "enable_SMTPUTF8": False}
        self._at_once = context if is_tls_at_once else None
        if context is not None and not is_tls_at_once:
            self._options |= {"tls_context": context, "require_starttls": login is None}
        if login is not None:
            self._options |= {
                "authenticator": self._check,
                "auth_required": True,
                "auth_require_tls": not is_tls_at_once,
            }
            if context is None:
                self._options["auth_require_tls"] = False

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            self._loop.create_server(self._protocol, "127.0.0.1", 0, ssl=self._at_once)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def wait_for(self, count, timeout=20.0):
        """Wait until it has taken so many mails."""
        with self.changed:
            came = self.changed.wait_for(lambda: len(self.mails) >= count, timeout)
        assert came, f"{len(self.mails)} mails came, not {count}"

    async def _stop(self):
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _protocol(self):
        self.connections += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about passwords without TLS, which tests are about
            return SMTP(_Handler(self), loop=self._loop, **self._options)

    def _check(self, server, session, envelope, mechanism, data):
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login.decode())
        success = (data.login.decode(), data.password.decode()) == self._login
        return AuthResult(success=success, handled=success)


class _Handler:
    def __init__(self, owner):
        self.owner = owner

    async def handle_MAIL(self, server, session, envelope, address, options):
        answer = await self._answer(server, self.owner.sender(address))
        if answer == OK:
            envelope.mail_from = address
        return answer

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = await self._answer(server, self.owner.recipient(address))
        if answer == OK:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope):
        owner = self.owner
        with owner.changed:
            answer = owner.data.pop(0) if len(owner.data) > 1 else owner.data[0]
            if answer in {OK, HANG, DROP}:
                is_encrypted = session.ssl is not None or owner._at_once is not None
                received = Received(envelope.mail_from, tuple(envelope.rcpt_tos), envelope.content, is_encrypted)
                owner.mails.append(received)
                owner.changed.notify_all()
        return await self._answer(server, answer)

    async def _answer(self, server, answer):
        if answer == HANG:
            await asyncio.sleep(600)
        if answer == DROP:
            with suppress(OSError):
                server.transport.abort()
            await asyncio.sleep(0)
        return answer
