"""Backends and hooks made from instances, classes, import paths, URLs, dicts and factories."""

from __future__ import annotations

import functools
import io
import logging
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from tests import fake_backends
from tests.fake_backends import Delivery, Failing, Plain, ReadyHook, Store, make_store
from tests.shown_errors import everything_shown
from time_execution.backends import registry
from time_execution.backends.registry import Product, import_string
from time_execution.config import options, resolve_backend, resolve_backends, resolve_hook
from time_execution.exceptions import ConfigurationError, MissingExtraError
from time_execution.hooks import exception_hook

SECRET = "hunter2"
FAKES = fake_backends.__name__
DEFAULTS = {"bulk_size": 500, "bulk_timeout": 1.0, "max_bytes": 16, "overflow": "drop_oldest", "spool": None}


@pytest.fixture(autouse=True)
def _fakes(monkeypatch):
    """Put fake backends behind schemes, and a stand-in in the place of `ThreadedBackend`."""
    for scheme, name, threaded in (
        ("direct", "Store", False),
        ("queued", "Store", True),
        ("plain", "Plain", False),
        ("open", "Open", True),
        ("failing", "Failing", True),
    ):
        monkeypatch.setitem(registry.TABLE, scheme, Product(f"{FAKES}.{name}", threaded=threaded))
    monkeypatch.setattr("time_execution.config.build.THREADED_BACKEND", f"{FAKES}.Delivery")
    monkeypatch.setattr("time_execution.config.options.THREADED_BACKEND", f"{FAKES}.Delivery")


class BulkOnly:
    """A backend that extends nothing."""

    def bulk_write(self, metrics):
        pass


@pytest.mark.parametrize("instance", [Plain(), BulkOnly(), types.SimpleNamespace(write=lambda name, **data: None)])
def test_an_instance_is_used_as_it_is(instance):
    """Anything with a method to write by is a backend, and stays the very object."""
    assert resolve_backend(instance, index=0) is instance


@pytest.mark.parametrize(
    "spec",
    [
        Store,
        f"{FAKES}.Store",
        f"{FAKES}:Store",
        make_store,
        f"{FAKES}.make_store",
        functools.partial(Store, "x"),
        {"class": Store},
    ],
)
def test_classes_paths_and_factories_are_called_without_arguments(spec):
    """Whatever makes a backend makes one, directly and not behind a queue."""
    assert type(resolve_backend(spec, index=0)) is Store


