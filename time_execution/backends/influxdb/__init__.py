"""InfluxDB of any version: `InfluxBackend` writes to 0.8, to 1.x, and to what speaks the API of 2.x."""

from importlib.util import find_spec

from time_execution.backends.influxdb.backend import InfluxBackend
from time_execution.exceptions import MissingExtraError

if find_spec("influxdb") is None and find_spec("influxdb_client") is None:
    raise MissingExtraError(
        "neither influxdb nor influxdb-client is installed: pip install 'timeexecution[influxdb]', or "
        "'timeexecution[influxdb2]' for InfluxDB 2 and 3"
    )

__all__ = ["InfluxBackend"]
