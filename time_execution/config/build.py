"""Backends and hooks made from what a configuration says of them: instance, class, import path, URL, dict, factory."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast
from urllib.parse import SplitResult, unquote, urlsplit

from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.registry import TABLE, THREADED_BACKEND, import_string, load
from time_execution.config.options import arrange
from time_execution.config.place import URL, Place, kind_of, suggestion
from time_execution.config.schema import is_backend
from time_execution.exceptions import ConfigurationError

_WANTED = "an instance, a class, an import path, a URL, a dict with 'class' or 'url', or a factory without arguments"


def resolve_backend(spec: Any, *, index: int) -> Any:
    """Return the backend that a specification stands for.

    An instance is returned as it is and stays the caller's to close; whatever is made here is the configuration's.
    A backend named by its URL or its scheme is put behind a `ThreadedBackend` where the table says so, where an option
    of delivery is given, or with ``threaded=true``. Making a backend may open files, and blocks as long as that takes.

    Args:
        spec: An instance (anything with ``write``, ``bulk_write`` or ``write_many``), a class, an import path
            ``"package.module.Class"``, a URL ``"sqlite:///metrics.db?retention=7d"``, a dict
            ``{"class": path or scheme, **options}`` or ``{"url": URL, **options}``, or a factory without arguments.
        index: Its position among the backends, for messages.

    Raises:
        ConfigurationError: When it stands for no backend, or the backend cannot be made; no message shows a password.
        MissingExtraError: When the backend's client is not installed; it says which extra installs it.
    """
    place = Place(f"backends[{index}]", spec)
    if isinstance(spec, str):
        return _from_url(spec, {}, place) if URL.match(spec) else _from_object(_imported(spec, place), place)
    if isinstance(spec, Mapping):
        return _from_dict(spec, place)
    return _from_object(spec, place)


def resolve_backends(specs: Iterable[Any]) -> tuple[Any, ...]:
    """Return the backends of all specifications; when one fails, those already made are closed.

    Raises:
        ConfigurationError: As `resolve_backend` does.
    """
    made: list[Any] = []
    resolved = []
    try:
        for index, spec in enumerate(specs):
            backend = resolve_backend(spec, index=index)
            resolved.append(backend)
            if backend is not spec:
                made.append(backend)
    except ConfigurationError:
        for backend in made:
            getattr(backend, "close", lambda: None)()
        raise
    return tuple(resolved)


def resolve_hook(spec: Any, *, index: int) -> Callable[..., Any]:
    """Return the hook that a specification stands for.

    Args:
        spec: A callable, the import path of one, or a class of hooks, which is constructed without arguments.
        index: Its position among the hooks, for messages.

    Raises:
        ConfigurationError: When it stands for nothing that can be called.
    """
    place = Place(f"hooks[{index}]", spec)
    hook = _imported(spec, place) if isinstance(spec, str) else spec
    if isinstance(hook, type):
        hook = _call(hook, {}, place, doing=f"making {hook.__qualname__} failed")
    if not callable(hook):
        raise place.error(f"expected a callable or the import path of one, got {kind_of(hook)}")
    if inspect.isasyncgenfunction(hook) or inspect.isasyncgenfunction(getattr(hook, "__call__", None)):  # noqa: B004
        raise place.error("expected a function, a generator or an async def function, got an asynchronous generator")
    return cast("Callable[..., Any]", hook)


def _imported(path: str, place: Place) -> Any:
    scheme = path.partition(":")[0]
    if scheme in TABLE:
        raise place.error(f"a URL is written {scheme}://…")
    try:
        return import_string(path)
    except ConfigurationError as exc:
        failure = place.failure("it cannot be imported", exc)
    raise failure


def _from_object(spec: Any, place: Place) -> Any:
    """Return an instance as it is; make one of a class or with a factory."""
    if isinstance(spec, type) and is_backend(spec):
        return _call(spec, {}, place, doing=f"making {spec.__qualname__} without arguments failed")
    if not isinstance(spec, type) and callable(spec) and not is_backend(spec):
        made = _call(spec, {}, place, doing="the factory failed")
        return _checked(made, place, "the factory returned")
    return _checked(spec, place, "got")


def _checked(made: Any, place: Place, how: str) -> Any:
    if isinstance(made, io.IOBase):
        raise place.error(f"{how} {kind_of(made)}; a stream is written to through StreamBackend(stream)")
    if isinstance(made, type) or not is_backend(made):
        what = f"the class {made.__qualname__}" if isinstance(made, type) else kind_of(made)
        raise place.error(f"{how} {what}, which has no write(), bulk_write() or write_many(); expected {_WANTED}")
    return made


def _from_dict(spec: Mapping[str, Any], place: Place) -> Any:
    options = {key: value for key, value in spec.items() if key not in {"class", "url"}}
    target = spec.get("class")
    if target is None:
        url = spec.get("url")
        if isinstance(url, str) and URL.match(url):
            return _from_url(url, options, place)
        raise place.error("a dict must have 'class' (an import path or a scheme) or 'url'")
    if "url" in spec:
        options["url"] = spec["url"]
    if not isinstance(target, str):
        return _make(target, options, place)
    if target.isidentifier():
        return _make(_loaded(target, place), options, place, threaded=TABLE[target].threaded)
    return _make(_imported(target, place), options, place)


def _from_url(text: str, options: Mapping[str, Any], place: Place) -> Any:
    """Make the backend of a URL, with options beside those in its query."""
    try:
        url = urlsplit(text)
    except ValueError as exc:
        failure = place.failure("it is no valid URL", exc)
    else:
        if url.fragment:
            raise place.error("a '#' in a URL is written %23")
        target = _loaded(url.scheme, place)
        return _make(target, _options_of(url, target, options, place), place, threaded=TABLE[url.scheme].threaded)
    raise failure


def _options_of(url: SplitResult, target: Any, options: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Return all options of a URL: of its address, then of its query, then those given beside it."""
    takes_no_address = target.options_from_url.__func__ is vars(BaseMetricsBackend)["options_from_url"].__func__
    if takes_no_address and (url.netloc or url.path):
        raise place.error(f"nothing goes between {url.scheme}:// and the options after a '?'")
    found = _call(partial(target.options_from_url, url), {}, place, doing="its address is not understood")
    query: dict[str, Any] = {}
    for pair in filter(None, url.query.split("&")):
        name, equals, value = pair.partition("=")
        # A plus stays one: unlike in forms, it is part of many a token and path.
        name = unquote(name)
        if not equals:
            raise place.error("an option in a URL is written name=value")
        if name in query or name in options:
            raise place.error("an option in a URL is given twice")
        query[name] = unquote(value)
    return {**found, **query, **options}


