"""Mail: what is sent to whom, what each answer of a server means, and that nothing tells the password."""

from __future__ import annotations

import contextlib
import logging
import threading
import time

import pytest

pytest.importorskip("aiosmtpd", reason="the server that mail is sent to")
pytest.importorskip("trustme", reason="makes certificates")


from tests.authority import made_authority
from tests.forked import ends_well_in_a_child, needs_fork
from tests.line_servers import LineServer, free_port
from tests.mail_server import DROP, HANG, OK, MailServer
from tests.patience import least
from tests.shown_errors import everything_shown
from time_execution.backends.messenger import MaybeSentError
from time_execution.backends.smtp import SMTPBackend
from time_execution.exceptions import BackendDenied, BackendUnavailable, ConfigurationError
from time_execution.types import STORED, Metric, Reject

PASSWORD = "hunter2-of-mail"
LOGIN = {"username": "shop", "password": PASSWORD}
PLAIN = {"starttls": False}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return made_authority(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture(autouse=True)
def _quiet_server(caplog):
    """The server logs what clients do to it, at length."""
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)


def make(port, *, sender="shop@example.org", recipients="ops@example.org", timeout=5.0, **options):
    return SMTPBackend("127.0.0.1", port, sender=sender, recipients=recipients, timeout=timeout, **options)


def record(message="boom", number=1):
    fields = {"name": "log", "level": "CRITICAL", "logger": "shop", "message": message}
    return Metric(fields, kind="event", id=f"0f-{number}")


def say(text):
    """Return what says a text to whoever connects, and hangs up."""

    def serve(connection):
        with connection:
            connection.sendall(text)

    return serve


def outcome_of(backend, *records):
    """Return the results of records, or what was raised for them."""
    try:
        return list(backend.write_many(records or [record()]))
    except Exception as exc:
        return exc


def test_a_record_is_a_mail_to_all_recipients():
    """With the headers that mail has, and a text that any reader shows."""
    with MailServer() as server:
        backend = make(
            server.port, sender="Café <shop@example.org>", recipients=["a@example.org", "B <b@example.org>"], **PLAIN
        )
        assert outcome_of(backend, record("Łódź\nsecond line\n.\n.. dots")) == [STORED]
    (mail,) = server.mails
    assert (mail.sender, mail.recipients) == ("shop@example.org", ("a@example.org", "b@example.org"))
    assert mail.subject == "CRITICAL shop: Łódź"
    assert mail.text == "CRITICAL shop: Łódź\n\nŁódź\nsecond line\n.\n.. dots\n"
    headers = {name: str(mail.message[name]) for name in mail.message}
    assert headers["From"] == "Café <shop@example.org>"
    assert headers["To"] == "a@example.org, B <b@example.org>"
    assert headers["Message-ID"] == "<0f-1@example.org>"
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["Date"].endswith("+0000")


@pytest.mark.parametrize(
    "attack", ["x\nBcc: all@example.org", "x\r\n\r\nbody", "x\r\n.\r\nMAIL FROM:<a@b>\r\n", "=?utf-8?q?x?="]
)
def test_a_record_adds_no_header_and_no_mail(attack):
    """Whatever its text is: one mail arrives, with the headers that were set, for the recipients that were set."""
    with MailServer() as server:
        fields = {"name": "log", "level": attack, "logger": attack, "message": attack, attack: attack}
        assert outcome_of(make(server.port, **PLAIN), Metric(fields, id="0f-1")) == [STORED]
    (mail,) = server.mails
    assert mail.recipients == ("ops@example.org",)
    assert len(mail.message.keys()) == 9
    assert "Bcc" not in mail.message


def test_records_of_a_batch_share_a_connection():
    """Which is closed when the batch is over."""
    with MailServer() as server:
        backend = make(server.port, **PLAIN)
        assert outcome_of(backend, *(record("x" * number, number) for number in range(5))) == [STORED] * 5
        assert server.connections == 1
        assert backend._session is None
        outcome_of(backend, record("another"))
        assert server.connections == 2


