"""What the errors of kafka-python mean for the metrics that were sent, in words of our own.

They are known by name, since not every version of the client has every class.
"""

from __future__ import annotations

from collections.abc import Mapping

from time_execution.exceptions import (
    BackendDenied,
    BackendError,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
)
from time_execution.types import Reject

# What one record was refused for, whatever becomes of its neighbours.
_REFUSALS = {
    "MessageSizeTooLargeError": "larger than the topic's max.message.bytes, or the option max_request_size",
    "RecordListTooLargeError": "larger than a segment of the topic",
    "InvalidTimestampError": "older than the topic's message.timestamp.before.max.ms allows",
    "InvalidRecordError": "the topic does not take such a record",
}
_MEANINGS: Mapping[str, tuple[type[BackendError], str]] = {
    "SaslAuthenticationFailedError": (
        BackendDenied,
        "the credentials are refused: check username, password and sasl_mechanism",
    ),
    "HungUpError": (
        BackendDenied,
        "the broker hangs up: check security_protocol, username, password and sasl_mechanism",
    ),
    "UnsupportedSaslMechanismError": (BackendDenied, "this sasl_mechanism is not taken here"),
    "IllegalSaslStateError": (BackendDenied, "no SASL is expected here: check the port and security_protocol"),
    "TopicAuthorizationFailedError": (
        BackendDenied,
        "this user may not write to topic {topic}: allow it DESCRIBE and WRITE there",
    ),
    "ClusterAuthorizationFailedError": (
        BackendDenied,
        "this user may not send idempotently: allow it IDEMPOTENT_WRITE on the cluster",
    ),
    "UnknownTopicOrPartitionError": (BackendDenied, "there is no topic {topic}: create it"),
    "InvalidTopicError": (BackendDenied, "{topic} is not taken as the name of a topic"),
    "UnsupportedCompressionTypeError": (BackendDenied, "this compression is not known here"),
    "UnsupportedVersionError": (BackendDenied, "the brokers are too old for an idempotent producer"),
    "KafkaConfigurationError": (BackendDenied, "the client cannot work with these options and brokers"),
    "NotEnoughReplicasError": (BackendUnavailable, "topic {topic} has too few replicas in sync to be written to"),
    "ThrottlingQuotaExceededError": (BackendThrottled, "the brokers ask to send less"),
    "NoBrokersAvailable": (
        BackendUnavailable,
        "no broker answered: check hosts, ports, security_protocol and certificates (the logger 'kafka' says more)",
    ),
    "IllegalStateError": (BackendUnavailable, "the producer was closed meanwhile: the next batch makes another"),
    "NoThreadError": (
        BackendUnavailable,
        "no thread can be started; Python 3.12 starts none at its end: call time_execution.shutdown() before",
    ),
    "KafkaTimeoutError": (BackendTimeout, "not delivered in time; sent again, a record may be there twice"),
    "OSError": (BackendUnavailable, "no connection: check hosts, ports, security_protocol and certificates"),
}


def refusal(exc: BaseException) -> Reject | None:
    """Return what to answer for a record that will never be taken; None when it may be, at another time."""
    name = type(exc).__name__
    return Reject(name, _REFUSALS[name]) if name in _REFUSALS else None


def error_of(exc: BaseException, *, place: str, topic: str) -> BackendError:
    """Return the error to raise for one of the client; it quotes nothing of it but the class.

    Args:
        exc: What the client raised, or completed a future with.
        place: Names the brokers.
        topic: The topic that was written to.
    """
    names = [cls.__name__ for cls in type(exc).__mro__]
    unknown = (BackendUnavailable, f"the client failed with {names[0]}")
    kind, text = next((_MEANINGS[name] for name in names if name in _MEANINGS), unknown)
    return kind(f"{place}: {text.format(topic=topic)}")
