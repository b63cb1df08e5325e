#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Memory the host cannot give: stet says so in one line and ends with exit code 1 (2: the option itself is wrong)
# before a vCPU runs, is never killed by SIGBUS or for lack of memory, and takes nothing along.
# shellcheck source=tests/lab/inside/common.sh
. /share/stage/common.sh

user=1000

# Runs stet with memory options "$@" as it is run here; its words go to stet.txt, its exit code to $status.
stet_run()
{
	timeout 120 ./stet run -k vmlinuz-6.12-cloud -i initrd -a "console=ttyS0 quiet stet.facts=off" --console file:console.txt \
		--prefault require --stats=stats.json --json "$@" >stet.txt 2>&1
	status=$?
}

# What stet just did must be: exit code $2, one line, with extended regular expression $3 in it. $1: name.
refused()
{
	if [ "$status" = "$2" ] && [ "$(wc -l <stet.txt)" = 1 ] && grep -qE "^stet: .*$3" stet.txt; then
		ok "$1: exit code $2, \"$(sed 's/^stet: //' stet.txt)\""
	else
		not_ok "$1: exit code $status and $(wc -l <stet.txt) lines; wanted: $2, one line with '$3'"
		show stet.txt "stet said"
	fi
	left=$(stet_processes)
	[ "$left/$(huge_pages_free)" = "/$free_at_start" ] ||
		not_ok "$1: left: processes '$left', $((free_at_start - $(huge_pages_free))) huge pages"
}

sizes()
{
	host_mib=$(awk '/^MemTotal:/ { print int($2 / 2048) * 2 }' /proc/meminfo)
	stet_run -m 0
	refused "no memory at all" 1 "memory must be"
	stet_run -m 1M
	refused "1 MiB" 1 "memory must be"
	stet_run -m 1.5M
	refused "1.5M" 2 "not a size"
	stet_run -m 3M
	refused "3 MiB" 1 "multiple of 2 MiB"
	stet_run -m 99999999999999999999G
	refused "a size beyond 64 bits" 2 "too large"
	stet_run -m 64G --backing 4k
	refused "more than the host has" 1 "more than the host's"
	stet_run -m "${host_mib}M" --backing 4k
	refused "more than the host has left, 4k" 1 "MemAvailable"
	stet_run -m "${host_mib}M" --backing thp
	refused "more than the host has left, thp" 1 "MemAvailable"
	stet_run -m 512M --backing hugetlb-1G
	refused "half a page of 1 GiB" 1 "multiple"
}

pools()
{
	stet_run -m 256M --backing hugetlb-2M
	refused "pool too short" 1 "needs 128 free huge pages, the pool has 64 of 64.*nr_hugepages"
	stet_run -m 1G --backing hugetlb-1G
	refused "no pages of 1 GiB" 1 "needs 1 free huge pages, the pool has 0 of 0"

	# A guest that has most of the pool; the next one finds the rest too short, and the first one lives on.
	./stet run -k vmlinuz-6.12-cloud -i initrd -a "console=ttyS0 quiet stet.end=hang stet.facts=off" -m 96M \
		--backing hugetlb-2M --console file:first.txt >first-stet.txt 2>&1 &
	first=$!
	for _ in $(seq 600); do
		grep -q 'guest: waiting' first.txt 2>/dev/null && break
		sleep 0.2
	done
	stet_run -m 96M --backing hugetlb-2M
	if [ "$status" = 1 ] && grep -q 'the pool has 16 of 64' stet.txt && kill -0 $first; then
		ok "pool in use by another guest: exit code 1, and the other guest lives"
	else
		not_ok "pool in use by another guest: exit code $status"
		show stet.txt "stet said"
	fi
	kill -9 $first
	wait $first 2>/dev/null
}

# Runs stet in a new cgroup $1 with file $2 of it set to $3; more arguments are stet's.
in_cgroup()
{
	group=$1
	mkdir -p "/sys/fs/cgroup/$group"
	echo "$3" >"/sys/fs/cgroup/$group/$2" || not_ok "cannot set $2"
	shift 3
	sh -c 'echo $$ >"/sys/fs/cgroup/$0/cgroup.procs"; exec "$@"' "$group" timeout 120 ./stet run -k vmlinuz-6.12-cloud \
		-i initrd --console file:console.txt --prefault require "$@" >stet.txt 2>&1
	status=$?
	# The watcher of timeout is in it for up to a second more.
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		rmdir "/sys/fs/cgroup/$group" 2>/dev/null && return
		sleep 0.5
	done
	not_ok "cgroup $group cannot be removed: $(cat "/sys/fs/cgroup/$group/cgroup.procs")"
}

limits()
{
	echo '+memory +hugetlb' >/sys/fs/cgroup/cgroup.subtree_control
	in_cgroup small memory.max 100M -m 256M --backing 4k
	refused "memory limit of a cgroup" 1 "memory.max"
	in_cgroup huge-rsvd hugetlb.2MB.rsvd.max 64M -m 128M --backing hugetlb-2M
	refused "reservation limit of a cgroup for huge pages" 1 "huge"
	in_cgroup huge hugetlb.2MB.max 64M -m 128M --backing hugetlb-2M
	refused "limit of a cgroup for huge pages" 1 "huge"

	(
		ulimit -v 100000
		stet_run -m 256M --backing 4k
		echo "$status" >status.txt
	)
	status=$(cat status.txt)
	refused "ulimit -v" 1 "cannot map 256 MiB.*ulimit"

	echo 2 >/proc/sys/vm/overcommit_memory
	echo 10 >/proc/sys/vm/overcommit_ratio
	stet_run -m 512M --backing 4k
	echo 0 >/proc/sys/vm/overcommit_memory
	refused "strict overcommit" 1 "cannot map 512 MiB.*overcommit"
}

# Without privileges and with a limit for locked memory the guest runs; its memory is not locked, and stet says so.
locked()
{
	chmod 666 /dev/kvm
	chmod 777 .
	rm -f stet.txt stats.json console.txt
	su -s /bin/sh -c 'ulimit -l 64; exec timeout 120 ./stet run -k vmlinuz-6.12-cloud -i initrd \
		-a "console=ttyS0 quiet stet.facts=off" --console file:console.txt --prefault require -m 128M --backing 4k \
		--stats=stats.json --json' user >stet.txt 2>&1
	status=$?
	facts=$(jq -r '"\(.stage2_faults) \(.prefault.memory_locked) \(.prefault.mapped) \(.notifier.visible)"' stats.json)
	if [ "$status" = 0 ] && [ "$facts" = "0 false true false" ]; then
		ok "no right to lock memory: the guest runs without faults, and the statistics say it is not locked"
	else
		not_ok "no right to lock memory: exit code $status; faults, locked, mapped, notifier visible: $facts"
		show stet.txt "stet said"
	fi
}

echo "user:x:$user:$user:user:/tmp:/bin/sh" >>/etc/passwd
free_at_start=$(huge_pages_free)
[ "$free_at_start" = 64 ] || not_ok "the pool has $free_at_start pages, not 64"
sizes
pools
limits
locked
if dmesg | grep -qE 'Out of memory|oom-kill'; then
	not_ok "the kernel killed for lack of memory"
fi
finish
