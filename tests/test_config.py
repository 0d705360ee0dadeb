"""Settings from code, environment and files are checked at once, and errors say what would be right."""

from __future__ import annotations

import dataclasses

import pytest

from tests.shown_errors import everything_shown
from time_execution import config
from time_execution.config import FIELDS, Values, discover, from_file, is_disabled, validate
from time_execution.config.sources import from_environment
from time_execution.exceptions import ConfigurationError


class Store:
    """A backend."""

    def write(self, name, **data):
        pass


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path):
    for name in list(__import__("os").environ):
        if name.startswith("TIME_EXECUTION_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_values_have_a_field_for_each_setting_with_its_default():
    """The checks and the values speak of the same settings, each with a valid default."""
    assert [field.name for field in dataclasses.fields(Values)] == list(FIELDS)
    for name, check in FIELDS.items():
        default = getattr(Values(), name)
        assert check(default) == default


def test_only_the_keys_given_come_back():
    """A partial mapping stays partial, so that merging does not reset what nobody mentioned."""
    assert validate({}) == {}
    assert validate({"origin": "shop"}) == {"origin": "shop"}


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("sample_rate", 1, 1.0),
        ("log_interval", 0, 0.0),
        ("include", ["a.*"], ("a.*",)),
        ("include", "a.*", ("a.*",)),
        ("hooks", print, (print,)),
        ("backends", "memory://", ("memory://",)),
        ("backends", {"class": "memory"}, ({"class": "memory"},)),
        ("backends", [Store, "memory://"], (Store, "memory://")),
        ("origin", None, None),
        ("enabled", False, False),
    ],
)
def test_values_are_brought_into_their_type(name, value, found):
    """Lists become tuples, one becomes a tuple of one, whole numbers become floats."""
    (converted,) = validate({name: value}).values()
    assert (converted, type(converted)) == (found, type(found))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("backends", 5, r"backends\[0\]: expected a backend .* got an int"),
        ("backends", [Store(), None], r"backends\[1\]: expected a backend .* got None"),
        ("hooks", [print, 1.5], r"hooks\[1\]: expected a hook .* got a float"),
        ("duration_field", 3, "expected the name of the field that holds the duration, got an int"),
        ("duration_field", "", "got an empty str"),
        ("duration_field", "timestamp", "got the name of another core field"),
        ("origin", 5, "expected a str or None, got an int"),
        ("hostname", "", "got an empty str"),
        ("raise_errors", 1, "expected True or False, got an int"),
        ("enabled", "yes", "expected True or False, got a str"),
        ("sample_rate", 1.5, "expected a number from 0 to 1, got a float out of that range"),
        ("sample_rate", float("nan"), "out of that range"),
        ("sample_rate", True, "expected a number from 0 to 1, got a bool"),
        ("log_interval", -1, "expected a number of seconds, 0 or more, got an int out of that range"),
        ("log_interval", float("inf"), "out of that range"),
        ("include", [""], r"include\[0\]: expected a pattern"),
        ("exclude", [None], r"exclude\[0\]: expected a pattern .* got None"),
    ],
)
def test_a_wrong_value_names_key_type_and_what_would_be_right(name, value, message):
    """Every setting refuses what it cannot be, without showing it."""
    with pytest.raises(ConfigurationError, match=rf"settings.configure\(\): {name}.*") as caught:
        validate({name: value})
    assert caught.match(message)


def test_an_unknown_setting_suggests_the_nearest():
    """A typing mistake is answered by the setting that was meant, in the source's name."""
    with pytest.raises(ConfigurationError, match=r"my.toml: sampel_rate: unknown setting; did you mean 'sample_rate'"):
        validate({"sampel_rate": 1}, source="my.toml")
    with pytest.raises(ConfigurationError, match="expected a mapping of settings, got a list"):
        validate(["origin"])  # type: ignore[arg-type]


def test_the_repr_of_values_shows_no_password():
    """Backends that are still URLs or dicts are shown by scheme or not at all."""
    specs = ("es://user:hunter2@host/index", {"class": "es", "password": "hunter2"}, "user:hunter2@host", "my.Store")
    shown = repr(Values(backends=(*specs, 0.25), origin="shop"))
    assert "hunter2" not in shown
    assert "backends=('es://…', {…}, '…', 'my.Store', 0.25)" in shown
    assert "origin='shop'" in shown


