# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A migration with TLS and a bearer token on, by an account that may do no more than docs/rbac.yml says."""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml

from tests.e2e import hosts as on
from tests.e2e import rehearsal
from tests.lab.pki import Authority
from tests.lab.shell import wait_for

CONFIG = "/etc/pi-controller/config.yaml"
CORE = 32
# The same path on the Pis and on the control node, which ask the daemons both.
CA = "/run/pi-controller-test-ca.crt"


def put(name: str, path: str, content: str, mode: str = "0600") -> None:
    command = [
        "ssh",
        "-F",
        rehearsal.lab_state()["ssh_config"],
        name,
        f"umask 077 && cat > {path} && chmod {mode} {path}",
    ]
    subprocess.run(command, input=content, text=True, check=True, timeout=30)


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[list[str], str]]:
    """The old world with a certificate and a token on every daemon; gives the hosts and the token."""
    names = rehearsal.old_world("full", rolled_back=True)
    # What means something to JSON, YAML, shells and URLs, and base64's padding; CORE of it is looked for, which is the same in all.
    token = f"pl4nted'\"%0a\\u0041{secrets.token_hex(CORE // 2)}=="
    authority = Authority(tmp_path / "pki")
    authority.create()
    Path(CA).write_text(authority.certificate.read_text())
    for node in rehearsal.lab_state()["nodes"]:
        name = node["name"]
        certificate, key = authority.issue(name, f"/CN={name}", (f"IP:{node['address']}", "IP:127.0.0.1"))
        put(name, "/etc/pi-controller/tls.crt", certificate.read_text())
        put(name, "/etc/pi-controller/tls.key", key.read_text())
        put(name, CA, authority.certificate.read_text())
        config = yaml.safe_load(rehearsal.on_host(name, "cat", CONFIG))
        config["auth"] = {"token": token}
        config["api"].update(tls_cert="/etc/pi-controller/tls.crt", tls_key="/etc/pi-controller/tls.key")
        put(name, CONFIG, yaml.safe_dump(config))
        rehearsal.on_host(name, "systemctl", "restart", "pi-controller")
    wait_for(
        "every daemon follows one leader",
        lambda: undecided(token),
        timeout=30,
        advice="journalctl -u pi-controller on the Pis",
    )
    yield names, token
    Path(CA).unlink()
    # The reset before the next test writes the configuration anew.
    rehearsal.spoil(names)


@pytest.fixture
def least_rights(tmp_path: Path) -> Path:
    """A kubeconfig of the ServiceAccount in docs/rbac.yml."""
    rehearsal.kubectl("apply", "-f", str(rehearsal.REPOSITORY / "docs/rbac.yml"))
    admin = yaml.safe_load(Path(rehearsal.lab_state()["kubeconfig"]).read_text())
    client = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config_dict(admin))
    wanted: Any = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600},
    }
    made: Any = client.create_namespaced_service_account_token("raft-migration", "pi-controller", wanted)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "pi", "cluster": admin["clusters"][0]["cluster"]}],
        "users": [{"name": "raft-migration", "user": {"token": made.status.token}}],
        "contexts": [{"name": "pi", "context": {"cluster": "pi", "user": "raft-migration"}}],
        "current-context": "pi",
    }
    path = tmp_path / "kubeconfig"
    path.touch(0o600)
    path.write_text(yaml.safe_dump(config))
    return path


