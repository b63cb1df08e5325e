#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# dkms_chroot.sh DIR: installs stet-kvm-dkms in the Debian 12 chroot DIR, lets a point release come, and removes it. By hand, as
# root; some minutes. DIR has dkms, linux-source-6.12, linux-headers-6.12-cloud-amd64 and linux-image-6.12-cloud-amd64, e.g. by
#   mmdebstrap --variant=apt --include=dkms,gcc-12,make,patch,xz-utils,dwarves,binutils,kmod,linux-source-6.12,\
#   linux-headers-6.12-cloud-amd64,linux-image-6.12-cloud-amd64 bookworm DIR SOURCES
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"

root=${1:?the directory of a Debian 12 chroot}
tap_scratch
# shellcheck disable=SC2154 # set by tap_scratch
log=$tap_dir/log

inside()
{
	chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

mount -t proc proc "$root/proc" && mount -t sysfs -o ro sysfs "$root/sys" || exit 1
trap 'umount "$root/proc" "$root/sys"; rm -rf "$tap_dir"' EXIT
switch=/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled
cat "$switch" >"$tap_dir/switch" 2>/dev/null
release=$(basename "$(find "$root/lib/modules" -maxdepth 1 -name '6.12.*-cloud-amd64' | head -n 1)")
installed=$root/lib/modules/$release/updates/dkms

# The module that modprobe would load.
module()
{
	inside modinfo -k "$release" -F "$1" kvm 2>/dev/null
}

deb=$("$tap_root/tools/host-kernel/package" --output "$root/tmp" 2>"$log")
tap_check "the package is made" test -f "$deb"
inside modprobe --show-depends -S "$release" kvm >"$tap_dir/loaded-before" 2>&1
# Whoever inserts or removes a module is written down.
mkdir -p "$root/usr/lib/stet-test"
for program in insmod rmmod modprobe; do
	ln -sf /usr/bin/kmod "$root/usr/lib/stet-test/$program"
	rm -f "$root/usr/sbin/$program"
	printf '#!/bin/sh\necho "%s $*" >>/var/log/stet-test\nexec /usr/lib/stet-test/%s "$@"\n' $program $program \
		>"$root/usr/sbin/$program"
	chmod 755 "$root/usr/sbin/$program"
done
# Puts back what the test changed in the chroot.
restore()
{
	for program in insmod rmmod modprobe; do
		ln -sf ../bin/kmod "$root/usr/sbin/$program"
	done
	rm -rf "$root/usr/lib/stet-test" "$root/var/log/stet-test"
}
# Its output tells whether anything tried to write to the host's /sys, which it could not.
install()
{
	inside dpkg -i "/tmp/$(basename "$deb")" >"$tap_dir/install" 2>&1
}
tap_check "it installs" install
tap_check "pages of 64 KiB: at each boot, by a unit that is enabled and whole" sh -c '
	cd "$0/usr/lib/systemd/system" && test -f multi-user.target.wants/stet-kvm-folios.service &&
	program=$(sed -n "s/^ExecStart=\([^ ]*\).*/\1/p" stet-kvm-folios.service) && test -x "$0$program" &&
	chroot "$0" "$program" show >&2' "$root"
tap_check "in a chroot the host's switch is left alone" sh -c '! grep "folios: cannot write" "$0/install" &&
	test ! -e "$1/run/stet-kvm" && { [ ! -e "$2" ] || cmp "$2" "$0/switch"; }' "$tap_dir" "$root" "$switch"
tap_check "the patched modules are there: kvm, kvm-amd, kvm-intel" \
	test "$(find "$installed" -name 'kvm*.ko*' 2>/dev/null | wc -l)" = 3
tap_check "modprobe takes them" test "$(module version)" = stet-1
tap_check "it says when they are used, and nothing fails without Secure Boot" \
	sh -c 'chroot "$1" dpkg-reconfigure stet-kvm-dkms 2>&1 | grep "from the next boot on"' sh "$root"

# What a kernel package does when its headers have come.
inside dkms unbuild -m stet-kvm -v "$(inside dpkg-query -W -f '${Version}' stet-kvm-dkms)" -k "$release" >"$log" 2>&1
tap_check "without them modprobe takes the kernel's own" test -z "$(module version)"
tap_check "the kernel package's hook builds them for a kernel that comes" \
	inside sh -c "run-parts --verbose --exit-on-error --arg=$release /etc/kernel/header_postinst.d"
tap_check "modprobe takes them again" test "$(module version)" = stet-1

# Headers whose source has not come yet: that kernel is left alone, and the package stays installed.
other=6.12.999+deb12-cloud-amd64
cp -a "$root/lib/modules/$release" "$root/lib/modules/$other"
rm -rf "$root/lib/modules/$other/updates"
inside dpkg-trigger --by-package=linux-source-6.12 /usr/src/linux-source-6.12.tar.xz
inside dpkg --triggers-only --pending >"$log" 2>&1
tap_check "a source that comes makes it look at every kernel" grep -q stet-kvm "$log"
tap_check "a kernel whose source is another keeps its own modules" test ! -e "$root/lib/modules/$other/updates/dkms/kvm.ko.xz" -a \
	! -e "$root/lib/modules/$other/updates/dkms/kvm.ko"
tap_check "which is said" grep -q "not built for $other" "$log"
tap_check "the package is still whole" sh -c 'chroot "$1" dpkg -s stet-kvm-dkms | grep "ok installed"' sh "$root"
rm -rf "$root/lib/modules/$other"

tap_check "it is removed" inside dpkg --purge stet-kvm-dkms
tap_check "it has loaded and unloaded nothing, from first to last" \
	test -z "$(grep -vs -e --show-depends -e --dump-modversions "$root/var/log/stet-test")"
restore
tap_check "nothing of it is left" test -z "$(find "$root" -xdev \( -path "$root/proc" -o -path "$root/sys" -o -path "$root/tmp" \) -prune -o \
	\( -name '*stet*' -o -path '*/updates/dkms/*' \) ! -path '*/var/lib/dpkg/*' ! -path '*/var/log/*' -print | head)"
inside modprobe --show-depends -S "$release" kvm >"$tap_dir/loaded-after" 2>&1
tap_check "modprobe takes the kernel's own" cmp "$tap_dir/loaded-before" "$tap_dir/loaded-after"
tap_end
