"""What `RabbitMQBackend` makes of its options, and of what a session tells it: without a server."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import pytest

pytest.importorskip("pika", reason="its client is not installed", exc_type=ImportError)
from pika import exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectionWorkflowFailed, AMQPConnectorStackTimeout

from tests.backends.rabbitmq_session import BLOCKED, SILENT, Answer, Session, ids, made, metrics, results_before
from tests.forked import ends_well_in_a_child, needs_fork
from time_execution.backends.rabbitmq import RabbitMQBackend, backend
from time_execution.backends.rabbitmq.meaning import error_of
from time_execution.exceptions import (
    BackendDenied,
    BackendTimeout,
    BackendUnavailable,
    BatchTooLarge,
    ConfigurationError,
)
from time_execution.types import STORED


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"host": None}, "must name at least one host"),
        ({"hosts": "h"}, "two names of one parameter"),
        ({"host": "h:planted"}, "a host is written"),
        ({"user": "u", "username": "u"}, "two names of one parameter"),
        ({"password": 5}, "password must be a text, not int"),
        ({"exchange": "x" * 256}, "exchange must have at most 255 bytes"),
        ({"virtual_host": None}, "virtual_host must be a text"),
        ({"exchange_type": "planted"}, "exchange_type must be one of fanout, topic, direct, headers"),
        ({"timeout": 0}, "timeout must be a number of seconds"),
        ({"heartbeat": 1.5}, "heartbeat must be a whole number"),
        ({"max_message_bytes": 0}, "max_message_bytes must be a whole number"),
        ({"ca_certs": "/nowhere/planted"}, "PEM files that can be read"),
        ({"ca_certs": __file__}, "PEM files that can be read"),
        ({"client_cert": __file__}, "PEM files that can be read"),
        ({"ca_certs": 5}, "PEM files that can be read"),
        ({"client_key": __file__}, "client_key is of no use without client_cert"),
        *(({"port": port}, "port must be a whole number from 1 to 65535") for port in (0, 70_000, "5672", True)),
        ({"host": ["h:5672", "i:5673"], "port": 5672}, "port is of no use with hosts that name theirs"),
        ({"heartbeat": 70_000}, "heartbeat must be at most 65535 s"),
        ({"exchange": "planted\ud800"}, "exchange must be a text that UTF-8 can hold"),
        ({"user": 5}, "user must be a text, not int"),
        *(({name: "no"}, f"{name} must be true or false, got str") for name in ("durable", "mandatory", "tls")),
        ({"client_properties": "planted"}, "client_properties must be a dict of texts"),
        ({"client_properties": {"planted": object()}}, "client_properties must be a dict of texts"),
    ],
)
def test_a_wrong_option_is_told_when_it_is_configured(given, told):
    """The message names the option, and shows no value."""
    with pytest.raises(ConfigurationError, match=told) as caught:
        RabbitMQBackend(**{"host": "h"} | given)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ({"host": "h"}, ("h:5672",)),
        ({"host": "h", "port": 1}, ("h:1",)),
        ({"host": "h", "tls": True}, ("h:5671",)),
        ({"hosts": ["a:7", "[::1]"]}, ("a:7", "[::1]:5672")),
    ],
)
def test_a_host_without_a_port_has_the_usual_one(given, hosts):
    """With TLS, it is another."""
    assert RabbitMQBackend(**given).hosts == hosts


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("rabbitmq://one", {"host": ["one"]}),
        ("rabbitmq://one:1,two/shop", {"host": ["one:1", "two"], "virtual_host": "shop"}),
        ("rabbitmq://u:p%40@h/%2F", {"host": ["h"], "virtual_host": "/", "username": "u", "password": "p@"}),
    ],
)
def test_a_url_says_hosts_login_and_virtual_host(url, options):
    """Everything else stands in its query."""
    assert RabbitMQBackend.options_from_url(urlsplit(url)) == options


def test_a_url_with_more_than_a_virtual_host_is_refused():
    """A slash in its name has to be escaped."""
    with pytest.raises(ConfigurationError, match="%2F"):
        RabbitMQBackend.options_from_url(urlsplit("rabbitmq://h/a/b"))


def test_no_secret_shows():
    """Neither repr nor attributes hold the password."""
    rabbit = RabbitMQBackend("h", password="planted")
    assert repr(rabbit) == "RabbitMQBackend(hosts=('h:5672',), virtual_host='/', exchange='metrics')"
    assert "planted" not in str(vars(rabbit))


def test_nothing_connects_before_the_first_metric():
    """Making a backend, letting it idle and closing it costs no thread and no socket."""
    before = threading.active_count()
    rabbit = made()  # has no session to open
    assert rabbit.write_many([]) is None
    rabbit.idle()
    rabbit.close()
    assert threading.active_count() == before


def test_a_session_is_kept_and_its_heartbeats_are_answered():
    """One connection serves all batches, and one that was closed is forgotten without a word."""
    first, second = Session(), Session()
    rabbit = made(first, second)
    rabbit.write_many(metrics(1))
    rabbit.idle()
    rabbit.write_many(metrics(2))
    assert ids(first) == ["ff-1", "ff-2"]
    first.is_alive = False
    rabbit.idle()
    assert first.closed == [0.0]
    rabbit.write_many(metrics(3))
    assert ids(second) == ["ff-3"]


def test_a_connection_closed_meanwhile_is_replaced_before_it_is_used():
    """Where nobody calls `idle`, the next batch notices, and is not lost to it."""
    first, second = Session(), Session()
    rabbit = made(first, second)
    rabbit.write_many(metrics(1))
    first.is_alive = False
    assert rabbit.write_many(metrics(2)) is None
    assert (ids(first), ids(second)) == (["ff-1"], ["ff-2"])


@pytest.mark.parametrize(
    "exc", [exceptions.StreamLostError("planted"), OSError(5, "planted"), BackendTimeout("silent")]
)
def test_a_connection_that_fails_is_given_up(exc):
    """The next attempt opens another, and sends the same message."""
    first, second = Session(SILENT._replace(error=exc)), Session()
    rabbit = made(first, second)
    with pytest.raises(BackendUnavailable, match="RabbitMQ at h:5672: ") as caught:
        rabbit.write_many(metrics(1, 2))
    assert "planted" not in str(caught.value)
    assert first.closed == [0.0]
    assert rabbit.write_many(metrics(1, 2)) is None
    assert first.published[0].message_id == second.published[0].message_id


def test_a_channel_that_is_closed_as_a_message_goes_out_is_given_up():
    """The client says so by an exception of its own, which nobody gets to see."""
    first, second = Session(publish_error=exceptions.ChannelWrongStateError("planted")), Session()
    rabbit = made(first, second)
    with pytest.raises(BackendUnavailable, match=r"RabbitMQ at h:5672: the connection was lost"):
        rabbit.write_many(metrics(1))
    assert first.closed == [0.0]
    assert rabbit.write_many(metrics(1)) is None
    assert ids(second) == ["ff-1"]


def test_what_a_blocked_server_has_is_not_sent_again():
    """Its connection is kept, and the next attempt waits for the confirmation that is due."""
    session = Session(BLOCKED, BLOCKED)
    rabbit = made(session)
    for batch in (metrics(1, 2), metrics(1, 2, 3)):
        with pytest.raises(BackendUnavailable, match="blocks publishers"):
            rabbit.write_many(batch)
    session.is_blocked = False
    assert rabbit.write_many(metrics(1, 2, 3)) is None
    assert ids(session) == ["ff-1 ff-2", "ff-3"]
    assert session.closed == []


def test_nothing_is_published_to_a_blocked_server():
    """It would neither take nor confirm it."""
    session = Session()
    session.is_blocked = True
    with pytest.raises(BackendUnavailable, match="blocks publishers"):
        made(session).write_many(metrics(1))
    assert session.published == []


def test_what_is_confirmed_late_counts_though_the_rest_fails():
    """Only the rest is sent again."""
    session = Session(BLOCKED, Answer("+?", exceptions.StreamLostError("gone")))
    rabbit = made(session)
    with pytest.raises(BackendUnavailable):
        rabbit.write_many(metrics(1, 2))
    session.is_blocked = False
    assert results_before(BackendUnavailable, rabbit.write_many(metrics(1, 2, 3))) == [STORED, STORED]


def test_a_refused_message_is_sent_again():
    """A negative confirmation settles nothing, and says nothing against the connection."""
    session = Session(Answer("-"))
    rabbit = made(session)
    with pytest.raises(BackendUnavailable, match="is a queue full that it goes to"):
        rabbit.write_many(metrics(1))
    assert rabbit.write_many(metrics(1)) is None
    assert ids(session) == ["ff-1", "ff-1"]


def test_metrics_without_ids_have_no_ids_to_tell():
    """Written directly, each message has an identity of its own."""
    session = Session()
    rabbit = made(session)
    for _ in range(2):
        rabbit.write("a", value=1)
    first, second = session.published
    assert first.message_id != second.message_id
    assert "metric-ids" not in first.headers


def test_a_message_too_large_is_not_sent():
    """Neither one of too many bytes, nor one whose ids would not fit into a frame of the server's."""
    session = Session()
    with pytest.raises(BatchTooLarge, match="max_message_bytes"):
        made(session, max_message_bytes=10).write_many(metrics(1))
    session.max_frame_bytes = 1024 + 10
    with pytest.raises(BatchTooLarge, match="too many metrics"):
        made(session).write_many(metrics(1, 2, 3))
    assert session.published == []


