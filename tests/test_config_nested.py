"""Backends inside the options of others: by URL, dict, path and instance; whose they are, and what messages show."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests import fake_backends
from tests.fake_backends import Failing, Plain, Store
from tests.shown_errors import everything_shown
from time_execution import settings, stats, time_execution
from time_execution.backends import registry
from time_execution.backends.aggregate import AggregateBackend
from time_execution.backends.registry import Product
from time_execution.backends.threaded import ThreadedBackend
from time_execution.config import resolve_backend
from time_execution.exceptions import ConfigurationError

FAKES = fake_backends.__name__
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _fakes(monkeypatch):
    """Put fake backends behind schemes."""
    for scheme, name, threaded in (("direct", "Store", False), ("queued", "Store", True), ("failing", "Failing", True)):
        monkeypatch.setitem(registry.TABLE, scheme, Product(f"{FAKES}.{name}", threaded=threaded))


@pytest.fixture
def resolve():
    """Resolve specifications, and close what was made."""
    made = []

    def make(spec, **options):
        made.append(resolve_backend(spec, index=0, **options))
        return made[-1]

    yield make
    for backend in made:
        backend.close(0.0)


def chain(backend):
    """Return a backend and all that stand behind it."""
    found = [backend]
    while (backend := getattr(backend, "backend", None)) is not None:
        found.append(backend)
    return found


URL = "queued:///x?retention=1d&bulk_size=7"


@pytest.mark.parametrize(
    "spec",
    [
        {"class": "aggregate", "backend": URL, "interval": "30s", "by": ["status"]},
        {"class": "aggregate", "backend": {"url": URL}, "interval": 30, "by": "status"},
        {
            "class": "time_execution.backends.aggregate.AggregateBackend",
            "backend": {"class": "queued", "path": "x", "retention": "1d", "bulk_size": 7},
            "threaded": True,
            "interval": "30s",
            "by": "status",
        },
        f"aggregate://?interval=30s&by=status&backend={quote(URL, safe='')}",
    ],
)
def test_an_inner_backend_is_made_of_what_stands_for_it(resolve, spec):
    """Every form means the same: a queue, the aggregate, a queue of its own, and the store, each with its options."""
    outer, aggregate, queue, store = chain(resolve(spec))
    assert isinstance(outer, ThreadedBackend)
    assert isinstance(aggregate, AggregateBackend)
    assert isinstance(queue, ThreadedBackend)
    assert (aggregate.interval, aggregate.by) == (30.0, ("status",))
    assert store.made_with == {"path": "x", "retention": 86400.0}
    assert (queue.channel.batch_items, outer.channel.batch_items) == (7, 500)


@pytest.mark.parametrize("spec", [Store, f"{FAKES}.Store", Store()])
def test_classes_paths_and_instances_stand_for_inner_backends(resolve, spec):
    """As they do everywhere."""
    *_, store = chain(resolve({"class": "aggregate", "backend": spec}))
    assert isinstance(store, Store)
    assert not isinstance(spec, Store) or store is spec


def test_a_variable_and_a_file_may_hold_an_inner_url(resolve, monkeypatch, tmp_path):
    """A URL with a password need not stand in the configuration."""
    monkeypatch.setenv("STORE", URL)
    (tmp_path / "secret").write_text(URL + "\n")
    for options in ({"backend": "env:STORE"}, {"backend_file": str(tmp_path / "secret")}):
        *_, store = chain(resolve({"class": "aggregate", **options}))
        assert store.made_with["path"] == "x"


def test_options_of_an_inner_backend_may_point_elsewhere(resolve, monkeypatch):
    """They are followed once, where they are read: what a variable holds is not followed again."""
    monkeypatch.setenv("SECRET", "env:NOTHING")
    *_, store = chain(resolve({"class": "aggregate", "backend": {"class": "direct", "password": "env:SECRET"}}))
    assert store.made_with == {"password": "env:NOTHING"}


def test_the_name_of_the_duration_reaches_all(resolve):
    """The aggregate reads and writes the field that the settings name, and the store behind it knows it, too."""
    spec = {"class": "aggregate", "backend": {"class": "sqlite", "path": "unused.db", "threaded": False}}
    _, aggregate, _, store = chain(resolve(spec, duration_field="duration"))
    assert (aggregate._value_field, store._value_field) == ("duration", "duration")


def test_aggregates_may_stand_behind_each_other(resolve):
    """A specification inside one inside one."""
    inner = f"aggregate://?backend={quote(URL, safe='')}"
    found = chain(resolve({"class": "aggregate", "backend": inner}))
    assert [type(backend).__name__ for backend in found if type(backend) is not ThreadedBackend] == [
        "AggregateBackend", "AggregateBackend", "Store"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"backend": "nowhere://user:hunter2@host"}, r"^backends\[0\]: option 'backend': no backend has that name"),
        ({"backend": {"class": "direct", "pass_word": SECRET}}, r"^backends\[0\]: option 'backend': unknown option"),
        (
            {"backend": {"class": "direct", "retention": SECRET}},
            r"option 'backend': option 'retention' must be a number",
        ),
        (
            {"backend": {"class": "failing", "path": "x", "password": SECRET}},
            r"option 'backend': .*its text is withheld",
        ),
        ({"backend": f"failing://user:{SECRET}@host/path"}, r"option 'backend': .*its text is withheld"),
        ({"backend": 5}, r"^backends\[0\]: option 'backend': got an int"),
        ({"backend": None}, r"^backends\[0\]: option 'backend': got"),
        ({}, r"^backends\[0\]: .*missing 1 required positional argument: 'backend'"),
        (
            {"backend": f"direct://u:{SECRET}@h/x", "interval": 0},
            r"^backends\[0\]: interval must be|: interval must be",
        ),
    ],
)
def test_a_wrong_inner_backend_is_told_by_its_place(spec, message):
    """The message names the option of the outer one and what is wrong inside; no password shows."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        resolve_backend({"class": "aggregate", **spec}, index=0)
    assert SECRET not in everything_shown(caught.value)