def test_an_import_path_may_name_an_instance():
    """An instance in the user's module is used as it is."""
    assert resolve_backend(f"{FAKES}.instance", index=0) is fake_backends.instance


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (5, "got an int, which has no write"),
        (None, "got None, which has no write"),
        (object(), "got an object, which has no write"),
        (dict, "got the class dict, which has no write"),
        (lambda: 5, "the factory returned an int"),
        (lambda: Store, "the factory returned the class Store"),
        (lambda: 1 / 0, "the factory failed: ZeroDivisionError"),
        (io.StringIO(), r"a StringIO; a stream is written to through StreamBackend\(stream\)"),
        (f"{FAKES}.Nothing", "tests.fake_backends has no 'Nothing'"),
        ("nowhere.Thing", "there is no module nowhere"),
        ("Store", "expected an import path"),
        ("direct", "a URL is written direct://…"),
        ("direct:x.db", "a URL is written direct://…"),
        ("drect://x", r"no backend has that name; did you mean 'direct'\?"),
        (Failing, "making Failing without arguments failed: TypeError"),
        ({"class": "builtins.max"}, "the factory failed: TypeError"),
        ({"class": "itertools.count"}, "it made a count, which has no write"),
        ({}, "a dict must have 'class'"),
        ({"url": 5}, "a dict must have 'class'"),
        ({"class": 5}, "'class' must name a class or a factory, got an int"),
        ({"class": "drect"}, "no backend has that name"),
        ({"class": f"{FAKES}.Nothing"}, "tests.fake_backends has no 'Nothing'"),
        ({"class": "direct", 5: 6}, "the name of an option must be a str"),
        ({"class": "direct", "linger": "1s", "bulk_timeout": 2}, "option 'bulk_timeout' is given twice"),
        ({"class": "direct", "bulk_size": 5, "threaded": False}, "'bulk_size' has no meaning with threaded=false"),
        ({"class": "direct", "stream": "ext://os.nothing"}, "option 'stream': os has no 'nothing'"),
        ({"class": "direct", "password": "env:NOT_SET"}, "option 'password' must name an environment variable"),
        ({"class": "direct", "password_file": "/not/there"}, "option 'password_file' must be the path of a file"),
        ("direct:///x#y", "a '#' in a URL is written %23"),
        ("direct:///x?durable", "an option in a URL is written name=value"),
        ("direct:///x?durable=1&durable=0", "an option in a URL is given twice"),
        ("direct:///x?durable=perhaps", "option 'durable' must be true or false, got a text that is none"),
        ("direct:///x?overflow=spill", "option 'overflow' must be one of drop_oldest, block"),
        (
            "direct:///x?retension=7d",
            r"unknown option 'retension'; did you mean 'retention'\? \(its own: .*path.*bulk_size",
        ),
        ("direct:///x?backend=y", r"unknown option 'backend'.*of delivery: bulk_size"),
        ("plain://host", r"nothing goes between plain:// and the options"),
        ("plain://?x=1", r"unknown option 'x'.*its own: none"),
        ("direct://[::1", "it is no valid URL: ValueError"),
    ],
)
def test_what_is_no_backend_says_why(spec, message):
    """Each mistake fails at once, names the place and says what would be right."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        resolve_backend(spec, index=1)
    assert str(caught.value).startswith("backends[1]: ")


def test_the_cause_is_kept_when_it_tells_no_secret():
    """Without credentials in sight, what went wrong can be followed to its origin."""
    with pytest.raises(ConfigurationError, match="cannot connect to 'here' with None") as caught:
        resolve_backend("failing:///here", index=0)
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_url_becomes_a_backend_behind_a_queue_where_the_table_says_so():
    """The address and the query reach the constructor, each option in its type."""
    backend = resolve_backend(
        "queued:///dir/m.db?retention=7d&max_bytes=1MiB&durable=yes&hosts=a:1,b:2&limit=5", index=0
    )
    assert isinstance(backend, Delivery)
    assert backend.made_with == DEFAULTS
    expected = {"path": "dir/m.db", "retention": 604_800.0, "max_bytes": 1 << 20, "durable": True}
    assert backend.backend.made_with == expected | {"hosts": ["a:1", "b:2"], "limit": 5}


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("direct:///x", Store),
        ("plain://", Plain),
        ("DIRECT:///x", Store),
        ("direct:///x?threaded=true", Delivery),
        ("direct:///x?bulk_size=5", Delivery),
        ("queued:///x", Delivery),
        ("queued:///x?threaded=false", Store),
    ],
)
def test_a_queue_goes_around_a_backend_by_table_option_or_switch(url, kind):
    """An option of delivery asks for it, and ``threaded`` decides."""
    assert type(resolve_backend(url, index=0)) is kind


def test_options_of_delivery_go_to_the_queue():
    """Delivery's names and their aliases are told from the backend's own, which win where both have one."""
    url = "queued:///x?bulk_size=9&linger=250ms&overflow=block&max_bytes=1&queue_max_bytes=2KiB&spool=/var/spool"
    backend = resolve_backend(url, index=0)
    assert backend.made_with == {
        "bulk_size": 9,
        "bulk_timeout": 0.25,
        "max_bytes": 2048,
        "overflow": "block",
        "spool": "/var/spool",
    }
    assert backend.backend.made_with == {"path": "x", "max_bytes": 1}


def test_the_real_queue_knows_every_option_that_urls_may_give():
    """The options that documentation names exist in the real `ThreadedBackend`, as do the aliases' targets."""
    documented = "bulk_size bulk_timeout queue_maxsize max_bytes overflow spool shutdown_timeout queue_timeout"
    expected = {*documented.split(), *options._ALIASES.values()}
    assert expected <= options._parameters(import_string(registry.THREADED_BACKEND))[0].keys()


