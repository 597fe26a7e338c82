# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A port is free when nothing accepts a connection there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from conftest import import_plugin

freed = import_plugin("module_utils._core.freed")
MigrationError = import_plugin("module_utils._core.failures").MigrationError


@pytest.fixture
def held() -> Iterator[socket.socket]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.listen(200)
    yield listener
    listener.close()


def test_a_held_port_is_an_error_that_names_it(held: socket.socket) -> None:
    address = f"127.0.0.1:{held.getsockname()[1]}"
    with pytest.raises(MigrationError, match=f"{address} still accepts connections") as caught:
        freed.wait_freed(["127.0.0.1:1", address], 0)
    assert caught.value.failure["seen"] == [address]


def test_it_waits_until_the_port_is_free(held: socket.socket) -> None:
    address = f"127.0.0.1:{held.getsockname()[1]}"
    threading.Timer(0.2, held.close).start()
    freed.wait_freed([address], 20)


def test_nothing_to_wait_for() -> None:
    freed.wait_freed([], 0)
