#!/usr/bin/env bash
# Prints the folder of a Python environment with Ansible and the test tools, making it first where it is missing.
# It takes the newest Python there is: 3.12 or newer gets a current ansible-core, 3.11 the last that supports it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${PI_LAB_CACHE:-/var/cache/pi-lab}

newest_python() {
    local candidate
    for candidate in python3.14 python3.13 python3.12 python3.11; do
        for path in "$(command -v "$candidate" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"${candidate#python}"*/bin/python3; do
            if [ -x "$path" ] && "$path" -c 'import ensurepip, venv' 2>/dev/null; then
                printf '%s\n' "$path"
                return
            fi
        done
    done
    echo "No Python 3.11 or newer with venv found: apt-get install python3-venv, then try again." >&2
    exit 1
}

python=$(newest_python)
key=$("$python" -V; cat "$here/requirements.txt" "$here/tests/requirements.txt")
venv=$cache/venv-$(printf '%s' "$key" | sha256sum | cut -c1-16)
if [ ! -e "$venv/.complete" ]; then
    mkdir -p "$cache"
    exec 9>"$cache/venv.lock"
    flock 9
    if [ ! -e "$venv/.complete" ]; then
        echo "Making a Python environment in $venv ($("$python" -V); about a minute, once) ..." >&2
        rm -rf "$venv"
        "$python" -m venv "$venv"
        if ! "$venv/bin/pip" install --quiet --disable-pip-version-check \
            -r "$here/requirements.txt" -r "$here/tests/requirements.txt" >"$cache/pip.log" 2>&1; then
            tail -n 5 "$cache/pip.log" >&2
            echo "pip could not install the requirements: see $cache/pip.log, check the network, and try again." >&2
            exit 1
        fi
        touch "$venv/.complete"
    fi
fi
printf '%s\n' "$venv"
