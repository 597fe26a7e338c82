# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was migrated is a daemon of today: had it any optional call, this scenario would be the default one again."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from tests.e2e import hosts as on


@pytest.mark.parametrize("call", ["capabilities", "read-only"])
def test_the_daemon_has_no_optional_call(host: Host, call: str) -> None:
    url = f"http://127.0.0.1:8080/api/v1/raft/{call}"
    assert host.check_output(f"curl -s --max-time 5 --interface {on.OPERATOR} -o /dev/null -w '%{{http_code}}' {url}") == "404"
