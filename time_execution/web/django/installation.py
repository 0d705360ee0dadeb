"""The monitoring of the Django project of this process: made when it is first asked for, of Django's settings."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import Any

from time_execution import logs
from time_execution.config import expect
from time_execution.extra import extra
from time_execution.signature import shape_of
from time_execution.web.monitoring import Monitoring
from time_execution.web.options import Options, options_of

with extra("django"):
    from asgiref.sync import async_to_sync
    from django import conf
    from django.core.signals import got_request_exception
    from django.utils.module_loading import import_string

SETTING = "TIME_EXECUTION_WEB"
SCOPE = "time_execution.request"
"""Where a request's ``META`` keeps its `RequestScope`."""

_ERRORS = "time_execution.web.django"
_made: list[Monitoring] = []
_lock = threading.Lock()


def monitoring() -> Monitoring:
    """Return the monitoring of this project; the same each time. Thread-safe.

    Raises:
        ConfigurationError: When ``TIME_EXECUTION_WEB``, or a variable of the environment, is wrong.
    """
    with _lock:
        if not _made:
            _made.append(_make())
        return _made[0]


def reset() -> None:
    """Make it anew when it is next asked for; for tests."""
    with _lock:
        _made.clear()
    got_request_exception.disconnect(dispatch_uid=_ERRORS)


def given() -> dict[str, Any]:
    """Return what Django's settings say.

    Raises:
        ConfigurationError: When it is no dict.
    """
    found = getattr(conf.settings, SETTING, {})
    expect("a dict of options", found, where=SETTING, is_right=isinstance(found, Mapping))
    return dict(found)


def prefix_of_settings() -> str | None:
    """Return where the dashboard lies, by Django's settings; sets nothing up, as loading URLs should not.

    Raises:
        ConfigurationError: When it is no path.
    """
    return options_of({key: value for key, value in given().items() if key == "prefix"}, where=SETTING).prefix


def _make() -> Monitoring:
    options = given()
    db = options.pop("db", None)
    auth = options.get("auth")
    if isinstance(auth, str):
        auth = options["auth"] = import_string(auth)
    if auth is not None and shape_of(auth) == "coroutine":
        options["auth"] = async_to_sync(auth)
    chosen: Options = options_of(options, where=SETTING)
    made = Monitoring(chosen, db)
    if chosen.logs:
        logs.attach("django.request")
    got_request_exception.connect(_note_exception, dispatch_uid=_ERRORS)
    return made


def _note_exception(*, request: Any = None, **_: Any) -> None:
    """Note the exception that Django is about to answer with 500."""
    scope = getattr(request, "META", {}).get(SCOPE)
    exception = sys.exc_info()[1]
    if scope is not None and exception is not None:
        settle(request, scope)
        scope.fail(exception)


def settle(request: Any, scope: Any) -> None:
    """Note the route that a request was matched with."""
    match = getattr(request, "resolver_match", None)
    if match is not None:
        scope.route = f"/{match.route}"
        if "time_execution" in match.app_names:
            scope.is_counted = False
