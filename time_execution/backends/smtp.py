"""`SMTPBackend`: tells people by mail what has happened."""

from __future__ import annotations

import contextlib
import os
import re
import smtplib
import socket
import ssl as tls
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from typing import Any, ClassVar

from time_execution.address import Host
from time_execution.argument_check import check_ports, check_switches, check_use
from time_execution.backends.messenger import MaybeSentError, MessengerBackend
from time_execution.bounded_socket import BoundedSocket, tls_context
from time_execution.exceptions import (
    BackendDenied,
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
)
from time_execution.formats.notice import Mail, Notice, mail_of

_PORT, _TLS_PORT = 587, 465
_READY = 220
_FIRST_PERMANENT = 500
_TOO_LARGE = 552
_LONGEST_ADDRESS = 320
_MOST_PARTLY_SENT = 100
_ADDRESS = re.compile(r"[!-?A-~]+@[!-?A-~]+")


class SMTPBackend(MessengerBackend):
    """Send mail for records, few of a kind and few in all, and summaries of the rest.

    For destinations of the log, and for alerts: each record is a mail to all recipients, unless one of its kind was
    sent within `interval`, or `rate` mails were. Those that are held back are counted, and a summary tells exactly how
    many.
    What a record holds gets into no header but the subject, and there as one line.

    A write blocks until the server has taken the mail, so put the backend behind a `ThreadedBackend`, as the log does;
    its worker sends the summaries, too. Each batch has a connection. Thread-safe and fork-safe; each process has limits
    of its own.

    Args:
        host: The server.
        port: By default 587, with `ssl` 465.
        username: For the login; without it, there is none.
        password: For the login.
        sender: From whom: ``shop@example.org`` or ``Shop <shop@example.org>``.
        recipients: To whom: one, several with commas between them, or a list.
        starttls: Whether to begin TLS after connecting, and give up where the server has none. Without it and `ssl`,
            anybody in between may read mails and password.
        ssl: Whether to speak TLS from the start, as on port 465.
        interval: Seconds in which one kind is told once.
        rate: How many mails an interval has, summaries aside.
        timeout: The longest wait for an answer, in seconds.
        ca_certs: A file of the authorities to trust instead of the system's.

    Raises:
        ConfigurationError: When an argument is wrong, or does not go with another one.

    Example:
        >>> SMTPBackend("mail.example.org", sender="shop@example.org", recipients="ops@example.org, boss@example.org")
        SMTPBackend(server='mail.example.org:587', recipients=2)
    """

    repr_fields: ClassVar[tuple[str, ...]] = ("server", "recipients")

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        username: str | None = None,
        password: str | None = None,
        sender: str,
        recipients: str | Sequence[str],
        starttls: bool = True,
        ssl: bool = False,
        interval: float = 300.0,
        rate: int = 10,
        timeout: float = 10.0,
        ca_certs: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(interval=interval, rate=rate, timeout=timeout)
        check_switches(starttls=starttls, ssl=ssl)
        place = Host(_host(host), (_TLS_PORT if ssl else _PORT) if port is None else port)
        check_ports(port=place.port)
        if not (starttls or ssl):
            check_use("without starttls and ssl", ca_certs=ca_certs)
        self.server = str(place)
        self._from = _address("sender", sender)
        self._to = _addresses(recipients)
        self.recipients = len(self._to)
        context = tls_context(ca_certs) if starttls or ssl else None
        self._open = _opener(place, login=_login(username, password), context=context, at_once=ssl)
        self._refused = 0

    def _begin(self) -> None:
        super()._begin()
        self._session: _Session | None = None
        # To whom a mail is still to be sent that others have got already, by its key.
        self._partly_sent: OrderedDict[str, Sequence[Address]] = OrderedDict()

    def stats(self) -> dict[str, Any]:
        """Return what the base does, and ``refused`` (how often a recipient was refused for good)."""
        return super().stats() | {"refused": self._refused}

    def _send(self, told: Notice, key: str | None, timeout: float) -> None:
        to = self._partly_sent.pop(key or "", self._to)
        message = _message(mail_of(told), sender=self._from, recipients=self._to, key=key)
        error: BackendError | None = None
        refused: Mapping[str, tuple[int, bytes]] = {}
        try:
            if self._session is None:
                self._session = self._open(timeout)
            refused = self._session.deliver(self._from.addr_spec, [each.addr_spec for each in to], message)
        except (smtplib.SMTPException, OSError, ValueError) as exc:
            error = _meaning_of(exc, self._session, server=self.server)
        if error is None:
            self._judge(refused, to, key)
            return
        if not isinstance(error, BackendRejected):
            self._release(0.0)
            self._remember(key, to)
        raise error

    def _judge(self, refused: Mapping[str, tuple[int, bytes]], to: Sequence[Address], key: str | None) -> None:
        """Act on recipients that were refused, of those a mail was for.

        Raises:
            BackendError: When it is to be sent again, or will never be taken for anybody.
        """
        later = [each for each in to if each.addr_spec in refused and refused[each.addr_spec][0] < _FIRST_PERMANENT]
        never, has_got_it = len(refused) - len(later), len(refused) < len(to) or to is not self._to
        if never:
            self._refused += never
            self._log.tell("refused", f"SMTPBackend: {self.server} refuses {never} of {len(to)} recipients for good")
        if later and not has_got_it:
            raise BackendUnavailable(f"{self.server} takes no mail for {len(later)} of the recipients now")
        if later and key is not None:
            self._remember(key, later)
            raise MaybeSentError(f"{self.server} takes no mail for {len(later)} of the recipients now")
        if not has_got_it:
            raise BackendRejected(f"{self.server} takes no mail for any of the recipients; check recipients")

    def _remember(self, key: str | None, to: Sequence[Address]) -> None:
        if key is not None and to is not self._to:
            self._partly_sent[key] = to
            if len(self._partly_sent) > _MOST_PARTLY_SENT:
                self._partly_sent.popitem(last=False)

    def _release(self, timeout: float) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.leave(timeout)


