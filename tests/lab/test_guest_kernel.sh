#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The small guest kernel boots to user space on two other machines (QEMU's q35 with PCI, microvm with
# virtio-mmio and the PVH entry) and has what stet's devices need. Builds the kernel if it is not cached.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$top/tools/install-packages" lab lab-test guest-kernel || {
	skip "guest kernel" "packages are missing"
	finish
}
kernel=$("$top/tools/guest-kernel/build") || {
	not_ok "the guest kernel builds"
	finish
}
ok "the guest kernel builds"
check_matches "vmlinux has the PVH entry note" 'Xen.*0x00000012' "$(readelf -nW "$kernel/vmlinux")"

# An initrd whose init says what it finds; lines "NAME VALUE" on the console.
make_initrd()
{
	local stage=$scratch/initrd
	mkdir -p "$stage"/{bin,dev,proc,sys,mnt,tmp}
	cp /bin/busybox "$stage/bin/busybox"
	cat >"$stage/init" <<-'END'
		#!/bin/busybox sh
		export PATH=/bin
		/bin/busybox --install -s /bin
		mount -t proc proc /proc
		mount -t sysfs sys /sys
		mount -t devtmpfs dev /dev
		mount -t tmpfs tmp /tmp
		echo "@up $(uname -m)"
		echo "@cpus $(nproc)"
		echo "@clock $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
		for driver in virtio_blk virtio_net virtio_rng virtio_console virtio_balloon; do
			for device in /sys/bus/virtio/drivers/$driver/virtio*; do
				[ ! -e $device ] || echo "@driver $driver"
			done
		done
		mount -t ext4 /dev/vda /mnt && echo "@ext4 $(cat /mnt/file)"
		mkdir -p /tmp/upper /tmp/work /tmp/merged
		mount -t overlay -o lowerdir=/mnt,upperdir=/tmp/upper,workdir=/tmp/work overlay /tmp/merged &&
			echo changed >/tmp/merged/file && echo "@overlay $(cat /tmp/merged/file)"
		ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up && echo "@net $(cat /sys/class/net/eth0/address)"
		[ -c /dev/hvc0 ] && [ -c /dev/mem ] && [ -c /dev/port ] && [ -c /dev/rtc0 ] && echo "@nodes all"
		head -c 16 /dev/hwrng >/dev/null && echo "@hwrng ok"
		echo "@warnings $(dmesg | grep -cE 'WARNING|BUG|Oops')"
		reboot -f
	END
	chmod 755 "$stage/init"
	(cd "$stage" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) >"$scratch/initrd.cpio"
	gzip -c "$scratch/initrd.cpio" >"$scratch/initrd.gz"
	zstd -q "$scratch/initrd.cpio" -o "$scratch/initrd.zst"
	mkdir "$scratch/files"
	echo "from the disk" >"$scratch/files/file"
	mkfs.ext4 -q -F -d "$scratch/files" "$scratch/disk" 8M >/dev/null
}

# boot NAME EXPECTED-LINES... -- QEMU ARGUMENTS: boots once and looks for each line.
boot()
{
	local name=$1 expected=()
	shift
	while [ "$1" != -- ]; do
		expected+=("$1")
		shift
	done
	shift
	timeout 240 qemu-system-x86_64 -accel tcg -m 256 -nodefaults -no-user-config -display none -no-reboot \
		-serial stdio "$@" </dev/null >"$scratch/console" 2>&1
	check_equal "$name: ends by itself" 0 $? "$(tail -n 20 "$scratch/console")"
	tr -d '\r' <"$scratch/console" >"$scratch/console.txt"
	for line in "@up x86_64" "@warnings 0" "${expected[@]}"; do
		check "$name: ${line#@}" grep -qxF -- "$line" "$scratch/console.txt"
	done
}

make_initrd
boot "q35, bzImage, PCI" "@cpus 2" "@driver virtio_blk" "@driver virtio_net" "@driver virtio_rng" \
	"@driver virtio_console" "@driver virtio_balloon" "@ext4 from the disk" "@overlay changed" \
	"@net 52:54:00:12:34:56" "@nodes all" "@hwrng ok" -- \
	-M q35 -cpu EPYC -smp 2 -kernel "$kernel/bzImage" -initrd "$scratch/initrd.gz" \
	-append "console=ttyS0 panic=-1 quiet" \
	-drive "file=$scratch/disk,format=raw,if=none,id=d" -device virtio-blk-pci,drive=d,disable-legacy=on \
	-netdev user,id=n,restrict=on -device virtio-net-pci,netdev=n,disable-legacy=on,romfile= \
	-device virtio-rng-pci,disable-legacy=on -device virtio-serial-pci,disable-legacy=on \
	-chardev null,id=c -device virtconsole,chardev=c -device virtio-balloon-pci,disable-legacy=on
boot "microvm, vmlinux by PVH, virtio-mmio" "@cpus 1" "@driver virtio_blk" "@driver virtio_rng" \
	"@ext4 from the disk" "@overlay changed" -- \
	-M microvm,acpi=off,pit=on,pic=on,rtc=on,auto-kernel-cmdline=on -global virtio-mmio.force-legacy=off \
	-cpu EPYC -smp 1 -kernel "$kernel/vmlinux" -initrd "$scratch/initrd.zst" \
	-append "console=ttyS0 panic=-1 quiet reboot=t" \
	-drive "file=$scratch/disk,format=raw,if=none,id=d" -device virtio-blk-device,drive=d -device virtio-rng-device
finish
