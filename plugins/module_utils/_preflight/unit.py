# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The daemon's unit: how it is installed, and whether a pod gets what its process really runs with. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._core.journal import PARALLEL, ROLLING
from .._core.named_paths import KEY_FILE
from .._daemon.drivers import settings
from .findings import ERROR, WARNING, Finding
from .plan import Plan
from .reach import out_of_reach, within, writes

# Made anew at each boot by a program: nothing to save and nothing to restore.
MADE_AT_BOOT = ("transient", "generated")
CONTEXT = "pi_controller_security_context"
MOUNT_SETTINGS = "pi_controller_extra_volumes and pi_controller_extra_volume_mounts"
# What programs and distributions bring along, and an image likewise; what is installed by hand is below /usr/local.
SHIPPED = ("/bin/", "/etc/ssl/certs/", "/lib/", "/sbin/", "/usr/")


def unit_findings(plan: Plan, host: str, unit: Mapping[str, Any], config_real: str) -> Iterator[Finding]:
    """`config_real` is where the configuration file of the plan is on this Pi, without links."""
    name = plan.unit
    if unit["load"] == "masked":
        yield Finding(host, "unit", f"{name} is masked", "a unit that can be started", f"systemctl unmask {name}")
    elif unit["load"] != "loaded":
        yield Finding(
            host,
            "unit",
            f"{name} is {unit['load'] or 'not there'}",
            "loaded",
            "install it, or correct pi_controller_unit",
        )
        return
    if unit["active"] != "active":
        yield Finding(
            host,
            "unit",
            f"{name} is {unit['active']} ({unit['sub']})",
            "active: every voter takes part",
            f"systemctl start {name}; journalctl -u {name} says why it stopped",
        )
    yield from _file(plan, host, unit)
    yield from _boot(plan, host, unit)
    # Other drop-ins are the distribution's own, for all services.
    own = [path for path in unit["drop_ins"] if f"/{unit['id']}.d/" in path]
    if own:
        yield Finding(
            host,
            "unit drop-ins",
            ", ".join(own),
            "nothing that only the unit has",
            f"see that the pods need none of it (systemctl cat {name})",
            WARNING,
        )
    if unit["hooks"]:
        yield Finding(
            host,
            "unit commands",
            ", ".join(unit["hooks"]),
            "nothing that only the unit runs: pods start the daemon alone",
            f"see that the pods need none of it (systemctl cat {name}); what a Pi needs at boot goes elsewhere, as a kernel module into "
            "/etc/modules-load.d",
            WARNING,
        )
    yield from _named_files(plan, host, unit["named_files"])
    relative = unit["process"]["relative_paths"] if unit["process"] else []
    yield from _left_behind(plan, host, [*unit["named_files"], *relative])
    if unit["process"]:
        yield from _process(plan, host, unit["process"], config_real)
        yield from _open_files(host, unit)


def _file(plan: Plan, host: str, unit: Mapping[str, Any]) -> Iterator[Finding]:
    if unit["load"] == "loaded" and unit["enabled"] in MADE_AT_BOOT:
        yield Finding(
            host,
            "unit file",
            f"{unit['file'] or 'none'} is {unit['enabled']}",
            "a unit file that is there after a reboot, so that a rollback can restore it",
            f"save it as {plan.unit_file} (systemctl cat {plan.unit}) and enable it",
        )
    elif unit["load"] == "loaded" and unit["file"] != plan.unit_file:
        yield Finding(
            host, "unit file", unit["file"] or "none", plan.unit_file, f"set pi_controller_unit_file to {unit['file']}"
        )
    if unit["needs_reload"] or unit["unread_drop_ins"]:
        added = f" ({', '.join(unit['unread_drop_ins'])})" if unit["unread_drop_ins"] else ""
        yield Finding(
            host,
            "unit file",
            f"edited since systemd has read it{added}",
            "the unit runs as its file says",
            f"look at the edit (systemctl cat {plan.unit}), then systemctl daemon-reload and restart, one Pi at a time",
        )


def _boot(plan: Plan, host: str, unit: Mapping[str, Any]) -> Iterator[Finding]:
    if unit["load"] != "loaded":
        return
    if unit["started_by"]:
        yield Finding(
            host,
            "unit started by",
            ", ".join(unit["started_by"]),
            "links below /etc/systemd/system alone: from the cutover on no boot may start the unit",
            f"take {plan.unit} out of the Wants=, Requires=, BindsTo= or trigger of these, and systemctl enable {plan.unit}",
        )
    elif unit["enabled"] in ("disabled", "static", "linked", "indirect", "enabled-runtime", "linked-runtime"):
        yield Finding(
            host,
            "unit enabled",
            unit["enabled"],
            "enabled: it comes back when the Pi reboots before its shutdown",
            f"systemctl enable {plan.unit}",
            WARNING,
        )


