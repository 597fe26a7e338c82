# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import report_inputs as given
from conftest import CHECKOUT, import_plugin
from reports import VARIANTS, back, report, stuck

series = import_plugin("module_utils._report.series")
checks = import_plugin("module_utils._report.checks")
metrics = import_plugin("module_utils._report.metrics")
status_of = import_plugin("module_utils._report.status")


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_json_is_as_published(variant: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((CHECKOUT / "docs" / "report.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    found = json.loads(json.dumps(VARIANTS[variant]()))
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(found)] == []
    found["surprise"] = 1
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(found)), "the schema accepts anything"


def test_a_gate_whose_lease_has_ended_is_as_published() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((CHECKOUT / "docs" / "report.schema.json").read_text())
    hosts = {name: given.host(name, gate="lapsed", written=given.journal("validate")) for name in given.NAMES}
    found = json.loads(json.dumps(report("paused", hosts, given.kube())))
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(found)] == []


def test_a_good_run_says_so_first() -> None:
    found = report()
    assert found["verdict"]["good"], found["verdict"]["doubts"]
    assert found["verdict"]["headline"] == "Migrated to Kubernetes"
    assert "842 ms" in found["verdict"]["happened"]
    assert found["verdict"]["now"][0] == "The pods serve all clients."
    assert found["figures"]["duration_seconds"] == 133
    assert found["figures"]["without_quorum_seconds"] == 0


def test_a_run_with_findings_is_not_called_good() -> None:
    found = VARIANTS["with findings"]()
    assert not found["verdict"]["good"]
    assert "with findings" in found["verdict"]["headline"]
    assert any("without a quorum for 3.0 s" in doubt for doubt in found["verdict"]["doubts"]), found["verdict"][
        "doubts"
    ]
    assert any("2 reads failed" in doubt for doubt in found["verdict"]["doubts"])


def contents(*digests: str) -> dict[str, dict[str, Any]]:
    return {name: {"digest": digest, "tables": {"nodes": 140}} for name, digest in zip(given.NAMES, digests)}


def same_content(found: dict[str, Any]) -> Any:
    return next(check["ok"] for check in found["checks"] if check["title"] == "Every Pi holds the same content")


def test_pis_that_differ_while_clients_write_are_not_judged() -> None:
    assert same_content(report(contents=contents("a", "a", "a"))) is True
    assert same_content(report(contents=contents("a", "a", "b"))) is None
    writing = report(contents=contents("a", "a", "b"), contents_again=contents("c", "b", "c"))
    assert same_content(writing) is None
    assert writing["verdict"]["good"]
    different = report(contents=contents("a", "a", "b"), contents_again=contents("a", "a", "b"))
    assert same_content(different) is False
    assert "The Pis do not hold the same content." in different["verdict"]["doubts"]


def test_a_pi_whose_content_was_not_read_leaves_it_open() -> None:
    read = {"digest": "a", "tables": {}}
    found = report(contents={"pi-1": read, "pi-2": {"error": "database is locked"}, "pi-3": {}})
    assert same_content(found) is None
    assert "1 digest on 1 Pi; not read: pi-2, pi-3" in [check["seen"] for check in found["checks"]]
    assert found["not_seen"] == ["pi-2: content not read: database is locked"]
    assert same_content(report(contents={})) is None


def test_pis_that_differ_at_rest_fail_with_one_unread() -> None:
    two = {"pi-1": {"digest": "a"}, "pi-2": {"digest": "b"}}
    assert same_content(report(contents=two, contents_again=two)) is False


def test_a_silent_pi_is_among_what_was_not_seen_once() -> None:
    hosts = {**given.migrated(), "pi-3": {"error": "unreachable", "address": "10.77.0.13"}}
    found = report(hosts=hosts, contents={"pi-3": {"msg": "unreachable", "unreachable": True}})
    assert found["not_seen"] == ["pi-3: unreachable"]


def test_a_short_election_is_reported_but_no_lost_quorum() -> None:
    found = report(samples=given.samples(1.0))
    assert found["watch"]["new"]["without_quorum_seconds"] == 1.0
    assert found["verdict"]["good"], found["verdict"]["doubts"]
    assert any("an election of 1.0 s" in check["seen"] for check in found["checks"])


