"""InfluxDB 0.8: points as JSON, ``[{"name": …, "columns": […], "points": [[…]]}]``, over HTTP or UDP.

The format is that of https://archive.docs.influxdata.com/influxdb/v0.8/api/reading_and_writing_data/. The server
numbers the points of one moment itself, so none replaces another, and one that is sent twice is there twice.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from contextlib import suppress
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from time_execution.backends.influxdb.http import new_session, understood
from time_execution.backends.influxdb.udp import Packets
from time_execution.exceptions import BackendDenied, BackendRejected
from time_execution.extra import extra
from time_execution.formats.line_protocol import UNITS, NoPointError, column_text, float_of, text_of
from time_execution.formats.snapshot import snapshot_fields
from time_execution.types import NAME, TIMESTAMP, Metric

if TYPE_CHECKING:
    from time_execution.backends.influxdb.options import Options

with extra("influxdb"), warnings.catch_warnings():
    # The client asks for datetime.utcfromtimestamp() as it is imported, which Python 3.12 warns of.
    warnings.simplefilter("ignore", DeprecationWarning)
    import influxdb.influxdb08 as client_of_08

_TIME = "time"
_PRECISIONS = {"us": "u", "ms": "ms", "s": "s"}
_WORD = 1 << 63
# The server reads packets into a buffer of 2 048 bytes.
_MAX_PACKET = 2048


class Point(NamedTuple):
    """A point of a series.

    Attributes:
        name: The series.
        columns: What its values are called.
        values: As many.
    """

    name: str
    columns: tuple[str, ...]
    values: tuple[Any, ...]


class PointEncoder:
    """Makes points of metrics.

    ``name`` becomes the series; ``timestamp`` the column ``time``; all else columns of their own names: text, numbers
    and truth values as they are, the number under `value_field` always as a float, lists and dicts as JSON text,
    datetimes as ISO 8601 text. NaN, infinities and None are left out, and with them their columns.
    """

    def __init__(self, *, value_field: str, precision: str) -> None:
        self._value_field = value_field
        self._unit = UNITS[precision]

    def point(self, metric: Metric, now: int) -> Point:
        """Return the point of a metric.

        Args:
            metric: Not changed.
            now: The moment, in nanoseconds since the epoch, of a metric that has none.

        Raises:
            NoPointError: When its value is no number, or there is no column but the time.
        """
        fields, _ = snapshot_fields(metric)
        name = text_of(fields.pop(NAME, None)) or ""
        moment = fields.get(TIMESTAMP)
        if type(moment) is int:
            del fields[TIMESTAMP]
        else:
            moment = now
        row = {_TIME: moment // self._unit}
        value = fields.pop(self._value_field, None)
        if value is not None:
            number = float_of(value)
            if number is None:
                raise NoPointError(f"{self._value_field} must be a number")
            fields = {self._value_field: number, **fields}
        row |= {column_text(key): plain for key, field in fields.items() if (plain := _plain(field)) is not None}
        if len(row) == 1:
            raise NoPointError("no field is left: a point needs a number, a truth value or a text")
        return Point(name, tuple(row), tuple(row.values()))


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is float:
        return value if isfinite(value) else None
    if kind is int and not -_WORD <= value < _WORD:
        number = float_of(value)
        return None if number == inf else number
    return value if kind in {str, int, bool} else text_of(value)


def grouped(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return points as a request holds them: those of one series with the same columns together, in order."""
    groups: dict[tuple[str, tuple[str, ...]], list[list[Any]]] = {}
    for name, columns, values in points:
        groups.setdefault((name, columns), []).append(list(values))
    return [{"name": name, "columns": list(columns), "points": rows} for (name, columns), rows in groups.items()]


class _Client(client_of_08.InfluxDBClient):  # type: ignore[misc]
    """The client, with a session of its own: the library has one for all, which a forked child would share.

    Sends the credentials in a header, too; the client's place for them is the address, which shows up in logs.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options.host_in_url, options.port, database=options.database, ssl=options.tls)
        self._options = options
        self._session = new_session(server=options.server, timeout=options.timeout)

    def request(
        self,
        url: str,
        method: str = "GET",
        params: dict[str, Any] | None = None,
        data: Any = None,
        expected_response_code: int = 200,  # noqa: ARG002 - the session has its own view of that
    ) -> Any:
        """Send a request; what is no success, the session raises."""
        options = self._options
        return self._session.request(
            method,
            f"{self._baseurl}/{url}",
            params=params,
            data=json.dumps(data),
            auth=None if options.username is None else (options.username, options.password or ""),
            headers=self._headers,
            verify=options.verify,
            timeout=options.timeout,
        )

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


class Connection:
    """One client; several threads may send at once."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._client = _Client(options)
        self._is_new = options.create_database

    def send(self, points: Sequence[Point]) -> None:
        """Write points; returns when they are stored. Asks for the database first, once.

        Raises:
            BackendError: When they are not stored.
        """
        with understood(self._options.server):
            if self._is_new:
                self._create_database()
            self._client.write_points(grouped(points), _PRECISIONS[self._options.precision or "ms"])

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _create_database(self) -> None:
        # It may be there, or not for this user to create: writing will tell.
        with suppress(BackendDenied, BackendRejected):
            self._client.create_database(self._options.database)
        self._is_new = False


class PointPackets:
    """The same JSON to the UDP listener of InfluxDB 0.8, which knows the database and counts time in seconds."""

    def __init__(self, options: Options) -> None:
        self._packets = Packets(options, most=_MAX_PACKET)

    def send(self, points: Sequence[Point]) -> None:
        """Send points; returns when the kernel has them.

        Raises:
            BackendError: As `Packets.send` does.
        """
        parts = [json.dumps(group).encode() for point in points for group in grouped([point])]
        self._packets.send(parts, frame=(b"[", b", ", b"]"))

    def close(self) -> None:
        """Close the socket."""
        self._packets.close()