class _Session(smtplib.SMTP):
    """A connection to a server, of which no answer is waited for longer than the time-out.

    Attributes:
        has_begun: Whether a mail is on its way, and not yet answered.
    """

    has_begun = False

    def getreply(self) -> tuple[int, bytes]:
        """Return the next answer.

        Raises:
            OSError: When it does not come in time, or the connection breaks.
        """
        sock: Any = self.sock
        if sock is not None:
            if not hasattr(sock, "renew"):  # TLS makes its own
                sock = self.sock = BoundedSocket.of(sock)
            sock.renew()
        return super().getreply()

    def greet(self, place: Host) -> None:
        """Connect.

        Raises:
            SMTPConnectError: When the server is not ready.
            OSError: When there is none.
        """
        self._host = place.name  # what TLS checks the certificate for
        code, said = self.connect(place.name, place.port or 0)
        if code != _READY:
            raise smtplib.SMTPConnectError(code, said)

    def data(self, msg: Any) -> tuple[int, bytes]:
        """Send the mail itself, and return the server's answer."""
        self.has_begun = True
        code, said = super().data(msg)
        self.has_begun = False
        return code, said

    def deliver(self, sender: str, recipients: Sequence[str], message: bytes) -> Mapping[str, tuple[int, bytes]]:
        """Send a mail, and return who was refused, and by what; it was sent to the others if there are any.

        A server that hangs up amid the recipients, as it does with 421, has refused them all.

        Raises:
            SMTPException: When the server does not take it.
            OSError: When the connection breaks.
        """
        try:
            return self.sendmail(sender, recipients, message)
        except smtplib.SMTPRecipientsRefused as exc:
            if self.sock is None:
                raise smtplib.SMTPServerDisconnected from exc
            return exc.recipients

    def leave(self, timeout: float) -> None:
        """Take leave and close; does not raise.

        Args:
            timeout: The longest wait for the server's farewell, in seconds; with 0, hang up.
        """
        with contextlib.suppress(smtplib.SMTPException, OSError, ValueError):
            if timeout > 0 and self.sock is not None:
                self.sock.settimeout(timeout)
                self.quit()
        self.close()


class _SessionWithTLS(_Session, smtplib.SMTP_SSL):
    """The same, with TLS from the start."""


def _opener(
    place: Host, *, login: tuple[str, str] | None, context: tls.SSLContext | None, at_once: bool
) -> Callable[[float], _Session]:
    """Return the function that connects and logs in; being one, it shows nobody the password."""
    name = socket.gethostname()
    # Not what the client would do, which asks for the name of this machine on the network, however long that takes.
    greeting = name if "." in name else "[127.0.0.1]"

    def connect(timeout: float) -> _Session:
        options: dict[str, Any] = {"timeout": timeout, "local_hostname": greeting}
        session = _SessionWithTLS(context=context, **options) if at_once else _Session(**options)
        try:
            session.greet(place)
            if context is not None and not at_once:
                session.starttls(context=context)
            if login is not None:
                session.login(*login)
                session.user = session.password = None  # type: ignore[assignment]  # which the client keeps
        except BaseException:
            session.close()
            raise
        return session

    return connect


