"""Backends and hooks made from what a configuration says of them: instance, class, import path, URL, dict, factory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, cast
from urllib.parse import SplitResult, unquote, urlsplit

from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.factory import attempt, imported, make, make_backend
from time_execution.backends.registry import TABLE, THREADED_BACKEND, import_string, load
from time_execution.complaint import URL, Place, kind_of, suggestion
from time_execution.config.options import arrange, backend_options
from time_execution.exceptions import ConfigurationError
from time_execution.guard import Step, label_of
from time_execution.quietlog import QuietLog
from time_execution.signature import mismatch, shape_of
from time_execution.types import VALUE

_OF_A_CALL = ("func", "func_args", "func_kwargs")
_OF_AN_OUTCOME = ("response", "exception", "metric")


class _Order(NamedTuple):
    """What a URL or a dict asks for.

    Attributes:
        target: The class or the factory of the backend.
        options: By name, its own and delivery's, as they were written.
        threaded: Whether this product usually has a queue.
    """

    target: Any
    options: Mapping[str, Any]
    threaded: bool = False


def resolve_backend(spec: Any, *, index: int, duration_field: str = VALUE) -> Any:
    """Return the backend that a specification stands for.

    An instance is returned as it is and stays the caller's to close; whatever is made here is the configuration's.
    A backend named by its URL or its scheme is put behind a `ThreadedBackend` where the table says so, where an option
    of delivery is given, or with ``threaded=true``. Making a backend may open files, and blocks as long as that takes.

    Args:
        spec: An instance (anything with ``write``, ``bulk_write`` or ``write_many``), a class, an import path
            ``"package.module.Class"``, a URL ``"sqlite:///metrics.db?retention=7d"``, a dict
            ``{"class": path or scheme, **options}`` or ``{"url": URL, **options}``, or a factory without arguments.
        index: Its position among the backends, for messages.
        duration_field: The setting of that name: the ``value_field`` of a backend that takes one and is given none.

    Raises:
        ConfigurationError: When it stands for no backend, or the backend cannot be made; no message shows a password.
        MissingExtraError: When the backend's client is not installed; it says which extra installs it.
    """
    return _resolve(spec, f"backends[{index}]", implied={"value_field": duration_field})


def resolve_backends(specs: Iterable[Any], *, duration_field: str = VALUE) -> tuple[Any, ...]:
    """Return the backends of all specifications; when one fails, those already made are closed.

    Raises:
        ConfigurationError: As `resolve_backend` does.
    """
    made: list[Any] = []
    resolved = []
    try:
        for index, spec in enumerate(specs):
            backend = resolve_backend(spec, index=index, duration_field=duration_field)
            resolved.append(backend)
            if backend is not spec:
                made.append(backend)
    except ConfigurationError:
        for backend in made:
            close_backend(backend)
        raise
    return tuple(resolved)


def close_backend(backend: Any) -> None:
    """Close a backend that was made here; what it raises is counted, and what it could not deliver is logged.

    Blocks as long as the backend's ``close`` does.
    """
    label = label_of(backend)
    close, undelivered = getattr(backend, "close", None), getattr(backend, "undelivered", None)
    if callable(close):
        Step(close, kind="backend", label=label, raises=False).attempt()
    lost = Step(undelivered, kind="backend", label=label, raises=False).attempt() if callable(undelivered) else 0
    if type(lost) is int and lost:
        store = label_of(getattr(backend, "backend", backend))
        # In a window of its own, since each such line tells of other metrics.
        QuietLog().tell("undelivered", f"metrics lost because {store} did not take them before it was closed: {lost}")


def resolve_hooks(specs: Any, *, where: str = "hooks") -> tuple[Callable[..., Any], ...]:
    """Return the hooks of a list or tuple of specifications, or of a single one.

    Raises:
        ConfigurationError: As `resolve_hook` does.
    """
    items = specs if isinstance(specs, (list, tuple)) else [specs]
    return tuple(resolve_hook(spec, index=index, where=where) for index, spec in enumerate(items))


def resolve_hook(spec: Any, *, index: int, where: str = "hooks") -> Callable[..., Any]:
    """Return the hook that a specification stands for.

    Args:
        spec: A callable, the import path of one, or a class of hooks, which is constructed without arguments.
        index: Its position among the hooks, for messages.
        where: What the hooks are called there.

    Raises:
        ConfigurationError: When it stands for nothing that can be called, or for what cannot be called as hooks are.
    """
    place = Place(f"{where}[{index}]", spec)
    hook = imported(spec, place) if isinstance(spec, str) else spec
    if isinstance(hook, type):
        hook = attempt(hook, (), {}, place, doing=f"making {hook.__qualname__} failed")
    if not callable(hook):
        raise place.error(f"expected a callable or the import path of one, got {kind_of(hook)}")
    shape = shape_of(hook)
    if shape == "asynchronous generator":
        raise place.error("expected a function, a generator or an async def function, got an asynchronous generator")
    keywords = _OF_A_CALL if shape == "generator" else (*_OF_AN_OUTCOME, *_OF_A_CALL)
    problem = mismatch(hook, **dict.fromkeys(keywords))
    if problem is not None:
        raise place.error(f"it cannot be called with {'=, '.join(keywords)}=, as hooks are: {problem}")
    return cast("Callable[..., Any]", hook)


def _resolve(spec: Any, where: str, *, implied: Mapping[str, Any]) -> Any:
    """Return the backend that a specification stands for, wherever it stands."""
    place = Place(where, spec)
    if isinstance(spec, str) and URL.match(spec):
        order = _from_url(spec, {}, place)
    elif isinstance(spec, Mapping):
        order = _from_dict(spec, place)
    else:
        return make_backend(spec, where=where)
    return _make(order, place, implied=implied)


def _from_dict(spec: Mapping[str, Any], place: Place) -> _Order:
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
        return _Order(target, options)
    if target.isidentifier():
        return _Order(_loaded(target, place), options, TABLE[target].threaded)
    return _Order(imported(target, place), options)


def _from_url(text: str, options: Mapping[str, Any], place: Place) -> _Order:
    """Return what a URL asks for, with options beside those in its query."""
    try:
        url = urlsplit(text)
    except ValueError as exc:
        failure = place.failure("it is no valid URL", exc)
    else:
        if url.fragment:
            raise place.error("a '#' in a URL is written %23")
        target = _loaded(url.scheme, place)
        return _Order(target, _options_of(url, target, options, place), TABLE[url.scheme].threaded)
    raise failure


def _options_of(url: SplitResult, target: Any, options: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Return all options of a URL: of its address, then of its query, then those given beside it."""
    takes_no_address = target.options_from_url.__func__ is vars(BaseMetricsBackend)["options_from_url"].__func__
    if takes_no_address and (url.netloc or url.path):
        raise place.error(f"nothing goes between {url.scheme}:// and the options after a '?'")
    found = attempt(target.options_from_url, (url,), {}, place, doing="its address is not understood")
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
        raise place.error(f"no backend has that name{suggestion(scheme, TABLE)} (there are {there_are})")
    try:
        return load(scheme)
    except ConfigurationError as exc:
        failure = place.failure(f"{scheme} cannot be used", exc)
    raise failure


