# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab that is set up as badly as owners' systems are, in twelve ways at once: pre-flight names all twelve and changes nothing."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import rehearsal
from tests.e2e.test_preflight import DROP_IN, PODS, UNIT, broken, found, full_disk, in_kubernetes, neighbours, table
from tests.e2e.world import differences, world
from tests.lab import cluster
from tests.lab import state as files

pytestmark = pytest.mark.longer

DATABASE = "/var/lib/pi-controller/pi-controller.db"
# As a daemon does that sorts names in a way of its own.
COLLATED = f"""python3 -c 'import sqlite3
database = sqlite3.connect("{DATABASE}", timeout=20, isolation_level=None)
database.create_collation("dictionary", lambda left, right: (left > right) - (left < right))
database.execute("{{}}")'"""


def on_the_pis() -> list[contextlib.AbstractContextManager[None]]:
    """What is wrong on the Pis themselves. The full disk comes last: what is done before it writes."""
    return [
        broken(
            "pi-3",
            f"mkdir {DROP_IN} && printf '[Service]\\nEnvironment=BOARD_REVISION=3\\n' > {DROP_IN}/board.conf && "
            f"systemctl daemon-reload && systemctl restart {UNIT}",
            repair=f"rm -r {DROP_IN} && systemctl daemon-reload && systemctl restart {UNIT}",
        ),
        broken("pi-3", "mount -t tmpfs -o size=512m memory /var/backups", repair="umount /var/backups"),
        broken(
            "pi-1",
            f"mkdir -p /srv/pods {PODS} && mount --bind /srv/pods {PODS}",
            repair=f"umount {PODS} && rmdir {PODS} /srv/pods",
        ),
        broken(
            "pi-2",
            f"printf '[Timer]\\nOnCalendar=yearly\\nUnit={UNIT}\\n' > /etc/systemd/system/nightly.timer && "
            "systemctl daemon-reload && systemctl start nightly.timer",
            repair="systemctl stop nightly.timer; rm /etc/systemd/system/nightly.timer && systemctl daemon-reload",
        ),
        broken(
            "pi-1",
            COLLATED.format("CREATE TABLE labels (name TEXT COLLATE dictionary)"),
            repair=COLLATED.format("DROP TABLE IF EXISTS labels"),
        ),
        full_disk("pi-2"),
    ]


def test_p6_p7_p8_p9_p11_p12_s3_a1_k1_k5_k6_k10_named_at_once(
    old_world: Callable[[str], list[str]], tmp_path: Path
) -> None:
    names = old_world("full")
    addresses = {node["name"]: node["address"] for node in rehearsal.lab_state()["nodes"]}
    # By row of docs/real-systems.md: the finding, and a part of its remedy.
    patterns = {
        "P6": (rf"^pi-1: mount pod_data_dir: {PODS} is a mount point$", "pi_controller_pod_data_dir"),
        "P7": (r"^pi-2: unit started by: nightly\.timer$", "systemctl enable"),
        "P8": (r"^pi-3: unit environment: BOARD_REVISION$", "migration.standard_env"),
        "P9": (r"^pi-3: mount backup_path: /var/backups/pi-controller-migration is on tmpfs", "migration.backup_path"),
        "P11": (r"^pi-2: disk for backup_path, pod_data_dir: .* free at ", "free "),
        "P12": (r"^pi-\d: write pause: about \d+ s predicted", "rolling"),
        "S3": (r"^pi-1: database table labels( \(warning\))?: needs the collation dictionary", "SQLite"),
        "A1": (r"^\(all\): forks: 2$", "--forks 3"),
        "K1, a pod": (
            r"^pi-3: hostPort 9092: 9092 \(temporary_ports\.raft\) is claimed by the pod neighbours/web$",
            "another hostPort",
        ),
        "K1, a Service": (
            r"^\(all\): hostPort 8082: .* is claimed by the Service neighbours/outside \(externalIPs\)$",
            "kubectl",
        ),
        "K5": (
            rf"^\(all\): another Service: neighbours/legacy points to the units \({addresses['pi-1']}:8080\), used by the Ingress neighbours/door$",
            "pi_controller_service",
        ),
        "K6": (r"^\(all\): namespace: .* violates PodSecurity \"restricted:latest\"", "kubectl label namespace"),
        "K10": (
            r"^\(all\): manifest: Service pi-controller is applied again from Addon pi$",
            "objectset.rio.cattle.io/hash-",
        ),
    }
    short = json.dumps({"migration": {"timeouts": {"cutover_timeout": "1s"}}})
    with contextlib.ExitStack() as faults:
        for fault in on_the_pis():
            faults.enter_context(fault)
        faults.enter_context(in_kubernetes(neighbours(addresses)))
        before = world(names)
        run = rehearsal.run_playbook(
            "playbooks/preflight.yml", "--forks", "2", "-e", short, log=tmp_path / "preflight.log"
        )
        after = world(names)
    cluster.wait_caught_up(files.require())

    assert run.returncode != 0
    listed = found(run.output)
    assert [row for row, (seen, _) in patterns.items() if not re.search(seen, listed, re.MULTILINE)] == [], (
        f"not in the table:\n{listed}"
    )
    fixes = dict(zip(listed.splitlines(), [row["fix"] for row in table(run.output)], strict=True))
    for row, (seen, remedy) in patterns.items():
        assert [fix for line, fix in fixes.items() if re.search(seen, line) and remedy in fix], (
            f"{row}: no {remedy} in {fixes}"
        )
    # What follows from these: traffic to pi-2:8082 and pi-3:9092 is translated to what does not answer, which the probe of the ports
    # sees as well; a table of one Pi's alone; a drop-in; and pods whose folder is on another mount than the data's.
    known = [
        *(seen for seen, _ in patterns.values()),
        r"^pi-\d: (way to pi-\d|port (8082|9092))",
        r"^pi-2: eviction: ",
        r"^pi-3: unit drop-ins \(warning\): ",
        r"^\S+: database ",
    ]
    assert [line for line in listed.splitlines() if not any(re.search(pattern, line) for pattern in known)] == []
    print(f"{len(fixes)} findings in {run.seconds:.1f} s")
    assert run.changed == dict.fromkeys(names, 0)
    assert differences(before, after) == []
