#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Boots Debian kernels to user space and checks that no guest took a stage-2 fault on the way.
# By KVM's counters in stet's report, and by the host's tracepoints, which stet has no part in.
# shellcheck source=tests/lab/inside/common.sh
. /share/stage/common.sh

user_mark=0x7b
folios_made=/sys/kernel/mm/transparent_hugepage/hugepages-64kB/stats/anon_fault_alloc
time_limit_s=150

# Prints "4K 2M 1G": the stage-2 pages that $2 MiB of memory on backing $1 are made of.
pages_of()
{
	case $1 in
		4k) echo "$(($2 * 256)) 0 0" ;;
		thp | hugetlb-2M) echo "0 $(($2 / 2)) 0" ;;
		hugetlb-1G) echo "0 0 $(($2 / 1024))" ;;
	esac
}

# Boots kernel $2 with $3 on $4 vCPUs and $5 MiB, prefault $6; more arguments are stet's. Leaves stats.json. $1: name.
boot()
{
	name=$1 kernel=$2 backing=$3 cpus=$4 mib=$5 prefault=$6
	shift 6
	rm -f stats.json
	trace_on
	folios_before=$(cat $folios_made)
	timeout "$time_limit_s" ./stet run -k "$kernel" -i initrd -a "console=ttyS0 quiet stet.facts=off" \
		-c "$cpus" -m "${mib}M" --backing "$backing" --prefault "$prefault" \
		--console file:console.txt --stats=stats.json --json "$@" >stet.txt 2>&1
	status=$?
	faults=$(trace_faults $user_mark)
	folios=$(($(cat $folios_made) - folios_before))
	[ "$status" = 0 ] && [ -s stats.json ] && return 0
	not_ok "$name: stet ended with $status"
	show stet.txt "stet said"
	show console.txt "the guest said"
	return 1
}

# Prints what jq expression $1 gives for the mark of user space.
at_mark()
{
	jq -r "[.marks[] | select(.value == 123)][0] | $1" stats.json
}

# One cell: zero faults by every count, and the right pages. Arguments as boot.
zero()
{
	boot "$@" || return
	pages=$(jq -r '.pages | "\(."4k") \(."2m") \(."1g")"' stats.json)
	wanted=$(pages_of "$backing" "$mib")
	counted=$(at_mark .stage2_faults)
	later=$(jq -r .stage2_faults stats.json)
	relevant=$(at_mark .notifier_relevant)
	wrong=
	[ "$counted" = 0 ] || wrong="$wrong; $counted faults to user space"
	[ "$later" = 0 ] || wrong="$wrong; $later faults to the end"
	[ "${faults%% *}" = 0 ] || wrong="$wrong; tracepoints (RAM, MMIO, lost): $faults"
	[ "${faults##* }" = 0 ] || wrong="$wrong; the trace is not whole"
	[ "$relevant" = 0 ] || wrong="$wrong; $relevant invalidations of guest memory"
	# With stet's patches small pages are populated and mapped by one call.
	jq -e '.notifier.by_cause == null or .backing != "4k" or .prefault.by_vm' stats.json >/dev/null ||
		wrong="$wrong; the VM's prefault was not used"
	# Where the host gives folios of 64 KiB to who asks, they are taken, and no larger pages, though it makes those, too.
	if [ "$backing" = 4k ] && [ "$(./folios show)" = madvise ]; then
		[ "$folios" -ge $((mib * 16 * 9 / 10)) ] || wrong="$wrong; only $folios of $((mib * 16)) folios of 64 KiB"
		said=" and $folios folios of 64 KiB"
	else
		said=
	fi
	[ "$pages" = "$wanted" ] || wrong="$wrong; stage-2 pages (4K, 2M, 1G) are $pages, not $wanted"
	if [ -z "$wrong" ]; then
		ok "$name: 0 faults$said"
	else
		not_ok "$name: ${wrong#; }"
	fi
}

# The same without prefault must show faults, and both counts must agree on them.
faults_without_prefault()
{
	boot "$@" || return
	counted=$(at_mark .stage2_faults)
	traced=${faults%% *}
	if [ "$counted" -gt 0 ] && [ "$traced" = "$counted" ] && [ "${faults##* }" = 0 ]; then
		ok "$name: $counted faults, by KVM's counter and by its tracepoint"
	else
		not_ok "$name: $counted faults by KVM's counter, tracepoints (RAM, MMIO, lost): $faults"
	fi
}

# The parts of the matrix: sizes with all kinds of memory, by all numbers of vCPUs.
of_size()
{
	for backing in hugetlb-2M thp 4k; do
		for cpus in 1 2 4; do
			one_of_size "$1" "$backing" "$cpus"
		done
	done
}

one_of_size()
{
	zero "$2, $3 vCPUs, $1 MiB" vmlinuz-6.12-cloud "$2" "$3" "$1" require
}

# The other entries, kernels and pages, and the proof that the check can fail.
others()
{
	zero "hugetlb-1G, 2 vCPUs, 1024 MiB" vmlinuz-6.12-cloud hugetlb-1G 2 1024 require
	zero "ELF, 64-bit entry" vmlinux-6.12-cloud hugetlb-2M 2 256 require --boot linux64
	zero "ELF, PVH entry" vmlinux-6.12-cloud hugetlb-2M 2 256 require --boot pvh
	zero "Debian 6.1 cloud kernel" vmlinuz-6.1-cloud hugetlb-2M 2 256 require
	zero "Debian 6.1 generic kernel" vmlinuz-6.1 hugetlb-2M 2 512 require
	zero "Debian 6.12 generic kernel" vmlinuz-6.12 hugetlb-2M 2 512 require
	in_folios
	faults_without_prefault "without prefault, 4k" vmlinuz-6.12-cloud 4k 1 128 off
	faults_without_prefault "without prefault, hugetlb-2M" vmlinuz-6.12-cloud hugetlb-2M 1 128 off
}

# Small pages that the host allocates 16 at a time for who asks: still 4K entries in stage 2, and no faults.
in_folios()
{
	before=$(./folios show)
	./folios on
	if [ "$(./folios show)" = madvise ] && grep -qE '\[(inherit|always)\]' "${folios_made%64kB*}2048kB/enabled"; then
		ok "the host gives pages of 64 KiB to who asks, and those of 2 MiB"
	else
		not_ok "the host is not prepared: 64 KiB are '$(./folios show)', 2 MiB $(cat "${folios_made%64kB*}2048kB/enabled")"
	fi
	zero "4k in folios of 64 KiB, 2 vCPUs, 256 MiB" vmlinuz-6.12-cloud 4k 2 256 require
	[ "$before" = madvise ] || ./folios off
}

# Arguments: SIZE, SIZE/BACKING/CPUS, others, folios.
for part; do
	case $part in
		others) others ;;
		folios) in_folios ;;
		*/*/*)
			cell=${part#*/}
			one_of_size "${part%%/*}" "${cell%/*}" "${cell#*/}"
			;;
		*) of_size "$part" ;;
	esac
done
finish
