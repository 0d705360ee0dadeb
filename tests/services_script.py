"""A copy of `backends/services` for tests of its own, with servers that only pretend."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

BACKENDS = Path(__file__).parents[1] / "backends"
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
            "TIME_EXECUTION_SERVICES_RELEASE": "1",
            **variables,
        }
        command = [self.folder / "services", *arguments]
        return subprocess.run(
            command, env=environment, user=user, capture_output=True, text=True, timeout=60, check=False
        )

    def read_pids(self, name, file):
        return [int(line) for line in (self.data / name / file).read_text(encoding="utf-8").split()]


def list_servers(script):
    rows = script("status").stdout.splitlines()[1:]
    return {name: (version, int(port)) for name, version, port, *_ in map(str.split, rows)}


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@contextmanager
def copied_script():
    """A script whose Pushgateway only pretends, which is stopped in the end."""
    # Not tmp_path: root starts servers as nobody, who may not enter it.
    with tempfile.TemporaryDirectory(prefix="time-execution-") as folder:
        Path(folder).chmod(0o755)
        made = Script(Path(folder))
        made.pretend("pushgateway")
        yield made
        made("stop", "pushgateway")
