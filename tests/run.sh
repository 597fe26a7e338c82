#!/usr/bin/env bash
# Everything CI runs. What needs no lab runs beside migrations whose figures are not measured.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }
fail() { say "FAILED: $*"; exit 1; }

venv=$(tests/lab/environment.sh) || fail "no Python environment; the lines above say what to do"
logs=$(mktemp -d /tmp/pi-migration-tests-XXXXXX)
suites=(tests/unit tests/lab tests/network tests/raft tests/faults)
scripts=(lint sanity)

beside() {
    trap 'exit 1' INT
    local one result=0
    for one in "${suites[@]}"; do
        part "${one##*/}" "$venv/bin/python" -m pytest -q "$one" || result=1
    done
    for one in "${scripts[@]}"; do
        part "$one" "tests/$one.sh" || result=1
    done
    return "$result"
}

part() {  # name, command: its log is kept, and the last line of it is what it has to say
    local began=$SECONDS result=0
    "${@:2}" >"$logs/$1.log" 2>&1 || { result=1; echo "$1" >>"$logs/failed"; }
    printf '%-8s %4d s  %s\n' "$1" $((SECONDS - began)) "$(tail -n 1 "$logs/$1.log")" >>"$logs/beside"
    return "$result"
}

on_the_lab() {  # what it is, pytest's arguments
    say "$1"
    "$venv/bin/python" -m pytest -q -s --durations=0 --durations-min=5 "${@:2}" || fail "$1: not as wanted; see above"
}

others=
# A run that fails half-way still tells what the tests beside it found.
ended() {
    [ -z "$others" ] || { kill -INT -- "-$others" && wait "$others"; } 2>/dev/null
    [ ! -f "$logs/beside" ] || cat "$logs/beside"
    python3 -m tests.lab down
}
trap ended EXIT
say "the lab comes up (the first time it builds Kubernetes, up to 15 minutes)"
python3 -m tests.lab up --nodes 3 --profile full || fail "the lab did not come up; the line above says why"
# Alone, since its write pause is measured and the machine has few cores.
on_the_lab "migration, profile full, about 3 minutes" tests/e2e/test_migration.py -k full
say "tests that need no lab, and linters start beside the others; their logs are in $logs"
# In a process group of its own, so that all of it can be ended.
set -m
beside &
others=$!
set +m
on_the_lab "migrations, profile upstream and without a fence, about 6 minutes" tests/e2e/test_migration.py -k "not full"
on_the_lab "the way back, about 10 minutes" tests/e2e/test_rollback.py
on_the_lab "pre-flight, check mode, TLS and rights, the report, about 10 minutes" \
    tests/e2e/test_preflight.py tests/e2e/test_check.py tests/e2e/test_secured.py tests/e2e/test_report.py
say "the collection from its tarball, in an empty place, migrates the lab, about 5 minutes"
python3 -m tests.lab reset --profile full || fail "the lab did not come back; the line above says why"
MIGRATE=1 tests/tarball.sh || fail "tarball: not as wanted; see above"
say "a dozen faults in two migrations, about 20 minutes"
"$venv/bin/python" -m tests.faults --chosen --folder "$logs/chosen" || fail "faults: not as wanted; see the matrix above and $logs/chosen"
on_the_lab "the lab goes down and leaves nothing" tests/e2e/test_lab_down.py
say "not part of this run, each with a command of its own: make test-longer, test-faults (all of them), molecule, versions"
say "waiting for what runs beside"
wait "$others" && passed=yes || passed=no
others=
if [ "$passed" = no ]; then
    while read -r one; do cat "$logs/$one.log"; done <"$logs/failed"
    fail "what runs beside the lab failed; it is shown above and kept in $logs"
fi
say "all tests passed"
