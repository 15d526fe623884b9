#!/usr/bin/env bash
# Installs what the tests need and runs all but the soak and KVM ones.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/prepare.sh qemu-system-x86 gcc libc6-dev xz-utils zstd attr erofs-utils squashfs-tools e2fsprogs \
  busybox-static git python3 mmdebstrap skopeo umoci buildah docker-registry apache2-utils openssl cpio mount tmux zsh fish curl \
  chromium redis-tools postgresql-client iperf3 openssh-client
exec node_modules/.bin/vitest run --project unit --project integration --project e2e "$@"
