#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Boots Debian's kernel on an Intel host (EPT) and checks KVM's counter of stage-2 faults. Around each run goes a
# note into the emulator's log, where test_intel.sh counts the EPT violations that the processor itself saw.
# shellcheck source=tests/lab/inside/common.sh
. /share/stage/common.sh

# $1: name without spaces, $2: backing, $3: prefault. Leaves the statistics as /output/NAME.json.
boot()
{
	rm -f console.txt
	./bochs-note "stet-test: begin $1"
	timeout 1200 ./stet run -k vmlinuz-6.12-cloud -i initrd -a "console=ttyS0 quiet stet.facts=off" -m 128M --backing "$2" \
		--prefault "$3" --console file:console.txt --stats="/output/$1.json" --json >stet.txt 2>&1
	status=$?
	./bochs-note "stet-test: end $1"
	if [ "$status" != 0 ]; then
		not_ok "$1: stet ended with $status"
		show stet.txt "stet said"
		show console.txt "the guest said"
		return 1
	fi
	counted=$(jq -r '"\([.marks[] | select(.value == 123)][0].stage2_faults) \(.stage2_faults)"' "/output/$1.json")
}

# A command that reads a disk and asks for random bytes; NAME.json as above.
devices()
{
	mkdir -p tree/bin
	cp /bin/busybox tree/bin/
	for tool in sh dd sha256sum; do
		ln -s busybox tree/bin/$tool
	done
	head -c 4194304 /dev/urandom >disk.img
	status=0
	./bochs-note "stet-test: begin devices"
	timeout 1200 ./stet run -k vmlinux-small --root tree -m 128M --backing hugetlb-2M --prefault require --disk disk.img \
		--rng --stats=/output/devices.json --json -- \
		sh -c 'sha256sum </dev/vda; dd if=/dev/hwrng of=/random bs=64 count=1 2>/dev/null' \
		>said.txt 2>stet.txt || status=$?
	./bochs-note "stet-test: end devices"
	if [ "$status" = 0 ] && [ "$(cat said.txt)" = "$(sha256sum <disk.img | cut -d' ' -f1)  -" ]; then
		ok "$host: a command reads a disk"
	else
		not_ok "$host: the command ended with $status"
		show said.txt "the command said"
		show stet.txt "stet said"
	fi
	used=$(jq -r '[.virtio[] | select(.chains > 0) | .type] | join(" ")' /output/devices.json)
	if [ "$used" = "blk vsock rng" ]; then
		ok "$host: disk, entropy and sockets were used"
	else
		not_ok "$host: devices that were used: '$used'"
	fi
}

# Arguments: what to call the host, then runs: a kind of memory, or without-prefault.
host=$1
shift
for run; do
	if [ "$run" = devices ]; then
		devices
	elif [ "$run" = without-prefault ]; then
		boot "$run" hugetlb-2M off
	elif boot "$run" "$run" require; then
		if [ "$counted" = "0 0" ]; then
			ok "$host, $run: 0 faults by KVM's counter, to user space and to the end"
		else
			not_ok "$host, $run: KVM counted faults to user space and to the end: $counted"
		fi
		# The patched KVM says who invalidated guest memory, and maps small pages for the VM.
		if jq -e '.notifier.by_cause == null or ((.backing != "4k" or .prefault.by_vm) and
			([.marks[] | select(.value == 123)][0].notifier_relevant == 0))' "/output/$run.json" >/dev/null; then
			[ "${host%patched*}" = "$host" ] || ok "$host, $run: no invalidation to user space"
		else
			not_ok "$host, $run: $(jq -c '.prefault, .notifier' "/output/$run.json")"
		fi
	fi
done
finish