def _process(plan: Plan, host: str, process: Mapping[str, Any], config_real: str) -> Iterator[Finding]:
    yield from _command_line(plan, host, process, config_real)
    yield from _environment(plan, host, process["environment"])
    yield from _user(plan, host, process)
    yield from _relative_paths(plan, host, process)
    lost = [path for path in process["written_files"] if not writes(plan.mounts, path)]
    if lost:
        yield Finding(
            host,
            "unit writes to",
            ", ".join(lost),
            f"files below {plan.data_dir}, which is all that the pods can write",
            f"move them there, or mount their folder with {MOUNT_SETTINGS}",
        )


def _named_files(plan: Plan, host: str, named: list[Mapping[str, Any]]) -> Iterator[Finding]:
    """Files that the configuration names by absolute paths, as keys and logs. A warning, as not all of what a file has is used."""
    lost = [entry for entry in out_of_reach(plan.mounts, named) if not _set_for_pods(plan, entry["setting"])]
    shipped = [entry for entry in lost if _is_shipped(entry["path"])]
    own = [entry for entry in lost if entry not in shipped]
    if own:
        yield Finding(
            host,
            "configuration names",
            ", ".join(map(_named, own)),
            "paths that the pods have, too, where the daemon uses them",
            f"mount them at the same paths with {MOUNT_SETTINGS}; what the daemon only reads may move to the folder of {plan.config_file} instead",
            WARNING,
        )
    if shipped:
        yield Finding(
            host,
            "configuration names",
            ", ".join(map(_named, shipped)),
            "an image that has the same",
            f"see that the image has them; else mount them at the same paths with {MOUNT_SETTINGS}",
            WARNING,
        )


def _is_shipped(path: str) -> bool:
    return f"{path}/".startswith(SHIPPED) and not f"{path}/".startswith("/usr/local/")


def _left_behind(plan: Plan, host: str, named: list[Mapping[str, Any]]) -> Iterator[Finding]:
    """With `parallel` a pod's data folder begins empty, and gets the database alone."""
    if plan.strategy != PARALLEL:
        return
    by_level: dict[str, list[str]] = {}
    for entry in named:
        if (
            within(entry["path"], plan.data_dir)
            and entry.get("there", True)
            and not _set_for_pods(plan, entry["setting"])
        ):
            level = ERROR if KEY_FILE.search(entry["path"]) else WARNING
            by_level.setdefault(level, []).append(_named(entry))
    for level, found in by_level.items():
        yield Finding(
            host,
            "configuration names",
            ", ".join(found),
            f"nothing in {plan.data_dir} but the daemon's state: with {PARALLEL} the pods begin with an empty folder and get the database",
            f"move what the daemon only reads to the folder of {plan.config_file}, and name it there; or set migration.strategy to {ROLLING}, "
            "which hands the folder over as it is",
            level,
        )


def _relative_paths(plan: Plan, host: str, process: Mapping[str, Any]) -> Iterator[Finding]:
    """What the configuration names relative to the unit's working directory. An image has one of its own."""
    cwd, named = process["cwd"], process["relative_paths"]
    if cwd == plan.working_dir:
        named = list(out_of_reach(plan.mounts, named))
    by_level: dict[str, list[str]] = {}
    for entry in named:
        if not _set_for_pods(plan, entry["setting"]):
            # The file may have more examples than settings.
            level = ERROR if entry["there"] else WARNING
            by_level.setdefault(level, []).append(entry["setting"])
    for level, found in by_level.items():
        yield Finding(
            host,
            "unit working directory",
            f"{cwd}, and relative paths in {', '.join(found)}" + (", not there yet" if level == WARNING else ""),
            "paths that are the same files in the pods, which start in another folder and lose what no volume has",
            f"write absolute paths into the configuration file, of files in the folder of {plan.config_file}, which pods can read; or set "
            f"pi_controller_working_dir to {cwd} and mount their folders at the same paths with {MOUNT_SETTINGS}",
            level,
        )


