"""Everything that needs ``prometheus_client``: families out of tallies, the formats, and the push to a gateway."""

from __future__ import annotations

import contextlib
import weakref
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.client import HTTPException
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

from time_execution.backends.prometheus.tally import (
    LATEST,
    OWN_PREFIX,
    WHOLE,
    Cell,
    Labels,
    Part,
    Series,
    Tally,
    is_about_us,
)
from time_execution.exceptions import BackendError, BackendTimeout, BackendUnavailable, ConfigurationError
from time_execution.extra import extra
from time_execution.guard import Failed, Step
from time_execution.http_answer import error_of

with extra("prometheus"):
    from prometheus_client import CollectorRegistry, make_wsgi_app, push_to_gateway
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.core import Exemplar as ClientExemplar
    from prometheus_client.core import Metric as Family
    from prometheus_client.exposition import basic_auth_handler, choose_encoder, default_handler
    from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIApplication

    from time_execution.backends.prometheus.store import Store

_DURATION = "function_duration_seconds"
_CALLS = "function_calls"
_DURATIONS = "Duration, in seconds."
_SECONDS = "seconds"
_OUTCOMES = {False: "ok", True: "error"}
_HELP = {
    f"{OWN_PREFIX}series_overflow": "Metrics without a series of their own, since there are too many series.",
    f"{OWN_PREFIX}name_clashes": "Series that were refused, since their name is taken by metrics of another kind.",
    f"{OWN_PREFIX}records": "Metrics that were offered to a backend's queue.",
    f"{OWN_PREFIX}delivered": "Metrics that a backend has stored.",
    f"{OWN_PREFIX}dropped": "Metrics that were given up, or never taken, by reason.",
    f"{OWN_PREFIX}export_failures": "Batches that were sent again, since a backend did not take them.",
    f"{OWN_PREFIX}queue_length": "Metrics that wait for a backend, or are on their way.",
    f"{OWN_PREFIX}spooled": "Metrics that wait on the disk for a backend.",
    f"{OWN_PREFIX}errors": "What hooks and backends raised on the call path.",
    f"{OWN_PREFIX}store_errors": "How often the metrics could not be read, or were lost.",
}
_REGISTRY = "PrometheusBackend.registry"
_GATEWAY_ADVICE = "check pushgateway, username and password"

_collectors: weakref.WeakKeyDictionary[CollectorRegistry, dict[str, Collector]] = weakref.WeakKeyDictionary()