def test_a_session_that_cannot_be_opened_is_closed():
    """What was opened of it is not left behind."""
    session = Session(open_error=exceptions.AuthenticationError("planted"))
    with pytest.raises(BackendDenied, match="check user and password"):
        made(session).write_many(metrics(1))
    assert session.closed == [0]


@pytest.mark.parametrize(
    ("exc", "kind", "told"),
    [
        (exceptions.ConnectionClosedByBroker(530, "planted"), BackendDenied, "no virtual host v"),
        (exceptions.ConnectionClosedByBroker(320, "planted"), BackendUnavailable, "when it is stopped"),
        *(
            (kind(repr(exceptions.ConnectionClosedByBroker(code, "planted"))), meaning, told)
            for kind, code, meaning, told in [
                (exceptions.ProbableAuthenticationError, 403, BackendDenied, "credentials are refused: check user"),
                (exceptions.ProbableAuthenticationError, 320, BackendUnavailable, "when it is stopped"),
                (exceptions.ProbableAccessDeniedError, 530, BackendDenied, "no virtual host v"),
                (exceptions.ProbableAccessDeniedError, 541, BackendUnavailable, "failed within itself"),
            ]
        ),
        *(
            (kind(repr(exceptions.StreamLostError("planted"))), BackendUnavailable, told)
            for kind, told in [
                (exceptions.ProbableAuthenticationError, "the server went down, or refuses user and password"),
                (exceptions.ProbableAccessDeniedError, "the server went down, or refuses virtual host v"),
            ]
        ),
        (exceptions.ChannelClosedByBroker(403, "planted"), BackendDenied, "exchange x: check its permissions"),
        (exceptions.ChannelClosedByBroker(404, "planted"), BackendUnavailable, "exchange x is gone"),
        (exceptions.ChannelClosedByBroker(406, "planted"), BackendDenied, "type and policies"),
        (exceptions.ChannelClosedByBroker(406, "message size 9 larger than max size 5"), BatchTooLarge, "too large"),
        (exceptions.ChannelClosedByBroker(311, "planted"), BatchTooLarge, "too large"),
        (
            exceptions.ConnectionClosedByBroker(999, "planted"),
            BackendUnavailable,
            "lost (ConnectionClosedByBroker 999)",
        ),
        (exceptions.AMQPHeartbeatTimeout("planted"), BackendUnavailable, "heartbeats"),
        (
            AMQPConnectionWorkflowFailed([ssl.SSLCertVerificationError(1, "planted")]),
            BackendDenied,
            "not trusted: check ca_certs",
        ),
        (ssl.SSLEOFError(8, "planted"), BackendUnavailable, "TLS failed: check port"),
        (AMQPConnectionWorkflowFailed([OSError(), AMQPConnectorStackTimeout()]), BackendUnavailable, "wants TLS"),
        (AMQPConnectionWorkflowFailed([ConnectionRefusedError(1, "planted")]), BackendUnavailable, "no connection"),
    ],
)
def test_the_client_s_errors_are_told_in_words_of_our_own(exc, kind, told):
    """They say where, what and what to do, and quote nothing that may hold a metric or a secret."""
    found = error_of(exc, place="RabbitMQ at h:5672", exchange="x", virtual_host="v")
    assert type(found) is kind
    assert str(found).startswith("RabbitMQ at h:5672: ")
    assert told in str(found)
    assert "planted" not in str(found)


