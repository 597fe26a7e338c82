#!/usr/bin/env bash
# Everything CI runs. What needs no lab runs beside migrations whose figures are not measured.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }
fail() { say "FAILED: $*"; exit 1; }

venv=$(tests/lab/environment.sh) || fail "no Python environment; the lines above say what to do"
logs=$(mktemp -d /tmp/pi-migration-tests-XXXXXX)
suites=(tests/unit tests/lab tests/network tests/raft tests/faults)

beside() {
    local one result=0
    for one in "${suites[@]}"; do
        "$venv/bin/python" -m pytest -q "$one" >"$logs/${one##*/}.log" 2>&1 || { result=1; echo "${one##*/}" >>"$logs/failed"; }
        echo "$one: $(tail -n 1 "$logs/${one##*/}.log")" >>"$logs/beside"
    done
    return "$result"
}

on_the_lab() {  # what it is, pytest's arguments
    say "$1"
    "$venv/bin/python" -m pytest -q -s --durations=0 --durations-min=5 "${@:2}" || fail "$1: not as wanted; see above"
}

others=
# A run that fails half-way still tells what the tests beside it found.
ended() {
    [ -z "$others" ] || kill "$others" 2>/dev/null
    [ ! -f "$logs/beside" ] || cat "$logs/beside"
    python3 -m tests.lab down
}
trap ended EXIT
say "the lab comes up (the first time it builds Kubernetes, up to 15 minutes)"
python3 -m tests.lab up --nodes 3 --profile full || fail "the lab did not come up; the line above says why"
# Alone, since its write pause is measured and the machine has few cores.
on_the_lab "migration, profile full, about 3 minutes" tests/e2e/test_migration.py -k full
say "tests that need no lab start beside the others; their logs are in $logs"
beside &
others=$!
on_the_lab "migrations, profile upstream and without a fence, about 6 minutes" tests/e2e/test_migration.py -k "not full"
on_the_lab "the way back, about 10 minutes" tests/e2e/test_rollback.py
on_the_lab "pre-flight, TLS and rights, the report, about 7 minutes" \
    tests/e2e/test_preflight.py tests/e2e/test_secured.py tests/e2e/test_report.py
on_the_lab "the lab goes down and leaves nothing" tests/e2e/test_lab_down.py
say "not part of this run: tests/e2e/test_{watch,status,verbs,lab_reset}.py, make molecule, test-faults, lint, sanity, tarball"
say "waiting for the tests beside"
wait "$others" && passed=yes || passed=no
others=
if [ "$passed" = no ]; then
    while read -r one; do cat "$logs/$one.log"; done <"$logs/failed"
    fail "tests beside the lab failed; they are shown above and kept in $logs"
fi
say "all tests passed"