def _loaded(scheme: str, place: Place) -> Any:
    if scheme not in TABLE:
        there_are = ", ".join(sorted(TABLE))
        raise place.error(f"no backend is called {scheme!r}{suggestion(scheme, list(TABLE))} (there are {there_are})")
    try:
        return load(scheme)
    except ConfigurationError as exc:
        failure = place.failure(f"{scheme} cannot be used", exc)
    raise failure


def _make(target: Any, options: Mapping[str, Any], place: Place, *, threaded: bool = False) -> Any:
    """Construct a backend with options, behind a `ThreadedBackend` where it is asked for."""
    if not callable(target):
        raise place.error(f"'class' must name a class or a factory, got {kind_of(target)}")
    arranged = arrange(options, target, place)
    doing = f"making {getattr(target, '__qualname__', kind_of(target))} failed"
    if not arranged.is_threaded(default=threaded):
        return _checked(_call(target, arranged.own, place, doing=doing), place, "it made")
    wrapper = import_string(THREADED_BACKEND)
    if isinstance(target, type):
        # The class rather than an instance: what the wrapper makes is the wrapper's to close.
        wrapped = {"backend": target, "backend_kwargs": arranged.own}
    else:
        wrapped = {"backend": _checked(_call(target, arranged.own, place, doing=doing), place, "it made")}
    return _call(wrapper, wrapped | arranged.delivery, place, doing=doing)


def _call(target: Callable[..., Any], options: Mapping[str, Any], place: Place, *, doing: str) -> Any:
    """Call what makes a backend or a hook; whatever it raises becomes a `ConfigurationError` that tells no secret."""
    try:
        return target(**options)
    except Exception as exc:  # noqa: BLE001 - a constructor may raise anything, and show a password in it
        failure = place.failure(doing, exc)
    raise failure
