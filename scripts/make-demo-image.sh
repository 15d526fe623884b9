#!/usr/bin/env bash
# Makes a small OCI image archive out of Debian's (or Ubuntu's) own packages:
#
#   make-demo-image.sh OUT.tar [python|busybox] [PACKAGE...]
#
# python   a Debian userland with python3 and the named packages, by mmdebstrap (about a minute; the default)
# busybox  a static busybox and little else (a second)
#
# Packages come from the archive that this machine's apt uses. What is missing is installed when this runs as root.
# Both images have a user "app" (1000:1000). Progress goes to stderr.
set -euo pipefail
umask 022

say() { printf '%s\n' "make-demo-image: $*" >&2; }
die() { say "$*"; exit 1; }

[[ $# -ge 1 ]] || { printf 'usage: %s OUT.tar [python|busybox] [PACKAGE...]\n' "$0" >&2; exit 2; }
out=$1
kind=${2:-python}
added=("${@:3}")
case $kind in
  python) tools=(mmdebstrap umoci) packages=(mmdebstrap umoci) ;;
  busybox) tools=(umoci busybox) packages=(umoci busybox-static) ;;
  *) printf 'unknown kind of image "%s": python or busybox is known\n' "$kind" >&2; exit 2 ;;
esac
[[ $kind == python || ${#added[@]} -eq 0 ]] || { printf 'packages are only added to a python image\n' >&2; exit 2; }
command -v apt-get >/dev/null || die "this needs Debian or Ubuntu: there is no apt-get here"

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# A busybox that needs libraries would not run in the image.
have() { # TOOL
  command -v "$1" >/dev/null || return 1
  [[ $1 != busybox ]] || ! ldd "$(command -v busybox)" >/dev/null 2>&1
}

install_tools() {
  local missing=() i
  for i in "${!tools[@]}"; do
    have "${tools[i]}" || missing+=("${packages[i]}")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  [[ $(id -u) -eq 0 ]] || die "missing: ${missing[*]}. Install them with: sudo apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  local options=(-o DPkg::Lock::Timeout=300 -y -qq --no-install-recommends)
  export DEBIAN_FRONTEND=noninteractive
  apt-get install "${options[@]}" "${missing[@]}" >"$work/log" 2>&1 && return 0
  say "fetching the package lists, which are missing or too old"
  apt-get update -qq -o DPkg::Lock::Timeout=300 >&2
  apt-get install "${options[@]}" "${missing[@]}" >"$work/log" 2>&1 || { cat "$work/log" >&2; die "apt-get failed"; }
}

codename() {
  (. /etc/os-release && printf %s "${VERSION_CODENAME:?is not in /etc/os-release}")
}

# The host's own archive as sources.list lines: only what Debian or Ubuntu published for the running release.
host_sources() {
  local codename origin uri release component arch keyring
  codename=$(codename)
  apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ARCHITECTURE)' 'Created-By: Packages' |
    while IFS='|' read -r origin uri release component arch; do
      [[ $component == main && $arch == "$(dpkg --print-architecture)" ]] || continue
      [[ $release == "$codename" || $release == "$codename"-updates || $release == "$codename"-security ]] || continue
      case $origin in
        Debian) keyring=/usr/share/keyrings/debian-archive-keyring.gpg ;;
        Ubuntu) keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg ;;
        *) continue ;;
      esac
      if [[ -e $keyring ]]; then printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$release"
      else printf 'deb %s %s main\n' "$uri" "$release"; fi
    done
}

# For `sh -c`, with the root folder as "$1". mmdebstrap's hooks get no functions from here, only text.
add_user='
  echo app:x:1000:1000:app:/home/app:/bin/sh >>"$1/etc/passwd"
  echo app:x:1000: >>"$1/etc/group"
  mkdir -p "$1/home/app"
  chmod 0755 "$1/home"
  chmod 0700 "$1/home/app"
'

python_root() { # TAR
  local sources=$work/sources.list
  host_sources >"$sources"
  if [[ ! -s $sources && $(id -u) -eq 0 ]]; then
    say "fetching the package lists"
    apt-get update -qq -o DPkg::Lock::Timeout=300 >&2
    host_sources >"$sources"
  fi
  [[ -s $sources ]] || die "apt has no package lists of this release's main archive: run apt-get update"
  # mmdebstrap has its own apt configuration, so a proxy has to be handed on.
  eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
  export http_proxy=${http_proxy:-} https_proxy=${https_proxy:-}
  [[ -n $http_proxy ]] || unset http_proxy
  [[ -n $https_proxy ]] || unset https_proxy

  # With /usr merged from the start nothing has to merge it later: saves the package usrmerge and the whole of perl.
  local merge=/usr/share/mmdebstrap/hooks/maybe-merged-usr hooks=()
  [[ ! -d $merge ]] || hooks=(--hook-directory="$merge")

  say "collecting packages (a minute or more)"
  mmdebstrap --quiet --variant=essential --include="$(IFS=,; echo "python3${added[*]:+,${added[*]}}")" "${hooks[@]}" \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
    --customize-hook="$add_user"'chown 1000:1000 "$1/home/app"' \
    --customize-hook='rm -rf "$1"/var/cache/* "$1"/var/lib/apt/lists/* "$1"/var/log/*' \
    --customize-hook='rm -f "$1"/etc/apt/sources.list "$1"/etc/hostname "$1"/etc/resolv.conf' \
    "$(codename)" "$1" - <"$sources" >"$work/log" 2>&1 || { cat "$work/log" >&2; die "mmdebstrap failed"; }
}

busybox_root() { # TAR
  local root=$work/root applet busybox
  busybox=$(command -v busybox)
  install -d "$root"/{bin,etc,dev,proc,sys,root,run,usr/bin,usr/sbin,sbin,var/log,lib}
  install -d -m 1777 "$root/tmp" "$root/var/tmp"
  chmod 0700 "$root/root"
  install -m 0755 "$busybox" "$root/bin/busybox"
  "$root/bin/busybox" --list-full | while read -r applet; do
    [[ $applet == bin/busybox ]] && continue
    install -d "$root/${applet%/*}"
    ln -s /bin/busybox "$root/$applet"
  done
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n' >"$root/etc/passwd"
  printf 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n' >"$root/etc/group"
  sh -c "$add_user" sh "$root"
  local tar_options=(--numeric-owner --sort=name -C "$root")
  tar "${tar_options[@]}" --owner=0 --group=0 --exclude=./home/app -cf "$1" .
  tar "${tar_options[@]}" --owner=1000 --group=1000 -rf "$1" ./home/app
}

install_tools
say "making the root file system"
tar_file=$work/root.tar
"${kind}_root" "$tar_file"

say "packing the image"
layout=$work/layout
umoci init --layout "$layout"
umoci new --image "$layout:latest"
umoci raw add-layer --image "$layout:latest" --history.created_by "make-demo-image $kind" "$tar_file" >&2
rm -f "$tar_file"
case $kind in
  python) command=(--config.cmd python3) ;;
  busybox) command=(--config.cmd sh) ;;
esac
umoci config --image "$layout:latest" --no-history "${command[@]}" --config.workingdir / \
  --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umoci gc --layout "$layout"
tar --numeric-owner --owner=0 --group=0 --sort=name -C "$layout" -cf "$out.partial" oci-layout index.json blobs
mv -f -- "$out.partial" "$out"
say "wrote $out ($(du -h --apparent-size "$out" | cut -f1))"