def test_the_environment_sets_every_kind_of_setting():
    """Text is turned into the types that settings have."""
    found = from_environment(
        {
            "TIME_EXECUTION_BACKENDS": "memory://,my.app.Backend",
            "TIME_EXECUTION_HOOKS": "my.hooks.one my.hooks.two",
            "TIME_EXECUTION_SAMPLE_RATE": "0.25",
            "TIME_EXECUTION_LOG_INTERVAL": "1m",
            "TIME_EXECUTION_RAISE_ERRORS": "yes",
            "TIME_EXECUTION_INCLUDE": "shop.*,cart.*",
            "TIME_EXECUTION_ORIGIN": "shop",
            "TIME_EXECUTION_HOSTNAME": "",
            "OTHER_SAMPLE_RATE": "7",
        }
    )
    assert found == {
        "backends": ("memory://", "my.app.Backend"),
        "hooks": ("my.hooks.one", "my.hooks.two"),
        "sample_rate": 0.25,
        "log_interval": 60.0,
        "raise_errors": True,
        "include": ("shop.*", "cart.*"),
        "origin": "shop",
    }


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"BACKEND": "x"}, "TIME_EXECUTION_BACKEND: unknown setting; did you mean 'backends'"),
        ({"SAMPLE_RATE": "lots"}, "TIME_EXECUTION_SAMPLE_RATE: expected a number"),
        ({"SAMPLE_RATE": "2"}, "TIME_EXECUTION_SAMPLE_RATE: expected a number from 0 to 1"),
        ({"ENABLED": "perhaps"}, "TIME_EXECUTION_ENABLED: expected true or false"),
        ({"BACKENDS": "[1"}, "TIME_EXECUTION_BACKENDS: expected JSON"),
        ({"BACKENDS": "[1]"}, r"TIME_EXECUTION_BACKENDS\[0\]: expected a backend .* got an int"),
        ({"DISABLED": "perhaps"}, "TIME_EXECUTION_DISABLED: expected true or false"),
        ({"SAMPLE__RATE": "1"}, "TIME_EXECUTION_SAMPLE__RATE: only backends are given in parts"),
        ({"BACKENDS__X__CLASS": "sqlite"}, "TIME_EXECUTION_BACKENDS__X__CLASS: only backends"),
        ({"BACKENDS__0____CLASS": "sqlite"}, "only backends are given in parts"),
        ({"BACKENDS__1__CLASS": "sqlite"}, "numbered from 0 on"),
        ({"BACKENDS__0": "memory://", "BACKENDS__0__PATH": "x"}, "whole or in parts"),
        ({"BACKENDS__0": "memory://", "BACKENDS__00": "csv://x"}, "whole or in parts"),
        ({"BACKENDS": "memory://", "BACKENDS__0": "memory://"}, "whole or in parts"),
        ({"ORIGIN": "a", "ORIGIN_FILE": "/dev/null"}, "TIME_EXECUTION_ORIGIN: set it directly or by a file, not both"),
    ],
)
def test_a_wrong_variable_is_named(variables, message):
    """Errors name the variable, as the user wrote it."""
    with pytest.raises(ConfigurationError, match=message):
        from_environment({f"TIME_EXECUTION_{name}": text for name, text in variables.items()})


def test_a_backend_may_be_given_in_parts():
    """Numbered variables make a list of backends, whole ones or dicts of options."""
    parts = {"1__CLASS": "sqlite", "1__PATH": "m.db", "0": "memory://", "1__HEADERS__ACCEPT": "*"}
    found = from_environment({f"TIME_EXECUTION_BACKENDS__{name}": text for name, text in parts.items()})
    assert found == {"backends": ("memory://", {"class": "sqlite", "path": "m.db", "headers": {"accept": "*"}})}


def test_a_variable_may_name_a_file_that_holds_the_value(tmp_path):
    """Secrets mounted as files are read, without the newline at their end."""
    (tmp_path / "dsn").write_text("es://user:hunter2@host/index\n")
    found = from_environment({"TIME_EXECUTION_BACKENDS_FILE": str(tmp_path / "dsn")})
    assert found == {"backends": ("es://user:hunter2@host/index",)}


