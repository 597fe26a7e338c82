# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words this project does not use, each with what to write instead: `python -m tests.structure.voice [PATH ...]`.

It reads messages, task names, documentation, comments and names in code alike. Exceptions, each with its reason, are in voice.yml.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
EXCEPTIONS = Path(__file__).with_name("voice.yml")
SUFFIXES = (".cfg", ".go", ".j2", ".json", ".md", ".py", ".sh", ".toml", ".yml", ".yaml")
FOLDERS = ("changelogs", "docs", "inventories", "meta", "molecule", "playbooks", "plugins", "roles", "tests")
# This check names the words itself.
OWN = ("tests/structure/voice.py", "tests/structure/voice.yml", "tests/structure/test_voice.py")
LONGEST_TEST_NAME = 65

NOUNS = "file|folder|directory|duration|number|link|name|address|port|list|text|path|file system|regular file|pod|unit|voter|member"
# A word ends at an underscore too, so names in code are found: `told_later` has the word `told`.
WORDS = {
    r"mend(s|ed|ing)?": "fix",
    r"(no|some)body": "no process, another client, another operator",
    r"foret(ell|ells|old)": "predicted (check mode)",
    r"told|untold": "reported, shown, told apart -> distinguished; in code: reported, text",
    r"said": "reported, stated; in code: text, output, message",
    r"spoken of": "described",
    r"stands? (on|at|for|in|still)|where .{1,30} stands": "is on, is at; `migration status`",
    r"stand-?ins?": "test daemon, neighbour or bridge slice",
    r"(led|leads?|leading) to": "routed to, points to",
    r"gates? leads?|led (away|there|elsewhere|back|by)|leads? (clients|everybody|connections)": "routes, redirects, forwards",
    r"anybody|everybody": "any client, every client",
    r"true now": "current state",
    r"ways? back": "rollback",
    r"go(es|ing)? back by itself": "rolls back automatically",
    r"writes waited": "write pause",
    r"ended well": "finished, succeeded",
    r"not as wanted": "name the value seen and the value wanted",
    rf"(?<!there )is no ({NOUNS})":
        "is not a ...",
    r"for ever": "forever, permanently",
    r"bells?|ropes?|reigns?|heirs?|obey(s|ed)?|blows?": "a word of the field",
    r"raft_?error": "MigrationError",
    r"back_by|handed_in|away_is_told_later": "rollback_method, state_copy, unreachable_reported_later",
}  # fmt: skip
IN_PYTHON = {
    r"for one in": "name the item: member, pod, event",
    r"for (one|each), \w+ in|for \w+, one in": "name the item: member, pod, event",
    r"lambda one": "name the item: member, pod, event",
}
# A task is "Subject | Verb object", or "Verb object", so that the output reads as a list of what is done.
VERBS = """
    Accept Acquire Add Allow Apply Archive Ask Assemble Back Bootstrap Build Carry Check Choose Close Collect Compare
    Complete Confirm Continue Copy Count Create Derive Disable Drain Elect Empty Enable End Export Fail Fence Fetch
    Find Finish Forward Free Gather Give Hand Import Include Install Keep Leave Let List Load Lock Make Mark Mask Measure
    Move Open Point Prepare Print Probe Prove Publish Read Rebuild Record Redirect Refuse Release Reload Remember
    Remove Renew Reopen Replace Report Require Restart Restore Resume Return Roll Route Run Save Schedule Select Set
    Shorten Show Skip Sort Start Stop Store Switch Take Test Transfer Try Undo Unmask Update Validate Verify Wait Warn
    Write
"""
TASK = re.compile(r"""^\s*- name: ["']?(?:(?P<subject>[^|"{]+) \| )?(?P<action>(?P<verb>\S+).*?)["']?\s*$""")
# A subject is a thing of the glossary or of Kubernetes, not a step of the play.
NO_SUBJECT = [
    "After",
    "Arm",
    "Away",
    "Before",
    "By",
    "Cross",
    "Give",
    "Go",
    "Hold",
    "Order",
    "Settle",
    "Take",
    "Turn",
    "Turns",
    "Way",
]
TASKS = "roles/*/tasks/*.yml"
TEST = re.compile(r"^\s*(?:async )?def (?P<name>test_\w+)")


