"""What the specification of the embedded metric format asks of a document, as a check, and what CloudWatch makes of it.

From "Specification: Embedded metric format" (members, types, limits) of the Amazon CloudWatch User Guide, and from
``MetricDatum`` and ``Dimension`` of the CloudWatch API Reference (names, values, units).
"""

from __future__ import annotations

import json
import math
import re
import time

_SIZES = [f"{scale}{unit}" for unit in ("bytes", "bits") for scale in ("", "kilo", "mega", "giga", "tera")]
_COUNTED = {*map(str.capitalize, _SIZES), "Count"}
UNITS = {"Seconds", "Microseconds", "Milliseconds", "Percent", "None", *_COUNTED}
UNITS |= {f"{unit}/Second" for unit in _COUNTED}


def is_text(value, most):
    """Whether a value is one to so many printable ASCII characters, not all of them white space."""
    return isinstance(value, str) and 0 < len(value) <= most and re.fullmatch("[ -~]+", value) and bool(value.strip())


def is_number(value):
    return type(value) in {int, float} and math.isfinite(value) and abs(value) <= 2**360


def refuse(token):
    raise AssertionError(f"{token} is no JSON")


def without_duplicates(pairs):
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)


def check(line):
    """Assert that a line is a valid document; returns it."""
    assert len(line.encode()) <= 256 * 1024
    assert "\n" not in line
    root = json.loads(line, parse_constant=refuse, object_pairs_hook=without_duplicates)
    metadata = root["_aws"]
    assert metadata.keys() - {"LogGroupName", "LogStreamName"} == {"Timestamp", "CloudWatchMetrics"}
    assert type(metadata["Timestamp"]) is int
    age = time.time() * 1000 - metadata["Timestamp"]
    assert -2 * 3_600_000 <= age <= 14 * 86_400_000
    for directive in metadata["CloudWatchMetrics"]:
        assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
        assert re.fullmatch("[A-Za-z0-9._#:/-]{1,255}", directive["Namespace"])
        assert directive["Dimensions"]
        for keys in directive["Dimensions"]:
            assert len(keys) <= 30
            for key in keys:
                assert is_text(key, 250)
                assert not key.startswith(":")
                assert is_text(root[key], 1024)
        assert 0 < len(directive["Metrics"]) <= 100
        names = [definition["Name"] for definition in directive["Metrics"]]
        assert len(set(names)) == len(names)
        for definition in directive["Metrics"]:
            assert {"Name"} <= definition.keys() <= {"Name", "Unit", "StorageResolution"}
            assert is_text(definition["Name"], 250)
            assert definition.get("Unit", "None") in UNITS
            assert definition.get("StorageResolution", 60) in {1, 60}
            value = root[definition["Name"]]
            assert 0 < len(value) <= 100 if isinstance(value, list) else True
            assert all(map(is_number, value if isinstance(value, list) else [value]))
    return root


def extracted(lines):
    """Return what CloudWatch extracts from documents: a dict for each value, with the other members as its fields."""
    found = []
    for line in lines:
        root = check(line)
        metadata = root.pop("_aws")
        (directive,) = metadata["CloudWatchMetrics"]
        definitions = {definition["Name"]: definition for definition in directive["Metrics"]}
        values = {name: root.pop(name) for name in definitions}
        for name, value in values.items():
            unit = definitions[name].get("Unit")
            shared = {"timestamp": metadata["Timestamp"] * 1_000_000, "unit": unit, **root}
            numbers = value if isinstance(value, list) else [value]
            found += [{**shared, "name": decode_name(name), "value": number} for number in numbers]
    return found


def decode_name(text):
    """Undo `time_execution.formats.emf.encode_name` for names that were not cut."""
    return "" if text == "_x_" else re.sub("_x([0-9A-F]+)_", lambda found: chr(int(found[1], 16)), text)
