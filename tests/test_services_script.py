"""`backends/services`, with servers that only pretend: who is started, who is ended, and who never is."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.services_script import BACKENDS, PRETENDER, copied_script, edit, is_alive, list_servers, read_ports
from tests.unprivileged import NOBODY

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the servers run by themselves on Linux")

INTERNAL = {"KAFKA_CONTROLLER_PORT", "RABBITMQ_EPMD_PORT", "RABBITMQ_DISTRIBUTION_PORT"}


@pytest.fixture
def script():
    with copied_script() as made:
        yield made


def test_a_name_that_is_no_server_is_refused_with_the_list_of_servers(script):
    """A mistyped name starts nothing, and the message says which names there are."""
    outcome = script("start", "kafak")
    assert outcome.returncode == 2
    assert "'kafak'" in outcome.stderr
    assert "elasticsearch-9" in outcome.stderr
    assert not script.data.exists()


def test_a_verb_that_is_none_is_refused_with_the_usage(script):
    """A mistyped verb does nothing but show what there is."""
    outcome = script("begin")
    assert outcome.returncode == 2
    assert "start" in outcome.stderr


def test_status_of_nothing_running_is_a_failure_that_names_every_server(script):
    """Where no server answers, each is listed as down, and the exit code is 1."""
    outcome = script("status")
    assert outcome.returncode == 1
    rows = outcome.stdout.splitlines()[1:]
    assert rows
    assert all(row.endswith(" down") for row in rows)


def test_every_port_belongs_to_a_server_and_the_other_way_round(script):
    """`ports.env`, the list in the script and the files of the servers name the same servers."""
    servers = {name.upper().replace("-", "_"): port for name, (_, port) in list_servers(script).items()}
    ports = read_ports(script.folder)
    owners = {name: next((server for server in servers if name.startswith(f"{server}_")), None) for name in ports}
    assert set(owners.values()) == set(servers)
    assert {ports[f"{server}_PORT"] for server in servers} == set(servers.values())
    files = {path.stem for path in (BACKENDS / "servers").glob("[a-z]*.sh")}
    assert {re.sub(r"-\d$", "", name) for name in list_servers(script)} == files


def test_compose_has_the_same_servers_versions_and_ports(script):
    """Containers are of the versions that the scripts start, on the same ports of 127.0.0.1."""
    script.pretend("pushgateway", (BACKENDS / "servers" / "pushgateway.sh").read_text(encoding="utf-8"))
    text = (BACKENDS / "compose.yaml").read_text(encoding="utf-8")
    images = dict(re.findall(r"^  ([a-z][a-z0-9-]*):\n(?:    .*\n)*?    image: (\S+)$", text, re.MULTILINE))
    servers = list_servers(script)
    assert set(images) == set(servers)
    for name, (version, _) in servers.items():
        assert images[name].rpartition(":")[2].removeprefix("v").startswith(version), name
    published = re.findall(r'"([^"\s]*?)\$\{(\w+_PORT)\}:', text)
    assert {address for address, _ in published} == {"127.0.0.1:"}
    assert {port for _, port in published} == set(read_ports()) - INTERNAL - {"PROMETHEUS_PORT"}
    assert "--web.listen-address=127.0.0.1:${PROMETHEUS_PORT}" in text


def test_the_table_of_servers_is_true(script):
    """The README beside the script shows each server with its version and its ports."""
    script.pretend("pushgateway", (BACKENDS / "servers" / "pushgateway.sh").read_text(encoding="utf-8"))
    text = (BACKENDS / "README.rst").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^``([a-z0-9-]+)`` {2,}(\S.*)$", text, re.MULTILINE))
    ports = read_ports()
    servers = list_servers(script)
    assert set(rows) == set(servers)
    for name, (version, _) in servers.items():
        own = [port for key, port in ports.items() if key.startswith(f"{name.upper().replace('-', '_')}_")]
        shown = [int(number) for number in re.findall(r"\b1\d{4}\b", rows[name])]
        assert rows[name].startswith(f"{version} "), name
        assert sorted(shown) == sorted(port for port in own if port not in {ports[key] for key in INTERNAL}), name


def test_a_server_that_answers_is_not_started_again(script):
    """Starting twice launches once."""
    assert script("start", "pushgateway").returncode == 0
    outcome = script("start", "pushgateway")
    assert outcome.returncode == 0
    assert "answers already" in outcome.stdout
    assert len(script.read_pids("pushgateway", "launches")) == 1


def test_two_who_start_at_once_launch_once(script):
    """Callers side by side end with one server, and both are told that it answers."""
    with ThreadPoolExecutor(4) as callers:
        outcomes = list(callers.map(lambda _: script("start", "pushgateway"), range(4)))
    assert [outcome.returncode for outcome in outcomes] == [0] * 4
    assert len(script.read_pids("pushgateway", "launches")) == 1


def test_a_server_that_shows_no_variables_for_a_while_has_not_ended(script):
    """As a process that becomes a large program does, which takes long from a cold disk."""
    becoming = "exec env -i sh -c 'sleep 1; touch ready; exec env TIME_EXECUTION_SERVER=$data sleep 600'"
    script.pretend("pushgateway", re.sub("launch.*", f'launch() {{ detached sh -c "{becoming}"; }}', PRETENDER))
    outcome = script("start", "pushgateway")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert script("stop", "pushgateway").returncode == 0
    assert not script.data.joinpath("pushgateway").exists()


def test_a_killed_server_comes_back_with_its_data(script):
    """After kill nothing of it runs, not even a child in a session of its own; the data are there at the next start."""
    script("start", "pushgateway")
    (main,), (child,) = script.read_pids("pushgateway", "pid"), script.read_pids("pushgateway", "child")
    assert is_alive(main)
    assert is_alive(child)
    (script.data / "pushgateway" / "kept").touch()
    assert script("kill", "pushgateway").returncode == 0
    assert not is_alive(main)
    assert not is_alive(child)
    assert script("status", "pushgateway").returncode == 1
    assert script("start", "pushgateway").returncode == 0
    assert (script.data / "pushgateway" / "kept").exists()
    assert len(script.read_pids("pushgateway", "launches")) == 2
    assert script("status", "pushgateway").returncode == 0


def test_a_stopped_server_leaves_neither_process_nor_data(script):
    """Stop ends the server with all its children, and its folder is gone."""
    script("start", "pushgateway")
    pids = script.read_pids("pushgateway", "pid") + script.read_pids("pushgateway", "child")
    assert script("stop", "pushgateway").returncode == 0
    assert not any(map(is_alive, pids))
    assert not (script.data / "pushgateway").exists()


def test_a_server_that_ignores_the_polite_signal_is_ended_by_force(script):
    """Stop does not wait for ever for a process that takes no notice of SIGTERM."""
    script.pretend("pushgateway", PRETENDER.replace("touch ready", 'trap "" TERM; touch ready'))
    edit(script.folder / "servers" / "_process.sh", "stop_timeout=15", "stop_timeout=2")
    script("start", "pushgateway")
    (main,) = script.read_pids("pushgateway", "pid")
    assert script("stop", "pushgateway").returncode == 0
    assert not is_alive(main)


def test_stop_goes_on_when_the_server_ends_by_itself_just_then(script):
    """A signal that finds nobody any more is no failure."""
    script.pretend("pushgateway", PRETENDER + 'kill() { builtin kill "$@"; [[ $1 != -TERM ]]; }\n')
    script("start", "pushgateway")
    outcome = script("stop", "pushgateway")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert not (script.data / "pushgateway").exists()


def test_kill_says_whether_there_was_anything_to_kill(script):
    """Nobody is told that a server was killed which did not run."""
    script("start", "pushgateway")
    assert script("kill", "pushgateway").stdout.split(maxsplit=1)[1] == "killed\n"
    assert script("kill", "pushgateway").stdout.split(maxsplit=1)[1] == "does not run\n"


@pytest.mark.parametrize("verb", ["kill", "stop"])
@pytest.mark.parametrize("environment", [None, {}], ids=["usual", "empty"])
def test_a_process_that_was_not_started_here_is_never_ended(script, verb, environment):
    """A number in a stale pid file may be anybody's by now, and anybody else's stays alive."""
    edit(script.folder / "servers" / "_process.sh", "exec_timeout=10", "exec_timeout=1")
    # As the user that servers run as, whose variables are looked at.
    nobody, groups = (NOBODY, []) if os.geteuid() == 0 else (None, None)
    stranger = subprocess.Popen(["/bin/sleep", "600"], env=environment, user=nobody, group=nobody, extra_groups=groups)
    try:
        folder = script.data / "pushgateway"
        folder.mkdir(parents=True)
        (folder / "pid").write_text(f"{stranger.pid}\n", encoding="utf-8")
        assert script(verb, "pushgateway").returncode == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_port_in_use_is_reported_and_its_owner_left_alone(script):
    """A stranger on the port is no reason to launch a server that could not listen."""
    with socket.create_server(("127.0.0.1", read_ports(script.folder)["PUSHGATEWAY_PORT"])):
        outcome = script("start", "pushgateway")
    assert outcome.returncode == 1
    assert "is taken" in outcome.stderr
    assert not (script.data / "pushgateway" / "pid").exists()


@pytest.mark.parametrize(
    ("name", "kind"), [("STATSD_PORT", socket.SOCK_DGRAM), ("STATSD_ADMIN_PORT", socket.SOCK_STREAM)]
)
def test_each_port_of_a_server_has_to_be_free(script, name, kind):
    """Those of UDP count, and those beside the first; the message says which it is."""
    script.pretend("statsd", PRETENDER.replace("PUSHGATEWAY", "STATSD"))
    port = read_ports(script.folder)[name]
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", port))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        outcome = script("start", "statsd")
    script("stop", "statsd")
    assert outcome.returncode == 1
    assert f"port {port} is taken" in outcome.stderr


def test_a_server_that_dies_shows_its_last_words_and_the_others_start(script):
    """The end of the log is in the message, the exit code is 1, and a healthy server beside it answers."""
    script.pretend("victoriametrics", PRETENDER.replace("PUSHGATEWAY", "VICTORIAMETRICS"))
    script.pretend("pushgateway", PRETENDER.replace("touch ready", "echo no such luck; exit 3"))
    try:
        outcome = script("start", "pushgateway", "victoriametrics")
        assert outcome.returncode == 1
        assert "no such luck" in outcome.stderr
        assert "ended before it answered" in outcome.stderr
        assert script("status", "victoriametrics").returncode == 0
    finally:
        script("stop", "victoriametrics")


def test_a_server_that_never_answers_is_given_up_on(script):
    """The wait has a bound, after which the exit code is 1."""
    script.pretend("pushgateway", PRETENDER.replace("touch ready", "echo still busy"))
    outcome = script("start", "pushgateway", TIME_EXECUTION_SERVICES_TIMEOUT="1")
    assert outcome.returncode == 1
    assert "still busy" in outcome.stderr
    assert "does not answer after 1 s" in outcome.stderr


@pytest.mark.parametrize("folder", ["data, more data", "dat\u00e1", "data {of} #1", "relative"])
def test_a_folder_that_some_server_could_not_use_is_refused(script, folder):
    """Rather than that a server splits the path, or creates another one."""
    script.data = folder if folder == "relative" else script.data.with_name(folder)
    outcome = script("start", "pushgateway")
    assert outcome.returncode == 1
    assert f"cannot keep data in '{script.data}'" in outcome.stderr
    script.data = script.cache


def test_a_folder_with_spaces_will_do(script):
    """What separates words in a shell may stand in a path."""
    script.data = script.data.with_name("data of tests")
    text = (BACKENDS / "servers" / "otelcol.sh").read_text(encoding="utf-8")
    script.pretend("otelcol", text + PRETENDER.replace("PUSHGATEWAY", "OTELCOL"))
    try:
        assert script("start", "otelcol").returncode == 0
        written = (script.data / "otelcol" / "config.yaml").read_text(encoding="utf-8")
        paths = re.findall(r'"(/[^"]*)"', written)
        assert len(paths) == written.count(str(script.data)) == 3
        assert script("kill", "otelcol").stdout.endswith("killed\n")
    finally:
        script("stop", "otelcol")
    assert not (script.data / "otelcol").exists()


def test_a_folder_of_somebody_else_is_not_used(script):
    """Whoever made the predictable folder first does not get to say what is in it."""
    if os.geteuid() == 0:
        script.data.mkdir()
        os.chown(script.data, NOBODY, NOBODY)
    else:
        script.data = Path("/")
    outcome = script("start", "pushgateway")
    assert outcome.returncode == 1
    assert "belongs to somebody else" in outcome.stderr
