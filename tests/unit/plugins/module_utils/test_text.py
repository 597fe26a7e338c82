# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of daemons, pods and Kubernetes on its way to a terminal, JUnit, the report and the journal."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import report_inputs as given
from conftest import import_plugin

text = import_plugin("module_utils._core.text")
failures = import_plugin("module_utils._core.failures")
journals = import_plugin("module_utils._core.journal")
stopped = import_plugin("module_utils._report.stopped")
checks = import_plugin("module_utils._report.checks")
document = import_plugin("module_utils._report.document")
status_of = import_plugin("module_utils._report.status")
status_text = import_plugin("module_utils._report.status_text")

CLEAR, CLIPBOARD, FORGED = "\x1b[2J\x1b[H", "\x1b]52;c;cm0gLXJm\x07", "\r\x1b[1A10:00:00  Cleanup done after 3 s"
HOSTILE = f"{CLEAR}{CLIPBOARD}{FORGED}\x00\x9b31m\u202eecho\u2066\ud800\uffff\u2028"
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\u2028\u2029\uffff]")


def test_m4_every_control_character_is_shown_as_its_escape():
    for code in range(0x11000):
        character = chr(code)
        unfit = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(character) in (
            "LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
        )  # fmt: skip
        if character in "\t\n":
            assert text.visible(character) == character
        elif unfit:
            assert text.visible(character).isascii(), hex(code)
            assert text.visible(character).isprintable(), hex(code)
    assert text.visible("Raumfühler 温度 ✓") == "Raumfühler 温度 ✓"
    assert text.visible("a\r\nb") == "a\nb"


def test_m4_a_sentence_stays_on_one_line():
    assert text.one_line("one\ntwo\tthree\x1b") == "one\\ntwo three\\x1b"
    assert len(text.one_line("x" * 1000)) == 300


def test_m4_a_structure_is_cleaned_as_a_whole_and_only_so_deep():
    assert text.visible_in({"\x1bkey": ["\x07", ("\x00", 1, None)]}) == {"\\x1bkey": ["\\x07", ["\\x00", 1, None]]}
    deep: Any = "end"
    for _level in range(10_000):
        deep = [deep]
    assert "nested too deeply" in json.dumps(text.visible_in(deep))


def test_m4_an_error_is_clean_where_it_is_made():
    error = failures.MigrationError(HOSTILE, seen={"daemon": [HOSTILE]}, wanted=HOSTILE)
    assert not UNFIT.search(error.full_message)
    assert not UNFIT.search(json.dumps(error.failure, ensure_ascii=False))


def test_m4_the_journal_keeps_no_control_character(tmp_path: Path):
    path = tmp_path / "journal.json"
    journal = journals.marked(
        None, "prepare", "failed", {"task": HOSTILE, "message": HOSTILE, "list": [HOSTILE]}, "m1", journals.now()
    )
    journals.save(path, journal)
    facts = journals.load(path)["phases"]["prepare"]["facts"]
    assert "\\x1b[2J" in facts["message"]
    assert not UNFIT.search(json.dumps(facts, ensure_ascii=False))


def test_m4_the_message_of_a_failed_task_is_clean():
    assert not UNFIT.search(stopped.failure_message({"msg": HOSTILE}))
    looped = {
        "msg": "One or more items failed",
        "results": [{"failed": True, "msg": HOSTILE, "ansible_loop_var": "item", "item": "pi-1"}],
    }
    assert not UNFIT.search(stopped.failure_message(looped))


def report() -> dict[str, Any]:
    hosts = given.migrated()
    hosts["pi-1"]["versions"]["os"] = HOSTILE
    kube = given.kube(8082, mode="pods")
    kube["pods"][0]["pod"] = HOSTILE
    kube["faults"] = [HOSTILE]
    return document.gather(
        document.Inputs(
            outcome="failed",
            status=status_of.assemble_status(hosts, kube, given.CONFIG, given.BEGAN + 140),
            hosts=hosts,
            config=given.CONFIG,
            now=given.BEGAN + 140,
            alerts=given.alert(message=HOSTILE),
            versions={"hosts": {"pi-1": hosts["pi-1"]["versions"]}, HOSTILE: HOSTILE},
            failure={"phase": "cutover", "task": HOSTILE, "message": HOSTILE, "host": "pi-1"},
        )
    )


def test_m4_the_report_has_no_control_character_in_any_of_its_forms():
    found = report()
    for form in (json.dumps(found, ensure_ascii=False), checks.junit(found)):
        assert "\\x1b[2J" in form or form.startswith("<?xml")
        assert not UNFIT.search(form)
        form.encode()


def test_m4_junit_is_well_formed_whatever_a_check_has_seen():
    found = report()
    found["checks"][0].update(ok=False, seen=HOSTILE, title=HOSTILE)
    assert ElementTree.fromstring(checks.junit(found)).findall(".//failure")


def test_m4_a_cell_of_the_status_begins_no_line_of_its_own():
    assert status_text.columns([("pi-1", "open\n✓  Clean up  done"), ("pi-2", "open")]) == [
        "  pi-1  open\\n✓  Clean up  done",
        "  pi-2  open",
    ]


@pytest.mark.parametrize("facts", [None, {}, {"opening": True}])
def test_a6_facts_of_a_journal_may_be_null(tmp_path: Path, facts):
    path = tmp_path / "journal.json"
    entry = {"state": "done", "started": None, "finished": None, "facts": facts}
    path.write_text(json.dumps({"format": 1, "migration_id": "m1", "phases": {"prepare": entry}, "events": []}))
    journal = journals.load(path)
    assert journal["phases"]["prepare"]["facts"] == (facts or {})
    assert journals.marked(journal, "prepare", "done", {"a": 1}, "m1", "now")["phases"]["prepare"]["facts"] == {
        **(facts or {}),
        "a": 1,
    }


@pytest.mark.parametrize(
    "damage",
    [
        {"phases": {"prepare": {"state": "done", "facts": [1]}}},
        {"phases": {"prepare": {"state": "done", "started": 7}}},
        {"phases": {"prepare": {"state": ["done"]}}},
        {"migration_id": {"a": 1}},
        {"migration_id": "../../etc/cron.d/x"},
        {"phases": {"rollback": {"state": "started", "facts": {"id": "x/../../etc"}}}},
        {"events": [1]},
        {"phases": [1]},
    ],
)
def test_a6_a_damaged_journal_is_refused_with_a_sentence(tmp_path: Path, damage):
    path = tmp_path / "journal.json"
    path.write_text(json.dumps({"format": 1, "migration_id": "m1", "phases": {}, "events": [], **damage}))
    with pytest.raises(journals.JournalError, match="cannot be used"):
        journals.load(path)


def test_a6_a_journal_nested_too_deeply_is_refused_with_a_sentence(tmp_path: Path):
    (tmp_path / "journal.json").write_text("[" * 200_000)
    with pytest.raises(journals.JournalError, match="it is not JSON"):
        journals.load(tmp_path / "journal.json")
