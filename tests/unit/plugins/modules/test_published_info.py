# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run learns of a Pi's daemon beside its journal, and a trial that only the daemon's own columns tell apart."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing

import pytest

YAML = """\
api:
  port: 8080
websocket:
  port: 8181  # of the owner
agent_server:
  enabled: true
  port: "9191"
webui:
  enabled: false
  port: 3100
"""
AS_JSON = json.dumps(
    {"websocket": {"port": 8181}, "agent_server": {"enabled": True, "port": "9191"}, "webui": {"port": 3100}}
)
FOUND = {"PI_CONTROLLER_WEBSOCKET_PORT": 8181, "PI_CONTROLLER_AGENT_SERVER_PORT": 9191}
DEFAULT = {"PI_CONTROLLER_WEBSOCKET_PORT": 8081}


@pytest.mark.parametrize(
    ("text", "wanted"), [(YAML, FOUND), (AS_JSON, FOUND), ("", DEFAULT), (None, DEFAULT), ("{", DEFAULT)]
)
def test_d12_listeners_are_read_from_the_owners_file(run_module, tmp_path, text, wanted):
    config = tmp_path / "config.yaml"
    if text is not None:
        config.write_text(text)
    result = run_module("migration_journal_info", {"path": str(tmp_path / "journal.json"), "config_file": str(config)})
    assert result["listeners"] == wanted


def test_d7_the_owner_is_that_of_the_database_in_use(run_module, tmp_path):
    unit, pod = tmp_path / "unit.db", tmp_path / "pod.db"
    arguments = {"path": str(tmp_path / "journal.json"), "databases": [str(unit), str(pod)]}
    assert run_module("migration_journal_info", arguments)["data_owner"] == {}
    pod.touch()
    assert run_module("migration_journal_info", arguments)["data_owner"] == {
        "uid": os.geteuid(),
        "gid": pod.stat().st_gid,
    }


def database(path, *rows):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE nodes (id INTEGER PRIMARY KEY, name TEXT, Last_Seen TEXT)")
        connection.executemany("INSERT INTO nodes VALUES (?, ?, ?)", rows)
        connection.commit()
    return str(path)


@pytest.mark.parametrize(
    ("volatile", "name", "equal"),
    [(["nodes.last_seen"], "a", True), (["nodes.last_seen"], "b", False), ([], "a", False)],
)
def test_d3_the_daemons_own_columns_make_no_difference(run_module, tmp_path, volatile, name, equal):
    before, after = (
        database(tmp_path / "before.db", (1, "a", "10:00")),
        database(tmp_path / "after.db", (1, name, "10:30")),
    )
    result = run_module("sqlite_info", {"path": after, "against": before, "volatile_columns": volatile})
    assert result["comparison"]["equal"] is equal
