"""`SMTPBackend` behind a queue, against a real server in this process: with TLS and logins, and with all that fails."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

pytest.importorskip("aiosmtpd", reason="the server that mail is sent to")
pytest.importorskip("trustme", reason="makes certificates")


from tests.authority import made_authority
from tests.faults.harness import check_conservation
from tests.log_records import record
from tests.mail_server import DROP, HANG, OK, MailServer
from tests.secret_corpus import PLANTED
from tests.services.brokers import DEADLINE
from time_execution.backends.smtp import SMTPBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.formats.redaction import REDACTOR

SOON = Backoff(base=0.05, cap=0.2)
ROOM: dict[str, Any] = {"queue_maxsize": 20_000, "max_bytes": None}  # for all of a test at once
LOGIN = ("shop", "hunter2-of-mail")


@pytest.fixture(autouse=True)
def _quiet_server():
    """The server logs what clients do to it, at length."""
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return made_authority(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture
def make():
    """Make queues in front of a server."""
    made = []

    def make(server, **options):
        given = {"sender": "shop@example.org", "recipients": "ops@example.org", "timeout": 5.0, "starttls": False}
        backend = SMTPBackend("localhost", server.port, **(given | options))
        made.append(ThreadedBackend(backend, bulk_timeout=0.01, queue_timeout=0.05, retry=SOON, **ROOM))
        return made[-1]

    yield make
    for queue in made:
        queue.close(5.0)


def critical(number=None, **changes):
    return record(number, **({"level": "CRITICAL", "exception": None} | changes))


@pytest.mark.parametrize("is_tls_at_once", [True, False], ids=["ssl", "starttls"])
def test_mail_over_tls_with_a_login(authority, make, is_tls_at_once):
    """The certificate is checked against the host as it was written."""
    context, path = authority
    with MailServer(context=context, is_tls_at_once=is_tls_at_once, login=LOGIN) as server:
        options = {"ssl": is_tls_at_once, "starttls": not is_tls_at_once, "ca_certs": path}
        queue = make(server, username=LOGIN[0], password=LOGIN[1], **options)
        queue.enqueue(critical(1))
        assert queue.flush(DEADLINE)
    (mail,) = server.mails
    assert mail.is_encrypted
    assert mail.subject == "CRITICAL proletto (production): boom 1"
    assert "in: database_service.connect, line 45\n" in mail.text


def test_ten_thousand_identical_records_are_one_mail_and_one_summary(make):
    """L5: the summary has the exact number."""
    with MailServer() as server:
        queue = make(server)
        for _ in range(10_000):
            queue.enqueue(critical())
        assert queue.flush(DEADLINE)
        assert len(server.mails) == 1
        check_conservation(queue.stats(), offered=10_000, pending=0)
        queue.close(10.0)
    assert [mail.subject.partition(" in the last")[0] for mail in server.mails[1:]] == ["9999 more messages"]
    assert "\n9999 times: CRITICAL proletto (production): Failed to connect to database\n" in server.mails[1].text


def test_ten_thousand_different_records_are_no_more_mails_than_the_rate(make):
    """L5: and one summary with the rest of them."""
    with MailServer() as server:
        queue = make(server, rate=5)
        for number in range(10_000):
            queue.enqueue(critical(message="boom " + "x" * (number % 500), function=f"f{number // 500}"))
        assert queue.flush(DEADLINE)
        assert len(server.mails) == 5
        queue.close(10.0)
    assert [mail.subject.partition(" in the last")[0] for mail in server.mails[5:]] == ["9995 more messages"]


@pytest.mark.parametrize("failure", ["451 4.3.0 later", "421 4.3.0 going down", HANG, DROP])
def test_what_fails_for_a_while_arrives_all_the_same(make, failure):
    """A refusal for now is sent again; where the answer was lost, the same mail may come twice, and its id tells."""
    with MailServer(data=[failure, failure, OK]) as server:
        queue = make(server, timeout=0.3)
        for label in "ab":
            queue.enqueue(critical(message=f"boom {label}"))
        assert queue.flush(DEADLINE), queue.stats()
        stats = queue.stats()
    assert (stats["delivered"], stats["dropped"]) == (2, {})
    ids = [str(mail.message["Message-ID"]) for mail in server.mails]
    assert len(set(ids)) == 2
    assert len(ids) == (2 if failure[0].isdigit() else 4)


def test_what_is_refused_for_good_is_a_dead_letter_and_harms_no_other(make, tmp_path):
    """With the server's code, and not its words."""
    with MailServer(data=["554 5.7.1 hunter2 is spam", OK]) as server:
        given = {"sender": "shop@example.org", "recipients": "ops@example.org", "starttls": False}
        backend = SMTPBackend("localhost", server.port, **given)
        with ThreadedBackend(backend, bulk_timeout=0.01, dead_letters=tmp_path / "letters") as queue:
            for label in "ab":
                queue.enqueue(critical(message=f"boom {label}"))
            assert queue.flush(DEADLINE)
            assert queue.stats()["dropped"] == {"refused": 1}
    letters = (tmp_path / "letters").read_text(encoding="utf-8")
    assert "answered 554" in letters
    assert "hunter2" not in letters
    assert [mail.subject.rpartition(" ")[2] for mail in server.mails] == ["b"]


def test_a_server_that_hangs_holds_up_neither_caller_nor_exit(make):
    """Writes take no longer, closing is bounded, and what was not told is counted."""
    with MailServer(sender=lambda _: HANG) as server:
        queue = make(server, timeout=30.0)
        waits = []
        for label in "abc":
            began = time.perf_counter()
            queue.enqueue(critical(message=f"boom {label}"))
            waits.append(time.perf_counter() - began)
        began = time.monotonic()
        queue.close(0.5)
        assert time.monotonic() - began < 5.0
        assert queue.undelivered() == 3
    assert min(waits) < 0.005


def test_no_planted_secret_arrives_and_no_header_is_forged(make):
    """S7, S10: whatever records hold."""
    with MailServer() as server:
        queue = make(server, rate=1000)
        for number, (_, value) in enumerate(PLANTED):
            attack = f"{'m' * number}\r\nBcc: all@example.org\r\n\r\n{value}"
            queue.enqueue(critical(message=attack, logger=attack, given=REDACTOR.redact(value)))
        assert queue.flush(DEADLINE)
    text = "\n".join(mail.text for mail in server.mails)
    assert len(server.mails) >= len(PLANTED) // 2
    assert not [secret for secret, _ in PLANTED if secret in text]
    assert {mail.recipients for mail in server.mails} == {("ops@example.org",)}
    assert not [mail for mail in server.mails if "Bcc" in mail.message]
