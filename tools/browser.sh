#!/usr/bin/env bash
# Makes sure that there is a Chromium for tests/ui: the machine's, the one that JUPYTER_KUBERAY_TEST_CHROMIUM names, or Debian's.
set -euo pipefail
for browser in "${JUPYTER_KUBERAY_TEST_CHROMIUM:-}" chromium chromium-browser; do
  if "${browser:-false}" --version 2>/dev/null; then exit 0; fi
done
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "There is no Chromium, and only root on Debian or Ubuntu can have it installed from here." >&2
  echo "Install it, or name one: JUPYTER_KUBERAY_TEST_CHROMIUM=/path/to/chromium" >&2
  exit 1
fi
echo "Installing Debian's Chromium …"
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install --yes --no-install-recommends -qq chromium fonts-dejavu-core >/dev/null; }
# The lists of a fresh machine name versions that are gone.
install 2>/dev/null || { apt-get update -qq && install; }
chromium --version
