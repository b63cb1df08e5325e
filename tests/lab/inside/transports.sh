#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Boots kernels without devices and with some, and compares the exits to user space up to the point where the guest's
# drivers have found all of them.
# shellcheck source=tests/lab/inside/common.sh
. /share/stage/common.sh

time_limit_s=150
ip=$(find /usr/sbin /usr/bin /sbin /bin -name ip | head -n 1) # not busybox's
quirks=noxsave

# Boots kernel $2 with initrd $3; more arguments are stet's. Leaves stats.json, and exits: up to mark 0x7c. $1: name.
boot()
{
	name=$1 kernel=$2 initrd=$3
	shift 3
	rm -f stats.json
	timeout "$time_limit_s" ./stet run -k "$kernel" -i "$initrd" -m 256M --backing hugetlb-2M --stats=stats.json --json "$@" \
		>stet.txt 2>&1
	status=$?
	if [ "$status" != 0 ] || [ ! -s stats.json ]; then
		not_ok "$name: stet ended with $status"
		show stet.txt "stet said"
		return 1
	fi
	exits=$(jq '[.marks[] | select(.value == 124)][0].exits_to_user' stats.json)
	faults=$(jq .stage2_faults stats.json)
	if [ "$faults" = 0 ]; then
		ok "$name: 0 stage-2 faults"
	else
		not_ok "$name: $faults stage-2 faults"
	fi
}

# The last boot took at most $1 exits more than $base, and its devices were used.
at_most()
{
	more=$((exits - base))
	if [ "$more" -gt 0 ] && [ "$more" -le "$1" ]; then
		ok "$name: $more exits to user space more than without, $1 may be"
	else
		not_ok "$name: $more exits to user space more than without ($base), $1 may be"
		echo "# $(jq -c '[.devices[] | select(.reads + .writes > 0) | {name, reads, writes, deferred}]' stats.json)"
	fi
	idle=$(jq '[.virtio[] | select(.driver_resets == 0)] | length' stats.json)
	[ "$idle" = 0 ] || not_ok "$name: no driver looked at $idle of the devices"
}

dd if=/dev/zero of=disk bs=1M count=8 2>/dev/null
dd if=/dev/zero of=disk2 bs=1M count=8 2>/dev/null
"$ip" tuntap add dev tap0 mode tap && "$ip" link set tap0 up || not_ok "no tap device"

# With the command line that stet gives when it is not told one.
boot "small kernel" vmlinux-small initrd-small --console none && base=$exits
for transport in pci mmio; do
	boot "small kernel, $transport, disk and net" vmlinux-small initrd-small --console none --transport $transport \
		--disk disk --net tap=tap0 && at_most 120
done
boot "small kernel, pci, four devices" vmlinux-small initrd-small --console none --disk disk --disk disk2 --net tap=tap0 \
	--rng && at_most 200

# Debian's kernel, whose drivers are modules.
boot "Debian 6.12" vmlinuz-6.12 initrd-6.12 --console none && base=$exits
boot "Debian 6.12, pci, disk and net" vmlinuz-6.12 initrd-6.12 --console none --disk disk --net tap=tap0 && at_most 120

# What the kernels say of all this. Two vCPUs: several fill the ring of deferred writes.
grep -v '^#' allowed-warnings | cut -f1 >allowed.txt
for flavour in 6.12 6.1-cloud; do
	boot "Debian $flavour, pci, 2 vCPUs" vmlinuz-$flavour initrd-$flavour --console file:console.txt -c 2 --disk disk \
		--net tap=tap0 -a "console=ttyS0 quiet loglevel=1 $quirks" || continue
	tr -d '\r\000' <console.txt | sed -n 's/^guest: warning //p' | grep -vEf allowed.txt >warnings.txt
	if [ -s warnings.txt ]; then
		not_ok "$name: the kernel warns"
		show warnings.txt "lines that are not in tests/lab/allowed-warnings" 20
	elif grep -q '^guest: facts end' console.txt; then
		ok "$name: no warning that stet could be the reason of"
	else
		not_ok "$name: the guest did not say what it found"
	fi
done
finish
