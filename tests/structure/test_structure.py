# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script sees every kind of edge, fault and count that it speaks of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.structure import counts, expressions, graph, privates
from tests.structure.__main__ import circles_judged, idioms_judged, layers_judged


def write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))


@pytest.mark.parametrize(
    "task",
    [
        {"ansible.builtin.include_role": {"name": "pi_controller.raft_migration.b"}},
        {"import_role": {"name": "b", "tasks_from": "other"}},
        {"block": [{"name": "Deep", "rescue": [{"include_role": {"name": "b"}}]}]},
    ],
)
def test_a_role_that_another_includes_is_an_edge(tmp_path: Path, task: dict[str, Any]) -> None:
    write(tmp_path / "roles/a/tasks/main.yml", [task])
    write(tmp_path / "roles/b/tasks/main.yml", [])
    assert graph.roles(tmp_path) == {"a": {"b"}, "b": set()}


@pytest.mark.parametrize("dependency", ["b", {"role": "pi_controller.raft_migration.b"}])
def test_a_dependency_is_an_edge(tmp_path: Path, dependency: Any) -> None:
    write(tmp_path / "roles/a/meta/main.yml", {"dependencies": [dependency]})
    write(tmp_path / "roles/b/tasks/main.yml", [])
    assert graph.roles(tmp_path) == {"a": {"b"}, "b": set()}


def test_a_role_named_by_a_variable_is_every_role_that_it_names(tmp_path: Path) -> None:
    write(tmp_path / "roles/a/tasks/main.yml", [{"include_role": {"name": "pi_controller.raft_migration.{{ role }}"}}])
    write(tmp_path / "roles/b/tasks/main.yml", [])
    with pytest.raises(ValueError, match="which roles these are"):
        graph.roles(tmp_path)
    write(tmp_path / "playbooks/run.yml", [{"hosts": "all", "tasks": [{"vars": {"raft_migration_role": "b"}}]}])
    assert graph.roles(tmp_path) == {"a": {"b"}, "b": set()}


@pytest.mark.parametrize(
    "line",
    [
        "from .._b.file import name",
        "from .._b import file",
        "from .. import _b",
        "def late():\n    from .._b.file import name",
        "import ansible_collections.pi_controller.raft_migration.plugins.module_utils._b.file",
        "from ansible_collections.pi_controller.raft_migration.plugins.module_utils._b.file import name",
        "from ansible_collections.pi_controller.raft_migration.plugins.module_utils import _b",
    ],
)
def test_a_package_that_another_imports_is_an_edge(tmp_path: Path, line: str) -> None:
    for name in ("_a", "_b"):
        write(tmp_path / f"plugins/module_utils/{name}/__init__.py", "")
    write(tmp_path / "plugins/module_utils/_a/file.py", f"from . import other\n{line}\n")
    assert graph.packages(tmp_path) == {"_a": {"_b"}, "_b": set()}


def test_circles_of_any_length_are_found_once() -> None:
    found = graph.circles({"a": {"b", "c"}, "b": {"a"}, "c": {"d"}, "d": {"a", "e"}, "e": set(), "f": {"f"}})
    assert found == {("a", "b"), ("a", "c", "d"), ("f",)}
    assert graph.circles({"a": {"b"}, "b": {"c"}, "c": set()}) == set()


def test_a_circle_is_a_fault() -> None:
    assert circles_judged({"a": {"b"}, "b": {"a"}}) == ["a circle: a -> b -> a"]
    assert circles_judged({"a": {"b"}, "b": set()}) == []


def test_an_edge_against_the_layers_is_an_error() -> None:
    assert (
        layers_judged({"run": {"phase", "cluster"}, "phase": {"cluster"}, "other": {"phase"}, "cluster": set()}) == []
    )
    (up,) = layers_judged({"run": {"cluster"}, "phase": {"run"}, "cluster": set()})
    assert up.startswith("phase uses run")
    (down,) = layers_judged({"phase": {"cluster"}, "other": set(), "cluster": {"other"}})
    assert down.startswith("cluster uses other")


