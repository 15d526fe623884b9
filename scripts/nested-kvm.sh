#!/usr/bin/env bash
# Runs a command as root where /dev/kvm works, on a machine that has no virtualisation: QEMU's TCG emulates AMD SVM, and a
# Debian guest in it loads kvm-amd. Everything in there is slow; it proves correctness only.
# usage: nested-kvm.sh [-t SECONDS] [-m MEMORY] DIR COMMAND...
#   DIR is copied to a disk that is mounted at /inject, where COMMAND runs. Its output and exit code are passed on
#   (124: out of time, 125: the guest gave no exit code).
set -uo pipefail
limit=900 memory=4G
while getopts t:m: option; do case $option in t) limit=$OPTARG ;; m) memory=$OPTARG ;; *) exit 2 ;; esac; done
shift $((OPTIND - 1))
dir=${1:?DIR}
shift
command="$*"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/supermachine-nested-kvm
packages=linux-image-cloud-amd64,qemu-system-x86,kmod,util-linux,iproute2,procps,libstdc++6,libatomic1,ca-certificates
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_init() {
  cat <<'INIT'
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t proc proc /proc; mount -t sysfs sys /sys; mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp
ln -sf /proc/self/fd /dev/fd; ip link set lo up
modprobe virtio_console; modprobe virtio-rng; modprobe kvm-amd && chmod 666 /dev/kvm
echo 0 > /sys/module/kvm/parameters/halt_poll_ns # polling only burns emulated cycles
port() { for p in /sys/class/virtio-ports/*; do [ "$(cat "$p/name")" = "$1" ] && echo "/dev/${p##*/}"; done; }
i=0; while [ -z "$(port status)" ] && [ $i -lt 100 ]; do sleep 0.05; i=$((i + 1)); done
mount /dev/vdb /inject; cd /inject
sh /inject/.command < /dev/null > "$(port output)" 2>&1; echo $? > "$(port status)"
sync; echo o > /proc/sysrq-trigger; sleep 5
INIT
}

# An initrd that mounts the disk: the cloud kernel has its drivers as modules.
make_initrd() {
  local root=$1 modules name
  local drivers="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk"
  modules=$(find "$root/lib/modules" -mindepth 1 -maxdepth 1)
  mkdir -p "$work/initrd/root" "$work/initrd/dev" "$work/initrd/bin"
  cp "$(command -v busybox)" "$work/initrd/bin/busybox"
  for name in $drivers; do cp "$(find "$modules" -name "$name.ko")" "$work/initrd/"; done
  cat > "$work/initrd/init" <<INIT
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for m in $drivers; do /bin/busybox insmod /\$m.ko; done
/bin/busybox mount -t ext4 -o noatime /dev/vda /root
/bin/busybox mount -o move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/inject-init
INIT
  chmod +x "$work/initrd/init"
  (cd "$work/initrd" && find . | cpio -o -H newc --quiet | gzip -1) > "$cache/initrd"
}

make_root() {
  mkdir -p "$cache"
  mmdebstrap --quiet --variant=minbase --include="$packages" --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' bookworm "$work/root.tar" || return 1
  mkdir "$work/root" && tar -C "$work/root" --exclude='./dev/*' -xf "$work/root.tar" || return 1
  cp "$work"/root/boot/vmlinuz-* "$cache/vmlinuz"
  make_init > "$work/root/sbin/inject-init"
  chmod +x "$work/root/sbin/inject-init"
  mkdir -p "$work/root/inject"
  make_initrd "$work/root"
  mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$work/root" "$cache/root.ext4.new" 1500M > /dev/null || return 1
  mv "$cache/root.ext4.new" "$cache/root.ext4"
}

[ -s "$cache/root.ext4" ] || make_root || exit 125
printf '%s\n' "$command" > "$work/command"
mkdir "$work/in" && cp -a "$dir/." "$work/in/" && mv "$work/command" "$work/in/.command"
size=$(($(du -sm "$work/in" | cut -f1) * 5 / 4 + 1024))
mke2fs -q -t ext4 -O ^has_journal -m 0 -E root_owner=0:0 -d "$work/in" "$work/in.ext4" "${size}M" > /dev/null || exit 125

mkfifo "$work/out"
cat "$work/out" &
reader=$!
exec 9<> "$work/out"
timeout -k 5 "$limit" qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
  -accel tcg,thread=multi,tb-size=512 -cpu max,-la57 -smp 2 -m "$memory" -M q35 \
  -kernel "$cache/vmlinuz" -initrd "$cache/initrd" -append "console=ttyS0 quiet panic=-1 nokaslr mitigations=off" \
  -drive "file=$cache/root.ext4,if=none,id=root,format=raw,snapshot=on,cache=unsafe,file.locking=off" -device virtio-blk-pci,drive=root \
  -drive "file=$work/in.ext4,if=none,id=in,format=raw,cache=unsafe" -device virtio-blk-pci,drive=in \
  -device virtio-serial-pci -chardev "file,id=out,path=$work/out" -device virtserialport,chardev=out,name=output \
  -chardev "file,id=rc,path=$work/rc" -device virtserialport,chardev=rc,name=status \
  -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng -serial "file:$work/console" 9>&- < /dev/null
status=$?
exec 9>&-
wait $reader
[ -s "$work/rc" ] && exit "$(head -n 1 "$work/rc")"
[ $status = 124 ] && exit 124
tail -n 20 "$work/console" >&2
exit 125
