# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as a test wants it: set back to the old world, or migrated."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
if str(REPOSITORY) not in sys.path:
    sys.path.insert(0, str(REPOSITORY))

# Before the first import: failed assertions of helpers show their values, too.
HELPERS = [
    path.stem for path in Path(__file__).parent.glob("[a-z]*.py") if not path.stem.startswith(("conftest", "test_"))
]
pytest.register_assert_rewrite(*(f"tests.e2e.{name}" for name in HELPERS))

from tests.e2e import rehearsal  # noqa: E402

BEGAN = time.monotonic()
INSTALLS_WITHIN = 300.0  # seconds
# The tests of `make test` in the order in which they come. A reset takes ten seconds and a migration a minute, so a
# test starts where the one before it has ended, wherever it can; run alone, each brings the lab there itself. All others
# come after these.
COURSE = (
    # As it was, and broken.
    "test_preflight.py::test_eight_faults_are_named_in_one_table_and_nothing_is_changed",
    "test_preflight.py::test_k1_k5_k6_k10_beside_a_silent_pi_all_is_named",
    # One migration in steps, up to a cutover as it must not be.
    "test_check.py::test_check_mode_says_what_prepare_changes_and_changes_nothing",
    "test_migration.py::test_prepare_starts_pods_beside_units_that_serve_on",
    "test_preflight.py::test_where_prepare_was_begun_there_are_no_findings_either",
    "test_migration.py::test_transfer_builds_a_second_cluster_of_the_same_content",
    "test_migration.py::test_without_the_fence_the_witness_convicts",
    # Other profiles, each from a lab that is set back.
    "test_published.py::test_d2_parallel_is_refused_on_the_published_daemon",
    "test_migration.py::test_upstream_profile_migrates_tag_by_tag",
    "test_migration.py::test_back_pi_by_pi_without_leadership_transfer_no_read_fails",
    "test_rollback.py::test_back_from_after_the_cutover_brings_the_writes_of_the_pods[upstream]",
    # Set back for the last time: there and back. Each of the next starts where a rollback has ended.
    "test_migration.py::test_full_profile_migrates_in_one_go",
    "test_migration.py::test_back_pi_by_pi_from_the_end_no_read_fails",
    "test_report.py::test_a_run_that_went_back_says_so_on_its_first_screen",
    "test_rolling.py::test_d12_pi_by_pi_there_and_back_no_read_fails_on_any_port[full]",
    "test_rolling.py::test_a_pod_that_does_not_start_gives_its_data_back[True]",
    "test_rollback.py::test_back_from_after_the_cutover_brings_the_writes_of_the_pods[full]",
    # With a configuration of its own.
    "test_secured.py::test_least_rights_tls_and_a_token_that_never_leaks",
    "test_secured.py::test_the_account_can_do_no_more",
)
_installing: list[tuple[Path, subprocess.Popen[str]]] = []


def pytest_runtest_logstart(nodeid: str) -> None:
    """A line for each test as it begins: some take minutes."""
    print(f"\n[{time.monotonic() - BEGAN:4.0f} s] {nodeid}", flush=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {test: number for number, test in enumerate(COURSE)}
    items.sort(key=lambda item: place.get(item.nodeid.rpartition("/")[2], len(COURSE)))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Where a test needs the installed collection, it is installed beside the tests that come before that one."""
    wanted = any("installed" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly:
        folder = Path(tempfile.mkdtemp(prefix="pi-migration-installed-"))
        environment = {**os.environ, "INTO": str(folder)}
        command = ["chrt", "--idle", "0", str(REPOSITORY / "tests/tarball.sh")]
        with log_of(folder).open("w") as log:
            process = subprocess.Popen(
                command, env=environment, text=True, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        _installing.append((folder, process))


def pytest_sessionfinish() -> None:
    for folder, process in _installing:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
        log_of(folder).unlink(missing_ok=True)


def log_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")


@pytest.fixture
def old_world() -> Callable[[str], list[str]]:
    """Sets the lab back to a systemd cluster of the given profile; returns the hosts' names."""

    return rehearsal.old_world


@pytest.fixture
def migrated(tmp_path: Path) -> Callable[[str], list[str]]:
    """A cluster of the given profile that is migrated, by the test before or now; returns the hosts' names."""

    return lambda profile: rehearsal.migrated(profile, tmp_path / "forth.log")


@pytest.fixture(scope="session")
def installed() -> Path:
    """The folder where the collection was installed from its tarball, as a user gets it."""
    ((folder, process),) = _installing
    # It has been under way since the session began. Only now does it matter how soon it ends.
    subprocess.run(["chrt", "--all-tasks", "--other", "--pid", "0", str(process.pid)], check=False, capture_output=True)
    process.wait(INSTALLS_WITHIN)
    assert process.returncode == 0, log_of(folder).read_text()[-6000:]
    return folder
