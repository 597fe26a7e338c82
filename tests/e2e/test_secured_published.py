# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The published daemon with TLS, client certificates and a login: there and back Pi by Pi, and no secret is found anywhere."""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import hosts as on
from tests.e2e import rehearsal
from tests.e2e.test_rolling import assert_old_world
from tests.e2e.test_secured import CONFIG, holds, put, readable_by_others
from tests.lab import settings
from tests.lab.pki import Authority
from tests.lab.shell import run, wait_for

pytestmark = pytest.mark.longer

# The same paths on the Pis and on the control node, which ask the daemons both.
CA, CERT, KEY = (f"/run/pi-controller-test-{name}" for name in ("ca.crt", "client.crt", "client.key"))
USER = "migration"
# The watch asks from the machine's own address, which is limited. This one is the machine's, too, while the test runs.
SOURCE = "10.77.0.250"
# Seconds until a daemon that has answered 429 has to answer.
LIMITED = 30.0
# How every token of that daemon begins.
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"


@dataclass(frozen=True)
class Secured:
    """The Pis, and what must be found nowhere but in the daemons' own files."""

    names: list[str]
    password: str
    key: str


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    names = rehearsal.old_world("published")
    own_address = (f"{SOURCE}/32", "dev", settings.BRIDGE)
    run(["ip", "address", "replace", *own_address])
    try:
        yield from secured_with_files(names, tmp_path)
    finally:
        for path in (CA, CERT, KEY):
            Path(path).unlink(missing_ok=True)
        run(["ip", "address", "del", *own_address])
        # The next test's reset writes the configuration anew; a password in it must not outlive this one.
        rehearsal.lab("reset", "--profile", "published")


def secured_with_files(names: list[str], tmp_path: Path) -> Iterator[Secured]:
    # What means something to JSON, YAML and shells; the letters after it are looked for.
    core = secrets.token_hex(16)
    authority = Authority(tmp_path / "pki")
    authority.create()
    ca = authority.certificate.read_text()
    certificate, key = authority.issue("client", "/CN=migration", ("DNS:migration",))
    for path, text in ((CA, ca), (CERT, certificate.read_text()), (KEY, key.read_text())):
        Path(path).touch(0o600)
        Path(path).write_text(text)
    for node in rehearsal.lab_state()["nodes"]:
        secure(node, authority, f"pl4nted'\"{core}", {CA: ca, CERT: certificate.read_text(), KEY: key.read_text()})
    wait_for(
        "every daemon follows one leader",
        lambda: undecided(f"pl4nted'\"{core}"),
        timeout=60,
        advice="journalctl -u pi-controller on the Pis",
    )
    yield Secured(names, f"pl4nted'\"{core}", key.read_text().splitlines()[1])


def secure(node: dict[str, Any], authority: Authority, password: str, files: dict[str, str]) -> None:
    """This Pi's daemon wants TLS with a client certificate, and a login."""
    name = node["name"]
    own, own_key = authority.issue(name, f"/CN={name}", (f"IP:{node['address']}", "IP:127.0.0.1"))
    put(name, "/etc/pi-controller/tls.crt", own.read_text())
    put(name, "/etc/pi-controller/tls.key", own_key.read_text())
    put(name, "/etc/pi-controller/client-ca.crt", files[CA])
    for path, text in files.items():
        put(name, path, text)
    config = yaml.safe_load(rehearsal.on_host(name, "cat", CONFIG))
    config["auth"] = {"user": USER, "password": password}
    folder = "/etc/pi-controller"
    config["api"].update(
        tls_cert=f"{folder}/tls.crt", tls_key=f"{folder}/tls.key", tls_client_ca=f"{folder}/client-ca.crt"
    )
    put(name, CONFIG, yaml.safe_dump(config))
    rehearsal.on_host(name, "systemctl", "restart", "pi-controller")


def ask(
    address: str, method: str, path: str, body: Any = None, token: str = "", certified: bool = True
) -> tuple[int, Any]:
    """What the daemon answers; a 429 is asked again, since it gives each address one request a second."""
    deadline = time.monotonic() + LIMITED
    while (answer := ask_once(address, method, path, body, token, certified))[0] == 429 and time.monotonic() < deadline:
        time.sleep(1)
    return answer