_MEANINGS: tuple[tuple[type[Exception], type[BackendError], str], ...] = (
    (tls.SSLCertVerificationError, BackendDenied, "its certificate is not trusted; check host and ca_certs"),
    (tls.SSLError, BackendUnavailable, "TLS failed; check port, starttls and ssl"),
    (TimeoutError, BackendTimeout, "no answer in time; check host and port"),
    (
        smtplib.SMTPServerDisconnected,
        BackendUnavailable,
        "it hung up, or did not answer in time; check port, starttls and ssl",
    ),
    (Exception, BackendUnavailable, "it cannot be reached; check host and port"),
)
"""What the client's exceptions mean where there is no answer, the first that fits."""


def _meaning_of(exc: Exception, session: _Session | None, *, server: str) -> BackendError:
    """Return what an exception of the client means, in words of our own."""
    if isinstance(exc, smtplib.SMTPResponseException):
        return _refusal(exc, server)
    if isinstance(exc, smtplib.SMTPNotSupportedError):
        return BackendDenied(f"{server} offers no TLS, or no login; check port, starttls, ssl and username")
    if session is not None and session.has_begun:
        return MaybeSentError(f"{server} did not say whether it took the mail")
    return next(error(f"{server}: {text}") for kind, error, text in _MEANINGS if isinstance(exc, kind))


def _refusal(exc: smtplib.SMTPResponseException, server: str) -> BackendError:
    """Return what an answer of the server means: one from 500 on is for good."""
    code = exc.smtp_code
    said = f"{server} answered {code}"
    if code < _FIRST_PERMANENT:
        return BackendUnavailable(f"{said}: not now")
    if isinstance(exc, smtplib.SMTPAuthenticationError):
        return BackendDenied(f"{said}: it refuses the login; check username and password")
    if isinstance(exc, smtplib.SMTPSenderRefused) and code != _TOO_LARGE:
        return BackendDenied(f"{said}: it refuses the sender; check sender, and whether it wants a login")
    if isinstance(exc, (smtplib.SMTPSenderRefused, smtplib.SMTPDataError)):
        return BackendRejected(f"{said}: it does not take this mail")
    return BackendDenied(f"{said}: it does not take mail from here; check host and port")


def _message(mail: Mail, *, sender: Address, recipients: Sequence[Address], key: str | None) -> bytes:
    """Return a mail as it goes over the wire.

    The same key makes the same ``Message-ID``, by which readers know what came twice.
    """
    message = EmailMessage(policy=SMTP)
    message["Subject"] = mail.subject
    message["From"] = sender
    message["To"] = tuple(recipients)
    message["Date"] = datetime.now(timezone.utc)
    message["Message-ID"] = f"<{key or uuid.uuid4().hex}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is to answer
    message.set_content(mail.body, cte="quoted-printable")
    return message.as_bytes()


def _host(host: Any) -> str:
    if not isinstance(host, str) or not re.fullmatch(r"[!-~]+", host) or "/" in host or "@" in host:
        raise ConfigurationError("host must be the name or the IP address of a server")
    return host


def _login(username: Any, password: Any) -> tuple[str, str] | None:
    if username is None:
        check_use("without username", password=password)
        return None
    if not isinstance(username, str) or not isinstance(password, str):
        raise ConfigurationError("username and password must be texts, both of them")
    return username, password


def _addresses(given: Any) -> tuple[Address, ...]:
    texts = given.split(",") if isinstance(given, str) else given
    if not isinstance(texts, (list, tuple)):
        raise ConfigurationError("recipients must be a text or a list of texts")
    found = tuple(_address("recipients", text) for text in texts if not (isinstance(text, str) and not text.strip()))
    if not found:
        raise ConfigurationError("recipients must name somebody")
    return tuple({each.addr_spec: each for each in found}.values())


def _address(key: str, given: Any) -> Address:
    """Return an address, with the name before it if there is one."""
    if isinstance(given, str) and given.isprintable() and len(given) <= _LONGEST_ADDRESS:
        name, address = parseaddr(given)
        if _ADDRESS.fullmatch(address):
            with contextlib.suppress(ValueError, IndexError):  # of the standard library's own parser
                return Address(name, addr_spec=address)
    raise ConfigurationError(f"{key} must be written name@host or Name <name@host>, in ASCII but for the name")
