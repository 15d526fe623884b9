#!/usr/bin/env bash
# Installs what the benchmarks and their rivals need, and runs those that are named, or all.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/prepare.sh qemu-system-x86 gcc libc6-dev xz-utils zstd erofs-utils squashfs-tools e2fsprogs busybox-static python3 \
  mmdebstrap skopeo umoci buildah docker-registry openssl runc crun wrk iperf3
exec node_modules/.bin/tsx bench/run.ts "$@"
