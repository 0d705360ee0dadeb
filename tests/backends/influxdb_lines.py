"""Reads line protocol as InfluxDB 1.6 does, and what our encoder makes of names."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

_CODE = re.compile(r"%ED%[AB][0-9A-F]%[89AB][0-9A-F]|%(?:[01][0-9A-F]|7F|23|25|5C)")
_TEXT = re.compile(r'"((?:[^"\\]|\\["\\])*)"', re.DOTALL)
_OTHER = re.compile(r"[^,\s]+")


class Point(NamedTuple):
    """What a line says, names decoded."""

    name: str
    tags: dict[str, str]
    fields: dict[str, Any]
    timestamp: int


def decode(text):
    """Return the name that was encoded."""
    if text == "%":
        return ""
    return _CODE.sub(lambda found: bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "surrogatepass"), text)


def read_points(body):
    """Return the points of the body of a request; lines that are none raise."""
    text = body.decode() if isinstance(body, bytes) else body
    points = []
    while text:
        point, text = _point(text)
        points.append(point)
    return points


def _until(text, stops):
    """Return what comes before the first of some characters that no backslash escapes, and the rest from there on."""
    length = 0
    while length < len(text) and text[length] not in stops:
        length += 2 if text[length] == "\\" else 1
    return re.sub(r"\\([ ,=])", r"\1", text[:length]), text[length:]


def _point(text):
    assert not re.match(r"[#\s\x00]", text, re.ASCII), "a server skips this, or part of it"
    name, text = _until(text, ", ")
    assert name, "no measurement"
    tags = {}
    while text.startswith(","):
        key, text = _until(text[1:], "=")
        tags[decode(key)], text = _until(text[1:], ", ")
        assert key, "no key"
        assert tags[decode(key)], "a tag without a value"
    fields: dict[str, Any] = {}
    while text.startswith(" " if not fields else ","):
        key, text = _until(text[1:], "=")
        assert key, "no key"
        assert key not in {"time", "_field", "_measurement"}, "a server drops this"
        fields[decode(key)], text = _value(text[1:])
    moment, _, text = text[1:].partition("\n")
    return Point(decode(name), {key: decode(value) for key, value in tags.items()}, fields, int(moment)), text


def _value(text):
    quoted = _TEXT.match(text)
    if quoted:
        return re.sub(r'\\(["\\])', r"\1", quoted[1]), text[quoted.end() :]
    found = _OTHER.match(text)
    assert found, text
    word = found[0]
    if word in {"true", "false"}:
        value: Any = word == "true"
    else:
        value = int(word[:-1]) if word.endswith("i") else float(word)
    return value, text[found.end() :]
