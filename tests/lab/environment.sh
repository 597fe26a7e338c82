#!/usr/bin/env bash
# Prints the folder of a Python environment with Ansible and the test tools, making it first where it is missing.
# It takes the newest Python there is: 3.12 or newer gets a current ansible-core, 3.11 the last that supports it.
# CONTROLLER=2.19 (or 2.20, 2.21) takes that ansible-core, on the Python it is tested with; the oldest one with the oldest
# Kubernetes client.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${PI_LAB_CACHE:-/var/cache/pi-lab}
# cron, cloud-init and services have none.
export HOME=${HOME:-/root}

client=
case ${CONTROLLER:-newest} in
    newest) versions="3.14 3.13 3.12 3.11" ;;
    2.19) versions=3.11 client="kubernetes~=31.0" ;;
    2.20) versions=3.12 ;;
    2.21) versions=3.13 ;;
    *)
        echo "CONTROLLER is an ansible-core that is supported, 2.19, 2.20 or 2.21; not $CONTROLLER." >&2
        exit 1
        ;;
esac

find_python() {  # versions: the first of them that is installed and can make environments
    local version path
    for version in "$@"; do
        for path in "$(command -v "python$version" || true)" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version"*/bin/python3; do
            if [ -x "$path" ] && "$path" -c 'import ensurepip, venv' 2>/dev/null; then
                printf '%s\n' "$path"
                return
            fi
        done
    done
    echo "No Python with venv found (looked for $*): apt-get install python3-venv brings Debian's own, then try again." >&2
    exit 1
}

# shellcheck disable=SC2086  # a list
python=$(find_python $versions)
controller=(${CONTROLLER:+"ansible-core~=$CONTROLLER.0"} ${client:+"$client"})
key=$("$python" -V; cat "$here/requirements.txt" "$here/tests/requirements.txt"; printf '%s' "${controller[*]}")
venv=$cache/${CONTROLLER:-venv}-$(printf '%s' "$key" | sha256sum | cut -c1-16)
if [ ! -e "$venv/.complete" ]; then
    mkdir -p "$cache"
    exec 9>"$cache/venv.lock"
    flock -n 9 || { echo "Another run makes the Python environment: waiting for it ..." >&2; flock 9; }
    if [ ! -e "$venv/.complete" ]; then
        echo "Making a Python environment in $venv ($("$python" -V); about a minute, once) ..." >&2
        rm -rf "$venv"
        "$python" -m venv "$venv"
        # Python compiles what is used; all of it would take longer than its installation.
        "$venv/bin/pip" install --no-compile --quiet --disable-pip-version-check \
            -r "$here/requirements.txt" -r "$here/tests/requirements.txt" "${controller[@]}" >"$cache/pip.log" 2>&1 &
        pip=$!
        waited=0
        # A silent minute looks like a program that hangs.
        while kill -0 "$pip" 2>/dev/null; do
            sleep 1
            waited=$((waited + 1))
            [ $((waited % 8)) -ne 0 ] || echo "[$waited s] pip installs Ansible and the test tools ..." >&2
        done
        if ! wait "$pip"; then
            tail -n 5 "$cache/pip.log" >&2
            echo "pip could not install the requirements: see $cache/pip.log, check the network, and try again." >&2
            exit 1
        fi
        touch "$venv/.complete"
    fi
fi
# What the Makefile has Python keep: of the folders that tests make there would be more with each run.
rm -rf "$cache/bytecode/tmp" 2>/dev/null || true
printf '%s\n' "$venv"
