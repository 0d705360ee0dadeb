"""Wrong configuration is refused where it is written: what could only fail later, once for each metric (case B9)."""

from __future__ import annotations

import functools
import io
import os
import tempfile
from pathlib import Path

import pytest

from tests.shown_errors import everything_shown
from tests.unprivileged import without_privileges
from time_execution import settings
from time_execution.backends.factory import make_backend
from time_execution.backends.files import CSVBackend, JSONLinesBackend
from time_execution.backends.memory import MemoryBackend
from time_execution.backends.registry import import_string
from time_execution.backends.stream import StreamBackend
from time_execution.config import expect, resolve_backends, resolve_hook, resolve_hooks
from time_execution.exceptions import ConfigurationError, MissingExtraError
from time_execution.file_path import make_folder, obstacle_to, to_file

SECRET = "hunter2hunter2"


@pytest.mark.parametrize("source", [5, b"settings.toml", [("origin", "x")]])
def test_a_source_of_settings_is_a_mapping_or_a_path(source):
    """Anything else is told so, by its type."""
    with pytest.raises(ConfigurationError, match=r"settings.configure\(\): expected a mapping .* got a"):
        settings.configure(source)


# ---- hooks -----------------------------------------------------------------------------------------------------------


class Hooks:
    """Hooks that can be called, and hooks that cannot."""

    def right(self, *, response, exception, metric, func, func_args, func_kwargs): ...

    def some(self, metric, **rest): ...

    async def waits(self, **context): ...

    def around(self, func, func_args, func_kwargs):
        yield

    def one(self, metric): ...

    def positional(self, response, /, exception, *, metric, func, func_args, func_kwargs): ...

    def more(self, extra, **context): ...

    async def waits_for_one(self, metric): ...

    def around_an_outcome(self, response, func, func_args, func_kwargs):
        yield

    def __call__(self): ...


@pytest.mark.parametrize("name", ["right", "some", "waits", "around"])
def test_a_hook_takes_the_keywords_of_its_kind(name):
    """A generator hook has no outcome among them, since there is none as yet."""
    hook = getattr(Hooks(), name)
    assert resolve_hooks([hook]) == (hook,)


@pytest.mark.parametrize("name", ["one", "positional", "more", "waits_for_one", "around_an_outcome", "__call__"])
def test_a_hook_that_cannot_be_called_is_refused(name):
    """It would fail for each call; the message says with what it would have been called, and why it cannot."""
    hook = Hooks() if name == "__call__" else getattr(Hooks(), name)
    with pytest.raises(
        ConfigurationError, match=r"hooks\[1\]: it cannot be called with .*func_kwargs=, as hooks are: "
    ):
        settings.configure(hooks=[Hooks().right, hook])
    assert settings.hooks == ()


def test_a_class_of_hooks_is_judged_by_what_it_makes():
    """The instance is what would be called."""
    with pytest.raises(ConfigurationError, match=r"hooks\[0\]: it cannot be called"):
        resolve_hook(Hooks, index=0)


def test_hooks_may_stand_alone_and_under_another_name():
    """One is as good as a list of one, and messages name the argument that they were given as."""
    assert resolve_hooks(Hooks().some)[0](metric={}) is None
    for wrong in (5, [5], {"x": 5}):
        with pytest.raises(ConfigurationError, match=r"^extra_hooks\[0\]: expected a callable"):
            resolve_hooks(wrong, where="extra_hooks")


def test_an_argument_is_refused_by_name_and_type():
    """Those who take a single argument of the configuration complain of it as settings do."""
    expect("a name", "a", where="block()", is_right=True)
    for value, shown in ((3, "an int"), ("", "an empty str"), (None, "None")):
        with pytest.raises(ConfigurationError, match=rf"^block\(\): expected a name, got {shown}$"):
            expect("a name", value, where="block()", is_right=False)


# ---- backends --------------------------------------------------------------------------------------------------------


class Talkative:
    """A backend whose constructor shows what it was given."""

    def __init__(self, host="", password="", **options):
        if host or password or options:
            raise RuntimeError(f"cannot connect to {host} with {password} and {options}")

    def write(self, name, **data):
        """Store nothing."""


WHERE = "ThreadedBackend: backend"