def test_hardware_has_no_owner_from_unit_stop_to_pod_start() -> None:
    hosts = given.migrated()
    hosts["pi-2"]["journal"]["phases"]["port_migration"]["finished"] = given.iso(99)
    assert {gap["host"]: gap["seconds"] for gap in report(hosts=hosts)["hardware"]} == {
        "pi-1": 59,
        "pi-2": 30,
        "pi-3": 59,
    }
    assert back()["hardware"] == []


def test_what_was_not_seen_is_not_reported_as_fact() -> None:
    assert VARIANTS["nothing known"]()["verdict"]["now"] == ["Which daemons serve the clients is unknown."]


def test_after_a_rollback_the_archived_journal_is_reported() -> None:
    hosts = {name: given.host(name) for name in given.NAMES}
    for info in hosts.values():
        aside = given.journal("port_migration")
        aside["phases"]["rollback"] = {
            "state": "done",
            "started": given.iso(130),
            "finished": given.iso(139),
            "facts": {},
        }
        info["last_journal"] = aside
    assert status_of.assemble_status(hosts, given.kube(), given.CONFIG, given.BEGAN + 140)["state"] == "rolled_back"
    found = report("rolled_back", hosts, given.kube())
    assert [phase["name"] for phase in found["phases"] if phase["state"] == "done"][-2:] == [
        "port_migration",
        "rollback",
    ]
    assert (found["migration_id"], found["figures"]["duration_seconds"], found["figures"]["phases_done"]) == (
        "m1",
        139,
        6,
    )
    assert report("failed", hosts, given.kube())["migration_id"] is None, "a later run is not that migration"


def test_leaders_terms_and_lost_quorum_come_from_the_samples() -> None:
    watch = report(samples=given.samples(3.0))["watch"]["new"]
    assert [(leadership["leader"], leadership["term"]) for leadership in watch["leaderships"]] == [
        ("pi-2", 4),
        (None, 5),
        ("pi-1", 5),
    ]
    assert watch["leader_changes"] == 1
    assert watch["without_quorum_seconds"] == 3.0
    assert watch["unanswered"] == 18


def test_a_cluster_behind_the_gate_has_not_lost_its_quorum() -> None:
    old = report()["watch"]["old"]
    assert (old["samples"], old["without_quorum_seconds"], old["leaderships"][-1]["leader"]) == (124, 0, "pi-1")


def test_a_hole_between_samples_is_no_leadership() -> None:
    looks = [given.sample(at, "old", "pi-1", 2) for at in (0, 1, 30, 31)]
    assert [
        (leadership["from"] - given.BEGAN, leadership["to"] - given.BEGAN) for leadership in series.leaderships(looks)
    ] == [(0, 1), (30, 31)]


def lost(*looks: dict[str, Any]) -> list[tuple[float, float]]:
    found = series.without_quorum(looks)
    return [(period["from"] - given.BEGAN, period["to"] - given.BEGAN) for period in found]


def test_a_hole_between_samples_is_no_time_without_quorum() -> None:
    bad = [given.sample(at, "new", None, 5, quorum=False) for at in (0, 1)]
    good = [given.sample(at, "new", "pi-1", 5) for at in (7200, 7201)]
    assert lost(*bad, *good) == [(0, 1)]
    again = given.sample(7200, "new", None, 5, quorum=False)
    assert lost(*bad, again, good[1]) == [(0, 1), (7200, 7201)]


def test_samples_that_see_nothing_are_no_time_without_quorum() -> None:
    bad = [given.sample(at, "old", None, 2, quorum=False) for at in (0, 1)]
    blind = [given.unseen(at, "old") for at in (2, 3, 4)]
    assert lost(*bad, *blind, given.sample(5, "old", "pi-1", 2)) == [(0, 1)]
    assert lost(*bad, *blind) == [(0, 1)]
    watch = report(samples=[*bad, *blind, given.sample(5, "old", "pi-1", 2)])["watch"]["old"]
    assert (watch["samples"], watch["without_quorum_seconds"]) == (3, 1.0)


def test_an_alert_and_its_end_are_one() -> None:
    assert series.alerts(given.alert()) == [
        {
            **{key: given.alert()[0][key] for key in ("kind", "cluster", "phase", "message", "began")},
            "ended": given.BEGAN + 112,
        }
    ]
    assert series.alerts(given.alert(ended=None)[:1])[0]["ended"] is None