class Collector:
    """Gives the totals of the stores of one namespace to whoever scrapes their registry. Thread-safe.

    Metrics about ourselves have no namespace: those of all stores in the registry are shown by its first collector.

    Args:
        namespace: Put before each name, but for those of metrics about ourselves.
        bounds: The upper bounds of the buckets, in seconds; those that a store has in addition are shown, too.
        peers: The collectors in the registry by namespace, this one among them once it is registered.
    """

    def __init__(self, namespace: str, bounds: Iterable[float], peers: Mapping[str, Collector]) -> None:
        self._prefix = f"{namespace}_" if namespace else ""
        self._bounds = {*bounds, inf}
        self._peers = peers
        self._stores: dict[Any, Store] = {}

    def attach(self, store: Store) -> None:
        """Show a store, too; once, however often it is attached."""
        self._stores.setdefault(store.key, store)

    def describe(self) -> list[Family]:
        """Return the families that are always there, so that a registry can tell whose names they are."""
        return [
            HistogramMetricFamily(f"{self._prefix}{_DURATION}", "Duration of calls, in seconds.", unit=_SECONDS),
            CounterMetricFamily(f"{self._prefix}{_CALLS}", "Calls, by outcome."),
        ]

    def collect(self) -> Iterator[Family]:
        """Yield the families with their samples; a store that fails counts its failures itself, and hides no other."""
        total = self._total()
        timings = {series: parts for series, parts in total.items() if series[0] == "timing"}
        if timings:
            yield from self._timing_families(timings)
        durations: dict[str, list[tuple[Labels, dict[Part, Cell]]]] = defaultdict(list)
        others: dict[tuple[str, str], list[tuple[Labels, Cell]]] = defaultdict(list)
        for (kind, name, labels), parts in total.items():
            if kind == "duration":
                durations[name].append((labels, parts))
            elif kind != "timing":
                others[kind, name].append((labels, parts[WHOLE]))
        for name, found in durations.items():
            yield self._duration_family(name, found)
        for (kind, name), cells in others.items():
            yield self._number_family(kind, name, cells)

    def _total(self) -> Tally:
        collectors = list(self._peers.values())
        is_first = self in collectors[:1]
        stores = dict(self._stores)
        if is_first:
            for peer in collectors:
                stores |= peer._stores  # noqa: SLF001 - of the same class
        total = Tally()
        for key, store in stores.items():
            with contextlib.suppress(BackendError):
                for series, parts in store.read().items():
                    if is_first if is_about_us(series) else key in self._stores:
                        total.absorb(series, parts, latest=LATEST)
        return total

    def _timing_families(self, timings: Mapping[Series, dict[Part, Cell]]) -> Iterator[Family]:
        names = _label_names(labels for _, _, labels in timings)
        duration, calls = self.describe()
        duration = HistogramMetricFamily(
            duration.name, duration.documentation, labels=["function", *names], unit=duration.unit
        )
        calls = CounterMetricFamily(calls.name, calls.documentation, labels=["function", "outcome", *names])
        self._add_histograms(
            duration, [([function, *_values(labels, names)], parts) for (_, function, labels), parts in timings.items()]
        )
        for (_, function, labels), parts in timings.items():
            by_outcome = Counter[bool]()
            for (failed, _), cell in parts.items():
                by_outcome[failed] += cell.count
            for failed, outcome in _OUTCOMES.items():
                calls.add_metric([function, outcome, *_values(labels, names)], by_outcome[failed])
        yield duration
        yield calls

    def _duration_family(self, name: str, found: Sequence[tuple[Labels, dict[Part, Cell]]]) -> Family:
        """Return the timings of one name, which their own labels tell apart."""
        names = _label_names(labels for labels, _ in found)
        family = HistogramMetricFamily(f"{self._prefix}{name}", _DURATIONS, labels=names, unit=_SECONDS)
        self._add_histograms(family, [(_values(labels, names), parts) for labels, parts in found])
        return family

    def _add_histograms(
        self, family: HistogramMetricFamily, found: Sequence[tuple[list[str], dict[Part, Cell]]]
    ) -> None:
        """Add the values of labels with what was counted."""
        # A store may hold buckets of an earlier configuration, too: all series of a family have the same.
        bounds = sorted(self._bounds.union(*({bound for _, bound in parts} for _, parts in found)))
        texts: list[str] = [floatToGoString(bound) for bound in bounds]  # type: ignore[no-untyped-call]
        for values, parts in found:
            by_bound = Counter[float]()
            for (_, bound), cell in parts.items():
                by_bound[bound] += cell.count
            counts = accumulate(map(by_bound.__getitem__, bounds))
            examples: Iterator[Any] = map(_examples(parts).get, bounds)
            seconds = sum(cell.value for cell in parts.values())
            family.add_metric(values, list(zip(texts, counts, examples, strict=True)), seconds)

    def _number_family(self, kind: str, name: str, cells: list[tuple[Labels, Cell]]) -> Family:
        names = _label_names(labels for labels, _ in cells)
        shown = name if is_about_us((kind, name, ())) else f"{self._prefix}{name}"
        family: CounterMetricFamily | GaugeMetricFamily
        if kind == "counter":
            family = CounterMetricFamily(shown, _HELP.get(name, "Counted by the application."), labels=names)
        else:
            family = GaugeMetricFamily(shown, _HELP.get(name, "Written by the application."), labels=names)
        for labels, cell in cells:
            family.add_metric(_values(labels, names), cell.value)
        return family