def test_a_url_with_the_real_queue_delivers(monkeypatch):
    """What a URL makes is a working backend, its options checked by the real constructor."""
    for module in ("build", "options"):
        monkeypatch.setattr(f"time_execution.config.{module}.THREADED_BACKEND", registry.THREADED_BACKEND)
    with resolve_backend("queued:///x?bulk_size=7&linger=5ms&shutdown_timeout=1s", index=0) as backend:
        backend.write("cpu.load", value=0.5)
        assert backend.flush(10)
        assert backend.backend.written == ["cpu.load"]
    assert backend.backend.closed
    with pytest.raises(ConfigurationError, match=r"backends\[4\]: .*bulk_size must be a whole number"):
        resolve_backend("queued:///x?bulk_size=0", index=4)


def test_a_dict_names_class_and_options():
    """Texts are converted by annotation, other values are passed on, and a scheme brings its queue along."""
    options = {"path": "x", "retention": "1h", "max_bytes": 7, "bulk_size": "3"}
    backend = resolve_backend({"class": "queued", **options}, index=0)
    assert backend.made_with == DEFAULTS | {"bulk_size": 3}
    assert backend.backend.made_with == {"path": "x", "retention": 3600.0, "max_bytes": 7}
    made = resolve_backend({"class": f"{FAKES}.make_store", "retention": "1h"}, index=0)
    assert made.made_with == {"path": "made", "retention": 3600.0}
    queued = resolve_backend({"class": make_store, "bulk_size": 3}, index=0)
    assert (type(queued), type(queued.backend)) == (Delivery, Store)


def test_a_dict_may_add_options_to_a_url(tmp_path):
    """A password can come from a file while the address stays a URL."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    spec = {"url": "queued:///index?durable=1", "password_file": str(tmp_path / "secret")}
    assert resolve_backend(spec, index=0).backend.made_with == {"path": "index", "durable": True, "password": SECRET}
    with pytest.raises(ConfigurationError, match="an option in a URL is given twice"):
        resolve_backend({"url": "direct:///x?limit=1", "limit": 2}, index=0)


def test_options_may_point_elsewhere(monkeypatch):
    """``ext://`` reaches a Python object and ``env:`` a variable, nested ones too."""
    monkeypatch.setenv("STORE_LIMIT", "12")
    nested = {"class": "direct", "stream": {"to": ["ext://sys.stdout"]}, "limit": "env:STORE_LIMIT"}
    made_with = resolve_backend(nested, index=0).made_with
    assert made_with["stream"] == {"to": [sys.stdout]}
    assert made_with["limit"] == 12


def test_unknown_options_reach_a_backend_that_takes_any():
    """They are passed on in the type they look like, those of delivery excepted."""
    backend = resolve_backend("open:///x?verify=false&timeout=30&password=007&token=5&class=A+B&bulk_size=2", index=0)
    expected = {"verify": False, "timeout": 30, "password": "007", "token": "5", "class": "A+B"}
    assert backend.backend.made_with == expected
    assert backend.made_with["bulk_size"] == 2


SECRETIVE: list[Any] = [
    f"failing://user:{SECRET}@host/path",
    f"failing://user:{SECRET}%2F%40@host/path",
    f"failing:///path?password={SECRET}",
    f"failing://user:{SECRET}@host/path?kind=discreet",
    f"failing://user:{SECRET}/more@host/path",
    f"failing://user:{SECRET}@[host",
    f"failing://user:{SECRET}\u2100@host/",
    f"failing://user:1?{SECRET}@host/",
    f"failing://user:1#{SECRET}@host/",
    f"direct://user?{SECRET}=1@host/",
    f"direct:///x?durable={SECRET}",
    f"direct:///x?{SECRET}",
    f"direct:///x?password=x&{SECRET}-{SECRET}=1",
    f"direct:{SECRET}@host",
    f"user:{SECRET}@host/path",
    f"nowhere://user:{SECRET}@host/path",
    {"class": "failing", "path": "x", "password": SECRET},
    {"class": "failing", "path": "x", "password": SECRET + "'\\\n"},
    {"class": f"{FAKES}.Failing", "path": f"amqp://user:{SECRET}@host"},
    {"class": "failing", "path": "x", "password": "env:PLANTED"},
    {"class": "failing", "path": "env:PLANTED_URL"},
    {"class": "failing", "path": "x", "password_file": "planted"},
    {"class": "direct", "password": "ext://user." + SECRET + "!"},
    {"class": "direct", "password_file": SECRET},
    {"class": "direct", "durable": SECRET},
    {"url": f"failing:///x?password={SECRET}"},
]