def _make(order: _Order, place: Place, *, implied: Mapping[str, Any]) -> Any:
    """Construct the backend that was asked for, behind a `ThreadedBackend` where it is to have a queue."""
    target = order.target
    if not callable(target):
        raise place.error(f"'class' must name a class or a factory, got {kind_of(target)}")
    arranged = arrange(order.options, target, place, implied=implied)
    with _inner_backends(target, arranged.own, place, implied=implied):
        if not arranged.is_threaded(default=order.threaded):
            return make(target, (), arranged.own, place)
        # What makes the backend rather than one that is made: the wrapper may refuse its own options first.
        wrapped = {"backend": target, "backend_kwargs": arranged.own, **arranged.delivery}
        return attempt(import_string(THREADED_BACKEND), (), wrapped, place, doing="")


@contextmanager
def _inner_backends(target: Any, own: dict[str, Any], place: Place, *, implied: Mapping[str, Any]) -> Iterator[None]:
    """Put backends in the place of those options that stand for one; close them if what they are for is not made."""
    made = []
    try:
        for name in sorted(backend_options(target) & own.keys()):
            spec = own[name]
            own[name] = _resolve(spec, f"{place.where}: option {name!r}", implied=implied)
            if own[name] is not spec:
                made.append(own[name])
        yield
    except BaseException:
        for backend in made:
            close_backend(backend)
        raise