def test_the_graph_is_written_for_mermaid() -> None:
    assert graph.mermaid({"a": {"b"}, "b": set(), "c": set()}) == "graph LR\n  a --> b\n  c"


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' if sure else 'b' }}",
        "{{ not sure }}",
        "{{ x and sure | default(false) }}",
        "{{ [] if sure is defined and sure else [1] }}",
        "{{ {'x': sure} }}",
    ],
)
def test_a_boolean_of_the_owner_that_may_be_a_text_is_a_fault(text: str) -> None:
    assert expressions.unsure_of(text, frozenset({"sure"}), value=True) == ["sure"]


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' if sure | bool else 'b' }}",
        "{{ not sure | default(false) | bool }}",
        "{{ sure is defined and sure | bool }}",
        "{{ other.sure if {'sure': 1} else 'sure' }}",
        "{{ sure }}",
    ],
)
def test_a_boolean_that_is_read_as_one_or_handed_to_a_module_is_none(text: str) -> None:
    assert expressions.unsure_of(text, frozenset({"sure"}), value=True) == []


def test_a_boolean_is_handed_to_a_module_by_a_tasks_argument_alone(tmp_path: Path) -> None:
    options = {"sure": {"type": "bool"}, "name": {"type": "str"}}
    write(tmp_path / "roles/a/meta/argument_specs.yml", {"argument_specs": {"main": {"options": options}}})
    write(tmp_path / "roles/a/tasks/main.yml", [{"module": {"option": "{{ sure }}"}}, {"debug": {}, "when": "sure"}])
    write(tmp_path / "roles/a/vars/main.yml", {"known": "{{ sure }}"})
    names = expressions.booleans(tmp_path)
    assert names == {"sure"}
    found = {path.parts[-2]: expressions.unsure_booleans(path, names) for path in expressions.files(tmp_path)}
    assert {folder: len(faults) for folder, faults in found.items()} == {"meta": 0, "tasks": 1, "vars": 1}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{{ 'a' if x else 'b' if y else 'c' }}", "ternary"),
        ("{{ ('a' if x else 'b') if y else 'c' }}", "ternary"),
        ("{{ address is match(own ~ ':') }}", "regex_escape"),
        ("{{ members | selectattr('address', 'match', own ~ ':') | first }}", "regex_escape"),
        ("{{ text | regex_replace(own, '') }}", "regex_escape"),
        ("{{ names | map('regex_search', own) }}", "regex_escape"),
        ("{{ dict(peers | zip(peers | map('extract', hostvars, 'x'))) }}", "by_host"),
    ],
)
def test_what_makes_an_expression_hard_or_wrong_is_a_fault(text: str, fault: str) -> None:
    (found,) = expressions.faults_of(text)
    assert fault in found


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' if x else 'b' }} {{ 'c' if y else 'd' }}",
        "{{ [1 if x else 2, 3] if y else 4 }}",
        "{{ address is match('[0-9.]+$') }}",
        "{{ members | selectattr('address', 'match', (own | regex_escape) ~ ':[0-9]+$') | list }}",
        "{{ text | regex_replace(':[0-9]+$', ':' ~ port) }}",
        "{{ members | selectattr('address', 'equalto', own) }}",
        "{{ dict(addresses | zip(peers)) }}",
    ],
)
def test_what_can_be_read_is_no_fault(text: str) -> None:
    assert expressions.faults_of(text) == []


def test_an_expression_is_found_with_its_line(tmp_path: Path) -> None:
    write(
        tmp_path / "tasks.yml",
        "- debug: {msg: x}\n  when:\n    - one\n    - >-\n      a is match(b)\n- debug: {msg: '{{ a is match(b) }}'}\n",
    )
    assert [fault.partition(":")[0] for fault in expressions.faults(tmp_path / "tasks.yml")] == ["4", "6"]


