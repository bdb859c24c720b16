#!/usr/bin/env bash
# Builds JupyterLab's half into jupyter_kuberay/labextension, with the machine's Node, and shows it to .venv's JupyterLab.
# Does nothing when it was built from what is there.
set -euo pipefail
cd "$(dirname "$0")/.."

made_from() {
  find labextension -name node_modules -prune -o -name lib -prune -o -type f -print | grep -v tsbuildinfo | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d' ' -f1
}
if ! command -v npm >/dev/null; then
  echo "JupyterLab's half is built with Node, which is not on the PATH: install Node 20 or later." >&2
  exit 1
fi
bundle=jupyter_kuberay/labextension
wanted=$(made_from)
shown=.venv/share/jupyter/labextensions/jupyter-kuberay
if [ "$(cat $bundle/made-from 2>/dev/null)" != "$wanted" ]; then
  echo "Building the JupyterLab extension …"
  export PATH=$PWD/.venv/bin:$PATH
  packages=$(sha256sum labextension/package-lock.json | cut -d' ' -f1)
  cd labextension
  if [ "$(cat node_modules/.made-from 2>/dev/null)" != "$packages" ]; then
    npm ci --ignore-scripts --no-fund --no-audit --loglevel=error
    echo "$packages" >node_modules/.made-from
  fi
  npm run --silent build
  cd ..
  echo "$wanted" >$bundle/made-from
fi
# A link, so that what is built next is shown without another step.
if [ "$(readlink $shown 2>/dev/null)" != "$PWD/$bundle" ]; then
  mkdir -p "$(dirname $shown)"
  rm -rf $shown
  ln -s "$PWD/$bundle" $shown
fi
