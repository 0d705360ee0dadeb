"""Points of InfluxDB 1.x: as the server has them, and as they should be."""

from __future__ import annotations

import math
import re
from datetime import datetime
from urllib.parse import quote

from influxdb.line_protocol import quote_ident

from tests.backends.influxdb_lines import decode
from time_execution.formats.json import encode_value
from time_execution.formats.line_protocol import column_text, float_of
from time_execution.formats.snapshot import snapshot_fields


def points(admin, database, policy=None):
    """Return all points of a database: dicts with name, timestamp in nanoseconds, tags and fields."""
    names = [name for (name,) in rows_of(admin, database, "SHOW MEASUREMENTS")]
    # One by one: over several measurements at once, a query shows a field in one type only.
    places = [".".join(quote_ident(part) for part in (policy, name) if part) for name in names]
    return [
        point
        for place in places
        for series in admin.query(f"SELECT * FROM {place} GROUP BY *", database=database, epoch="ns").raw["series"]
        for point in _points(series)
    ]


def rows_of(admin, database, query):
    """Return what a query answers, of all series."""
    series = admin.query(query, database=database).raw.get("series", ())
    return [row for found in series for row in found["values"]]


def _points(series):
    tags = {decode(key): decode(value) for key, value in series.get("tags", {}).items() if value}
    for values in series["values"]:
        row = dict(zip(map(decode, series["columns"]), values, strict=True))
        fields = {key: value for key, value in row.items() if value is not None}
        yield {"name": decode(series["name"]), "timestamp": fields.pop("time"), **tags, **fields}


def expected_of(metric):
    """Return the point that a metric should be."""
    fields, _ = snapshot_fields(metric)
    texts = {"name": fields.pop("name"), "hostname": fields.pop("hostname")}
    stored = {column_text(key): _expected(value) for key, value in fields.items() if key != "timestamp"}
    return (
        texts | {"timestamp": fields["timestamp"]} | {key: value for key, value in stored.items() if value is not None}
    )


def _expected(value):
    if type(value) in {int, float}:
        number = float_of(value)
        return number if math.isfinite(number) else None
    if type(value) in {bool, type(None)}:
        return value
    text = value if type(value) is str else encode_value(value)
    text = text[1:-1] if type(value) is datetime else text
    return re.sub("[\ud800-\udfff]", lambda found: quote(found[0], errors="surrogatepass"), text)
