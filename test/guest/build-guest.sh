#!/usr/bin/env bash
# Builds the Linux guest of the interoperability tests from Debian's packages: build-guest.sh [OUTDIR]   (default build/guest)
#   OUTDIR/vmlinuz, OUTDIR/initrd.gz    boot with -M pc -cpu max -m 131080K -append "console=ttyS0 quiet panic=-1 who=..."
# What the guest serves, and what its kernel command line takes, is said in `init` beside this file. It boots in about 3 s
# without KVM. Nothing is done when the result is newer than both files. Packages are downloaded and unpacked, never installed.
# Needs apt-get and dpkg (any Debian), cpio, kmod.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../build/guest}
for tool in apt-get dpkg cpio modprobe depmod; do
	PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || { echo "build-guest: $tool is missing: apt-get install cpio kmod" >&2; exit 1; }
done
PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$out"
out=$(cd "$out" && pwd)
# Several tests may want it at the same time.
exec 9>"$out/lock"
flock 9
if [ "$out/initrd.gz" -nt "$here/init" ] && [ "$out/initrd.gz" -nt "$here/build-guest.sh" ] && [ -f "$out/vmlinuz" ]; then
	exit 0
fi

work=$(mktemp -d "$out/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
# apt drops root's rights for a download where it can; where it cannot, it says so and goes on.
fetch() { (cd "$work" && apt-get download -q "$@" >"$work/apt.log" 2>&1); }
kernel_package() { apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image-[0-9]/ {print $2; exit}'; }
packages() { image=$(kernel_package) && [ -n "$image" ] && { fetch "$image-unsigned" busybox-static || fetch "$image" busybox-static; }; }
if ! packages; then
	# The package lists are old, or not there at all.
	apt-get update -q >"$work/update.log" 2>&1 || true
	packages || { echo "build-guest: Debian's kernel cannot be downloaded:" >&2; cat "$work"/*.log >&2; exit 1; }
fi
for package in "$work"/*.deb; do dpkg -x "$package" "$work/packages"; done
release=$(basename "$work"/packages/lib/modules/*)
depmod -b "$work/packages" "$release"

root=$work/root
mkdir -p "$root"/{bin,proc,sys,dev,modules,www}
cp "$work"/packages/{usr/,}bin/busybox "$root/bin/" 2>/dev/null || [ -x "$root/bin/busybox" ]
cp "$here/init" "$root/init"
chmod 755 "$root/init"
for module in virtio_pci virtio_net; do
	modprobe -d "$work/packages" -S "$release" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' | while read -r path; do
	cp "$path" "$root/modules/"
	basename "$path" >>"$root/modules/order"
done
cp "$work/packages/boot/vmlinuz-$release" "$out/vmlinuz"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip) >"$work/initrd.gz"
mv -f "$work/initrd.gz" "$out/initrd.gz"