def attach(store: Store, registry: CollectorRegistry | None, *, namespace: str, bounds: Iterable[float]) -> Any:
    """Show a store in a registry, or in one of its own, and return that; attaching it again changes nothing.

    Raises:
        ConfigurationError: When it is no registry, or another collector there has a name of ours.
    """
    if registry is None:
        registry = CollectorRegistry()
    elif not isinstance(registry, CollectorRegistry):
        raise ConfigurationError(f"registry must be a CollectorRegistry, not {type(registry).__name__}")
    collectors = _collectors.setdefault(registry, {})
    if namespace not in collectors:
        collector = Collector(namespace, bounds, collectors)
        try:
            registry.register(collector)
        except ValueError as exc:
            raise ConfigurationError(
                f"registry has metrics called {_DURATION} or {_CALLS} already; give a namespace"
            ) from exc
        collectors[namespace] = collector
    collectors[namespace].attach(store)
    return registry


def render(registry: Any, accept: str | None) -> tuple[bytes, str]:
    """Return what a registry holds in the format that an ``Accept`` header asks for, and its content type."""
    encoder, content_type = choose_encoder(accept or "")
    return encoder(registry), content_type


def wsgi_app(registry: Any) -> WSGIApplication:
    """Return an application that answers every path with what a registry holds."""
    app: WSGIApplication = make_wsgi_app(registry)
    return app


def push(
    registry: Any,
    gateway: str,
    job: str,
    *,
    grouping_key: Mapping[str, str],
    login: tuple[str, str] | None,
    timeout: float,
) -> None:
    """Replace what a Pushgateway holds of a group by what a registry holds.

    Blocks up to `timeout` seconds for connecting and for each read.

    Raises:
        BackendUnavailable: When that failed; its class says how.
        BackendRejected: When the gateway will never take it.
    """
    families = Step(lambda: [*registry.collect()], kind="backend", label=_REGISTRY, raises=False).attempt()
    if isinstance(families, Failed):  # an application's own collectors may raise anything
        raise BackendUnavailable(f"a collector in the registry raised {families.error}")
    handler = default_handler if login is None else _with_login(*login)
    try:
        push_to_gateway(gateway, job, _Collected(families), dict(grouping_key), timeout=timeout, handler=handler)
    except HTTPError as exc:
        with exc:  # it holds the connection
            error = error_of(exc.code, dict(exc.headers), server="the Pushgateway", advice=_GATEWAY_ADVICE)
        raise error from exc
    except TimeoutError as exc:
        raise BackendTimeout(f"the Pushgateway did not answer within {timeout:g} s") from exc
    except (OSError, HTTPException, UnicodeError) as exc:  # the last is of the codec for host names
        if isinstance(getattr(exc, "reason", None), TimeoutError):
            raise BackendTimeout(f"the Pushgateway did not answer within {timeout:g} s") from exc
        raise BackendUnavailable("the Pushgateway cannot be reached; check pushgateway and that it runs") from exc


class _Collected(CollectorRegistry):
    """What the collectors of a registry gave once."""

    def __init__(self, families: Iterable[Family]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Iterator[Family]:
        """Yield the families."""
        yield from self._families


def _with_login(username: str, password: str) -> Callable[..., Callable[[], None]]:
    def handler(
        url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        return basic_auth_handler(url, method, timeout, headers, data, username, password)

    return handler


def _label_names(labels: Iterable[Labels]) -> list[str]:
    """Return the names of all labels of a family, so that each of its series can be given the same."""
    return sorted({name for pairs in labels for name, _ in pairs})


def _values(labels: Labels, names: Iterable[str]) -> list[str]:
    given = dict(labels)
    return [given.get(name, "") for name in names]


def _examples(parts: Mapping[Part, Cell]) -> dict[float, ClientExemplar]:
    """Return the latest example of each bucket that has one."""
    found = sorted((cell.exemplar.moment, bound, cell.exemplar) for (_, bound), cell in parts.items() if cell.exemplar)
    return {
        bound: ClientExemplar(dict(exemplar.labels), exemplar.seconds, moment / 1e9)
        for moment, bound, exemplar in found
    }