@pytest.mark.parametrize("options", [{}, LOGIN], ids=["anonymous", "login"])
def test_starttls_is_begun_before_anything_is_told(authority, options):
    """Mail and password go over the encrypted connection."""
    context, path = authority
    with MailServer(context=context, login=("shop", PASSWORD) if options else None) as server:
        assert outcome_of(make(server.port, ca_certs=path, **options)) == [STORED]
    assert server.mails[0].is_encrypted
    assert server.logins == (["shop"] if options else [])


def test_tls_from_the_start(authority):
    """As on port 465."""
    context, path = authority
    with MailServer(context=context, is_tls_at_once=True, login=("shop", PASSWORD)) as server:
        assert outcome_of(make(server.port, ssl=True, ca_certs=path, **LOGIN)) == [STORED]
    assert server.mails[0].is_encrypted


@pytest.mark.parametrize("is_tls_at_once", [True, False])
def test_a_certificate_that_is_not_trusted_is_refused(authority, is_tls_at_once):
    """Nothing is sent to whoever shows it."""
    with MailServer(context=authority[0], is_tls_at_once=is_tls_at_once, login=("shop", PASSWORD)) as server:
        error = outcome_of(make(server.port, ssl=is_tls_at_once, **LOGIN))
    assert type(error) is BackendDenied
    assert "certificate is not trusted" in str(error)
    assert (server.mails, server.logins) == ([], [])


def test_a_server_without_tls_gets_neither_mail_nor_password():
    """Somebody in between may have left STARTTLS out of its answer."""
    with MailServer(login=("shop", PASSWORD)) as server:
        error = outcome_of(make(server.port, **LOGIN))
    assert type(error) is BackendDenied
    assert "offers no TLS" in str(error)
    assert (server.mails, server.logins) == ([], [])


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"data": ["451 4.3.0 later"]}, BackendUnavailable),
        ({"data": ["421 4.3.0 going down"]}, BackendUnavailable),
        ({"data": [HANG]}, MaybeSentError),
        ({"data": [DROP]}, MaybeSentError),
        ({"sender": lambda _: "451 4.1.8 later"}, BackendUnavailable),
        ({"sender": lambda _: "553 5.1.8 who?"}, BackendDenied),
        ({"sender": lambda _: HANG}, BackendUnavailable),
        ({"sender": lambda _: DROP}, BackendUnavailable),
        ({"recipient": lambda _: "450 4.2.0 later"}, BackendUnavailable),
        ({"recipient": lambda _: "421 4.2.0 going down"}, BackendUnavailable),
        ({"recipient": lambda _: DROP}, BackendUnavailable),
        ({"login": ("shop", "another")}, BackendDenied),
    ],
)
def test_what_is_not_taken_now_is_sent_again(options, kind):
    """And what may have been taken is known as that."""
    login = LOGIN if "login" in options else {}
    with MailServer(**options) as server:
        assert type(outcome_of(make(server.port, timeout=0.5, **PLAIN, **login))) is kind


@pytest.mark.parametrize(
    "options",
    [
        {"data": ["554 5.7.1 spam"]},
        {"data": ["552 5.3.4 too large"]},
        {"sender": lambda _: "552 5.3.4 too large"},
        {"recipient": lambda _: "550 5.1.1 no such user"},
    ],
)
def test_what_is_refused_for_good_becomes_a_dead_letter(options):
    """The other records of the batch are tried all the same."""
    with MailServer(**options) as server:
        backend = make(server.port, **PLAIN)
        results = outcome_of(backend, record("a", 1), record("b", 2))
    assert [type(result) for result in results] == [Reject, Reject]
    assert {result.reason for result in results} == {"refused"}


