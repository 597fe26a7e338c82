#!/usr/bin/env bash
# Molecule's scenarios on hosts of the lab; SCENARIO=name takes one of them. Arguments go to molecule.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=$(tests/lab/environment.sh)
export PATH=$venv/bin:$PATH
# Only create and destroy run without a lab; they are not to look for its inventory.
export MOLECULE_ANSIBLE_ARGS_STRICT_MODE=1
if [ -n "${SCENARIO:-}" ]; then
    exec molecule test --scenario-name "$SCENARIO" "$@"
fi
# These share one lab: each starts where the one before it ended, which is as far as its own prepare would have brought it.
chain=(prepare transfer cutover default rollback)
# A killed run leaves a record of instances, and Molecule would take them for this run's.
molecule destroy --shared-state --scenario-name default
molecule test --shared-state "${chain[@]/#/--scenario-name=}" "$@"
exec molecule test --scenario-name single-node "$@"