@pytest.mark.parametrize(
    ("spec", "args", "kwargs", "message"),
    [
        (None, (), None, "got None, which has no write"),
        (dict, (), None, "got the class dict, which has no write"),
        (lambda: 5, (), None, "the factory returned an int"),
        (Talkative, (), {"nope": 1}, "making Talkative failed: RuntimeError: cannot connect"),
        (Talkative, (1, 2, 3), None, "making Talkative failed: TypeError"),
        (Talkative(), (), {"a": 1}, "backend_args and backend_kwargs need a class, an import path of one or a factory"),
        (Talkative, "abc", None, "backend_args must be a list or a tuple, not a str"),
        (Talkative, (), [1], "backend_kwargs must be a dict, not a list"),
        (Talkative, (), {1: 2}, "backend_kwargs must be a dict whose keys are names"),
        ("sqlite:///x.db", (), None, "got a URL, which the setting backends takes"),
        ("sqlite:x.db", (), None, "a URL is written sqlite://"),
        ("nowhere.Thing", (), None, "there is no module nowhere"),
    ],
)
def test_what_makes_no_backend_is_a_configuration_error(spec, args, kwargs, message):
    """Whoever builds a backend gets one kind of error, that names the place."""
    with pytest.raises(ConfigurationError, match=f"^{WHERE}: .*{message}"):
        make_backend(spec, args, kwargs, where=WHERE)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {"password": SECRET}),
        (("host", SECRET), {}),
        ((f"http://user:{SECRET}@host",), {}),
        ((), {"api_key": SECRET}),
        (("host", SECRET), {"password": SECRET}),
    ],
)
def test_what_a_constructor_raises_shows_no_secret(args, kwargs):
    """The text of its exception is withheld when it shows what was given as a password, also by position."""
    for spec in (Talkative, f"{__name__}.Talkative"):
        with pytest.raises(ConfigurationError, match="making Talkative failed") as caught:
            make_backend(spec, args, kwargs, where=WHERE)
        assert SECRET not in everything_shown(caught.value)


def test_backends_are_made_of_all_that_stands_for_one():
    """A class, a path and a factory get their arguments; an instance is what it was; a missing client says so."""
    made = [
        make_backend(spec, (), {"maxlen": 3}, where="x") for spec in (MemoryBackend, functools.partial(MemoryBackend))
    ]
    assert [backend.maxlen for backend in made] == [3, 3]
    assert type(make_backend("time_execution.backends.memory.MemoryBackend", where="x")) is MemoryBackend
    assert make_backend(made[0], where="x") is made[0]

    def lacking():
        raise MissingExtraError("pip install it")

    with pytest.raises(MissingExtraError, match="x: the factory failed: pip install it"):
        make_backend(lacking, where="x")


def test_a_url_is_told_from_an_import_path():
    """The message says where URLs go, and does not repeat one."""
    with pytest.raises(ConfigurationError, match="got a URL") as caught:
        import_string(f"es://user:{SECRET}@host")
    assert SECRET not in everything_shown(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: MemoryBackend(maxlen=-1), "maxlen must be a whole number of at least 1, got -1"),
        (lambda path: JSONLinesBackend(path, max_bytes=0), "max_bytes must be a whole number of at least 1, got 0"),
        (
            lambda path: JSONLinesBackend(path, max_bytes=True),
            "max_bytes must be a whole number of at least 1, got bool",
        ),
        (lambda path: CSVBackend(path, []), "fieldnames must be a list of texts, not an empty one"),
        (lambda path: CSVBackend(path, "ab"), "fieldnames must be a list of texts, not str"),
    ],
)
def test_messages_say_what_is_wrong_with_a_value_of_the_right_type(tmp_path, make, message):
    """A number out of range is shown; of anything else the type is."""
    with pytest.raises(ConfigurationError, match=message):
        make(tmp_path / "metrics")


@pytest.mark.parametrize("kind", [io.StringIO, io.BytesIO])
def test_a_closed_stream_is_refused(kind):
    """No metric could ever be written to it."""
    stream = kind()
    StreamBackend(stream)
    stream.close()
    with pytest.raises(ConfigurationError, match="not a closed one"):
        StreamBackend(stream)


