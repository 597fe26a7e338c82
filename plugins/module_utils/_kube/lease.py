# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time: a Lease with an owner, an expiry, and a rule for when the owner counts as gone."""

from __future__ import annotations

import getpass
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from .._core.failures import LockTaken
from .._core.processes import Process, machine, run_of
from .api import CONFLICT, KubeApi, KubeError

OWNER = "raft-migration.pi-controller/owner"
LEASES = "/apis/coordination.k8s.io/v1"
# A lease that looks expired is looked at again after this part of its time: clocks of two control nodes may differ, but a
# living owner renews within it. It does so every ten seconds, and one attempt may take fifteen.
WATCHED_PART = 2
ATTEMPTS = 5
# How far the clocks of two control nodes may be apart, and the longest that a Lease may be held without being renewed (seconds).
MAX_SKEW = timedelta(minutes=10)
MAX_DURATION = 3600


@dataclass(frozen=True)
class Owner:
    """Who holds the lock: a person, and the run of a playbook on a machine."""

    user: str
    host: str
    # Where the process number means something, see `_processes.machine`.
    machine: str
    run: Process

    @property
    def identity(self) -> str:
        return f"{self.user}@{self.host}:{self.run.pid}"

    def as_dict(self) -> dict[str, Any]:
        return {"user": self.user, "host": self.host, "machine": self.machine, "run": dict(self.run.as_dict())}


