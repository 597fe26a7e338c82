# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of wording finds words, names, tasks and test names, and an exception covers its own line only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.structure import voice


def found(path: str, text: str) -> list[str]:
    return [finding.found for finding in voice.findings(path, text)]


@pytest.mark.parametrize(
    ("path", "text", "word"),
    [
        ("docs/faq.md", "Mend that, then run this again.", "Mend"),
        ("plugins/a.py", 'fail("it is no file")', "is no file"),
        ("plugins/a.py", "unreachable_told_later = 1", "told"),
        ("plugins/a.py", "class Blow:", "Blow"),
        ("plugins/a.py", "for one in members:", "for one in"),
        ("plugins/a.py", "raise RaftError()", "RaftError"),
        ("roles/a/tasks/main.yml", "# Nobody writes here.", "Nobody"),
        ("tests/daemon/a.go", "// whoever stands for election", "stands for"),
        ("docs/a.md", "the Service leads to the pods", "leads to"),
    ],
)
def test_a_word_is_found_in_text_and_in_names(path: str, text: str, word: str) -> None:
    assert found(path, text) == [word]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("docs/a.md", "The leader recommends an amended file; toldo, aforesaid and standing are other words."),
        ("docs/a.md", "a loop for one in ten"),
        ("plugins/a.py", "for member in members:"),
    ],
)
def test_other_words_are_left_alone(path: str, text: str) -> None:
    assert found(path, text) == []


def test_a_finding_names_the_place_and_what_to_write() -> None:
    (finding,) = voice.findings("docs/a.md", "first\nmend it\n")
    assert str(finding) == "docs/a.md:2: “mend”: fix"


@pytest.mark.parametrize(
    ("subject", "refused"), [("Settle", True), ("Take back", True), ("Takeover", False), ("Service", False)]
)
def test_the_subject_of_a_task_is_a_thing(subject: str, refused: bool) -> None:
    assert found("roles/a/tasks/main.yml", f'- name: "{subject} | Start the pod"') == [subject] * refused


def test_a_task_name_begins_with_a_verb() -> None:
    assert found("roles/a/tasks/main.yml", '- name: "Journal | Record phase start"') == []
    assert found("roles/a/tasks/main.yml", '- name: "Undo | The unit runs"') == ["The unit runs"]
    assert found("roles/a/tasks/main.yml", "- name: Read the journal") == []
    assert found("roles/a/tasks/main.yml", "    - name: By") == ["By"]
    assert found("docs/a.md", '- name: "Undo | The unit runs"') == []


def test_a_long_test_name_is_found() -> None:
    name = "test_" + "x" * voice.LONGEST_TEST_NAME
    assert found("tests/unit/test_a.py", f"def {name}() -> None:") == [name]
    assert found("tests/unit/test_a.py", f"    def {name[: voice.LONGEST_TEST_NAME]}(self) -> None:") == []


def test_an_exception_covers_its_file_and_line() -> None:
    lines = list(voice.findings("docs/a.md", "mend that\nmend this\n"))
    exception = {"path": "docs/*.md", "word": "that", "reason": "a quotation"}
    assert voice.judged(lines, [exception]) == ["docs/a.md:2: “mend”: fix"]
    assert voice.judged(lines, [{**exception, "path": "roles/*.yml"}])[:2] == [str(line) for line in lines]


def test_an_exception_that_nothing_needs_is_reported() -> None:
    assert voice.judged([], [{"path": "docs/a.md", "word": "told", "reason": "old"}]) == [
        "voice.yml: nothing needs the exception 'told' in docs/a.md"
    ]


def test_an_exception_needs_a_reason(tmp_path: Path) -> None:
    (tmp_path / "voice.yml").write_text("- {path: a.md, word: told}\n")
    with pytest.raises(ValueError, match="path, word and reason"):
        voice.load(tmp_path / "voice.yml")
    assert all(exception["reason"] for exception in voice.load())


def test_the_files_that_people_read_are_checked(tmp_path: Path) -> None:
    for name in (
        "README.md",
        "docs/a.md",
        "roles/a/tasks/main.yml",
        "tests/a.py",
        "LICENSE",
        "plugins/a.bin",
        ".git/a.md",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    read = [str(path.relative_to(tmp_path)) for path in voice.files(tmp_path)]
    assert read == ["README.md", "docs/a.md", "roles/a/tasks/main.yml", "tests/a.py"]
