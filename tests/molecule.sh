#!/usr/bin/env bash
# Molecule's scenarios on hosts of the lab; SCENARIO=name takes one of them. Arguments go to molecule.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=$(tests/lab/environment.sh)
export PATH=$venv/bin:$PATH
# Only create and destroy run without a lab; they are not to look for its inventory.
export MOLECULE_ANSIBLE_ARGS_STRICT_MODE=1
# Molecule remembers for each folder's name what it has prepared, also of a run that ended long ago, and would not do it again.
ANSIBLE_HOME=$(mktemp -d /tmp/pi-migration-molecule-XXXXXX)
export ANSIBLE_HOME

# The recap comes last and gives no reason: the tasks that failed are repeated below it.
scenarios() {
    local log=$ANSIBLE_HOME/log
    molecule test "$@" 2>&1 | tee "$log" && return
    echo "Tasks that failed, as in $log:"
    sed 's/\x1b\[[0-9;]*m//g; s/^ *│ \?//' "$log" |
        awk '/^(TASK|PLAY|RUNNING HANDLER) /{left = 0; task = $0} /^(fatal|failed): /{if (!left) print task; left = 40} left-- > 0' |
        tail -n 120
    return 1
}

if [ -n "${SCENARIO:-}" ]; then
    scenarios --scenario-name "$SCENARIO" "$@"
else
    # These share one lab: each starts where the one before it ended, which is as far as its own prepare would have brought it.
    chain=(prepare transfer cutover default rollback)
    scenarios --shared-state "${chain[@]/#/--scenario-name=}" "$@"
    scenarios --scenario-name single-node "$@"
fi
rm -r "$ANSIBLE_HOME"