def owner_of(parent_pid: int | None) -> Owner:
    """In whose name this module holds a lock."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may have numbers without names.
        user = "unknown"
    return Owner(user, socket.gethostname(), machine(), run_of(parent_pid))


@dataclass(frozen=True)
class Held:
    """The Lease as it was found."""

    path: str
    body: dict[str, Any]

    @property
    def identity(self) -> str:
        return str(self.body.get("spec", {}).get("holderIdentity") or "")

    @property
    def since(self) -> str | None:
        return self.body.get("spec", {}).get("acquireTime")

    @property
    def renewed(self) -> str | None:
        return self.body.get("spec", {}).get("renewTime")

    @property
    def expires(self) -> datetime | None:
        renewed = _parse(self.renewed)
        seconds = self.body.get("spec", {}).get("leaseDurationSeconds")
        try:
            return renewed + timedelta(seconds=int(seconds)) if renewed and seconds else None
        except OverflowError:
            return None

    @property
    def owner(self) -> dict[str, Any]:
        try:
            found = json.loads(self.body["metadata"]["annotations"][OWNER])
        except (KeyError, TypeError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def belongs_to(self, owner: Owner) -> bool:
        return self.identity == owner.identity and self.owner.get("run") == owner.run.as_dict()

    def owner_is_dead(self, here: str) -> bool:
        """Only where its process numbers are ours; elsewhere time has to tell."""
        process = Process.from_dict(self.owner.get("run"))
        return bool(here) and self.owner.get("machine") == here and process is not None and not process.alive

    def expired(self, now: datetime) -> bool:
        """Whether nothing in it keeps another run out. A Lease can say anything of its time: one renewed in the future, or held for
        longer than any run holds it, would block every run forever. A living owner is seen to renew it, see `_wait_until_free`.
        """
        return self.expires is None or self.expires <= now or not self.plausible(now)

    def plausible(self, now: datetime) -> bool:
        renewed = _parse(self.renewed)
        seconds = self.body.get("spec", {}).get("leaseDurationSeconds")
        return renewed is None or (renewed - now <= MAX_SKEW and int(seconds or 0) <= MAX_DURATION)

    def as_dict(self) -> dict[str, Any]:
        return {
            "holder": self.identity or None,
            "since": self.since,
            "renewed": self.renewed,
            "expires": self.expires.isoformat(timespec="seconds") if self.expires else None,
        }


class MigrationLock:
    """The lock of one run. Every write names the version it was made from, so that of two takers one gets it."""

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        name: str,
        owner: Owner,
        duration: int = 60,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.api = api
        self.namespace = namespace
        self.name = name
        self.owner = owner
        self.duration = duration
        self._folder = f"{LEASES}/namespaces/{namespace}/leases"
        self._now = now
        self._sleep = sleep

    def look(self) -> Held | None:
        path = f"{self._folder}/{self.name}"
        body = self.api.read(path)
        return Held(path, body) if body is not None else None

    def take(self, *, force: bool = False, check_mode: bool = False) -> tuple[Held | None, bool]:
        """Take it or renew it; returns what was there before, and whether that made a difference."""
        for _attempt in range(ATTEMPTS):
            held = self.look()
            if held is not None and not held.belongs_to(self.owner):
                held = self._wait_until_free(held, force)
            if check_mode:
                return held, held is None or not held.belongs_to(self.owner)
            try:
                if held is None:
                    self.api.create(self._folder, self._body(None))
                else:
                    self.api.replace(held.path, self._body(held))
            except KubeError as error:
                if error.status in (404, CONFLICT):
                    # Another run was faster; see which.
                    continue
                raise
            return held, held is None or not held.belongs_to(self.owner)
        raise self._error("changes all the time", None)

    def _wait_until_free(self, held: Held, force: bool) -> Held | None:
        """The Lease to write over, once it is certain that no process holds it."""
        if force or not held.identity or held.owner_is_dead(self.owner.machine):
            return held
        if not held.expired(self._now()):
            raise self._taken(held)
        self._sleep(unseen_for(self.duration))
        again = self.look()
        if again is not None and again.body["spec"].get("renewTime") != held.renewed:
            raise self._taken(again)
        return again

    def renew(self) -> None:
        """LockTaken where it is another's or gone; any other error says only that this attempt came to nothing."""
        for _attempt in range(ATTEMPTS):
            held = self.look()
            if held is None or not held.belongs_to(self.owner):
                who = f"it belongs to {held.identity} since {held.since}" if held else "it was deleted"
                raise LockTaken(f"the migration lock {self.namespace}/{self.name} is no longer held by this run: {who}")
            try:
                self.api.replace(held.path, self._body(held))
            except KubeError as error:
                if error.status in (404, CONFLICT):
                    # Changed since: by a renewal of our own, or by another run.
                    continue
                raise
            return
        raise self._error("changes all the time", None)

    def release(self) -> bool:
        """Give it back if it is ours."""
        for _attempt in range(ATTEMPTS):
            held = self.look()
            if held is None or not held.belongs_to(self.owner):
                return False
            metadata = held.body["metadata"]
            if self.api.delete(held.path, metadata["uid"], metadata["resourceVersion"]):
                return True
            # Changed since: by a renewal of our own, or by another run that took it over.
        return False

    def _body(self, held: Held | None) -> dict[str, Any]:
        mine = held is not None and held.belongs_to(self.owner)
        spec = held.body.get("spec", {}) if held else {}
        metadata: dict[str, Any] = {"namespace": self.namespace, "name": self.name}
        if held is not None:
            metadata["resourceVersion"] = held.body["metadata"]["resourceVersion"]
            # A PUT for a Lease that does not exist makes one, but not with the uid of another.
            metadata["uid"] = held.body["metadata"]["uid"]
        metadata["annotations"] = {OWNER: json.dumps(self.owner.as_dict())}
        now = _text(self._now())
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": self.owner.identity,
                "leaseDurationSeconds": self.duration,
                "acquireTime": spec.get("acquireTime") if mine else now,
                "renewTime": now,
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if mine or held is None else 1),
            },
        }

    def _taken(self, held: Held) -> KubeError:
        return self._error(
            f"is held by {held.identity} since {(held.since or 'an unknown time').partition('.')[0]}; it is renewed all the time, and runs out at "
            f"{held.expires.isoformat(timespec='seconds') if held.expires else 'no known time'} if that stops",
            held,
        )

    def _error(self, what: str, held: Held | None) -> KubeError:
        return KubeError(
            f"the migration lock (Lease {self.namespace}/{self.name}) {what}",
            url=f"{self._folder}/{self.name}",
            seen=held.as_dict() if held else None,
            wanted=f"held by {self.owner.identity}",
            next_step=(
                "wait for that run to end. If you know that it is dead, run this again once the lock has run out, or take it over "
                "at once with -e raft_migration_take_over=true"
            ),
        )


def unseen_for(duration: int) -> float:
    """Seconds for which a Lease has to stay as it is before another run takes it; a renewal is good for as long, by any clock."""
    return duration / WATCHED_PART


def _text(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _parse(text: str | None) -> datetime | None:
    if not text:
        return None
    for form in ("%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%SZ"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=timezone.utc)
        except ValueError:
            continue
    return None