def test_an_inner_url_shows_no_password_percent_encoded(capsys):
    """In a URL inside a URL, the password is encoded twice, and shown neither way."""
    inner = quote(f"failing://user:{quote('hunter/2', safe='')}@host/path", safe="")
    with pytest.raises(ConfigurationError, match="withheld") as caught:
        resolve_backend(f"aggregate://?backend={inner}", index=0)
    shown = everything_shown(caught.value)
    assert not [form for form in ("hunter/2", "hunter%2F2", "hunter%252F2") if form in shown]


@pytest.mark.parametrize("wrong", [{"interval": 0}, {"bulk_size": 0}])
def test_an_inner_backend_is_closed_when_the_outer_one_is_not_made(monkeypatch, wrong):
    """What a mistake beside it leaves behind is nothing."""
    made = []
    monkeypatch.setattr(Store, "write", lambda self, name, **data: None)
    monkeypatch.setattr(Store, "close", lambda self, timeout=None: made.append(self))
    with pytest.raises(ConfigurationError):
        resolve_backend({"class": "aggregate", "backend": {"class": "direct"}, **wrong}, index=0)
    assert len(made) == 1


def test_an_instance_is_not_closed_when_the_outer_one_is_not_made():
    """It stays whose it is."""
    store = Store()
    with pytest.raises(ConfigurationError):
        resolve_backend({"class": "aggregate", "backend": store, "interval": 0}, index=0)
    assert not store.closed


def test_what_is_made_inside_is_closed_with_the_outer_one():
    """When the settings are replaced; and its accounting shows with theirs."""
    settings.configure(backends=[{"class": "aggregate", "backend": "direct:///x"}])
    (backend,) = settings.backends
    store = chain(backend)[-1]
    time_execution(name="a")(lambda: None)()
    (shown,) = stats()["backends"].values()
    assert shown["backend"]["backend"]["state"] == "ok"
    settings.configure(backends=[Plain()])
    assert store.closed
    assert store.written == ["a"]


def test_other_backends_take_dicts_as_they_are(resolve):
    """Only what a backend says stands for backends is made into one."""
    assert resolve({"class": "direct", "stream": {"class": "direct"}}).made_with == {"stream": {"class": "direct"}}
    assert not hasattr(Failing, "backend_options")
