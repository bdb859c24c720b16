#!/usr/bin/env bash
# Writes constraints.txt from what the environment holds now: versions only, no addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
{
  echo "# What jupyter-kuberay was tested with. Written by tools/constraints.sh."
  # A local version (torch's +cu126) names a build that a plain index does not have.
  tools/uv pip freeze --python .venv/bin/python | grep -E '^[A-Za-z0-9._-]+==' | grep -v '^jupyter-kuberay==' | sed 's/+.*//'
} >constraints.txt
