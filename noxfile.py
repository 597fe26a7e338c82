# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check that needs no lab is a session: `tests/lint.sh --list` names them, `tests/lint.sh -s mypy` runs one."""

from __future__ import annotations

import filecmp
import os
import sys
from pathlib import Path

import antsibull_nox
import nox

sys.path.insert(0, str(Path(__file__).resolve().parent))

from tests.lab import golang  # noqa: E402
from tests.lab.progress import Progress  # noqa: E402
from tests.lab.settings import CACHE  # noqa: E402

# One environment has all the tools, in versions that fit together; tests/lint.sh runs nox from it.
nox.options.default_venv_backend = "none"
antsibull_nox.load_antsibull_nox_toml()

COLLECTION = "pi_controller.raft_migration"


@nox.session
def ruff(session: nox.Session) -> None:
    """Python: format, style and likely mistakes"""
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session
def mypy(session: nox.Session) -> None:
    """Python: types, of the plugins and of the tests"""
    # What a run before has found out is kept beside the other caches: a file whose content is the same is not read again.
    mypy = ("mypy", "--cache-dir", str(CACHE / "mypy"))
    session.run(*mypy, "-p", f"ansible_collections.{COLLECTION}.plugins")
    session.run(*mypy, "noxfile.py", "tests", "molecule", "inventories/lab/hosts.py")


@nox.session(name="ansible-lint")
def ansible_lint(session: nox.Session) -> None:
    """Roles, playbooks and scenarios by the strictest profile"""
    session.run("ansible-lint", "--profile", "production", "--offline", "--strict")


@nox.session
def structure(session: nox.Session) -> None:
    """The graph of roles and of module_utils without a new circle, Jinja that can be read, and the figures of both"""
    session.run("python", "-m", "tests.structure")
    # tests/run.sh runs these among its suites.
    if not os.environ.get("STRUCTURE_IS_TESTED"):
        session.run("python", "-m", "pytest", "-q", "tests/structure")


@nox.session
def voice(session: nox.Session) -> None:
    """Words that this project does not use, tasks without a verb, and long test names: in messages, docs, comments and code"""
    session.run("python", "-m", "tests.structure.voice")


@nox.session
def docs(session: nox.Session) -> None:
    """The plugins' documentation and the pages made of it, and whether all that is generated is current"""
    session.run(
        "antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs", "dependent", "."
    )
    work = Path(session.create_tmp()).resolve()
    (work / "pages").mkdir(mode=0o700)
    session.run(
        "antsibull-docs", "collection", "--use-current", "--squash-hierarchy", "--fail-on-error", "--dest-dir", f"{work}/pages", COLLECTION,
        env={"ANSIBLE_COLLECTIONS_PATH": str(Path(".collections").resolve())},
    )  # fmt: skip
    session.run("python", "tests/role_readmes.py", "--check")
    session.run("antsibull-changelog", "lint")
    session.run("antsibull-changelog", "generate", "--output", f"{work}/CHANGELOG.md", "--output-format", "md")
    if not filecmp.cmp(work / "CHANGELOG.md", "CHANGELOG.md", shallow=False):
        session.error("CHANGELOG.md is not what changelogs/changelog.yaml says; run `make docs` and commit the result")


@nox.session
def go(session: nox.Session) -> None:
    """The test daemon: gofmt, go vet, staticcheck, its tests; and the format of the lab's other Go"""
    program = golang.go(Progress())
    unformatted = session.run(
        str(program.with_name("gofmt")), "-l", "tests/lab", "tests/daemon", silent=True, external=True
    )
    if unformatted:
        session.error(f"run gofmt -w on {unformatted}")
    env = golang.environment(program, GOCACHE=str(CACHE / "go-lint"), CGO_ENABLED="1")
    with session.chdir("tests/daemon/picontroller"):
        for command in (("vet", "./..."), ("tool", "staticcheck", "./..."), ("test", "./...")):
            session.run(str(program), *command, env=env, external=True)


@nox.session
def shell(session: nox.Session) -> None:
    """Shell scripts"""
    session.run("shellcheck", ".ci/run", *map(str, sorted(Path("tests").glob("**/*.sh"))))


@nox.session(default=False)
def sanity(session: nox.Session) -> None:
    """ansible-test sanity; `-- --test validate-modules` runs one test of it"""
    session.run("tests/sanity.sh", *session.posargs)


@nox.session(default=False)
def units(session: nox.Session) -> None:
    """ansible-test units; `-- --python 3.9` on one Python"""
    session.run("tests/sanity.sh", *session.posargs, env={"UNITS": "1"})


@nox.session(default=False)
def versions(session: nox.Session) -> None:
    """The unit tests under each supported ansible-core; `-- 2.19` under one"""
    session.run("tests/versions.sh", *session.posargs)


@nox.session(default=False)
def tarball(session: nox.Session) -> None:
    """The collection as its users get it, and what Galaxy's importer says of it"""
    session.run("tests/tarball.sh")