def test_the_default_exchange_is_told_as_such():
    """It has no name."""
    exc = exceptions.ChannelClosedByBroker(312, "")
    found = error_of(exc, place="RabbitMQ at h:5672", exchange="", virtual_host="v")
    assert "nothing is bound to the default exchange: bind" in str(found)


def test_another_thread_s_sending_is_not_waited_for_without_end():
    """Used directly by several threads while nobody answers, each fails in its own time."""
    rabbit = made()
    with rabbit._lock, pytest.raises(BackendTimeout, match="another thread"):
        rabbit.write("a", value=1)


def test_closing_waits_no_longer_than_it_was_told_to():
    """While another thread is sending, its connection is its own."""
    session = Session()
    rabbit = made(session, timeout=30)
    rabbit.write_many(metrics(1))
    with rabbit._lock:
        started = time.monotonic()
        rabbit.close(0.01)
        assert time.monotonic() - started < 10
    assert session.closed == []
    rabbit.close(0.01)
    assert session.closed == [0.01]


@needs_fork
def test_a_forked_child_leaves_the_parent_s_connection_alone():
    """It is neither used nor closed there; the child opens its own."""
    parents, own = Session(), Session()
    rabbit = made(parents, own)
    rabbit.write_many(metrics(1))

    def write():
        rabbit.write_many(metrics(2))
        rabbit.close()
        assert (ids(parents), parents.closed) == (["ff-1"], [])
        assert (ids(own), own.closed) == (["ff-2"], [0.05])
        assert [*map(id, backend._inherited)] == [id(parents)]

    assert ends_well_in_a_child(write)


def test_without_the_client_the_extra_is_named():
    """Importing the backend says what to install."""
    code = (
        "import sys; sys.modules['pika'] = None\n"
        "from time_execution.exceptions import MissingExtraError\n"
        "try:\n    import time_execution.backends.rabbitmq\n"
        "except MissingExtraError as exc:\n    print(exc)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "pip install 'timeexecution[rabbitmq]'" in told