def ask(address: str, token: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPSConnection(address, 8080, timeout=5, context=ssl.create_default_context(cafile=CA))
    try:
        connection.request(method, path, json.dumps(body) if body else None, {"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def undecided(token: str) -> str | None:
    """Why not every daemon follows one leader, as after the leader was started again."""
    reported = [ask(node["address"], token, "GET", "/api/v1/raft/status")[1] for node in rehearsal.lab_state()["nodes"]]
    leaders = {status["leader"] for status in reported}
    led = any(status["is_leader"] for status in reported)
    return (
        None if led and len(leaders) == 1 and all(leaders) else f"leaders {leaders}, one of them by its own word: {led}"
    )


def write(token: str, name: str) -> None:
    """One acknowledged write, on whichever Pi leads."""
    answers = [
        ask(node["address"], token, "POST", "/api/v1/nodes", {"name": name}) for node in rehearsal.lab_state()["nodes"]
    ]
    assert 201 in [status for status, _ in answers], answers


def everywhere(addresses: list[str], token: str, *rows: str) -> None:
    """Every Pi holds these rows, and shows them to no client without the token."""
    for address in addresses:
        code, answer = ask(address, token, "GET", "/api/v1/nodes")
        assert code == 200
        assert set(rows) <= {node["name"] for node in answer["nodes"]}, address
        assert ask(address, "wrong", "GET", "/api/v1/nodes")[0] == 401


def holds(folder: Path, text: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def readable_by_others(folder: Path) -> list[str]:
    """Files and folders, and the folder itself, that are not for their owner alone."""
    return [
        f"{path} {path.lstat().st_mode:o}"
        for path in [folder, *folder.rglob("*")]
        if path.lstat().st_mode & 0o077 and not path.is_symlink()
    ]


def test_least_rights_tls_and_a_token_that_never_leaks(
    secured: tuple[list[str], str], least_rights: Path, tmp_path: Path
) -> None:
    names, token = secured
    core = token.removesuffix("==")[-CORE:]
    write(token, "written-before")
    addresses = [node["address"] for node in rehearsal.lab_state()["nodes"]]
    assert ask(addresses[0], "wrong", "GET", "/api/v1/nodes")[0] == 401

    variables = tmp_path / "secrets/vars.yml"
    variables.parent.mkdir(0o700)
    control, logs = tmp_path / "control", tmp_path / "logs"
    logs.mkdir()
    variables.write_text(
        yaml.safe_dump(
            {
                "pi_controller_scheme": "https",
                # As a lookup of a file gives it.
                "pi_controller_token": f"{token}\n",
                "pi_controller_ca_path": CA,
                "pi_controller_kubeconfig": str(least_rights),
                "raft_migration_control_dir": str(control),
                "confirm": True,
            }
        )
    )
    run = rehearsal.run_playbook(
        "playbooks/migrate.yml", "-vv", "-e", f"@{variables}", log=logs / "migrate.log", show=True
    )
    assert run.returncode == 0, run.output[-4000:].replace(core, "TOKEN")
    assert readable_by_others(control) == []
    status = rehearsal.run_playbook("playbooks/status.yml", "-vv", "-e", f"@{variables}", log=logs / "status.log")
    assert status.returncode == 0, status.output[-4000:].replace(core, "TOKEN")
    assert readable_by_others(control) == []
    everywhere(addresses, token, "written-before")
    write(token, "written-after")

    back = rehearsal.run_playbook(
        "playbooks/rollback.yml", "-vv", "-e", f"@{variables}", log=logs / "rollback.log", show=True
    )
    assert back.returncode == 0, back.output[-4000:].replace(core, "TOKEN")
    assert readable_by_others(control) == []
    assert {on.unit_state(on.host(name)) for name in names} == {("enabled", "active")}
    everywhere(addresses, token, "written-before", "written-after")

    # A search that finds nothing proves something only if it finds what is there.
    assert holds(variables.parent, core) == [variables]
    assert holds(logs, core) == []
    assert holds(control, core) == []
    objects = rehearsal.kubectl_json("get", "daemonsets,pods,services,configmaps,leases,events", "--all-namespaces")
    assert core not in json.dumps(objects)
    for name in names:
        pi = on.host(name)
        found = pi.run(
            f"grep -rlF {core} /var/backups /var/log /tmp /run /root /etc/systemd 2>/dev/null"
        ).stdout.split()
        assert found == [], f"{name}: {found}"
        assert pi.run_expect([0], f"grep -c {core} {CONFIG}").stdout.strip() == "1", "the daemon's own file has it"
        assert core not in pi.run("journalctl --no-pager --output=cat").stdout


def test_the_account_can_do_no_more(least_rights: Path) -> None:
    """What a stolen kubeconfig would be good for."""
    client = kubernetes.config.new_client_from_config(str(least_rights))
    review = kubernetes.client.AuthorizationV1Api(client)

    def may(verb: str, resource: str, namespace: str = "", group: str = "", name: str = "") -> bool:
        attributes = {"verb": verb, "resource": resource, "namespace": namespace, "group": group, "name": name}
        body: Any = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer: Any = review.create_self_subject_access_review(body)
        return bool(answer.status.allowed)

    assert may("create", "daemonsets", "pi-controller", "apps")
    assert may("update", "daemonsets", "pi-controller", "apps")
    assert may("update", "leases", "default", "coordination.k8s.io", "pi-controller-raft-migration")
    refused = [
        ("get", "secrets", "pi-controller", "", ""),
        ("get", "secrets", "kube-system", "", ""),
        ("create", "pods", "kube-system", "", ""),
        ("update", "pods", "kube-system", "", ""),
        ("create", "daemonsets", "kube-system", "apps", ""),
        ("delete", "pods", "kube-system", "", ""),
        ("delete", "namespaces", "", "", "pi-controller"),
        ("update", "daemonsets", "kube-system", "apps", ""),
        ("delete", "services", "pi-controller", "", ""),
        ("delete", "endpoints", "pi-controller", "", ""),
        ("patch", "daemonsets", "pi-controller", "apps", ""),
        ("update", "namespaces", "", "", "pi-controller"),
        ("get", "nodes", "", "", ""),
        ("get", "pods", "kube-system", "", ""),
        ("update", "namespaces", "", "", "kube-system"),
        ("create", "clusterrolebindings", "", "rbac.authorization.k8s.io", ""),
        ("update", "leases", "default", "coordination.k8s.io", "foreign-lease"),
    ]
    assert [refusal for refusal in refused if may(*refusal)] == []
