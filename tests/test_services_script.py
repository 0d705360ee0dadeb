"""`backends/services`, with servers that only pretend: who is started, who is ended, and who never is."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unprivileged import NOBODY

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the servers run by themselves on Linux")

BACKENDS = Path(__file__).parents[1] / "backends"
INTERNAL = {"KAFKA_CONTROLLER_PORT", "RABBITMQ_EPMD_PORT", "RABBITMQ_DISTRIBUTION_PORT"}
PRETENDER = """
version=1
port=$PUSHGATEWAY_PORT
install() { :; }
launch() { detached sh -c 'echo $$ >>launches; setsid sleep 600 & echo $! >child; touch ready; exec sleep 600'; }
answers() { [[ -e $data/ready ]] && is_running; }
"""


def read_ports(folder=BACKENDS):
    text = (folder / "ports.env").read_text(encoding="utf-8")
    return {name: int(port) for name, port in re.findall(r"^(\w+)=(\d+)$", text, re.MULTILINE)}


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Script:
    """A copy of the script and its servers, on ports of its own, with a cache and data of its own."""

    def __init__(self, folder):
        self.folder = folder / "backends"
        self.data = folder / "data"
        self.cache = folder / "cache"
        shutil.copytree(BACKENDS, self.folder)
        self._move_ports()

    def _move_ports(self):
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in read_ports()]
        lines = [f"{name}={it.getsockname()[1]}\n" for name, it in zip(read_ports(), listeners, strict=True)]
        for listener in listeners:
            listener.close()
        (self.folder / "ports.env").write_text("".join(lines), encoding="utf-8")

    def pretend(self, name, text=PRETENDER):
        """Replace a server's file."""
        (self.folder / "servers" / f"{name}.sh").write_text(text, encoding="utf-8")

    def __call__(self, *arguments, user=None, **variables):
        environment = os.environ | {
            "TIME_EXECUTION_SERVICES": "local",
            "TIME_EXECUTION_SERVICES_DATA": str(self.data),
            "TIME_EXECUTION_SERVICES_CACHE": str(self.cache),
            **variables,
        }
        command = [self.folder / "services", *arguments]
        return subprocess.run(
            command, env=environment, user=user, capture_output=True, text=True, timeout=60, check=False
        )

    def read_pids(self, name, file):
        return [int(line) for line in (self.data / name / file).read_text(encoding="utf-8").split()]


@pytest.fixture
def script():
    # Not tmp_path: root starts servers as nobody, who may not enter it.
    with tempfile.TemporaryDirectory(prefix="time-execution-") as folder:
        Path(folder).chmod(0o755)
        made = Script(Path(folder))
        made.pretend("pushgateway")
        yield made
        made("stop", "pushgateway")


def list_servers(script):
    rows = script("status").stdout.splitlines()[1:]
    return {name: (version, int(port)) for name, version, port, *_ in map(str.split, rows)}


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


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("verb", ["kill", "stop"])
def test_a_process_that_was_not_started_here_is_never_ended(script, verb):
    """A number in a stale pid file may be anybody's by now, and anybody else's stays alive."""
    stranger = subprocess.Popen(["sleep", "600"])
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


def test_a_missing_package_is_named_to_whoever_may_not_install_it(script):
    """Without root the message says what to install; nothing is tried."""
    script.pretend(
        "pushgateway", PRETENDER.replace("install() { :; }", "install() { need no-such-program some-package; }")
    )
    script.folder.parent.chmod(0o777)
    outcome = script("start", "pushgateway", user=NOBODY if os.geteuid() == 0 else None)
    assert outcome.returncode == 1
    assert "some-package" in outcome.stderr


def test_a_missing_client_of_a_registry_is_named_too(script):
    """What a download needs is looked for before the lock on installations is taken, which it would wait for."""
    edit(script.folder / "servers" / "statsd.sh", "need node nodejs", ":")
    edit(script.folder / "servers" / "_install.sh", "need npm", "need no-such-npm")
    script.folder.parent.chmod(0o777)
    outcome = script("start", "statsd", user=NOBODY if os.geteuid() == 0 else None)
    assert outcome.returncode == 1
    assert "no-such-npm" in outcome.stderr


def test_half_a_download_does_not_count(script):
    """A fetch that fails midway is done again, and what it left is not taken for the package."""
    npm = script.folder / "npm"
    npm.write_text(
        '#!/bin/sh\nfor folder; do [ -d "$folder" ] && mkdir "$folder/node_modules"; done\nexit 1\n', encoding="utf-8"
    )
    npm.chmod(0o755)
    edit(script.folder / "servers" / "statsd.sh", "need node nodejs", ":")
    for _ in range(2):
        outcome = script("start", "statsd", PATH=f"{script.folder}:{os.environ['PATH']}")
        assert outcome.returncode == 1
        assert "npm could not fetch statsd" in outcome.stderr
    assert not (script.cache / "statsd-0.9.0").exists()


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