@dataclass(frozen=True)
class Finding:
    """One use of a word, and what to write instead."""

    path: str
    line: int
    text: str
    found: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: “{self.found}”: {self.instead}"


def pattern(words: dict[str, str]) -> re.Pattern[str]:
    """One expression for a table of words; the group's number says which one it was."""
    return re.compile(
        "|".join(f"(?P<w{index}>(?<![A-Za-z])(?:{word})(?![A-Za-z]))" for index, word in enumerate(words)),
        re.IGNORECASE,
    )


EVERYWHERE, PYTHON = pattern(WORDS), pattern(WORDS | IN_PYTHON)


def findings(path: str, text: str) -> Iterator[Finding]:
    """What one file has of these words, tasks without a verb and test names that are too long."""
    words, table = (PYTHON, WORDS | IN_PYTHON) if path.endswith(".py") else (EVERYWHERE, WORDS)
    instead = list(table.values())
    for number, line in enumerate(text.splitlines(), 1):
        for match in words.finditer(line):
            yield Finding(path, number, line, match.group(), instead[int(str(match.lastgroup)[1:])])
        task = TASK.match(line) if Path(path).match(TASKS) else None
        if task and task["verb"] not in VERBS.split():
            yield Finding(
                path,
                number,
                line,
                task["action"],
                "a task name is `Subject | Verb object` or `Verb object`; a new verb goes into VERBS",
            )
        if task and (task["subject"] or "").partition(" ")[0] in NO_SUBJECT:
            yield Finding(path, number, line, task["subject"], "name the thing that is looked at or changed")
        test = TEST.match(line) if path.endswith(".py") else None
        if test and len(test["name"]) > LONGEST_TEST_NAME:
            yield Finding(path, number, line, test["name"], f"a test name has up to {LONGEST_TEST_NAME} characters")


def files(checkout: Path, below: tuple[str, ...] = FOLDERS) -> Iterator[Path]:
    """The files that are read: those of the project's own folders and those beside its README."""
    yield from (path for path in sorted(checkout.iterdir()) if path.suffix in SUFFIXES and path.is_file())
    for folder in below:
        yield from (
            path for path in sorted((checkout / folder).rglob("*")) if path.suffix in SUFFIXES and path.is_file()
        )


def judged(found: list[Finding], exceptions: list[dict[str, Any]]) -> list[str]:
    """One line for each finding without an exception, and for each exception that nothing needs any more."""
    used: set[int] = set()
    left = []
    for finding in found:
        fits = [index for index, exception in enumerate(exceptions) if _excepted(finding, exception)]
        used.update(fits)
        if not fits:
            left.append(str(finding))
    unused = [exception for index, exception in enumerate(exceptions) if index not in used]
    return left + [
        f"{EXCEPTIONS.name}: nothing needs the exception {exception['word']!r} in {exception['path']}"
        for exception in unused
    ]


def _excepted(finding: Finding, exception: dict[str, Any]) -> bool:
    return Path(finding.path).match(exception["path"]) and re.search(exception["word"], finding.text) is not None


def load(path: Path = EXCEPTIONS) -> list[dict[str, Any]]:
    """Exceptions: a path (with wildcards), an expression that its line matches, and the reason."""
    exceptions: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    wrong = [exception for exception in exceptions if set(exception) != {"path", "word", "reason"}]
    if wrong:
        raise ValueError(f"{path}: an exception has path, word and reason; found {wrong}")
    return exceptions


def main(arguments: list[str]) -> int:
    found = []
    for path in files(CHECKOUT):
        name = str(path.relative_to(CHECKOUT))
        if name not in OWN:
            found += list(findings(name, path.read_text(encoding="utf-8")))
    lines = judged(found, load())
    if arguments:
        lines = [line for line in lines if line.startswith(tuple(arguments))]
    print(*lines, sep="\n")
    print(f"voice: {len(lines)} to reword" if lines else "voice: clean")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