def test_percentiles_are_nearest_ranks() -> None:
    assert series.percentile([], 0.5) is None
    assert series.percentile([4, 1, 3, 2], 0.5) == 2
    assert series.percentile(list(range(1, 101)), 0.99) == 99


def test_the_witness_history_becomes_series(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in given.witness_lines()) + '{"kind": "operat')
    found = report(witness=given.verdict(), witness_history=path)["witness"]
    assert found["failed_reads"] == len(found["series"]["failed"]) == 2
    assert 700 < max(point["max"] for point in found["series"]["writes"]) < 810
    assert found["routes"][0]["count"] == 1330


def test_the_report_has_the_write_pause_of_fence_and_clients() -> None:
    found = report(witness=given.verdict(failed_reads=0))
    assert (
        "Write pause at the cutover: 842 ms behind the fence, 806 ms as clients saw it." in found["verdict"]["happened"]
    )
    assert "pi_controller_migration_client_write_pause_seconds 0.806\n" in metrics.prometheus(found)
    alone = report()
    assert "Write pause at the cutover: 842 ms behind the fence." in alone["verdict"]["happened"]
    assert "client_write_pause" not in metrics.prometheus(alone)


def outcome_of_check(found: dict[str, Any], title: str) -> Any:
    return next(check["ok"] for check in found["checks"] if check["title"] == title)


def test_restarts_are_unknown_where_kubernetes_does_not_answer() -> None:
    silent = report(kube={"faults": ["no API"]})
    assert silent["figures"]["pod_restarts"] is None
    assert outcome_of_check(silent, "No pod was restarted") is None
    assert "pod_restarts" not in metrics.prometheus(silent)
    assert outcome_of_check(report(), "No pod was restarted") is True
    assert "pi_controller_migration_pod_restarts 0\n" in metrics.prometheus(report())


def test_a_witness_that_convicts_makes_no_good_report() -> None:
    convicting = given.verdict(failed_reads=1)
    # The last look at all rows is not among the figures.
    convicting["figures"]["reads"]["outcomes"]["fail"] = 0
    found = report(witness=convicting)
    assert found["witness"]["failed_reads"] == found["figures"]["failed_reads"] == 1
    assert outcome_of_check(found, "No read failed") is False
    assert outcome_of_check(found, "The witness acquits") is False
    assert not found["verdict"]["good"]


def test_the_witness_own_verdict_counts_without_a_finding() -> None:
    found = report(witness={**given.verdict(failed_reads=0), "ok": False})
    assert found["verdict"]["doubts"] == ["The witness does not acquit: 0 findings."]
    assert report(witness=given.verdict(failed_reads=0))["verdict"]["good"]


def half_rolled_back(**facts: str) -> dict[str, dict[str, Any]]:
    hosts = {name: given.host(name, written=given.journal("cutover", failed="cutover")) for name in given.NAMES}
    for name, state in zip(given.NAMES, ("done", "failed" if facts else "started", "started")):
        entry = {"state": state, "started": given.iso(90), "finished": None, "facts": facts}
        hosts[name]["journal"]["phases"]["rollback"] = entry
    return hosts


def test_a_rollback_that_stopped_half_way_is_reported() -> None:
    happened = report("failed", half_rolled_back())["verdict"]["happened"]
    assert "Nothing was rolled back" not in happened
    assert happened.endswith("A rollback began and did not finish: pi-1 done, pi-2 started, pi-3 started.")
    known = report("failed", half_rolled_back(), rollback="Pods | Stop all: no answer")
    assert known["verdict"]["happened"].endswith("A rollback began and stopped: Pods | Stop all: no answer.")
    written = report("failed", half_rolled_back(task="Units | Start", message="no unit"))
    assert written["verdict"]["happened"].endswith('A rollback began and stopped at the step "Units | Start": no unit.')
    itself = {"phase": "rollback", "host": "pi-2", "task": "Units | Start", "message": "no unit"}
    assert report("failed", half_rolled_back(), failure=itself)["verdict"]["happened"] == (
        'The phase roll back failed on pi-2 at the step "Units | Start": no unit. The rollback is not finished.'
    )
    assert stuck()["verdict"]["happened"].endswith("Nothing was rolled back automatically.")


