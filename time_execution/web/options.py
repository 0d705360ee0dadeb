"""What can be set of the monitoring of an application: the keywords of every ``init_app``, with checks and defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypedDict

from time_execution.argument_check import check_switches
from time_execution.complaint import Place, suggestion
from time_execution.config import expect
from time_execution.config.options import read_secret
from time_execution.exceptions import ConfigurationError
from time_execution.web.access import Access, Auth, MetricsAccess

TOKEN_VARIABLE = "MONITOR_METRICS_TOKEN"  # noqa: S105 - the name, not the token

_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


class GivenOptions(TypedDict, total=False):
    """The keywords of every ``init_app``; see `Options`, which says what each is."""

    auth: Auth | None
    metrics_access: MetricsAccess
    metrics_token: str | None
    store: str | os.PathLike[str] | None
    prefix: str | None
    request_id_header: str | None
    trust_request_id: bool
    tag_calls: bool
    hooks: Sequence[Callable[..., Any] | str]
    sampler: bool
    logs: bool


@dataclass(frozen=True)
class Options:
    """What an application's monitoring goes by; immutable.

    Attributes:
        auth: Called with the framework's own request; only where it returns True are the dashboard and the details of
            health shown. Without one, nobody sees them.
        metrics_access: Who may read ``/metrics``: ``loopback``, clients on this machine that no proxy speaks for, or
            ``open``, everybody.
        metrics_token: Whoever sends it as a bearer token may read ``/metrics``, and nobody else. By default that of
            the variable ``MONITOR_METRICS_TOKEN``, or in the file that ``MONITOR_METRICS_TOKEN_FILE`` names.
        store: The SQLite file that metrics are kept in when the settings have no `SQLiteBackend`, and the dashboard
            reads. None adds none; the dashboard then reads that of the settings.
        prefix: Where the dashboard lies; None for no dashboard.
        request_id_header: Where clients may send a request's id, and find the one in force in the answer; None for
            neither.
        trust_request_id: Take over the id that a client sent, where it is a valid one.
        tag_calls: Have each measured call tell the request that it was made for, by the hook `request_id_hook` in the
            settings. The metrics of calls are then made by the calling thread.
        hooks: Run for each request, see `RequestTracker`; callables or import paths.
        sampler: Start the monitor's thread at a worker's first request.
        logs: Have the framework's logger feed the destinations of `time_execution.logs`, and a database that is given.
    """

    auth: Auth | None = None
    metrics_access: MetricsAccess = "loopback"
    metrics_token: str | None = field(default=None, repr=False)
    store: str | os.PathLike[str] | None = "metrics.db"
    prefix: str | None = "/admin/monitoring"
    request_id_header: str | None = "X-Request-ID"
    trust_request_id: bool = True
    tag_calls: bool = True
    hooks: Sequence[Callable[..., Any] | str] = ()
    sampler: bool = True
    logs: bool = True

    def access(self) -> Access:
        """Return who may see what, by these options and the environment.

        Raises:
            ConfigurationError: When one of them is wrong.
        """
        token = _token_of_environment() if self.metrics_token is None else self.metrics_token
        return Access(auth=self.auth, metrics=self.metrics_access, metrics_token=token)


NAMES = tuple(item.name for item in fields(Options))


def options_of(given: Mapping[str, Any], *, where: str = "init_app()") -> Options:
    """Return options given by name, checked.

    Args:
        given: Left as it is.
        where: Whose they are, as messages name it.

    Raises:
        ConfigurationError: When there is no option of a name, or a value is wrong; no message shows a secret.
    """
    for name in given:
        if name not in NAMES:
            hint = suggestion(str(name), NAMES)
            raise ConfigurationError(f"{where}: there is no option {name!r}{hint} (there are {', '.join(NAMES)})")
    made = Options(**given)
    check_switches(
        trust_request_id=made.trust_request_id, tag_calls=made.tag_calls, sampler=made.sampler, logs=made.logs
    )
    store: object = made.store
    is_path = store is None or (isinstance(store, (str, os.PathLike)) and bool(str(store)))
    expect("a path, or None", store, where="store", is_right=is_path)
    _expect_text("a path such as '/admin/monitoring', or None", made.prefix, _PREFIX, where="prefix")
    _expect_text("the name of a header, or None", made.request_id_header, _HEADER, where="request_id_header")
    return made


def _expect_text(wanted: str, value: object, pattern: re.Pattern[str], *, where: str) -> None:
    is_right = value is None or (isinstance(value, str) and pattern.fullmatch(value.rstrip("/")) is not None)
    expect(wanted, value, where=where, is_right=is_right)


def _token_of_environment() -> str | None:
    """Return the token of the environment; None when there is none."""
    path, token = os.environ.get(f"{TOKEN_VARIABLE}_FILE"), os.environ.get(TOKEN_VARIABLE)
    if path and token:
        raise Place(TOKEN_VARIABLE).error("set it directly or by a file, not both")
    return read_secret(path, Place(TOKEN_VARIABLE), name="it") if path else token or None