def _set_for_pods(plan: Plan, setting: str) -> bool:
    """Whether the pods never have what the file says: it is written anew for them, or the inventory sets it for both states."""
    variable = settings.variable_of(setting)
    return setting in settings.PATHS_OF_STATE or (
        settings.key_of(variable) == setting and variable in plan.environment and variable in plan.temporary_environment
    )


def _named(entry: Mapping[str, str]) -> str:
    target = f" (a link to {entry['real']})" if entry["real"] != entry["path"] else ""
    return f"{entry['setting']}: {entry['path']}{target}"


def _command_line(plan: Plan, host: str, process: Mapping[str, Any], config_real: str) -> Iterator[Finding]:
    missing = [flag for flag in process["flags"] if flag not in plan.flags] + [
        word for word in process["words"] if word not in plan.flags
    ]
    if missing:
        yield Finding(
            host,
            "unit command line",
            " ".join(missing),
            f"--config and what pi_controller_args has ({', '.join(sorted(plan.flags)) or 'nothing'}): the pods get no more",
            "write these settings into the configuration file, or put the arguments into pi_controller_args",
        )
    # By another name, or from the unit's working directory, it is the same file.
    if process["config_real"] is None or process["config_real"] != config_real:
        yield Finding(
            host,
            "unit command line",
            f"--config {process['config']}"
            if process["config"]
            else "no --config: the daemon's own default file, or none",
            f"--config {plan.config_file}, which the pods get",
            f"set pi_controller_config_file to {process['config_real']}"
            if process["config_real"]
            else f"start the unit with --config {plan.config_file}, one Pi at a time",
        )


def _environment(plan: Plan, host: str, names: list[str]) -> Iterator[Finding]:
    missing = [name for name in names if name not in plan.environment]
    if missing:
        yield Finding(
            host,
            "unit environment",
            ", ".join(missing),
            "only settings that the pods also get",
            "write them into the configuration file (mode 0600), where a secret belongs, or into migration.standard_env, which whoever may "
            "read the DaemonSet sees",
        )
    # What a port or the hardware is called differs on purpose while both run.
    once = [
        name
        for name in names
        if name in plan.environment and not name.startswith(settings.PREFIX) and name not in plan.temporary_environment
    ]
    if once:
        yield Finding(
            host,
            "unit environment",
            f"{', '.join(once)} is in migration.standard_env only",
            "the same for the pods beside the unit, unless that is meant",
            "write them into migration.temporary_env, too",
            WARNING,
        )


def _user(plan: Plan, host: str, process: Mapping[str, Any]) -> Iterator[Finding]:
    uid, gid, user = process["uid"], process["gid"], plan.run_as.get("user")
    if uid is None or user == uid == 0:
        return
    who = f"{process['user']} (uid {uid}, gid {gid})"
    groups = process["groups"]
    given = plan.run_as.get("given", True)
    if uid and (user is None or (user != uid and not given)):
        in_groups = (
            f", and pi_controller_supplemental_groups to {sorted(groups.values())} ({', '.join(sorted(groups))})"
            if groups
            else ""
        )
        yield Finding(
            host,
            "unit user",
            who,
            "pods that run as that user, or as root because you say so",
            f"set runAsUser: {uid} and runAsGroup: {gid} in {CONTEXT}{in_groups}; or runAsUser: 0 there",
        )
    elif user and user != uid:
        yield Finding(
            host,
            "unit user",
            who,
            f"uid {user}, as {CONTEXT if given else 'the database'} has it for the pods, which read the same configuration and data",
            f"set runAsUser in {CONTEXT} to {uid}" + (", or leave it out" if given else ""),
        )
    elif user:
        missing = {name: number for name, number in groups.items() if number not in plan.run_as.get("groups", ())}
        if missing:
            yield Finding(
                host,
                "unit groups",
                ", ".join(f"{name} ({number})" for name, number in sorted(missing.items())),
                "the same supplementary groups for the pods",
                f"add {', '.join(str(number) for number in sorted(missing.values()))} to pi_controller_supplemental_groups",
            )


def _open_files(host: str, unit: Mapping[str, Any]) -> Iterator[Finding]:
    limit, pods = unit["process"]["open_files_limit"], unit["runtime_open_files_limit"]
    if pods is not None and (limit is None or limit > pods):
        yield Finding(
            host,
            "open files",
            f"the unit may open {limit or 'any number of'} files, containers {pods}",
            "as many for the pods",
            "raise LimitNOFILE of the container runtime's unit (k3s or k3s-agent), then restart it, one Pi at a time",
            WARNING,
        )
