#!/usr/bin/env bash
# What the demo and the tests need before they can start: Debian packages (as root), node_modules and a build.
# usage: prepare.sh PACKAGE...
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for package in "$@"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "these packages are missing; install them first: ${missing[*]}" >&2
    exit 1
  fi
  echo "installing ${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi

# npm writes this file when an installation is complete; an older one than the lock file is stale.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then npm ci --no-audit --no-fund >&2; fi
npm run --silent build >&2