def test_a_recipient_who_is_refused_for_good_keeps_it_from_no_other(caplog, wake_loggers):
    """It is counted, and told in a line."""
    wake_loggers("time_execution")
    with MailServer(recipient=lambda to: "550 5.1.1 no" if to.startswith("gone") else OK) as server:
        backend = make(server.port, recipients="gone@example.org, ops@example.org", **PLAIN)
        assert outcome_of(backend) == [STORED]
    assert server.mails[0].recipients == ("ops@example.org",)
    assert backend.stats()["refused"] == 1
    assert "refuses 1 of 2 recipients for good" in caplog.text
    assert "gone@example.org" not in caplog.text


def test_who_got_a_mail_does_not_get_it_again():
    """A record that is sent again for some of the recipients goes to those only, with the same Message-ID."""
    late = ["450 4.2.0 later", "450 4.2.0 later", OK]
    with MailServer(recipient=lambda to: late.pop(0) if to.startswith("slow") else OK) as server:
        backend = make(server.port, recipients="ops@example.org, slow@example.org", **PLAIN)
        assert type(outcome_of(backend)) is MaybeSentError
        assert type(outcome_of(backend)) is MaybeSentError
        assert outcome_of(backend) == [STORED]
    assert [mail.recipients for mail in server.mails] == [("ops@example.org",), ("slow@example.org",)]
    assert {str(mail.message["Message-ID"]) for mail in server.mails} == {"<0f-1@example.org>"}
    assert backend._partly_sent == {}


def test_a_server_that_goes_down_amid_the_recipients_has_sent_nothing():
    """Those it was not asked about did not get the mail; all of them get it later."""
    answers = ["421 4.3.0 going down", OK, OK]
    with MailServer(recipient=lambda _: answers.pop(0)) as server:
        backend = make(server.port, recipients="a@example.org, b@example.org", **PLAIN)
        assert type(outcome_of(backend)) is BackendUnavailable
        assert outcome_of(backend) == [STORED]
    assert [mail.recipients for mail in server.mails] == [("a@example.org", "b@example.org")]


def test_who_is_left_is_remembered_through_an_outage():
    """Also where the next attempt does not get as far as the recipients."""
    late = ["450 4.2.0 later", OK]
    senders = [OK, "451 4.1.8 later", OK]
    with MailServer(
        recipient=lambda to: late.pop(0) if to.startswith("slow") else OK, sender=lambda _: senders.pop(0)
    ) as server:
        backend = make(server.port, recipients="ops@example.org, slow@example.org", **PLAIN)
        assert type(outcome_of(backend)) is MaybeSentError
        assert type(outcome_of(backend)) is BackendUnavailable
        assert outcome_of(backend) == [STORED]
    assert [mail.recipients for mail in server.mails] == [("ops@example.org",), ("slow@example.org",)]


def test_a_refusal_after_others_got_it_is_no_failure():
    """The record was told."""
    late = ["450 4.2.0 later", "550 5.1.1 no"]
    with MailServer(recipient=lambda to: late.pop(0) if to.startswith("slow") else OK) as server:
        backend = make(server.port, recipients="ops@example.org, slow@example.org", **PLAIN)
        assert type(outcome_of(backend)) is MaybeSentError
        assert outcome_of(backend) == [STORED]
    assert backend.stats()["refused"] == 1


def test_where_nobody_listens_records_wait():
    """And the error says where to look."""
    error = outcome_of(make(free_port(), **PLAIN))
    assert type(error) is BackendUnavailable
    assert "cannot be reached" in str(error)


def test_an_answer_that_drips_is_not_waited_for():
    """The time-out is for each answer as a whole."""

    def drip(connection):
        with connection, contextlib.suppress(OSError):
            while not over.wait(0.05):
                connection.sendall(b"2")

    over = threading.Event()

    def wait():
        with LineServer("tcp", serve=drip) as server:
            began = time.monotonic()
            assert isinstance(outcome_of(make(server.port, timeout=0.5, **PLAIN)), BackendUnavailable)
            return time.monotonic() - began

    try:
        assert least(wait, 2.0) < 2.0
    finally:
        over.set()


