# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A configuration file is changed as a YAML library would read the change, or refused."""

from __future__ import annotations

import copy

import pytest
import yaml
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.failures import MigrationError
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.yaml_edit import (
    Value,
    keys_in,
    set_keys,
)

ALIASES = {"cluster": "clustering"}
WANTED: dict[str, Value] = {
    "api.port": 8082,
    "cluster.bind_addr": "10.0.0.1:9092",
    "cluster.bootstrap": False,
    "cluster.initial_peers": [],
    "gpio.enabled": False,
    "new.key": "text: with # all",
}
PLAIN = """\
# The owner's comment: kept
---
api:
    # Another
    host: 10.0.0.1   # one address
    port: 8080       # the port
    tls:
        cert: "/etc/x"

auth: {password: "s3cret # not a comment"}
clustering:
  enabled: true
  bind_addr: "10.0.0.1:9091"
  initial_peers:
    - a:9091
    - b:9091
  banner: |
    port: 1
      bootstrap: true
  bootstrap: yes
gpio: {}
list:
- one
- two
"""


def expected(text: str) -> dict:
    tree = copy.deepcopy(yaml.safe_load(text)) or {}
    for dotted, value in WANTED.items():
        section, key = dotted.split(".")
        if section == "cluster" and "clustering" in tree:
            section = "clustering"
        tree[section] = {**(tree.get(section) or {}), key: value}
    return tree


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "",
        "api:\n",
        "cluster:\n  initial_peers:\n  - a\n  - b\n  bind_addr: x\n",
        "api:\n  'port': 1\n\"gpio\":\n  enabled: true\n...\n",
        "api:\n  name: >\n    two\n    lines\n\n  port: 1\n# at the margin\n  host: x\nother: 1\n",
        '{"api": {"port": 1, "host": "x"}, "clustering": {"bootstrap": true}, "secret": "s"}',
    ],
)
def test_d1_a_file_reads_as_a_library_would_have_changed_it(text: str) -> None:
    changed = set_keys(text, WANTED, ALIASES, "config.yaml")
    assert yaml.safe_load(changed) == expected(text)
    assert set_keys(changed, WANTED, ALIASES, "config.yaml") == changed
    found = keys_in(changed, WANTED, ALIASES)
    assert {key: yaml.safe_load(value) for key, value in found.items()} == WANTED


def test_d1_what_is_not_set_stays_byte_for_byte() -> None:
    changed = set_keys(PLAIN, {"api.port": 8082}, ALIASES, "config.yaml")
    lines = [(old, new) for old, new in zip(PLAIN.splitlines(), changed.splitlines()) if old != new]
    assert lines == [("    port: 8080       # the port", "    port: 8082")]


@pytest.mark.parametrize(
    ("text", "line", "seen"),
    [
        ("api: {port: 8080, key: s3cret}\n", 1, "not in block style"),
        ("api: &x\n  port: 1\n", 1, "not in block style"),
        ("base: &x\n  a: 1\napi:\n  <<: *x\n  key: s3cret\n", 4, "not a key"),
        ("api:\n  port: &p 8080\nweb: *p\n", 2, "anchor"),
        ("api:\n\tport: 1\n", 2, "tab"),
        ("api:\n  port: 1\n---\napi:\n  key: s3cret\n", 3, "second document"),
        ("api:\n  port: 1\napi:\n  key: s3cret\n", 3, "second section"),
        ("api:\n  port: 1\n  port: 2\n", 3, "second time"),
        ("other: {\n  key: s3cret\n}\n", 3, "margin"),
        ("{api: {port: 1}}", 1, "flow mapping"),
    ],
)
def test_d1_what_cannot_be_changed_safely_is_refused_by_its_line(text: str, line: int, seen: str) -> None:
    with pytest.raises(MigrationError) as refused:
        set_keys(text, WANTED, ALIASES, "/etc/x.yaml")
    assert f"/etc/x.yaml, line {line}" in str(refused.value)
    assert seen in str(refused.value)
    assert "s3cret" not in refused.value.full_message + str(refused.value.failure)