# ---- paths -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def read_only():
    """Return a folder that everyone may look into and nobody write to."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "taken").write_bytes(b"")
        (folder / "taken").chmod(0o444)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


@pytest.mark.parametrize("cls", [JSONLinesBackend, CSVBackend])
@pytest.mark.parametrize("name", ["metrics", "a/b/metrics", "taken"])
def test_a_path_without_permission_is_refused(read_only, cls, name):
    """The nearest folder that there is has to be ours to write to, and so has the file."""
    with without_privileges(), pytest.raises(ConfigurationError, match="no permission to write to"):
        cls(read_only / name)


def test_a_path_out_of_sight_is_refused(tmp_path):
    """A folder that we may not enter hides whether there is a file; either way we cannot write it."""
    (tmp_path / "hidden").mkdir(mode=0o000)
    with without_privileges(), pytest.raises(ConfigurationError, match="Permission denied"):
        JSONLinesBackend(tmp_path / "hidden" / "metrics.jsonl")


@pytest.mark.skipif(not os.path.ismount("/proc"), reason="no such file system")
@pytest.mark.parametrize("path", ["/proc/a.jsonl", "/proc/nope/x/a.jsonl"])
def test_the_kernels_own_file_systems_take_no_files(path):
    """Even root, who may write there, can make no file."""
    with pytest.raises(ConfigurationError, match=r"path must be .* can be written: .*/proc"):
        JSONLinesBackend(path)


def test_a_file_is_no_folder(tmp_path):
    """A path that leads through a file leads nowhere."""
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file/metrics.jsonl", tmp_path / "file/a/b/metrics.jsonl"):
        with pytest.raises(ConfigurationError, match="file' is no folder"):
            JSONLinesBackend(path)
    with pytest.raises(ConfigurationError, match="File name too long"):
        JSONLinesBackend(tmp_path / ("x" * 300) / "metrics.jsonl")


def test_what_is_no_regular_file_is_refused(tmp_path):
    """Neither a pipe nor a device is a file of metrics."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(ConfigurationError, match="not a device or a pipe"):
            CSVBackend(path)


def test_a_folder_may_come_later(tmp_path):
    """Nothing is made to find out whether something can be; the first metric finds or makes the folder."""
    path = tmp_path / "mounted" / "later" / "metrics.jsonl"
    backend = JSONLinesBackend(path)
    assert list(tmp_path.iterdir()) == []
    path.parent.mkdir(parents=True)
    backend.write("a")
    assert path.exists()
    JSONLinesBackend(path).write("b")
    assert len(path.read_text().splitlines()) == 2


def test_a_file_system_that_is_away_is_no_obstacle(tmp_path, monkeypatch):
    """What the disk says today, a stale mount for instance, may be otherwise tomorrow."""

    def stale(*_args, **_kwargs):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(Path, "stat", stale)
    assert obstacle_to(tmp_path / "metrics.jsonl") is None


def test_folders_are_made_for_their_owner_only(tmp_path):
    """Whatever the umask is, on the whole way; one that is there stays as it is."""
    tmp_path.chmod(0o755)
    before = os.umask(0)
    try:
        make_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in (".", "a", "a/b")] == [0o755, 0o700, 0o700]


def test_a_key_is_named_as_it_was_given(tmp_path):
    """Others who take a path are complained of by their own name."""
    assert to_file(str(tmp_path / "x"), key="dead_letters") == tmp_path / "x"
    with pytest.raises(ConfigurationError, match=r"^dead_letters must be the path of a file, not a folder"):
        to_file(tmp_path, key="dead_letters")


def test_a_failing_backend_leaves_none_open(tmp_path):
    """A path that is refused closes the backends that were made before it."""
    closed = []

    class Open(MemoryBackend):
        def close(self, timeout=None):
            closed.append(self)

    with pytest.raises(ConfigurationError, match=r"backends\[1\]: making JSONLinesBackend failed: path must be"):
        resolve_backends([Open, {"url": f"jsonl:///{tmp_path}", "threaded": False}])
    assert len(closed) == 1


@pytest.mark.parametrize("spec", [SECRET, f"{SECRET}://host", {"class": SECRET}, {"url": f"{SECRET}://host"}])
def test_what_stands_where_a_scheme_should_is_not_shown(spec):
    """Whoever mixed up two options finds no password in the log; what is there to choose from says enough."""
    with pytest.raises(ConfigurationError, match=r"backends\[0\]") as caught:
        settings.configure(backends=[spec])
    assert SECRET not in everything_shown(caught.value)