@pytest.mark.parametrize("greeting", [b"554 5.3.2 no mail here\r\n", b"500 who are you\r\n"])
def test_a_server_that_is_none_for_us_is_asked_seldom(greeting):
    """It greets with a refusal."""
    with LineServer("tcp", serve=say(greeting)) as server:
        assert type(outcome_of(make(server.port, **PLAIN))) is BackendDenied


def test_what_is_no_mail_server_is_told_apart():
    """Its first words are none of the protocol."""
    with LineServer("tcp", serve=say(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        assert isinstance(outcome_of(make(server.port, **PLAIN)), BackendUnavailable)


@pytest.mark.parametrize(
    "options", [{"login": ("shop", "another")}, {"sender": lambda _: f"553 {PASSWORD}"}, {"data": [HANG]}]
)
def test_no_password_is_in_what_is_raised_shown_or_logged(options, caplog, wake_loggers):
    """Neither in an error or what is behind it, nor in repr and attributes."""
    wake_loggers("time_execution")
    with MailServer(**options) as server, caplog.at_level(logging.DEBUG, "time_execution"):
        backend = make(server.port, timeout=0.5, **PLAIN, **(LOGIN if "login" in options else {}))
        error = outcome_of(backend)
    shown = [everything_shown(error), repr(vars(error)), repr(backend), repr(vars(backend)), caplog.text]
    assert (error.__cause__, error.__context__) == (None, None)
    assert not [text for text in shown if PASSWORD in text]


def test_the_repr_names_the_server_and_how_many_recipients():
    """Addresses are nobody's business."""
    assert repr(make(None)) == "SMTPBackend(server='127.0.0.1:587', recipients=1)"
    assert repr(make(None, ssl=True)) == "SMTPBackend(server='127.0.0.1:465', recipients=1)"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"host": ""}, "host"),
        ({"host": "mail.example.org/x"}, "host"),
        ({"host": "mail example"}, "host"),
        ({"host": None}, "host"),
        ({"port": 0}, "port"),
        ({"port": "25"}, "port"),
        ({"username": "shop"}, "username and password"),
        ({"password": PASSWORD}, "password is of no use without username"),
        ({"username": 7, "password": PASSWORD}, "username and password"),
        ({"sender": "shop"}, "sender"),
        ({"sender": "shop@example.org\nBcc: x@y"}, "sender"),
        ({"sender": "shöp@example.org"}, "sender"),
        ({"sender": None}, "sender"),
        ({"recipients": ""}, "recipients"),
        ({"recipients": " , "}, "recipients"),
        ({"recipients": []}, "recipients"),
        ({"recipients": ["a@b", 7]}, "recipients"),
        ({"recipients": 7}, "recipients"),
        ({"recipients": "a@b, c"}, "recipients"),
        ({"recipients": "a@b c@d"}, "recipients"),
        ({"starttls": "no"}, "starttls"),
        ({"ssl": 1}, "ssl"),
        ({"ca_certs": "/nowhere.pem"}, "ca_certs"),
        ({"ca_certs": "/nowhere.pem", "starttls": False}, "ca_certs is of no use"),
        ({"timeout": 0}, "timeout"),
        ({"rate": 0}, "rate"),
        ({"interval": None}, "interval"),
    ],
)
def test_a_wrong_argument_is_refused_without_showing_a_secret(options, named):
    """When the backend is made; the error names the argument."""
    given = {"host": "mail.example.org", "sender": "shop@example.org", "recipients": "ops@example.org"} | options
    with pytest.raises(ConfigurationError, match=named) as caught:
        SMTPBackend(**given)
    assert PASSWORD not in everything_shown(caught.value)


@needs_fork
def test_a_child_sends_on_its_own():
    """After a fork, both go on."""
    with MailServer() as server:
        backend = make(server.port, **PLAIN)
        assert outcome_of(backend, record("parent")) == [STORED]
        assert ends_well_in_a_child(lambda: outcome_of(backend, record("child")) == [STORED] or pytest.fail("not sent"))
        server.wait_for(2)
    assert [mail.subject for mail in server.mails] == ["CRITICAL shop: parent", "CRITICAL shop: child"]
