"""`ThreadedBackend` as its users know it: how it is built, how it ends."""

from __future__ import annotations

import functools
import inspect
import math

import pytest

from tests.child import printed_by
from tests.faults.harness import FaultBackend, check_conservation, wait_for
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.exceptions import BackendRejected, BackendUnavailable, ConfigurationError

NEVER = 60.0


class Recorder(FaultBackend):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.made_with = args, kwargs


def test_a_class_is_built_with_its_arguments():
    """A class gets `backend_args` and `backend_kwargs`."""
    delivery = ThreadedBackend(Recorder, ["host"], {"port": 1})
    assert delivery.backend.made_with == (("host",), {"port": 1})


def test_worker_imports_nothing_to_encode_with():
    """What encodes JSON is there when the queue is made: a child forked amid an import would wait for it for ever."""
    pytest.importorskip("orjson")
    code = (
        "import sys; from time_execution.backends.threaded import ThreadedBackend; "
        "from time_execution.backends.memory import MemoryBackend; "
        "print('orjson' in sys.modules); ThreadedBackend(MemoryBackend()); print('orjson' in sys.modules)"
    )
    assert printed_by(code) == ["False", "True"]


def test_a_factory_is_called():
    """A callable that is no backend itself makes one."""
    delivery = ThreadedBackend(functools.partial(Recorder, port=0), backend_kwargs={"port": 1})
    assert delivery.backend.made_with == ((), {"port": 1})


def test_an_import_path_is_imported():
    """The path of a class names it."""
    delivery = ThreadedBackend("tests.faults.harness.FileSink", ["/tmp/nowhere"], {"delay": 0.5})
    assert (type(delivery.backend).__name__, delivery.backend.delay) == ("FileSink", 0.5)


def test_an_instance_is_used_as_it_is():
    """An instance is neither copied nor called."""
    store = FaultBackend()
    assert ThreadedBackend(store).backend is store


def test_a_backend_that_can_be_called_is_no_factory():
    """An instance that happens to be callable is used as it is."""

    class Talkative(FaultBackend):
        def __call__(self):
            raise AssertionError("called")

    store = Talkative()
    assert ThreadedBackend(store).backend is store


@pytest.mark.parametrize("path", ["nowhere.at.all", "tests.faults.harness.Nothing", "harness", "", ".", "json."])
def test_a_path_that_leads_nowhere_is_a_configuration_error(path):
    """A wrong import path fails at construction, and the error names the argument."""
    with pytest.raises(ConfigurationError, match="backend"):
        ThreadedBackend(path)


@pytest.mark.parametrize("given", [{"backend_args": ["host"]}, {"backend_kwargs": {"password": "hunter2"}}])
def test_arguments_for_an_instance_are_an_error_that_hides_them(given):
    """Arguments that nobody could use are refused, without showing them."""
    with pytest.raises(ConfigurationError) as raised:
        ThreadedBackend(FaultBackend(), **given)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("backend", [object(), 5, None, {"name": "sqlite"}], ids=["object", "5", "None", "dict"])
def test_what_is_no_backend_is_refused_at_once(backend):
    """Something without any method to write with fails at construction, not at the first batch."""
    with pytest.raises((ConfigurationError, TypeError)):
        ThreadedBackend(backend)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[
            (key, value)
            for key in ("queue_maxsize", "bulk_size")
            for value in (0, -1, 1.5, "10", None, True, "hunter2")
        ],
        *[(key, value) for key in ("worker_limit", "max_bytes") for value in (0, -1, 1.5, "10", False)],
        *[
            (key, value)
            for key in ("queue_timeout", "bulk_timeout", "shutdown_timeout")
            for value in (-1, math.nan, math.inf, "1", None, True)
        ],
        *[("block_timeout", value) for value in (-1, math.nan, math.inf, "1", True, 0.5)],  # 0.5 has nothing to hold up
        ("overflow", "drop"),
        ("overflow", None),
        ("overflow", ["block"]),
        ("overflow", "spool"),
        ("spool", 5),
        ("spool", ""),
        ("retry", 5),
        ("retry", {"base": 1}),
        ("dead_letters", 5),
        ("clock", 5),
    ],
)
def test_a_wrong_argument_fails_at_once_and_is_named(key, value):
    """Every argument of a wrong type, or one that could not be honoured, is a ConfigurationError naming it (B9)."""
    with pytest.raises(ConfigurationError, match=key) as raised:
        ThreadedBackend(FaultBackend(), **{key: value})
    assert "hunter2" not in str(raised.value)


def test_every_parameter_of_upstream_is_taken_by_position():
    """The seed's eight parameters keep their order."""
    delivery = ThreadedBackend(Recorder, [1], {"a": 2}, 100, 0.25, 1000, 10, 0.5)
    assert delivery.backend.made_with == ((1,), {"a": 2})
    assert (delivery.channel.max_items, delivery.channel.batch_items, delivery.channel.linger) == (100, 10, 0.5)


