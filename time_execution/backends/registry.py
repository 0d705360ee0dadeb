"""The lazy table of backends: what a URL's scheme stands for, without importing any of it.

A new product is one line in `TABLE`. Turning a URL's parts into constructor arguments is the backend's own work
(`BaseMetricsBackend.options_from_url`); reading the rest of a configuration is that of `time_execution.config`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from time_execution.complaint import URL
from time_execution.exceptions import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping

THREADED_BACKEND = "time_execution.backends.threaded.ThreadedBackend"

_DOTTED = re.compile(r"[^\W\d]\w*(?:[.:][^\W\d]\w*)+")


@dataclass(frozen=True, slots=True)
class Product:
    """What is known of a backend before its module is imported.

    Attributes:
        path: The import path of its class.
        extra: The extra of this distribution that installs its client; None when it needs none.
        threaded: Whether it is put behind a `ThreadedBackend` when it is configured by its scheme.
    """

    path: str
    extra: str | None = None
    threaded: bool = False


TABLE: Mapping[str, Product] = {
    "memory": Product("time_execution.backends.memory.MemoryBackend"),
    "stream": Product("time_execution.backends.stream.StreamBackend"),
    "logging": Product("time_execution.backends.logging.LoggingBackend"),
    "jsonl": Product("time_execution.backends.files.JSONLinesBackend", threaded=True),
    "csv": Product("time_execution.backends.files.CSVBackend", threaded=True),
    "parquet": Product("time_execution.backends.files.ParquetBackend", "parquet", threaded=True),
    "sqlite": Product("time_execution.backends.sqlite.SQLiteBackend", threaded=True),
    "elasticsearch": Product(
        "time_execution.backends.elasticsearch.ElasticsearchBackend", "elasticsearch", threaded=True
    ),
    "opensearch": Product("time_execution.backends.opensearch.OpenSearchBackend", "opensearch", threaded=True),
    "influxdb": Product("time_execution.backends.influxdb.InfluxBackend", "influxdb", threaded=True),
    "kafka": Product("time_execution.backends.kafka.KafkaBackend", "kafka", threaded=True),
    "rabbitmq": Product("time_execution.backends.rabbitmq.RabbitMQBackend", "rabbitmq", threaded=True),
    "prometheus": Product("time_execution.backends.prometheus.PrometheusBackend", "prometheus", threaded=True),
    "otlp": Product("time_execution.backends.otlp.OTLPBackend", "otlp", threaded=True),
    "statsd": Product("time_execution.backends.statsd.StatsDBackend", threaded=True),
    "emf": Product("time_execution.backends.emf.EMFBackend", threaded=True),
    "aggregate": Product("time_execution.backends.aggregate.AggregateBackend", threaded=True),
}


def load(scheme: str) -> Any:
    """Import and return the backend class that a URL scheme stands for.

    Raises:
        ConfigurationError: When the scheme is unknown or the module cannot be imported.
        MissingExtraError: When the product's client is not installed; it says which extra installs it.
    """
    entry = TABLE.get(scheme)
    if entry is None:
        raise ConfigurationError(f"no backend is called {scheme!r}; there are {', '.join(sorted(TABLE))}")
    try:
        return import_string(entry.path)
    except MissingExtraError:
        raise
    except ConfigurationError as exc:
        missing = exc.__cause__.name if isinstance(exc.__cause__, ModuleNotFoundError) else None
        if entry.extra is None or missing is None or missing.partition(".")[0] == __name__.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{scheme} needs {missing}, which is not installed: pip install 'timeexecution[{entry.extra}]'"
        ) from exc.__cause__


def import_string(path: str) -> Any:
    """Import and return what ``"package.module.attribute"`` names.

    Attributes may be nested; a colon may stand for a dot.

    Example:
        >>> import_string("collections.abc.Mapping").__name__
        'Mapping'

    Raises:
        ConfigurationError: When the path is malformed, a module cannot be imported, or the attribute does not exist.
        MissingExtraError: When the module says that its client is not installed.
    """
    if not _DOTTED.fullmatch(path):
        # The text is not shown: a URL, or one that lost its scheme, may hold a password.
        got = "a URL, which the setting backends takes" if URL.match(path) else "a text that is none"
        raise ConfigurationError(f"expected an import path such as 'package.module.Name', got {got}")
    parts = path.replace(":", ".").split(".")
    found: Any = None
    for length in range(len(parts) - 1, 0, -1):
        found = _import_if_there(".".join(parts[:length]), is_last_hope=length == 1)
        if found is not None:
            break
    for done, part in enumerate(parts[length:], start=length):
        try:
            found = getattr(found, part)
        except AttributeError as exc:
            raise ConfigurationError(f"{'.'.join(parts[:done])} has no {part!r}") from exc
    return found


def _import_if_there(module: str, *, is_last_hope: bool) -> Any:
    """Import a module; None when it does not exist and a shorter path may."""
    try:
        return import_module(module)
    except MissingExtraError:
        raise
    except ModuleNotFoundError as exc:
        is_absent = exc.name is not None and f"{module}.".startswith(f"{exc.name}.")
        if is_absent and not is_last_hope:
            return None
        reason = f"there is no module {exc.name}" if is_absent else f"importing {module} failed: {exc}"
        raise ConfigurationError(reason) from exc
    except Exception as exc:  # a module's own code runs here, and may raise anything
        raise ConfigurationError(f"importing {module} failed: {type(exc).__name__}: {exc}") from exc
