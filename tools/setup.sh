#!/usr/bin/env bash
# Makes .venv with all Python packages that a developer needs. Does nothing when it has what pyproject.toml and constraints.txt ask for.
set -euo pipefail
cd "$(dirname "$0")/.."

# A pyenv shim may stand on the PATH without a Python behind it, so each candidate is tried.
for python in ${PYTHON:-python3.11 python3.12 python3.13 python3} ''; do
  "${python:-false}" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && break
done
if [ -z "$python" ]; then
  echo "jupyter-kuberay needs Python 3.11 to 3.13. Install one, or name it: make setup PYTHON=/path/to/python3.11" >&2
  exit 1
fi
export PYTHON=$python

# Two `make` at the same time must not install into one environment.
if command -v flock >/dev/null; then
  mkdir -p .cache
  exec 9>.cache/setup.lock
  flock 9
fi

# An environment knows the folder that it was made in, so a moved checkout gets a new one.
wanted=$({ cat pyproject.toml constraints.txt tools/setup.sh; pwd -P; "$python" -V; } | sha256sum | cut -d' ' -f1)
[ "$(cat .venv/.made-from 2>/dev/null)" = "$wanted" ] && exit 0

echo "Setting up .venv (once; about a minute with a warm cache, 6 GB with torch) …"
if ! grep -qF "$(pwd -P)/.venv" .venv/bin/activate 2>/dev/null || [ "$(.venv/bin/python -V)" != "$("$python" -V)" ]; then
  tools/uv venv --quiet --clear --python "$python" .venv
fi
tools/uv pip install --quiet --python .venv/bin/python --constraint constraints.txt --build-constraint constraints.txt --editable '.[lifecycle,reinforcement,codeflare,docs,dev]'
echo "$wanted" >.venv/.made-from