def test_wide_lines_are_those_of_jinja_alone(tmp_path: Path) -> None:
    wide = "x" * 130
    write(
        tmp_path / "tasks.yml",
        f"# {wide}\n- name: {wide}\n  debug:\n    msg: >-\n      {{{{ a }}}}\n      {{{{ {wide} }}}}\n",
    )
    assert expressions.wide_lines(tmp_path / "tasks.yml") == [6]


def test_global_names_and_the_files_that_set_them_are_counted(tmp_path: Path) -> None:
    tasks = [
        {
            "pi_controller.raft_migration.raft_info": {"urls": "{{ raft_migration_urls }}"},
            "register": "raft_migration_new",
        },
        {"block": [{"ansible.builtin.set_fact": {"raft_migration_new": 1, "own": 2}}]},
    ]
    for name in ("a", "b"):
        write(tmp_path / f"roles/{name}/tasks/main.yml", tasks)
    assert counts.global_names(tmp_path) == {"raft_migration_urls", "raft_migration_new"}
    assert {name: len(paths) for name, paths in counts.setters(tmp_path).items()} == {"raft_migration_new": 2}


def test_a_private_variable_of_another_file_is_a_fault(tmp_path: Path) -> None:
    reads = {"debug": {"msg": "{{ _seen }}"}}
    write(tmp_path / "roles/a/tasks/main.yml", [{"stat": {"path": "/"}, "register": "_seen"}, reads])
    fact = {"assert": {"that": "_fact == 1"}}
    write(
        tmp_path / "roles/a/tasks/vars.yml",
        [{**reads, "vars": {"_seen": "{{ item }}"}}, {"set_fact": {"_fact": 1}}, fact],
    )
    assert privates.faults(tmp_path) == []
    write(tmp_path / "roles/a/tasks/other.yml", [reads, fact])
    assert [fault.split(" is ")[0] for fault in privates.faults(tmp_path)] == [
        "roles/a/tasks/other.yml: _fact",
        "roles/a/tasks/other.yml: _seen",
    ]


def test_a_private_result_that_a_variable_of_a_task_hides_is_a_fault(tmp_path: Path) -> None:
    hides = {"debug": {"msg": "{{ _seen }}"}, "vars": {"_seen": "{{ _seen.members }}"}}
    write(tmp_path / "roles/a/tasks/main.yml", [{"stat": {"path": "/"}, "register": "_seen"}, hides])
    assert privates.faults(tmp_path) == [
        "roles/a/tasks/main.yml: _seen is registered, and a task has a variable of this name"
    ]


def test_a_templates_private_variable_is_set_by_its_user(tmp_path: Path) -> None:
    write(tmp_path / "roles/a/templates/one.j2", "{% for each in _ports %}{{ each }}{% endfor %}")
    write(tmp_path / "roles/a/tasks/main.yml", [{"debug": {}, "vars": {"_ports": []}}])
    (fault,) = privates.faults(tmp_path)
    assert fault.startswith("roles/a/templates/one.j2: _ports")
    write(tmp_path / "roles/a/tasks/main.yml", [{"template": {"src": "one.j2"}, "vars": {"_ports": []}}])
    assert privates.faults(tmp_path) == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("run_module(define_module(), run)", "run_module"),
        ("try:\n        go()\n    except MigrationError as error:\n        fail(module, error)", "try and fail"),
        ("module.fail_json(msg='')", "fail_json"),
        ("module.exit_json()", "none"),
    ],
)
def test_a_module_is_known_by_what_becomes_of_an_error(body: str, kind: str) -> None:
    assert counts.idiom(f"def main() -> None:\n    {body}\n") == kind
    assert counts.idiom('DOCUMENTATION = ""') == "action plugin"


def test_a_module_with_another_idiom_is_an_error() -> None:
    found = {"run_module": ["a"], "try and fail": ["b"], "action plugin": ["c"]}
    assert idioms_judged(found, frozenset({"b"})) == []
    assert idioms_judged(found, frozenset()) == ["b does not end by run_module"]
    assert idioms_judged(found, frozenset({"a", "b"})) == ["a ends by run_module; delete it from OTHER_IDIOMS"]
