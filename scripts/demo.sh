#!/usr/bin/env bash
# Installs what is missing, makes a small real image out of Debian packages, and runs it.
# usage: npm run demo [-- busybox]
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-python}

bash scripts/prepare.sh qemu-system-x86 gcc libc6-dev xz-utils
mkdir -p .tmp
if [ ! -s ".tmp/$kind.tar" ]; then bash scripts/make-demo-image.sh ".tmp/$kind.tar" "$kind"; fi
exec node_modules/.bin/tsx scripts/demo.ts ".tmp/$kind.tar" "$kind"
