"""`time-execution dashboard` serves what it is told to, is open to nobody by mistake, and takes passwords safely."""

from __future__ import annotations

import argparse
import io
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("waitress")

from tests.web.dashboard.asking import PASSWORD
from tests.web.dashboard.serving import parsed, serving
from time_execution.cli import dashboard, main
from time_execution.exceptions import ConfigurationError, MissingExtraError
from time_execution.web.dashboard.password import Password, hash_password


def fetched(address):
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, dict(exc.headers), exc.read()


@pytest.fixture
def hashed(password, tmp_path):
    """Return a file with the hash of the password."""
    path = tmp_path / "dashboard.password"
    path.write_text(hash_password(PASSWORD) + "\n")
    path.chmod(0o600)
    return path


def test_pages_and_data_are_served(tmp_path):
    """Of a database that is not there yet, under the name of its folder; the server does not say what it is."""
    with serving(str(tmp_path / "metrics.db")) as address:
        status, headers, body = fetched(f"{address}/functions")
        assert status == 200
        assert f"<title>Functions · {tmp_path.name}</title>" in body.decode()
        assert "Server" not in headers
        assert fetched(f"{address}/data/functions")[0] == 200
        assert fetched(f"{address}/nothing")[0] == 404


def test_with_a_password_pages_are_behind_it(tmp_path, hashed):
    """From a file, or from the environment, or from a file that this names."""
    ways = [
        (["--password-file", str(hashed)], {}),
        ([], {dashboard.VARIABLE: hashed.read_text().strip()}),
        ([], {f"{dashboard.VARIABLE}_FILE": str(hashed)}),
    ]
    for options, environment in ways:
        with serving(str(tmp_path / "metrics.db"), *options, environment=environment) as address:
            assert fetched(f"{address}/data/overview")[0] == 401
            assert b'name="password"' in fetched(address)[2]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "shop.example"])
def test_without_a_password_nothing_listens_beyond_this_machine(host):
    """The error says what to do, and no socket is opened."""
    with pytest.raises(ConfigurationError, match="a password is needed") as caught:
        dashboard.serve(parsed("metrics.db", "--host", host), {})
    assert "--hash-password" in str(caught.value)


def test_with_a_password_it_listens_where_it_is_told(tmp_path, hashed):
    """At every address of the machine, here."""
    with serving(str(tmp_path / "metrics.db"), "--host", "0.0.0.0", "--password-file", str(hashed)) as address:
        assert fetched(f"{address}/data/overview")[0] == 401


def test_behind_a_proxy_a_password_is_needed():
    """Whoever asks then is not on this machine, whatever the address."""
    with pytest.raises(ConfigurationError, match="behind a proxy"):
        dashboard.serve(parsed("metrics.db", "--trusted-proxy", "127.0.0.1"), {})


def test_a_file_may_hold_the_password_itself(tmp_path):
    """Its first line is the password, unless it is a hash; nothing of it is said."""
    path = tmp_path / "password"
    path.write_text("correct horse\nnot this\n")
    path.chmod(0o600)
    password = dashboard._password(path, {})
    assert password.is_right("correct horse")
    assert not password.is_right("not this")


def test_a_password_that_others_can_read_is_told(tmp_path, capsys):
    """It is taken all the same: whoever mounts secrets may have no choice."""
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    path.chmod(0o644)
    assert dashboard._password(path, {}).is_right("correct horse")
    assert f"{path} can be read by others: chmod 600" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("", "nowhere", "--password-file: cannot read nowhere"),
        ("HASH", "hunter2", "the hash of the password is none"),
        ("HASH_FILE", "nowhere", "PASSWORD_HASH_FILE: cannot read nowhere"),
    ],
)
def test_what_is_wrong_with_a_password_is_told_at_once(monkeypatch, capsys, variable, value, expected):
    """With the option's name, and without the secret; the exit status is that of wrong usage."""
    if variable:
        monkeypatch.setenv(f"TIME_EXECUTION_DASHBOARD_PASSWORD_{variable}", value)
    options = [] if variable else ["--password-file", value]
    assert main(["dashboard", "--port", "0", *options]) == 2
    told = capsys.readouterr().err
    assert expected in told
    assert "hunter2" not in told


def test_an_empty_password_is_none(tmp_path):
    """A file that somebody forgot to fill does not open the pages."""
    path = tmp_path / "password"
    path.write_text("\nlater\n")
    with pytest.raises(ConfigurationError, match="is empty"):
        dashboard._password(path, {})


def test_a_hash_is_made_of_what_is_typed(monkeypatch, capsys):
    """Read from a pipe, one line; nothing but the hash is printed."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse\nmore\n"))
    assert main(["dashboard", "--hash-password"]) == 0
    out, err = capsys.readouterr()
    assert Password(out).is_right("correct horse")
    assert err == ""


@pytest.mark.parametrize("typed", [["one", "two"], ["", ""]])
def test_no_hash_is_made_of_what_was_not_meant(monkeypatch, capsys, typed):
    """At a terminal it is asked for twice; an empty one is none."""
    monkeypatch.setattr(sys, "stdin", argparse.Namespace(isatty=lambda: True))
    answers = iter(typed)
    monkeypatch.setattr(dashboard.getpass, "getpass", lambda _: next(answers))
    assert main(["dashboard", "--hash-password"]) == 2
    assert capsys.readouterr().out == ""


def test_a_hundred_at_once_are_all_answered(tmp_path):
    """Each waits for its turn, and none is sent away."""
    with serving(tmp_path / "metrics.db") as address, ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(fetched, [f"{address}/data/functions"] * 100))
    assert [status for status, _, _ in answers] == [200] * 100


def test_those_who_never_finish_a_request_hold_nobody_up(tmp_path):
    """Fifty connections that send half a line, and one that asks properly."""
    with serving(tmp_path / "metrics.db") as address:
        port = int(address.rpartition(":")[2])
        slow = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(50)]
        try:
            for each in slow:
                each.sendall(b"GET /data/functions HT")
            assert fetched(f"{address}/data/functions")[0] == 200
        finally:
            for each in slow:
                each.close()


@pytest.mark.parametrize("port", ["-1", "65536", "x", "1.5"])
def test_what_is_no_port_is_wrong_usage(port, capsys):
    """As argparse says it."""
    with pytest.raises(SystemExit) as caught:
        main(["dashboard", "--port", port])
    assert caught.value.code == 2
    assert "is no port" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(tmp_path):
    """In one line, with the status of a problem."""
    with serving(str(tmp_path / "metrics.db")) as address:
        port = address.rpartition(":")[2]
        command = [sys.executable, "-m", "time_execution", "dashboard", "metrics.db", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "in use" in done.stderr


def test_without_the_extra_it_is_said_what_to_install(monkeypatch, capsys):
    """The server is missing here."""
    monkeypatch.setitem(sys.modules, "waitress.server", None)
    monkeypatch.setitem(sys.modules, "waitress", None)
    with pytest.raises(MissingExtraError, match=r"timeexecution\[dashboard\]"):
        dashboard.serve(parsed("metrics.db"), {})
    assert main(["dashboard"]) == 2
    assert "pip install 'timeexecution[dashboard]'" in capsys.readouterr().err
