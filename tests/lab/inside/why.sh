#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Takes memory of a running VM out of stage 2 in known ways, and asks stet why: it must name who did it and how.
# Needs a host with the patched KVM, two NUMA nodes and one processor.
# shellcheck source=tests/lab/inside/common.sh
. /share/stage/common.sh

mib=64
nr_mprotect=10 nr_madvise=28 nr_mbind=237
madv_dontneed=4 madv_mergeable=12 madv_populate_write=23
piece=$((2 << 20))

# Starts a VM that spins; its process is $pid, its memory begins at $memory in there.
start()
{
	./stet run -q -m ${mib}M --backing 4k --prefault require --kernel tiny --cmdline "mark=123 spin" --name why \
		--console none --stats=stats.json --json >stet.txt 2>&1 &
	pid=$!
	for _ in $(seq 100); do
		./stet why why --count 1 >/dev/null 2>&1 && break
		sleep 0.1
	done
	sleep 0.5
	memory=
	while read -r range mode _; do
		begin=$((0x${range%-*})) end=$((0x${range#*-}))
		[ "$mode" = rw-p ] && [ $((end - begin)) = $((mib << 20)) ] && memory=$begin
	done <"/proc/$pid/maps"
	[ -n "$memory" ] && return
	not_ok "a VM runs"
	show stet.txt "stet said"
	finish
}

stop()
{
	kill -TERM "$pid"
	sleep 0.2
	kill -TERM "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
}

# Prints what happened since the VM began: lines "WHO EVENT COUNT".
causes()
{
	./stet why why --count 1 --json | jq -r '.by_cause[] | "\(.who) \(.event) \(.count)"'
}

# Prints the count of cause "$1 $2" in file $3.
count()
{
	awk -v who="$1" -v event="$2" '$1 == who && $2 == event { n = $3 } END { print n + 0 }' "$3"
}

# True where the last command was seen as cause "$1 $2".
seen()
{
	causes >after
	[ "$(count "$1" "$2" after)" -gt "$(count "$1" "$2" before)" ]
}

# Reports the last command, which was to be seen as cause "$2 $3" and, unless $4 is "others", as no other. $1: name.
check_cause()
{
	if ! seen "$2" "$3"; then
		not_ok "$1: no '$2, $3'"
		show after "causes since the VM began"
	elif [ "${4-}" != others ] && [ "$(grep -v "^$2 $3 " before)" != "$(grep -v "^$2 $3 " after)" ]; then
		not_ok "$1: something else, too"
		show before "causes before"
		show after "causes after"
	elif ! ./stet why why --count 1 | grep -A 1 " by $2, $3\$" | grep -q '^ *-> ..........'; then
		not_ok "$1: no remedy"
	else
		ok "$1: $2, $3 ($(($(count "$2" "$3" after) - $(count "$2" "$3" before))))"
	fi
}

own_calls()
{
	causes >before
	./inject "$pid" $nr_madvise $((memory + 4 * piece)) $piece $madv_dontneed >/dev/null || not_ok "madvise cannot be injected"
	check_cause "MADV_DONTNEED by the VMM" vmm clear

	causes >before
	./inject "$pid" $nr_mprotect $((memory + 5 * piece)) $piece 1 >/dev/null || not_ok "mprotect cannot be injected"
	./inject "$pid" $nr_mprotect $((memory + 5 * piece)) $piece 3 >/dev/null || not_ok "mprotect cannot be injected"
	check_cause "mprotect by the VMM" vmm protection

	causes >before
	echo 4 >"/proc/$pid/clear_refs"
	check_cause "clear_refs written by a shell" other-process soft-dirty
}

# Compaction moves pages from one end of memory to free ones at the other, hence the ballast: it is there while the
# VM's memory is populated, and gone when memory is compacted.
compaction()
{
	for part in 0 2 4 6 8; do
		[ $part = 0 ] || dd if=/dev/zero of=/tmp/ballast bs=1M count=$((part * free_mib / 10)) 2>/dev/null
		start
		rm -f /tmp/ballast
		causes >before
		echo 1 >/proc/sys/vm/compact_memory
		seen other-process clear && break
		[ $part = 8 ] || stop
	done
	check_cause "compaction, asked for by a shell" other-process clear
}

same_page_merging()
{
	ksm=/sys/kernel/mm/ksm
	# Compaction may have divided folios, and Linux 6.12 then has the zero page where nobody wrote: nothing to merge.
	./inject "$pid" $nr_madvise $((memory + 8 * piece)) $((4 * piece)) $madv_populate_write >/dev/null ||
		not_ok "madvise cannot be injected"
	causes >before
	./inject "$pid" $nr_madvise $((memory + 8 * piece)) $((4 * piece)) $madv_mergeable >/dev/null ||
		not_ok "madvise cannot be injected"
	# It looks at a page twice before it merges it; a loaded machine's clock runs ahead of what the daemon gets done.
	echo 10 >$ksm/sleep_millisecs
	echo 1000 >$ksm/pages_to_scan
	echo 1 >$ksm/run
	for _ in $(seq 150); do
		seen ksm clear && break
		sleep 0.2
	done
	echo 0 >$ksm/run
	check_cause "same-page merging" ksm clear
}

numa_balancing()
{
	scan=/sys/kernel/debug/sched/numa_balancing
	echo 100 >$scan/scan_period_min_ms
	echo 200 >$scan/scan_period_max_ms
	causes >before
	sleep 4
	if seen numa-balancing protection; then
		not_ok "NUMA balancing reaches the memory of a VM"
		show after "causes since the VM began"
	else
		ok "NUMA balancing does not reach the memory of a VM"
	fi
	./inject "$pid" $nr_mbind "$memory" $((mib << 20)) 0 0 0 0 >/dev/null || not_ok "mbind cannot be injected"
	for _ in $(seq 100); do
		seen numa-balancing protection && break
		sleep 0.2
	done
	# What was marked may be moved as well.
	check_cause "NUMA balancing, where the memory has no policy" numa-balancing protection others
}

free_mib=$(awk '/^MemFree:/ { print int($2 / 1024) }' /proc/meminfo)
compaction
own_calls
same_page_merging
numa_balancing
causes >before
stop
if [ "$(jq -r '[.marks[] | select(.value == 123)][0] | .notifier_relevant' stats.json)" = 0 ]; then
	ok "no invalidation from the first KVM_RUN to the mark"
else
	not_ok "invalidations between the first KVM_RUN and the mark"
fi
if jq -e '.notifier | .relevant == ([.by_cause[].count] | add) and .relevant > 0 and .total >= .relevant and .ns > 0' \
	stats.json >/dev/null; then
	ok "stet's own report has as many causes as invalidations"
else
	not_ok "stet's own report: $(jq -c .notifier stats.json)"
fi
for cause in "vmm clear" "vmm protection" "other-process clear" "ksm clear" "numa-balancing protection"; do
	jq -r '.notifier.by_cause[] | "\(.who) \(.event) \(.count)"' stats.json | grep -q "^$cause " ||
		not_ok "stet's own report lacks '$cause'"
done
finish