def ask_once(address: str, method: str, path: str, body: Any, token: str, certified: bool) -> tuple[int, Any]:
    context = ssl.create_default_context(cafile=CA)
    if certified:
        context.load_cert_chain(CERT, KEY)
    connection = http.client.HTTPSConnection(address, 8080, timeout=5, context=context, source_address=(SOURCE, 0))
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def read(address: str, password: str, path: str) -> Any:
    """What the daemon answers whoever has logged in to it."""
    status, found = ask(address, "POST", "/api/v1/auth/login", {"username": USER, "password": password})
    assert status == 200, found
    status, answer = ask(address, "GET", path, token=found["access_token"])
    assert status == 200, answer
    return answer


def undecided(password: str) -> str | None:
    """Why not every daemon follows one leader, as after all were started again."""
    try:
        leaders = {
            read(node["address"], password, "/api/v1/raft/status")["leader"] for node in rehearsal.lab_state()["nodes"]
        }
    except (OSError, http.client.HTTPException, AssertionError) as error:
        return str(error)
    return None if len(leaders) == 1 and all(leaders) else f"leaders {leaders}"


def rows(password: str) -> dict[str, set[str]]:
    """The rows of each Pi, which has only its own."""
    nodes = rehearsal.lab_state()["nodes"]
    return {
        node["name"]: {row["name"] for row in read(node["address"], password, "/api/v1/gpio")["gpio"]} for node in nodes
    }


def test_d5_d6_tls_with_client_certificates_and_a_login(secured: Secured, tmp_path: Path) -> None:
    names, password = secured.names, secured.password
    core = password.rpartition('"')[2]
    before = rows(password)
    assert before == {name: {f"gpio-{number} of {name}" for number in range(1, 7)} for name in names}
    address = rehearsal.lab_state()["nodes"][0]["address"]
    with pytest.raises((ssl.SSLError, OSError)):
        ask(address, "GET", "/health", certified=False)
    assert ask(address, "GET", "/api/v1/nodes", token="wrong")[0] == 401

    variables, control, logs = tmp_path / "secrets/vars.yml", tmp_path / "control", tmp_path / "logs"
    variables.parent.mkdir(0o700)
    logs.mkdir()
    variables.write_text(
        yaml.safe_dump(
            {
                "migration": {"strategy": "rolling"},
                "pi_controller_followers_write": True,
                "pi_controller_scheme": "https",
                "pi_controller_user": USER,
                # As a lookup of a file gives it.
                "pi_controller_password": f"{password}\n",
                "pi_controller_ca_path": CA,
                "pi_controller_client_cert": CERT,
                "pi_controller_client_key": KEY,
                "raft_migration_control_dir": str(control),
                "confirm": True,
            }
        )
    )
    for playbook in ("migrate", "status", "rollback"):
        run = rehearsal.run_playbook(
            f"playbooks/{playbook}.yml", "-vv", "-e", f"@{variables}", log=logs / f"{playbook}.log", show=True
        )
        assert run.returncode == 0, run.output[-4000:].replace(core, "PASSWORD")
        assert readable_by_others(control) == []
        assert rows(password) == before, playbook
    assert_old_world(names)

    # A search that finds nothing proves something only if it finds what is there.
    assert holds(variables.parent, core) == [variables]
    assert holds(tmp_path / "pki", secured.key) != []
    objects = json.dumps(
        rehearsal.kubectl_json("get", "daemonsets,pods,services,configmaps,leases,events,secrets", "--all-namespaces")
    )
    for secret in (core, secured.key, JWT):
        assert holds(logs, secret) == []
        assert holds(control, secret) == []
        assert secret not in objects
    for name in names:
        pi = on.host(name)
        found = pi.run(
            f"grep -rlF -e {core} -e {JWT} /var/backups /var/log /tmp /run /root /etc/systemd 2>/dev/null"
        ).stdout.split()
        assert found == [], f"{name}: {found}"
        assert pi.run_expect([0], f"grep -c {core} {CONFIG}").stdout.strip() == "1", "the daemon's own file has it"
        journal = pi.run("journalctl --no-pager --output=cat").stdout
        assert core not in journal
        assert JWT not in journal
