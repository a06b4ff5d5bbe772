#!/bin/sh
# Makes .venv from the lock file: with uv when it is there, with venv and pip otherwise.
set -eu

fail() { echo "taskscan: $1" >&2; exit 1; }

find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$name"
            return
        fi
    done
    fail "Python 3.11 or newer is missing: install it (Debian: apt install python3 python3-venv)."
}

python=$(find_python)
command -v git >/dev/null 2>&1 || fail "git is missing: install it (Debian: apt install git)."
command -v npm >/dev/null 2>&1 || fail "npm is missing: install Node.js 20 or newer with npm."
node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' >/dev/null 2>&1 ||
    fail "Node.js 20 or newer is missing: install it."

rm -f .venv/.ready
if command -v uv >/dev/null 2>&1; then
    uv venv --quiet --allow-existing --python "$python" .venv || fail "uv cannot make .venv."
    uv pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock ||
        fail "the packages of requirements.lock cannot be installed: see above."
    uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable . ||
        fail "taskscan itself cannot be installed: see above."
else
    "$python" -m venv .venv || fail "venv is missing: install it (Debian: apt install python3-venv)."
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock ||
        fail "the packages of requirements.lock cannot be installed: see above."
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . ||
        fail "taskscan itself cannot be installed: see above."
fi
touch .venv/.ready
