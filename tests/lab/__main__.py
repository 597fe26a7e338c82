# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's command line: `python3 -m tests.lab up`, and so on."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import faults, fresh_path, kubernetes, lock, machines, network, packages, settings, state, world
from .progress import Progress
from .shell import LabError


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python3 -m tests.lab", description="A lab of real hosts for the migration.")
    verbs = result.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("up", help="boot the hosts, Kubernetes and the systemd cluster; safe to run twice")
    verb.add_argument("--nodes", type=int, default=3, choices=range(1, settings.MAX_NODES + 1), metavar="N")
    verb.add_argument("--profile", choices=settings.PROFILES, default="full")
    verb = verbs.add_parser("packages", help="install what the machine itself needs, from Debian")
    verb.add_argument("group", nargs="*", help=f"{', '.join(packages.GROUPS)}; all of them if none is named")
    verb = verbs.add_parser(
        "fresh-path", help="fill a folder with the programs a fresh machine has once the packages are installed"
    )
    verb.add_argument("folder", type=Path)
    verb.add_argument("group", nargs="*", help="with the packages of these groups; of all if none is named")
    verbs.add_parser("build", help="build what the lab runs, into the cache")
    verb = verbs.add_parser("reset", help="back to the systemd cluster, without a boot")
    verb.add_argument("--profile", choices=settings.PROFILES, default="full")
    verbs.add_parser("down", help="take it down and leave nothing behind")
    verbs.add_parser("status", help="which hosts run")
    verb = verbs.add_parser("exec", help="run a command in a host")
    verb.add_argument("name")
    verb.add_argument("command", nargs=argparse.REMAINDER)
    verb = verbs.add_parser("kubectl", help="kubectl with the lab's kubeconfig")
    verb.add_argument("command", nargs=argparse.REMAINDER)
    for name, text in (("partition", "pull a host's cable"), ("heal", "plug it in again, thaw it, make room"), ("stop-pod", "delete a host's pod"),
                       ("reboot", "pull a host's plug and power it on"),
                       ("stop-kubernetes", "stop all of Kubernetes on a host, as `systemctl stop k3s` does"),
                       ("start-kubernetes", "start it again")):  # fmt: skip
        verbs.add_parser(name, help=text).add_argument("name")
    for name, text in (("fill", "leave no room on a host's disk"), ("unfill", "make room again")):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("name")
        verb.add_argument("path")
    verb = verbs.add_parser("kill", help="signal a process in a host, by name")
    verb.add_argument("name")
    verb.add_argument("process")
    verb.add_argument("--signal", default="KILL")
    verb.add_argument("--of", choices=(faults.UNIT, faults.POD), help="only the unit's, or only the pod's")
    verbs.add_parser("stop-api", help="stop the API server")
    verbs.add_parser("start-api", help="start it again")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"lab: {error}. Look at free space and rights there, then run the command again.", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise LabError("The lab boots real hosts and needs root: run it as root.")
    progress = Progress()
    if options.verb in ("up", "reset", "down"):
        with lock.only_one(settings.STATE):
            if options.verb == "up":
                world.up(options.nodes, options.profile, progress)
            elif options.verb == "reset":
                world.reset(options.profile, progress)
            else:
                world.down(progress)
        return 0
    if options.verb == "build":
        world.build(progress)
        return 0
    if options.verb == "fresh-path":
        print(f"{fresh_path.make(options.folder, options.group)} programs in {options.folder}")
        return 0
    if options.verb == "packages":
        packages.ensure(packages.of(options.group), progress)
        return 0
    lab = state.require()
    provider = kubernetes.named(lab.provider, lab.options)
    command = [word for position, word in enumerate(getattr(options, "command", [])) if word != "--" or position]
    if options.verb == "status":
        for node in lab.nodes:
            print(
                f"{node.name} {node.address} {'on' if machines.running(node) else 'off'}{'' if network.plugged(node) else ', partitioned'}"
            )
        return 0
    if options.verb == "kubectl":
        return subprocess.run(
            [*provider.kubectl, *command], env={**os.environ, "KUBECONFIG": str(settings.STATE / "kubeconfig")}
        ).returncode
    if options.verb == "stop-api":
        faults.stop_api(lab, provider)
        return 0
    if options.verb == "start-api":
        faults.start_api(lab, provider)
        return 0
    node = lab.node(options.name)
    if options.verb == "exec":
        return subprocess.run(machines.command_in(node, command)).returncode
    if options.verb == "partition":
        network.partition(node)
    elif options.verb == "heal":
        faults.heal(node)
    elif options.verb == "reboot":
        world.reboot(lab, node, provider)
    elif options.verb == "stop-kubernetes":
        faults.stop_kubernetes(node, provider)
    elif options.verb == "start-kubernetes":
        faults.start_units(node, provider)
    elif options.verb == "stop-pod":
        print(faults.stop_pod(node, provider))
    elif options.verb == "kill":
        print(*faults.kill(node, options.process, options.signal, options.of))
    elif options.verb == "fill":
        print(faults.fill(node, options.path, provider))
    elif options.verb == "unfill":
        faults.unfill(node, options.path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
