# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from conftest import import_plugin

journals = import_plugin("module_utils._core.journal")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "migration" / "journal.json"


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by one minute each time it is read."""
    minutes = iter(range(60))
    module = import_plugin("modules.migration_journal")
    monkeypatch.setattr(module, "now", lambda: f"2026-01-31T10:{next(minutes):02}:00+00:00")


@pytest.fixture
def mark(run_module, path):
    def run(state: str, phase: str | None = "prepare", *, check_mode: bool = False, diff: bool = False, **args):
        given = {"path": str(path), "state": state, **({"phase": phase} if phase else {}), **args}
        return run_module("migration_journal", given, check_mode=check_mode, diff=diff)

    return run


@pytest.fixture
def read(run_module, path):
    return lambda: run_module("migration_journal_info", {"path": str(path)})


def test_no_journal_is_a_good_answer(read, path):
    result = read()

    assert (result["exists"], result["journal"], result["current"], result["changed"]) == (
        False,
        None,
        "prepare",
        False,
    )
    assert list(result["phase_states"]) == list(journals.PHASES)
    assert set(result["phase_states"].values()) == {"pending"}
    assert not path.parent.exists()


def test_a_phase_from_start_to_end(mark, read, path, clock):
    assert mark("started", migration_id="m-1")["changed"] is True
    result = mark("done", facts={"digest": "abc"})

    assert result["changed"] is True
    assert (
        read()["journal"]
        == result["journal"]
        == {
            "format": 1,
            "migration_id": "m-1",
            "phases": {
                "prepare": {
                    "state": "done",
                    "started": "2026-01-31T10:00:00+00:00",
                    "finished": "2026-01-31T10:01:00+00:00",
                    "facts": {"digest": "abc"},
                }
            },
            "events": [
                {"at": "2026-01-31T10:00:00+00:00", "phase": "prepare", "state": "started"},
                {"at": "2026-01-31T10:01:00+00:00", "phase": "prepare", "state": "done"},
            ],
        }
    )
    assert (read()["current"], result["current"]) == ("transfer", "transfer")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["journal.json"]


def test_what_it_says_is_a_fact_unless_it_is_archived(mark, read):
    """Later tasks go by it: after a rollback, until its end, by the journal that was put aside."""
    for result in (mark("started", migration_id="m-1"), read()):
        known = result["ansible_facts"]["raft_migration_journal"]
        assert known == {name: result[name] for name in ("journal", "phase_states", "current")}
    assert "ansible_facts" not in mark("archived", None)


@pytest.mark.parametrize("state", ["started", "done", "failed"])
def test_saying_it_again_changes_nothing(mark, path, clock, state):
    mark(state, facts={"a": 1})
    before = path.read_bytes()

    assert mark(state, facts={"a": 1})["changed"] is False
    assert mark(state)["changed"] is False
    assert path.read_bytes() == before


def test_new_facts_are_merged_and_times_kept(mark, clock):
    first = mark("done", facts={"a": 1, "b": 1})["journal"]["phases"]["prepare"]
    again = mark("done", facts={"b": 2})

    assert again["changed"] is True
    assert again["journal"]["phases"]["prepare"] == {**first, "facts": {"a": 1, "b": 2}}
    assert len(again["journal"]["events"]) == 1


@pytest.mark.parametrize("state", ["started", "failed"])
def test_a_finished_phase_is_neither_restarted_nor_failed(mark, clock, state):
    before = mark("done", facts={"digest": "abc"})["journal"]
    again = mark(state, facts={"message": "elsewhere"})

    assert again["changed"] is False
    assert again["journal"] == before


@pytest.mark.parametrize("ended", ["failed", "rolled_back"])
def test_a_failed_phase_is_started_again(mark, clock, ended):
    mark("started")
    mark(ended, facts={"task": "x"})
    phase = mark("started")["journal"]["phases"]["prepare"]

    assert (phase["state"], phase["started"], phase["finished"]) == ("started", "2026-01-31T10:02:00+00:00", None)


def test_a_finished_phase_is_rolled_back(mark, read):
    mark("done")
    mark("done", "transfer")
    mark("rolled_back")

    assert read()["phase_states"]["prepare"] == "rolled_back"
    assert read()["current"] == "prepare"


def test_what_was_never_begun_is_not_rolled_back(mark, path):
    result = mark("rolled_back")

    assert (result["changed"], result["journal"]) == (False, None)
    assert not path.exists()


def test_all_done_is_no_current_phase(mark, read):
    for phase in journals.PHASES:
        mark("done", phase)

    assert read()["current"] is None


def test_unknown_phases_and_missing_ones_are_refused(mark, path):
    assert "value of phase must be one of" in mark("done", "cleanupp")["msg"]
    assert "state is done but all of the following are missing: phase" in mark("done", None)["msg"]
    assert not path.exists()


def test_another_migrations_journal_is_refused(mark, path):
    mark("done", migration_id="m-1")
    before = path.read_bytes()
    result = mark("started", "transfer", migration_id="m-2")

    assert "belongs to migration m-1, not to m-2" in result["msg"]
    assert "archived" in result["failure"]["next_step"]
    assert path.read_bytes() == before
    assert mark("started", "transfer")["changed"] is True, "whoever does not say goes on with the one there is"


@pytest.mark.parametrize("known", [0, 1, 3])
def test_a_journal_that_was_written_since_it_was_read_is_refused(mark, path, known):
    mark("started", "prepare")
    mark("done", "prepare")
    before = path.read_bytes()
    result = mark("started", "transfer", known_events=known)
    assert f"the journal has 2 events, and had {known} when this run read it" in result["msg"]
    assert (result["failure"]["another_migration"], path.read_bytes()) == (True, before)
    assert mark("started", "transfer", known_events=known, check_mode=True)["changed"] is True, "what it predicted"
    assert mark("started", "transfer", known_events=2)["changed"] is True


def test_a_journal_that_is_gone_since_it_was_read_is_refused(mark, path):
    assert "had 3 when" in mark("started", "prepare", known_events=3)["msg"]
    assert not path.exists()
    assert mark("started", "prepare", known_events=0)["changed"] is True


def test_the_next_phase_starts_in_the_same_write(mark, path, monkeypatch):
    saved, module = [], import_plugin("modules.migration_journal")
    monkeypatch.setattr(module, "save", lambda *given: (saved.append(given), journals.save(*given)))
    mark("started", "prepare")
    result = mark("done", "prepare", next_phase="transfer", facts={"trial_digest": "abc"})
    assert len(saved) == 2
    assert (result["changed"], result["current"]) == (True, "transfer")
    assert (result["phase_states"]["prepare"], result["phase_states"]["transfer"]) == ("done", "started")
    phases = result["journal"]["phases"]
    assert phases["transfer"]["started"] == phases["prepare"]["finished"]
    assert (phases["prepare"]["facts"], phases["transfer"]["facts"]) == ({"trial_digest": "abc"}, {})
    assert [event["state"] for event in result["journal"]["events"]] == ["started", "done", "started"]
    assert mark("done", "prepare", next_phase="transfer")["changed"] is False
    mark("done", "transfer")
    assert mark("done", "prepare", next_phase="transfer")["phase_states"]["transfer"] == "done", "it stays behind"


@pytest.mark.parametrize("state", ["started", "failed", "rolled_back"])
def test_no_phase_starts_where_none_is_done(mark, path, state):
    result = mark(state, "prepare", next_phase="transfer")
    assert f"next_phase transfer with the state {state}" in result["msg"]
    assert not path.exists()


@pytest.mark.parametrize("name", ["../escape", "a b", "", "é"])
def test_a_migrations_name_makes_a_file_name(mark, name):
    result = mark("started", migration_id=name)

    assert bool(result.get("failed")) is bool(name)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ('{"format": 1, "phases": {', "not JSON"),
        ("[]", "its format is 'list'"),
        ("{}", "its format is None"),
        ('{"format": 2, "phases": {}, "events": []}', "its format is 2"),
        ('{"format": 1, "events": []}', "no phases"),
        ('{"format": 1, "phases": {"later": {"state": "done"}}, "events": []}', "'later' is unknown"),
        ('{"format": 1, "phases": {"prepare": {"state": "won"}}, "events": []}', "no known state"),
        (b"\xff\xfe", "utf-8"),
    ],
)
def test_an_invalid_journal_is_never_overwritten(mark, read, path, text, why):
    path.parent.mkdir()
    raw = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(raw)

    for result in (read(), mark("done"), mark("archived", None)):
        assert result["failed"] is True
        assert why in result["msg"]
        assert "journal of another Pi" in result["failure"]["next_step"]
    assert path.read_bytes() == raw


def test_a_kill_while_writing_leaves_the_old_journal(mark, read, path, monkeypatch):
    mark("done")
    before = path.read_bytes()

    def killed(_descriptor):
        raise KeyboardInterrupt

    durable = import_plugin("module_utils._core.durable")
    monkeypatch.setattr(durable.os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        journals.save(path, {"format": 1, "phases": {}, "events": []})
    monkeypatch.undo()

    assert path.read_bytes() == before
    path.with_name("journal.json.tmp").write_text("half a journ")
    assert mark("done", "transfer")["changed"] is True
    assert read()["phase_states"]["transfer"] == "done"


def test_check_mode_and_diff(mark, path):
    result = mark("done", check_mode=True, diff=True)

    assert result["changed"] is True
    assert result["diff"]["before"] == {}
    assert result["diff"]["after"]["phases"]["prepare"]["state"] == "done"
    assert not path.parent.exists()


def test_archived_makes_room_for_another_migration(mark, read, path):
    assert mark("archived", None)["changed"] is False
    for _attempt in range(2):
        mark("done", migration_id="m-1")
        text = path.read_text()
        predicted = mark("archived", None, check_mode=True)["archived"]
        assert path.exists()
        result = mark("archived", None)
        assert result["changed"] is True
        assert result["archived"] == predicted
        assert Path(predicted).read_text() == text
        assert read()["exists"] is False

    assert sorted(file.name for file in path.parent.iterdir()) == ["journal.m-1.2.json", "journal.m-1.json"]
    assert mark("started", migration_id="m-2")["changed"] is True


def test_a_folder_that_was_there_keeps_its_mode(mark, path):
    path.parent.mkdir(mode=0o755)
    path.parent.chmod(0o755)
    mark("done")

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert json.loads(path.read_text())["format"] == 1
