#!/usr/bin/env bash
# Runs the heart of the integration tests with KVM: on this machine's own /dev/kvm where that works, else in a guest that
# has one (see nested-kvm.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/prepare.sh qemu-system-x86 gcc libc6-dev xz-utils mmdebstrap e2fsprogs cpio busybox-static skopeo umoci

mkdir -p .tmp
export SUPERMACHINE_HOME=$PWD/.tmp/kvm-home
node dist/cli/main.js setup --json > .tmp/kvm-setup.json
if [ ! -s .tmp/busybox.tar ]; then bash scripts/make-demo-image.sh .tmp/busybox.tar busybox; fi
if grep -q '"hardware (kvm)"' .tmp/kvm-setup.json; then
  exec node_modules/.bin/vitest run --project kvm
fi

echo "this machine's /dev/kvm does not work: using one inside a guest" >&2
inject=$(mktemp -d)
trap 'rm -rf "$inject"' EXIT
mkdir -p "$inject/project/.tmp/kvm-home"
cp -a src guest test package.json vitest.config.ts tsconfig.json "$inject/project/"
cp -a .tmp/busybox.tar "$inject/project/.tmp/"
cp -a "$SUPERMACHINE_HOME/assets" "$inject/project/.tmp/kvm-home/"
rm -f "$inject/project/.tmp/kvm-home/assets/accelerators.json"
mkdir "$inject/project/node_modules"
tar -C node_modules --exclude=./@biomejs --exclude=./typescript --exclude='./dependency-cruiser' -cf - . | tar -C "$inject/project/node_modules" -xf -
cp "$(command -v node)" "$inject/node"
bash scripts/nested-kvm.sh "$inject" \
  'export PATH=/inject:$PATH SUPERMACHINE_HOME=/inject/project/.tmp/kvm-home; cd project && node node_modules/vitest/vitest.mjs run --project kvm'
