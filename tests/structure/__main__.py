# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the structure of roles and packages and fails where it has a circle: `python -m tests.structure [--mermaid]`."""

from __future__ import annotations

import sys
from pathlib import Path

from . import counts, expressions, graph, privates

CHECKOUT = Path(__file__).resolve().parents[2]
# The engine, which no role may use, and what all roles share, which uses none.
TOP, BOTTOM = "run", "cluster"
# Modules that do not end by run_module yet. A new one fails, and so does one listed here that does.
OTHER_IDIOMS: frozenset[str] = frozenset()


def idioms_judged(found: dict[str, list[str]], known: frozenset[str]) -> list[str]:
    """What is wrong with the ways in which modules end."""
    others = {
        module for kind, modules in found.items() if kind not in ("run_module", "action plugin") for module in modules
    }
    new = [f"{module} does not end by run_module" for module in sorted(others - known)]
    return new + [f"{module} ends by run_module; delete it from OTHER_IDIOMS" for module in sorted(known - others)]


def circles_judged(found: graph.Graph) -> list[str]:
    """One line for each circle of a graph."""
    return [f"a circle: {' -> '.join((*circle, circle[0]))}" for circle in sorted(graph.circles(found))]


def layers_judged(roles: graph.Graph) -> list[str]:
    """One line for each arrow that does not go from TOP by the phases to BOTTOM."""
    up = [
        f"{role} uses {TOP}, which runs the phases: let {TOP} do it before or after {role}"
        for role in sorted(roles)
        if TOP in roles[role]
    ]
    down = [
        f"{BOTTOM} uses {role}: it is what roles share and knows none of them" for role in sorted(roles.get(BOTTOM, ()))
    ]
    return up + down


def main() -> int:
    graphs = {"Roles": graph.roles(CHECKOUT), "Packages of module_utils": graph.packages(CHECKOUT)}
    if "--mermaid" in sys.argv[1:]:
        for title, found in graphs.items():
            print(f"%% {title}\n{graph.mermaid(found)}\n")
        return 0
    for title, found in graphs.items():
        print(f"{title}\n{graph.text(found)}\n")
    print("\n".join(counts.report(CHECKOUT)))
    faults = [fault for found in graphs.values() for fault in circles_judged(found)]
    faults += layers_judged(graphs["Roles"])
    faults += [
        f"{path.relative_to(CHECKOUT)}:{fault}"
        for path in expressions.files(CHECKOUT)
        for fault in expressions.faults(path)
    ]
    booleans = expressions.booleans(CHECKOUT)
    faults += [
        f"{path.relative_to(CHECKOUT)}:{fault}"
        for path in expressions.files(CHECKOUT)
        for fault in expressions.unsure_booleans(path, booleans)
    ]
    faults += privates.faults(CHECKOUT)
    faults += idioms_judged(counts.idioms(CHECKOUT), OTHER_IDIOMS)
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
