# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from conftest import import_plugin

findings = import_plugin("module_utils._preflight.findings")


def finding(**changes):
    return {
        "host": "pi-1",
        "check": "unit",
        "seen": "masked",
        "wanted": "loaded",
        "fix": "unmask it",
        "level": "error",
        **changes,
    }


def test_a_table_has_a_line_of_names_a_rule_and_a_line_a_finding():
    assert findings.table([finding(), finding(host="pi-10", fix="unmask  it\nnow")]).splitlines() == [
        "host   check  seen    wanted  fix",
        "-----  -----  ------  ------  -------------",
        "pi-1   unit   masked  loaded  unmask it",
        "pi-10  unit   masked  loaded  unmask it now",
    ]


def test_a_warning_says_that_it_is_one():
    assert "unit (warning)  masked" in findings.table([finding(level="warning")])


def test_a_long_text_stays_in_its_column():
    lines = findings.table([finding(seen="word " * 30, fix="last")]).splitlines()

    assert len(lines) > 4
    assert max(map(len, lines)) <= 150
    assert all(line.startswith(" " * 13 + "word") for line in lines[3:])
    assert lines[2].endswith("last")


def test_a_path_is_not_broken_at_its_hyphens():
    path = "/var/lib/pi-controller.systemd.backup"

    assert path in findings.table([finding(seen=f"a few words before it {path} exists")])


def test_a_path_longer_than_its_column_stays_whole():
    path = "/etc/systemd/system/pi-controller.service.d/a-drop-in-with-a-long-name.conf"

    assert path in findings.table([finding(seen=f"edited ({path})")])


def test_errors_first_then_hosts_as_the_inventory_has_them_each_once():
    one = {host: findings.Finding(host, "c", "s", "w", "f") for host in ("pi-2", "pi-1", findings.EVERYWHERE)}
    warning = findings.Finding("pi-2", "a", "s", "w", "f", findings.WARNING)

    ordered = findings.ordered([warning, *one.values(), *one.values()], ["pi-2", "pi-1"])
    assert ordered == [one[findings.EVERYWHERE], one["pi-2"], one["pi-1"], warning]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (16384, "16 KiB"),
        (1.5 * 1024**2, "1.5 MiB"),
        (104 * 1024**2, "104 MiB"),
        (3 * 1024**4, "3072 GiB"),
    ],
)
def test_bytes_for_people(number, text):
    assert findings.size(number) == text
