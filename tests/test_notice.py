"""What people are told of a record: short, safe to show anywhere, and of the right kind."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.secret_corpus import PLANTED, SLACK_PATH
from time_execution.formats.notice import (
    MAX_LINE,
    MAX_LINES,
    MAX_TITLE,
    Notice,
    fingerprint_of,
    mail_of,
    notice,
    slack_text,
    summary_notice,
    title_of,
)
from time_execution.formats.snapshot import snapshot
from time_execution.notice_limit import Summary
from time_execution.testing.hostile import HOSTILE_KEYS, HOSTILE_NAMES, hostile_values
from time_execution.types import Metric

MOMENT = datetime(2025, 5, 10, 6, 35, 12, 548000, tzinfo=timezone.utc)
RECORD = {
    "name": "log",
    "timestamp": MOMENT,
    "level": "CRITICAL",
    "logger": "proletto",
    "message": "Failed to connect to database",
    "module": "database_service",
    "function": "connect",
    "line": 45,
    "process_id": 1234,
    "thread_id": 5678,
    "environment": "production",
    "exception": {
        "type": "ConnectionError",
        "message": "Connection refused",
        "traceback": [
            "Traceback (most recent call last):\n",
            '  File "/app/database_service.py", line 45, in connect\n    self.open()\n',
            '  File "/app/sockets.py", line 7, in open\n    raise ConnectionError\n',
            "ConnectionError: Connection refused\n",
        ],
    },
    "user_id": "12345",
    "_template": "Failed to connect to %s",
}
ALERT = {
    "name": "alert",
    "timestamp": MOMENT,
    "metric": "cpu_percent",
    "level": "critical",
    "state": "firing",
    "message": "critical: cpu_percent is 97 %, beyond 95 % for 5 min",
    "observed": 97.0,
    "threshold": 95.0,
}
TEXTS = st.one_of(st.text(max_size=300), st.text("<>&!@#|`*_~\r\n\t\0\x1b\u2028\ud800", max_size=300))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=10,
)
RECORDS = st.builds(
    lambda known, more: more | known,
    st.fixed_dictionaries({}, optional={key: st.one_of(TEXTS, VALUES) for key in [*RECORD, "place", "error_type"]}),
    st.dictionaries(st.text(max_size=10), VALUES, max_size=4),
)


def shown_by(found):
    return "\n".join([found.title, *found.lines])


def with_(record, **changes):
    return {**record, **changes}


def test_a_line_of_the_log_says_what_happened_where_and_when():
    """The title is the level, the logger and the message; the traceback comes last, `_` fields never."""
    found = notice(RECORD)
    assert found.title == "CRITICAL proletto (production): Failed to connect to database (ConnectionError)"
    assert found.lines == (
        "in: database_service.connect, line 45",
        "at: 2025-05-10T06:35:12.548000Z",
        "process_id: 1234",
        "thread_id: 5678",
        "user_id: 12345",
        "",
        "Traceback (most recent call last):",
        '  File "/app/database_service.py", line 45, in connect',
        "    self.open()",
        '  File "/app/sockets.py", line 7, in open',
        "    raise ConnectionError",
        "ConnectionError: Connection refused",
    )
    assert title_of(RECORD) == found.title


def test_an_alert_is_told_in_its_own_words():
    """Its message says everything; the figures follow."""
    found = notice(ALERT)
    assert found.title == "ALERT critical: cpu_percent is 97 %, beyond 95 % for 5 min"
    assert found.lines[1:] == ("metric: cpu_percent", "state: firing", "observed: 97.0", "threshold: 95.0")


def test_an_error_event_names_type_and_place():
    """As the pipeline has them, with the traceback as one text."""
    event = {"name": "error", "type": "KeyError", "place": "shop.cart.total", "message": "'sku'", "traceback": "a\nb"}
    found = notice(event)
    assert found.title == "error: KeyError at shop.cart.total: 'sku'"
    assert found.lines == ("in: shop.cart.total", "name: error", "", "a", "b")


def test_any_other_metric_is_told_by_name_and_value():
    """Whatever comes, something is told."""
    assert notice(Metric({"name": "queue.length", "value": 7})).title == "queue.length: 7"


def test_a_message_of_several_lines_is_told_in_full():
    """The title has the first line, and the lines have all of them."""
    found = notice(with_(RECORD, message="First\r\nSecond"))
    assert found.title.endswith(": First (ConnectionError)")
    assert found.lines[:2] == ("First", "Second")


@given(RECORDS)
def test_any_record_makes_a_short_notice(record):
    """Whatever its fields hold, the notice is made, within its bounds, and the record is as it was."""
    before = repr(record)
    found = notice(record)
    assert len(found.title) <= MAX_TITLE
    assert len(found.lines) <= MAX_LINES
    assert all(len(line) <= MAX_LINE for line in found.lines)
    assert re.fullmatch("[0-9a-f]{32}", found.fingerprint)
    assert found.fingerprint == fingerprint_of(record)
    assert not re.search("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", "".join([found.title, *found.lines]))
    assert repr(record) == before


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_hostile_messages_are_one_line_of_the_title(name):
    """What a reader would act on is shown by its escape."""
    found = notice({"name": "log", "level": "CRITICAL", "message": name, "logger": name})
    assert len(found.title.splitlines()) == 1
    found.title.encode()


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=ascii)
def test_hostile_keys_are_shown(key):
    """A field may have any name."""
    assert all(len(line.splitlines()) <= 1 for line in notice({"name": "log", "level": "X", key: "y"}).lines)


@pytest.mark.parametrize("kind", hostile_values())
def test_hostile_values_are_told_of(kind):
    """A value that no reader would know is shown in some form, and harms no other."""
    record = {"name": "log", "level": "X", "message": hostile_values()[kind], "more": hostile_values()[kind]}
    found = notice(snapshot(record))
    assert found.title.startswith("X: ")


def test_of_much_the_beginning_is_told_and_of_a_traceback_the_end():
    """Where it happened stands at the end of a traceback."""
    traceback = [f"line {number}\n" for number in range(500)]
    fields = {f"field {number}": "x" * 5000 for number in range(100)}
    found = notice(
        {"name": "log", "level": "X", "message": "m", "exception": {"type": "E", "traceback": traceback}} | fields
    )
    assert found.lines[-1] == "line 499"
    assert "… and 80 more fields" in found.lines
    assert len(slack_text(found)) <= 4000


# ---- kinds ----------------------------------------------------------------------------------------------------------


def test_the_same_error_has_the_same_fingerprint():
    """Numbers, moments, messages and line numbers change from one time to the next."""
    again = with_(RECORD, message="Failed for 17", timestamp=None, line=48, user_id="9", process_id=7)
    moved = [line.replace("line 7", "line 11") for line in RECORD["exception"]["traceback"]]
    again["exception"] = with_(RECORD["exception"], message="Refused 99", traceback=moved)
    assert fingerprint_of(again) == fingerprint_of(RECORD)


@pytest.mark.parametrize(
    "change",
    [
        {"exception": with_(RECORD["exception"], type="TimeoutError")},
        {"exception": with_(RECORD["exception"], traceback=['  File "/app/other.py", line 7, in open\n'])},
        {"exception": with_(RECORD["exception"], traceback=['  File "/app/sockets.py", line 7, in close\n'])},
    ],
)
def test_another_type_or_place_is_another_kind(change):
    """Of an exception its type and the last frame count."""
    assert fingerprint_of(with_(RECORD, **change)) != fingerprint_of(RECORD)


def test_lines_without_an_exception_are_of_a_kind_by_their_template():
    """Or by their text without its numbers, and by where they were logged."""
    line = {
        "name": "log",
        "level": "CRITICAL",
        "logger": "shop",
        "message": "Order 17 lost",
        "function": "f",
        "line": 3,
    }
    assert fingerprint_of(with_(line, message="Order 4711 lost", line=5)) == fingerprint_of(line)
    for change in ({"message": "Order lost"}, {"logger": "bank"}, {"function": "g"}, {"module": "m"}):
        assert fingerprint_of(with_(line, **change)) != fingerprint_of(line)
    template = with_(line, _template="Order of %s lost")
    assert fingerprint_of(with_(template, message="Order of Ann lost")) == fingerprint_of(template)


def test_an_alert_is_of_no_kind_but_its_own():
    """Firing, over, and firing again within minutes are three things to know."""
    later = MOMENT.replace(minute=40)
    alerts = [
        ALERT,
        with_(ALERT, state="resolved"),
        with_(ALERT, timestamp=later),
        with_(ALERT, metric="memory_percent"),
    ]
    assert len({fingerprint_of(alert) for alert in alerts}) == 4
    assert fingerprint_of(dict(ALERT)) == fingerprint_of(ALERT)


# ---- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("secret", "value"), PLANTED)
def test_no_planted_secret_is_told(secret, value):
    """Neither in a field, nor as the message, nor in a traceback; neither in a notice nor in a title."""
    record = with_(RECORD, given=value, message=str(value), exception={"type": "E", "traceback": [f"E: {value}"]})
    for shown in (shown_by(notice(record)), title_of(record)):
        assert secret not in shown


def test_the_path_of_a_webhook_is_not_told():
    """As the error texts of HTTP clients have it."""
    text = f"Max retries exceeded with url: /services/{SLACK_PATH}"
    assert SLACK_PATH not in shown_by(notice(with_(RECORD, message=text)))


# ---- summaries ------------------------------------------------------------------------------------------------------


def test_a_summary_has_all_numbers():
    """Kinds beyond the first twenty count together, so that the lines add up to the title."""
    summaries = [Summary(str(number), f"title {number}", 100 - number, 40.0 + number) for number in range(50)]
    found = summary_notice(summaries, now=340.0)
    total = sum(summary.suppressed for summary in summaries)
    assert found.title == f"{total} more messages in the last 5 min"
    assert found.lines[0] == "100 times: title 0"
    assert found.lines[-1].endswith(": 30 other kinds")
    assert sum(int(line.split()[0]) for line in found.lines) == total


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "1 s"), (1, "1 s"), (119, "119 s"), (121, "3 min"), (7200, "120 min")]
)
def test_a_span_is_told_rounded(seconds, told):
    """In seconds up to two minutes, then in minutes."""
    assert summary_notice([Summary("a", "a", 1, 0.0)], now=seconds).title == f"1 more message in the last {told}"


# ---- Slack ----------------------------------------------------------------------------------------------------------


@given(RECORDS)
def test_nothing_in_a_slack_text_is_a_control_sequence(record):
    """The three characters that Slack acts on appear only as the entities that it asks for."""
    text = slack_text(notice(record))
    assert len(text) <= 4000
    assert "<" not in text
    assert ">" not in text
    assert "&" not in re.sub("&(amp|lt|gt);", "", text)


@pytest.mark.parametrize(
    "attack",
    ["<!channel>", "<!here|here>", "<@U024BE7LH>", "<#C024BE7LR|x>", "<https://evil.example|bank>", "&lt;!all&gt;"],
)
def test_mentions_and_links_are_shown_as_they_are_written(attack):
    """In the title, in a field and in a traceback alike."""
    record = with_(RECORD, message=attack, user=attack, exception={"type": "E", "traceback": [attack]})
    text = slack_text(notice(record))
    assert attack not in text
    escaped = attack.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert text.count(escaped) == 3


def test_a_slack_text_is_cut_at_a_line():
    """Never inside an entity."""
    told = Notice("&" * 100, tuple("&" * 300 for _ in range(20)), "")
    text = slack_text(told)
    assert len(text) <= 4000
    assert text.endswith("\n…")
    assert set(text.split("\n")) <= {"&amp;" * 100, "&amp;" * 300, "…"}


# ---- mail -----------------------------------------------------------------------------------------------------------


@given(RECORDS)
def test_a_subject_is_one_header(record):
    """Whatever a record holds, the message has the headers that were set, and reads back."""
    mail = mail_of(notice(record))
    message = EmailMessage(policy=SMTP)
    message["Subject"] = mail.subject
    message["To"] = "ops@example.org"
    message.set_content(mail.body, cte="quoted-printable")
    head, _, _ = message.as_bytes().partition(b"\r\n\r\n")
    names = re.findall(rb"^([A-Za-z-]+):", head, re.MULTILINE)
    assert sorted(names) == [b"Content-Transfer-Encoding", b"Content-Type", b"MIME-Version", b"Subject", b"To"]


@pytest.mark.parametrize(
    "attack", ["x\nBcc: all@example.org", "x\r\nBcc: all@example.org", "x\rBcc: y", "x\u2028Bcc: y", "x\0y"]
)
def test_a_header_cannot_be_smuggled_into_a_subject(attack):
    """Line breaks of any kind are gone or escaped, also where a notice was not made here."""
    for told in (notice(with_(RECORD, message=attack, logger=attack)), Notice(attack, (), "")):
        subject = mail_of(told).subject
        assert len(subject.splitlines()) == 1
        assert subject.isprintable()