def test_the_repr_shows_the_backend_and_no_arguments():
    """`repr` names the inner backend; what it was built with stays hidden."""
    shown = repr(ThreadedBackend(Recorder, ["hunter2"], {"password": "hunter2"}))
    assert shown == "ThreadedBackend(backend=Recorder())"


def test_start_worker_starts_the_thread_and_only_once(deliver):
    """`start_worker` starts the one daemon thread that bears upstream's name."""
    delivery = deliver(FaultBackend())
    delivery.start_worker()
    thread = delivery._worker.thread
    delivery.start_worker()
    assert delivery._worker.thread is thread
    assert thread.daemon
    assert thread.name == "TimeExecutionThread"
    assert thread.is_alive()


def test_a_stray_backend_class_needs_a_method():
    """A subclass of our base without any of the three methods is refused when it is built."""

    class Empty(BaseMetricsBackend):
        pass

    with pytest.raises(ConfigurationError, match="overrides none of"):
        ThreadedBackend(Empty)


def test_a_delivery_is_a_context_manager(deliver):
    """Leaving the block delivers everything and closes the backend, once."""
    store = FaultBackend()
    with deliver(store, bulk_timeout=NEVER) as delivery:
        delivery.write("a", value=1)
    assert store.values() == [1]
    assert store.closed == 1
    assert delivery.is_closed()


@pytest.mark.parametrize("used", [True, False])
def test_close_closes_the_backend_once(deliver, used):
    """Used or not, the backend is closed with the delivery, and only once."""
    store = FaultBackend()
    delivery = deliver(store)
    if used:
        delivery.write("a", value=1)
    delivery.close()
    delivery.close()
    assert store.closed == 1


def test_a_delivery_with_a_spool_lets_go_of_its_file(tmp_path, deliver):
    """After `close` another delivery of the same process takes over what lies in the spool, and delivers it."""
    first = deliver(FaultBackend(then=OSError), spool=tmp_path / "spool", shutdown_timeout=0.1)
    for value in range(20):
        first.write("a", value=value)
    assert wait_for(first, lambda: first.stats()["failures"])
    first.close()
    check_conservation(first.stats(), offered=20, pending=20)
    store = FaultBackend()
    second = deliver(store, spool=tmp_path / "spool")
    second.start_worker()
    assert wait_for(second, lambda: second.stats()["delivered"] == 20)
    assert sorted(store.values()) == list(range(20))
    check_conservation(second.stats(), offered=20, pending=0)
    assert second.stats()["adopted"] == 20
    check_conservation(first.stats())


@pytest.mark.parametrize(
    "wrong", [{"dead_letters": "."}, {"spool": "setup.cfg"}, {"overflow": "hunter2"}, {"retry": 5}], ids=str
)
def test_no_backend_is_made_for_a_delivery_that_is_refused(wrong):
    """Whatever may be refused is looked at first: a backend that was made would stay open."""
    made = []
    with pytest.raises(ConfigurationError) as raised:
        ThreadedBackend(lambda: made.append(FaultBackend()), **wrong)
    assert made == []
    assert "hunter2" not in str(raised.value)


def test_a_constructor_that_raises_is_a_configuration_error_that_hides_the_password():
    """As when the settings make the backend."""

    class Client(FaultBackend):
        def __init__(self, url, password):
            raise RuntimeError(f"cannot connect to {url} as admin:{password}")

    with pytest.raises(ConfigurationError, match=r"ThreadedBackend: backend: making .*Client failed") as raised:
        ThreadedBackend(Client, ["http://db"], {"password": "hunter2"})
    assert "hunter2" not in f"{raised.value!r} {raised.value.__cause__!r} {raised.value.__context__!r}"


def test_a_factory_that_hides_its_parameters_tells_no_password():
    """What its arguments are called is known from how they were given."""

    def connect(**options):
        raise RuntimeError(f"cannot connect with {options['password']}")

    connect.__signature__ = inspect.Signature()  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="factory failed") as raised:
        ThreadedBackend(connect, None, {"password": "hunter2"})
    assert "hunter2" not in str(raised.value)


def test_paths_hold_when_the_program_changes_its_folder(tmp_path, monkeypatch):
    """A daemon that goes to the root folder spools where it was told to."""
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    delivery = ThreadedBackend(FaultBackend(then=BackendUnavailable), spool="spool", shutdown_timeout=0.1)
    refusing = ThreadedBackend(FaultBackend(then=BackendRejected), dead_letters="dead.jsonl")
    monkeypatch.chdir(elsewhere)
    delivery.write("a", value=1)
    refusing.write("a", value=1)
    delivery.close()
    refusing.close()
    assert list(elsewhere.iterdir()) == []
    assert list((tmp_path / "spool").glob("*.db"))
    assert (tmp_path / "dead.jsonl").exists()
