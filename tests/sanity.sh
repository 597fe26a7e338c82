#!/usr/bin/env bash
# ansible-test sanity, on a copy of the collection in a tree as it wants one. Arguments go to ansible-test:
# `tests/sanity.sh --test validate-modules`. With UNITS=1 it is ansible-test units: `UNITS=1 tests/sanity.sh --python 3.9`.
# With EVERY_PYTHON=1 it takes those between the oldest and the control node's as well.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$("$here/tests/lab/environment.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/ansible_collections/pi_controller/raft_migration
command=sanity
tests=()
if [ -n "${UNITS:-}" ]; then
    command=units
    tests=(tests/unit)
    # The fakes listen on addresses of their own, which two tests at once cannot.
    set -- --venv --num-workers 1 "$@"
fi

# What the tarball carries, with what is not committed yet, without what Git ignores. (The unit tests are linted by tests/lint.sh.)
mkdir -p "$tree"
cd "$here"
git ls-files -z --cached --others --exclude-standard \
    | grep -zvE '^(\.|molecule/|inventories/lab/|tests/)|^(Makefile|ansible\.cfg|antsibull-nox\.toml|noxfile\.py|pyproject\.toml)$' >"$work/files"
git ls-files -z --cached --others --exclude-standard -- tests/sanity "${tests[@]}" >>"$work/files"
tar --create --null --ignore-failed-read --files-from="$work/files" 2>/dev/null | tar --extract --directory="$tree"
git -C "$tree" init --quiet
git -C "$tree" add --all

# The Kubernetes modules build upon this collection; the `ansible` bundle carries it.
bundle=$("$venv/bin/python" -c 'import ansible_collections.kubernetes.core as core; print(list(core.__path__)[0])')
mkdir -p "$work/ansible_collections/kubernetes"
cp -r "$bundle" "$work/ansible_collections/kubernetes/core"

# ansible-test makes an environment for each test, kept in this home from run to run. It would fetch pip for them from a
# host of its own; the pip that Python carries takes its place.
home=${PI_LAB_CACHE:-/var/cache/pi-lab}/sanity-home
mkdir -p "$home/.ansible/test/cache"
[ ! -d "$HOME/.config" ] || ln -sfn "$HOME/.config" "$home/.config"
"$venv/bin/python" - "$home/.ansible/test/cache" <<'PYTHON'
import os
import sys
from pathlib import Path
from types import SimpleNamespace

from ansible_test._internal.python_requirements import get_venv_packages

version = get_venv_packages(SimpleNamespace(version="3.13"))["pip"].replace(".", "_")
# ansible-test hands no settings of pip on, and ensurepip takes them all away.
settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
Path(sys.argv[1], f"get_pip_{version}.py").write_text(f"""
import ensurepip, os, subprocess, sys
ensurepip.bootstrap()
os.environ.pop("PIP_CONFIG_FILE", None)
os.environ.update({settings!r})
wanted = [argument for argument in sys.argv[1:] if not argument.startswith("--no-")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "--quiet", *wanted]))
""")
PYTHON

# The interpreters themselves: pyenv's shims are there for every version and fail for all but the chosen one. `compile` and `import` take the
# oldest that a Pi may have and the control node's. No plugin asks for its Python's version, so what both can do those in between can.
versions=3.9
[ -z "${UNITS:-}${EVERY_PYTHON:-}" ] || versions=3.
path=$venv/bin:$(printf '%s' "$PATH" | tr : '\n' | grep -v /shims | paste -sd:)
for folder in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$versions"*/bin; do
    [ ! -x "$folder/python3" ] || path=$path:$folder
done
cd "$tree"
HOME=$home PATH=$path LC_ALL=C.UTF-8 "$venv/bin/ansible-test" "$command" --color no "$@"
echo "ansible-test $command: clean"
