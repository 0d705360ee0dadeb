"""Lines of StatsD and DogStatsD: one for each metric, its name in letters that every server keeps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, get_args

from time_execution.exceptions import ConfigurationError
from time_execution.formats.json import document, encode_value
from time_execution.formats.labels import own_labels
from time_execution.formats.number import finite_number, number_field
from time_execution.formats.snapshot import snapshot
from time_execution.types import HOSTNAME, NAME, TIMESTAMP, Kind, Metric, Reject

Dialect = Literal["statsd", "dogstatsd"]

SAMPLE_RATE = "sample_rate"
_LETTERS: dict[Kind, str] = {"timing": "ms", "counter": "c", "event": "c"}  # others are gauges
_NO_LABELS = Metric.labels
_SAMPLED = frozenset(("ms", "c"))
# Servers drop or replace other letters, and make a folder of each dot; so dots with nothing between them are escaped.
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]|\A\.|\.(?=\.|\Z)|_(?=x[0-9A-F])|\A_(?=x_\Z)")
_PREFIX = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")
_NOT_IN_KEY = re.compile("[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff|,:#]")
_NOT_IN_TAG = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff|,]+")
_LONGEST_REMEMBERED = 256
_LONGEST_TAG = 200
_LONGEST_EVENT = 4000  # bytes: the agent reads 8192 at once, and Datadog keeps 4000 characters
_SECOND = 1_000_000_000


def encode_name(name: str) -> str:
    """Return a name in ASCII letters, digits, ``_``, ``-`` and ``.``, different for each name.

    Any other character, and a dot without letters on both sides, becomes ``_x<its code point in hexadecimal>_``, which
    ``re.sub("_x([0-9A-F]+)_", lambda found: chr(int(found[1], 16)), text)`` undoes. An empty name becomes ``_x_``.

    Example:
        >>> encode_name("shop.orders.checkout"), encode_name("shop.<lambda>")
        ('shop.orders.checkout', 'shop._x3C_lambda_x3E_')
    """
    return _remembered(name) if len(name) <= _LONGEST_REMEMBERED else _encoded(name)


def _encoded(name: str) -> str:
    return _UNSAFE.sub(lambda found: f"_x{ord(found[0]):X}_", name) or "_x_"


_remembered = lru_cache(maxsize=10_000)(_encoded)


def encode_tag(value: Any) -> str:
    """Return the value of a tag as DogStatsD takes it, or an empty text for what makes no tag.

    Commas, bars, control characters and lone surrogates become ``_``, and it ends after 200 characters, as Datadog's
    own limit has it.

    Example:
        >>> encode_tag("a,b"), encode_tag(True), encode_tag(None)
        ('a_b', 'true', '')
    """
    if value is None:
        return ""
    return _NOT_IN_TAG.sub("_", value if type(value) is str else encode_value(value).strip('"'))[:_LONGEST_TAG]


class LineFormat:
    """Makes the lines of one dialect. Thread-safe.

    A timing is a timer (``ms``), a counter a counter, a gauge or a value a gauge. An event is a count of 1, or an event
    of DogStatsD with its fields as JSON. What the formats are: the metric types of the statsd project, and Datadog's
    "Datagram Format and Shell Usage".

    Args:
        dialect: Which of the two.
        prefix: Stands before each name, with a dot between.
        tags: The fields that become tags, where a metric has them, besides its own labels; for DogStatsD only.
        constant_tags: Tags of every metric, such as ``env:prod``; ``env=prod`` means the same. For DogStatsD only.
        value_field: The field that holds the number.

    Raises:
        ConfigurationError: When an argument is wrong.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        prefix: str = "",
        tags: Sequence[str] = (),
        constant_tags: Sequence[str] = (),
        value_field: str = "value",
    ) -> None:
        self._is_plain = _text("dialect", dialect, get_args(Dialect)) == "statsd"
        if _text("prefix", prefix) and not _PREFIX.fullmatch(prefix):
            raise ConfigurationError("prefix must be ASCII letters, digits, '_' and '-', with single dots between them")
        self._prefix = f"{prefix.removesuffix('.')}." if prefix else ""
        self._tags = tuple((f"{key}:", key) for key in _texts("tags", tags))
        self._constant_tags = [
            _NOT_IN_TAG.sub("_", tag if ":" in tag else tag.replace("=", ":", 1))
            for tag in _texts("constant_tags", constant_tags)
        ]
        self._value_field = _text("value_field", value_field)
        if any(_NOT_IN_KEY.search(key) for _, key in self._tags):
            raise ConfigurationError("tags must be names of fields, without white space, commas, colons, bars and '#'")
        if self._is_plain and (self._tags or self._constant_tags):
            raise ConfigurationError("tags and constant_tags need dialect='dogstatsd'; plain StatsD has no tags")

    def line(self, metric: Metric) -> str | Reject:
        """Return the line of a metric, without its end; two lines where plain StatsD wants it so."""
        given = metric.get(NAME, "")
        name = f"{self._prefix}{encode_name(given if type(given) is str else str(snapshot(given)))}"
        if metric.kind == "event":
            return f"{name}:1|c" if self._is_plain else self._event(name, metric)
        value = finite_number(metric.get(number_field(metric, self._value_field)))
        if value is None:
            return Reject("no number", "StatsD takes finite numbers only")
        letters, number = _LETTERS.get(metric.kind, "g"), repr(value)
        if self._is_plain and value < 0:
            if letters == "ms":
                return Reject("negative timing", "StatsD takes no negative timings")
            if letters == "g":  # a sign alone would change the gauge instead of setting it
                return f"{name}:0|g\n{name}:{number}|g"
        return f"{name}:{number}|{letters}{self._rate(metric, letters)}{self._tagged(metric)}"

    def _rate(self, metric: Metric, letters: str) -> str:
        """Return what tells the server how many calls one stands for."""
        rate = metric.get(SAMPLE_RATE)
        if letters not in _SAMPLED or type(rate) is not float or not 0.0 < rate < 1.0:
            return ""
        return f"|@{Decimal(repr(rate)):f}"  # StatsD takes no exponent: of 1e-05 it reads the 1

    def _tagged(self, metric: Metric) -> str:
        if self._is_plain:
            return ""
        names = self._tags
        if metric.labels is not _NO_LABELS:
            own = (pair for pair in _tags_of(own_labels(metric)) if pair not in names)
            names = (*names, *own)
        values = [(key, encode_tag(metric.get(field))) for key, field in names]
        tags = [f"{key}{value}" for key, value in values if value] + self._constant_tags
        return f"|#{','.join(tags)}" if tags else ""

    def _event(self, title: str, metric: Metric) -> str:
        text = document(metric).encode()[:_LONGEST_EVENT].decode(errors="ignore")
        moment, host = metric.get(TIMESTAMP), encode_tag(metric.get(HOSTNAME))
        when = f"|d:{moment // _SECOND}" if type(moment) is int else ""
        where = f"|h:{host}" if host else ""
        return f"_e{{{len(title)},{len(text.encode())}}}:{title}|{text}{when}{where}{self._tagged(metric)}"


@lru_cache(maxsize=1024)
def _tags_of(labels: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the beginning of the tag that each label becomes, with its field; what no key may hold becomes ``_``."""
    return tuple((f"{_NOT_IN_KEY.sub('_', label)}:", label) for label in labels)


def _text(key: str, given: Any, choices: Sequence[str] = ()) -> str:
    if not isinstance(given, str):
        raise ConfigurationError(f"{key} must be a text, not {type(given).__name__}")
    if choices and given not in choices:
        raise ConfigurationError(f"{key} must be one of {', '.join(choices)}")
    return given


def _texts(key: str, given: Any) -> Sequence[str]:
    if not isinstance(given, (list, tuple)) or not all(isinstance(text, str) and text for text in given):
        raise ConfigurationError(f"{key} must be a list of texts")
    return given
