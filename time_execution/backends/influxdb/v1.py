"""Line protocol over HTTP to InfluxDB 1.x, by its own client."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from time_execution.backends.influxdb.answer import DatabaseMissingError
from time_execution.backends.influxdb.http import new_session, understood
from time_execution.exceptions import BackendDenied, BackendUnavailable
from time_execution.extra import extra

if TYPE_CHECKING:
    from time_execution.backends.influxdb.options import Options

with extra("influxdb"), warnings.catch_warnings():
    # The client asks for datetime.utcfromtimestamp() as it is imported, which Python 3.12 warns of.
    warnings.simplefilter("ignore", DeprecationWarning)
    from influxdb import InfluxDBClient
    from influxdb.exceptions import InfluxDBClientError

_PRECISIONS = {"ns": "n", "us": "u", "ms": "ms", "s": "s"}


class Connection:
    """One client, with a session of its own; several threads may send at once."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._client: Any = InfluxDBClient(
            options.host_in_url,
            options.port,
            options.username,
            options.password,
            options.database,
            ssl=options.tls,
            verify_ssl=options.verify,
            timeout=options.timeout,
            retries=1,
            gzip=options.gzip,
            headers={"Accept": "application/json"},  # by default errors come as MessagePack
            session=new_session(server=options.server, timeout=options.timeout),
        )

    def send(self, lines: Sequence[str]) -> None:
        """Write lines; returns when they are stored. Creates the database if there is none.

        Raises:
            BackendError: When some of them, or all, are not stored.
        """
        with understood(self._options.server):
            try:
                self._write(lines)
            except DatabaseMissingError:
                if not self._options.create_database:
                    raise
                self._create_database()
                self._write(lines)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _write(self, lines: Sequence[str]) -> None:
        options = self._options
        try:
            self._client.write_points(
                lines,
                protocol="line",
                time_precision=_PRECISIONS[options.precision or "ns"],
                retention_policy=options.retention_policy,
                consistency=options.consistency,
            )
        except InfluxDBClientError as exc:  # a success, though not the one that InfluxDB answers a write with
            raise BackendUnavailable(f"what answers at {options.server} is no InfluxDB; check host and port") from exc

    def _create_database(self) -> None:
        options = self._options
        try:
            self._client.create_database(options.database)
        except BackendDenied as exc:
            raise BackendDenied(
                f"{options.server} has no such database, and this user may not create it; create it there"
            ) from exc
        except InfluxDBClientError as exc:
            raise BackendDenied(f"{options.server} has no such database, and did not create it") from exc
