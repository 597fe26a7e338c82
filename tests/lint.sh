#!/usr/bin/env bash
# All linters, each to its end; the first line of a complaint says which one it comes from.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
venv=$(tests/lab/environment.sh) || exit 1
export PATH=$venv/bin:$PATH ANSIBLE_NOCOLOR=1 NO_COLOR=1
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=()

check() {  # name, command: quiet unless it complains
    local name=$1 began=$SECONDS
    shift
    if "$@" >"$logs/log" 2>&1; then
        printf '%-18s ok     %3d s\n' "$name" $((SECONDS - began))
    else
        printf '%-18s FAILED %3d s\n' "$name" $((SECONDS - began))
        cat "$logs/log"
        failed+=("$name")
    fi
}

no_output() {  # for tools that list what is wrong and end well
    local said
    said=$("$@" 2>&1)
    [ -z "$said" ] || { printf '%s\n' "$said"; return 1; }
}

go_vet() {
    # Debian's Go packages lie in a GOPATH, so the fixture is looked at in one as well.
    local gopath=$logs/go
    mkdir -p "$gopath/src"
    cp -r tests/lab/picontroller "$gopath/src/picontroller"
    (cd "$gopath/src/picontroller" && GO111MODULE=off GOFLAGS= GOCACHE=${GOCACHE:-${PI_LAB_CACHE:-/var/cache/pi-lab}/go-vet} GOPATH=$gopath:/usr/share/gocode go vet ./...)
}

check ruff ruff check .
check mypy-plugins mypy -p ansible_collections.pi_controller.raft_migration.plugins
check mypy-tests mypy tests molecule inventories/lab/hosts.py
check yamllint yamllint --strict .
check ansible-lint ansible-lint --profile production --offline --strict
check antsibull-docs antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck .
check changelog antsibull-changelog lint
check role-readmes python tests/role_readmes.py --check
if command -v go >/dev/null; then
    check gofmt no_output gofmt -l tests/lab/picontroller
    check go-vet go_vet
else
    # The lab's packages bring it along; a machine that has never seen the lab has nothing to check it with.
    echo "gofmt, go vet      left out: there is no Go here (python3 -m tests.lab packages installs it)"
fi
if command -v shellcheck >/dev/null; then
    check shellcheck shellcheck tests/*.sh tests/lab/*.sh
fi
if [ ${#failed[@]} -gt 0 ]; then
    echo "lint: ${failed[*]} failed"
    exit 1
fi
echo "lint: clean"