@pytest.mark.parametrize("spec", SECRETIVE, ids=range(len(SECRETIVE)))
def test_no_error_shows_a_secret(spec, monkeypatch, tmp_path):
    """Whatever fails and wherever the secret stands: not in message, `repr`, pickle, nor in any error behind it."""
    monkeypatch.setenv("PLANTED", SECRET)
    monkeypatch.setenv("PLANTED_URL", f"http://user:{SECRET}@host")
    monkeypatch.chdir(tmp_path)
    Path("planted").write_text(SECRET)
    with pytest.raises(ConfigurationError) as caught:
        resolve_backend(spec, index=0)
    shown = everything_shown(caught.value)
    assert SECRET not in shown
    assert "backends[0]" in shown


def test_a_url_is_an_option_like_others_beside_a_class():
    """A backend may have an option of that name."""
    assert resolve_backend({"class": "open", "url": "http://host"}, index=0).backend.made_with == {"url": "http://host"}


def test_a_missing_client_stays_a_missing_extra(monkeypatch):
    """What is said of a missing client reaches the user, with the place in front."""
    monkeypatch.setitem(registry.TABLE, "product", Product("client_that_nobody_has.Backend", extra="product"))
    with pytest.raises(MissingExtraError, match=r"backends\[0\]: .* pip install 'timeexecution\[product\]'"):
        resolve_backend("product://host", index=0)
    with pytest.raises(MissingExtraError, match=r"backends\[2\]: the factory failed: pip install it"):
        resolve_backend(lambda: _raise_missing("x"), index=2)


def _raise_missing(name):
    raise MissingExtraError("pip install it")


def test_a_failure_closes_the_backends_made_before_it():
    """Those made here are closed, an instance of the caller's is not."""
    made, given = [], Store()

    def factory():
        made.append(Store())
        return made[0]

    with pytest.raises(ConfigurationError, match=r"backends\[2\]"):
        resolve_backends([given, factory, 5])
    assert made[0].closed
    assert not given.closed
    assert resolve_backends([given]) == (given,)


def test_hooks_are_callables_paths_or_classes():
    """A callable is used as it is, a path imported, a class constructed."""

    def hook(**_):
        return None

    assert resolve_hook(hook, index=0) is hook
    assert resolve_hook("time_execution.hooks.exception_hook", index=0) is exception_hook
    assert isinstance(resolve_hook(f"{FAKES}.ReadyHook", index=0), ReadyHook)
    assert isinstance(resolve_hook(ReadyHook, index=0), ReadyHook)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (5, "expected a callable or the import path of one, got an int"),
        (f"{FAKES}.nothing", "it cannot be imported: tests.fake_backends has no 'nothing'"),
        ("sys.path", "got a list"),
        (Failing, "making Failing failed: TypeError"),
        (object, "got an object"),
    ],
)
def test_what_is_no_hook_says_why(spec, message):
    """Each mistake fails at once and names the place."""
    with pytest.raises(ConfigurationError, match=rf"hooks\[3\]: .*{message}"):
        resolve_hook(spec, index=3)


def test_an_asynchronous_generator_is_no_hook():
    """What could return nothing to merge is refused when it is configured, not counted at each call."""

    async def hook(**_):
        yield {}

    with pytest.raises(ConfigurationError, match=r"hooks\[0\].*asynchronous generator"):
        resolve_hook(hook, index=0)


class Annotated(Store):
    """A backend with an annotation that leads nowhere, as one for type checkers only may."""

    def __init__(self, level: logging.Missing | None = None) -> None:  # type: ignore[name-defined]
        self.level = level


@pytest.mark.parametrize("target", [Annotated, f"{__name__}.Annotated"])
def test_an_annotation_that_cannot_be_read_leaves_the_text(target):
    """A module that lacks the name is no more in the way than one that is not imported."""
    assert resolve_backend({"class": target, "level": "7"}, index=0).level == "7"


def test_what_says_nothing_of_its_parameters_is_given_all_options():
    """Some callables written in C have no signature, so only calling them tells."""
    with pytest.raises(ConfigurationError, match=r"backends\[0\]: the factory failed: TypeError"):
        resolve_backend({"class": "builtins.vars", "wrong": 1}, index=0)