def one_pod_down() -> dict[str, dict[str, Any]]:
    return {**given.migrated(), "pi-2": given.host("pi-2", standard=None, written=given.journal())}


def one_pi_unseen() -> dict[str, dict[str, Any]]:
    return {**given.migrated(), "pi-3": {"error": "unreachable", "address": given.address("pi-3")}}


def test_clients_that_reach_nothing_are_named() -> None:
    found = report(hosts=one_pod_down())
    assert found["verdict"]["now"][0] == "The pods serve; clients of pi-2 reach nothing."
    assert outcome_of_check(found, "One kind of daemon serves all clients") is False
    assert outcome_of_check(found, "Clients reach pods") is False
    assert outcome_of_check(found, "Quorum in the cluster of pods") is not None


def test_a_pi_that_was_not_seen_leaves_its_clients_open() -> None:
    found = report(hosts=one_pi_unseen())
    assert found["verdict"]["now"][0] == "The pods serve; pi-3 was not seen."
    for title in ("One kind of daemon serves all clients", "Clients reach pods", "No client is redirected any more"):
        assert outcome_of_check(found, title) is None, title


def test_nothing_and_not_seen_are_both_in_the_sentence() -> None:
    found = report(hosts={**one_pi_unseen(), "pi-2": one_pod_down()["pi-2"]})
    assert found["verdict"]["now"][0] == "The pods serve; clients of pi-2 reach nothing; pi-3 was not seen."
    silent = report(kube={"faults": ["no API"]})
    assert silent["verdict"]["now"][0] == "The pods serve; the Service was not seen."


def test_a_service_without_targets_has_clients_that_reach_nothing() -> None:
    kube = given.kube(mode="pods")
    kube["service"]["endpoints"] = []
    found = report(kube=kube)
    assert found["verdict"]["now"][0] == "The pods serve; clients of the Service reach nothing."
    kube["service"]["mode"] = "absent"
    assert report(kube=kube)["verdict"]["now"][0] == "The pods serve all clients."


def test_clients_of_units_and_of_pods_are_named() -> None:
    now = stuck()["verdict"]["now"][0]
    assert now == "Clients of pi-2 and pi-3 reach the daemons under systemd; clients of pi-1 reach the pods."
    nothing = report(hosts={name: given.host(name, standard=None, written=given.journal()) for name in given.NAMES})
    assert nothing["verdict"]["now"][0] == "No client reaches a daemon."
    assert nothing["state"]["served_by"] == "nothing"


def test_junit_counts_what_does_not_hold() -> None:
    found = VARIANTS["with findings"]()
    root = ElementTree.fromstring(checks.junit(found))
    failures = sum(int(suite.get("failures", 0)) for suite in root)
    assert failures == len(root.findall(".//failure")) == sum(check["ok"] is False for check in found["checks"]) > 0
    assert len(root.findall(".//testcase")) == len(found["checks"])
    assert not ElementTree.fromstring(checks.junit(report())).findall(".//failure")


def test_the_metrics_are_prometheus_text() -> None:
    text = metrics.prometheus(report(hosts={**given.migrated()}))
    assert "pi_controller_migration_write_pause_seconds 0.842\n" in text
    assert 'pi_controller_migration_phase_duration_seconds{phase="cutover",state="done"} 11\n' in text
    assert 'pi_controller_migration_info{outcome="migrated",migration_id="m1"} 1\n' in text
    assert "lost_writes" not in text, "what was not measured is left out"
    assert metrics._escaped('a"\\\n') == 'a\\"\\\\\\n'
    for line in text.splitlines():
        assert line.startswith(("# HELP", "# TYPE", "pi_controller_migration_"))


def test_pi_by_pi_each_handover_measures_the_gap() -> None:
    found = report(hosts=given.rolling(done=3, until="cleanup", state="done"))
    assert {gap["host"]: gap["seconds"] for gap in found["hardware"]} == {"pi-1": 1.2, "pi-2": 2.2, "pi-3": 3.2}
    assert (found["figures"]["phases_done"], found["figures"]["phases"], found["write_pause"]) == (5, 5, None)
    assert found["verdict"]["good"], found["verdict"]
