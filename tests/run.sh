#!/usr/bin/env bash
# Everything CI runs. What needs no lab runs beside migrations whose figures are not measured.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }
fail() { say "FAILED: $*"; exit 1; }

venv=$(tests/lab/environment.sh) || fail "no Python environment; the lines above say what to do"
logs=$(mktemp -d /tmp/pi-migration-tests-XXXXXX)
suites=(tests/unit tests/lab tests/network tests/raft tests/browser)

beside() {
    local suite result=0
    for suite in "${suites[@]}"; do
        "$venv/bin/python" -m pytest -q "$suite" >"$logs/${suite##*/}.log" 2>&1 || result=1
        echo "$suite: $(tail -n 1 "$logs/${suite##*/}.log")" >>"$logs/beside"
    done
    return "$result"
}

others=
trap '[ -z "$others" ] || kill "$others" 2>/dev/null; python3 -m tests.lab down' EXIT
say "the lab comes up (the first time it builds Kubernetes, up to 15 minutes)"
python3 -m tests.lab up --nodes 3 --profile full || fail "the lab did not come up; the line above says why"
# Alone, since its write pause is measured and the machine has few cores.
say "migration, profile full, about 3 minutes"
"$venv/bin/python" -m pytest -q -s tests/e2e/test_migration.py -k full || fail "the migration was not as wanted; see above"
say "unit, lab, network and raft tests start beside the other migrations; their logs are in $logs"
beside &
others=$!
say "migrations, profile upstream and without a fence, about 5 minutes"
"$venv/bin/python" -m pytest -q -s tests/e2e/test_migration.py -k "not full" || fail "a migration was not as wanted; see above"
say "the lab goes down"
"$venv/bin/python" -m pytest -q tests/e2e/test_lab_down.py || fail "the lab left something behind; see above"
say "waiting for the tests beside"
wait "$others" && passed=yes || passed=no
cat "$logs/beside"
if [ "$passed" = no ]; then
    for suite in "${suites[@]}"; do
        grep -qE '(failed|error)' <(tail -n 1 "$logs/${suite##*/}.log") && cat "$logs/${suite##*/}.log"
    done
    fail "tests beside the lab failed; they are shown above and kept in $logs"
fi
say "all tests passed"