@pytest.mark.parametrize("name", ["hunter2", "binary"])
def test_a_file_that_cannot_be_read_is_not_shown(tmp_path, name):
    """Should somebody write the secret where its file's path belongs, the message does not repeat it."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe hunter2")
    with pytest.raises(ConfigurationError, match="TIME_EXECUTION_ORIGIN_FILE: it must be the path of a file") as caught:
        from_environment({"TIME_EXECUTION_ORIGIN_FILE": name})
    assert "hunter2" not in everything_shown(caught.value)


@pytest.mark.parametrize(("text", "disabled"), [("1", True), ("true", True), ("0", False), ("", False), (None, False)])
def test_the_kill_switch_turns_measuring_off(text, disabled):
    """Set, it wins over `enabled`; unset or false, it says nothing."""
    environ = {"TIME_EXECUTION_ENABLED": "1"} | ({} if text is None else {"TIME_EXECUTION_DISABLED": text})
    assert is_disabled(environ) is disabled
    assert from_environment(environ) == {"enabled": not disabled}


TOML = """
[{table}]
backends = ["memory://", {{class = "sqlite", path = "m.db"}}]
sample_rate = 0.5
log_interval = "500ms"
include = "shop.*"
"""
FOUND = {
    "backends": ("memory://", {"class": "sqlite", "path": "m.db"}),
    "sample_rate": 0.5,
    "log_interval": 0.5,
    "include": ("shop.*",),
}


@pytest.mark.parametrize(
    ("name", "table"),
    [("pyproject.toml", "tool.time_execution"), ("my.toml", "tool.time_execution"), ("my.toml", "time_execution")],
)
def test_toml_files_hold_settings(tmp_path, name, table):
    """The table of tools is read in any TOML file, one at the top outside of pyproject.toml."""
    (tmp_path / name).write_text(TOML.format(table=table))
    assert from_file(tmp_path / name) == FOUND


@pytest.mark.parametrize("name", ["setup.cfg", "my.ini"])
def test_ini_files_hold_settings(tmp_path, name):
    """Lists may stand on several lines, and a percent sign is nothing special."""
    (tmp_path / name).write_text(
        "[time_execution]\nbackends =\n  es://u:p%40w@host/index\n  my.app.Backend\nsample_rate = 0.5\nenabled = no\n"
    )
    expected = {"backends": ("es://u:p%40w@host/index", "my.app.Backend"), "sample_rate": 0.5, "enabled": False}
    assert from_file(str(tmp_path / name)) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.toml",
            "[time_execution]\nsample_rat = 1",
            r"a.toml \[time_execution\]: sample_rat: unknown setting; did you",
        ),
        (
            "a.cfg",
            "[time_execution]\nsample_rat = 1",
            r"a.cfg \[time_execution\]: sample_rat: unknown setting; did you",
        ),
        ("pyproject.toml", "[time_execution]\n", r"has no table \[tool.time_execution\]"),
        ("a.toml", "tool = 'time_execution'", r"has no table \[time_execution\] or \[tool.time_execution\]"),
        ("a.toml", "time_execution = 3", "time_execution must be a table"),
        ("a.toml", "[time_execution]\norigin = hunter2", "it is no valid TOML"),
        ("a.cfg", "[time_execution]\nhunter2\n", "it is not well-formed: ParsingError"),
        ("a.cfg", "time_execution hunter2", "it is not well-formed: MissingSectionHeaderError"),
        (
            "a.cfg",
            "[time_execution]\nsample_rate = hunter2",
            r"a.cfg \[time_execution\]: sample_rate: expected a number",
        ),
        ("a.cfg", "[other]\nx = 1", r"has no table \[time_execution\]"),
        ("a.yaml", "time_execution:", "expected a .toml, .cfg or .ini file"),
        ("a.toml", None, "it cannot be read: No such file"),
        ("a.toml", b"\xff\xfe time_execution", "it cannot be read: no text in UTF-8"),
    ],
)
def test_a_wrong_file_is_named_without_its_lines(tmp_path, name, content, message):
    """Errors name file and setting, and never show a line: it may hold a password."""
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError, match=message) as caught:
        from_file(tmp_path / name)
    assert "hunter2" not in everything_shown(caught.value)


def test_nothing_is_discovered_where_nothing_is_said(tmp_path):
    """Files of others are not even parsed, and the backends for that case are named apart."""
    (tmp_path / "pyproject.toml").write_text("this is no TOML")
    (tmp_path / "setup.cfg").write_text("neither is this")
    assert discover() == {}
    assert config.defaults_when_nothing() == ["sqlite:///metrics.db"]


def test_the_environment_wins_over_the_file(tmp_path, monkeypatch):
    """Each setting comes from the environment if it is there, else from the file."""
    (tmp_path / "pyproject.toml").write_text(TOML.format(table="tool.time_execution"))
    monkeypatch.setenv("TIME_EXECUTION_SAMPLE_RATE", "1")
    assert discover() == FOUND | {"sample_rate": 1.0}


def test_setup_cfg_is_read_where_pyproject_says_nothing(tmp_path):
    """The first file with a table of ours is taken, in the directory asked for."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[tool.other]\npackages = ['time_execution']\n")
    (folder / "setup.cfg").write_text("[time_execution]\norigin = cfg\n")
    assert discover(folder) == {"origin": "cfg"}
    assert discover() == {}
    (folder / "pyproject.toml").write_text("[tool.time_execution]\norigin = 'toml'\n")
    assert discover(folder) == {"origin": "toml"}


def test_a_variable_may_name_the_file(tmp_path, monkeypatch):
    """``TIME_EXECUTION_CONFIG`` stands in for the project's own files, and must exist."""
    (tmp_path / "pyproject.toml").write_text("[tool.time_execution]\norigin = 'project'\n")
    (tmp_path / "other.toml").write_text("[time_execution]\norigin = 'other'\n")
    monkeypatch.setenv("TIME_EXECUTION_CONFIG", "other.toml")
    assert discover() == {"origin": "other"}
    monkeypatch.setenv("TIME_EXECUTION_CONFIG", "absent.toml")
    with pytest.raises(ConfigurationError, match=r"absent.toml: it cannot be read"):
        discover()


def test_what_config_offers_is_there():
    """Every public name exists, and a wrong one is an ordinary `AttributeError`."""
    assert all(getattr(config, name) is not None for name in config.__all__)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        getattr(config, "nothing_like_it")  # noqa: B009 - to a type checker, it is an error
