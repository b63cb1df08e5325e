#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Boots Debian's own root image, logs in, lets it work on its disks, ends it in each way it has, and looks at the
# disks from outside. No boot takes a stage-2 fault, from the first KVM_RUN to the end.
# shellcheck source=tests/lab/inside/common.sh
. /share/stage/common.sh

limit_s=150
root=/share/stage/root.img
data=/disk/data.img
# As in ends.sh: the emulator does not let KVM see which states the guest enabled.
cmdline="console=ttyS0 root=LABEL=root quiet noxsave"

# Starts the guest of name $1 with $2 vCPUs, and with the terminal on console $3 (ttyS0 or hvc0); more arguments are stet's.
# What is written to descriptor 4 is typed on the terminal. What the two consoles show goes to NAME.ttyS0 and NAME.hvc0.
start()
{
	name=$1 cpus=$2 terminal=$3
	shift 3
	rm -f keys stats.json
	mkfifo keys
	: >"$name.ttyS0"
	: >"$name.hvc0"
	if [ "$terminal" = ttyS0 ]; then
		set -- "$@" --console tty --hvc "file:$name.hvc0"
	else
		set -- "$@" --console "file:$name.ttyS0" --hvc tty
	fi
	trace_on
	./stet run -k vmlinuz -i initrd -a "$cmdline" -m 512M --backing hugetlb-2M --prefault require -c "$cpus" \
		--disk "path=$root,id=root0" --disk "path=$data,direct,id=data0" --disk path=checks.img,ro,id=checks --rng \
		--stats=stats.json --json "$@" <keys >"$name.$terminal" 2>stet.txt &
	pid=$!
	exec 4>keys
}

# Waits, at most $limit_s, until the extended regular expression $1 stands in what console $2 shows.
wait_for()
{
	for _ in $(seq $((limit_s * 2))); do
		tr -d '\r\000' <"$name.$2" | grep -qE "$1" && return 0
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.5
	done
	not_ok "$name: '$1' does not come on $2"
	show stet.txt "stet said"
	show "$name.ttyS0" "the serial port" 40
	show "$name.hvc0" "the virtio console" 40
	return 1
}

# Waits for the end of stet, whose exit code must be $1 and whose guest must not have taken a fault.
ends_with()
{
	exec 4>&-
	(sleep "$limit_s"; kill -9 "$pid" 2>/dev/null) &
	watchdog=$!
	wait "$pid" 2>/dev/null
	status=$?
	kill "$watchdog" 2>/dev/null
	wait "$watchdog" 2>/dev/null
	faults=$(trace_faults_to_the_end)
	if [ "$status" = "$1" ]; then
		ok "$name: exit code $1"
	else
		not_ok "$name: exit code $status, not $1"
		show stet.txt "stet said"
		show "$name.txt" "the guest said" 40
	fi
	counted=$(jq -r .stage2_faults stats.json)
	if [ "$counted/${faults%% *}/${faults##* }" = 0/0/0 ] && [ "$(echo "$faults" | cut -d' ' -f2)" -gt 0 ]; then
		ok "$name: 0 stage-2 faults to the end, by KVM's counters and by its tracepoints"
	else
		not_ok "$name: stage-2 faults: $counted by KVM's counters; tracepoints (RAM, MMIO, lost): $faults"
	fi
	cp stats.json "/output/$name.json"
	cp "$name.ttyS0" "$name.hvc0" /output/
}

# Both consoles ask for a login; root does so on the terminal.
login()
{
	wait_for 'debian login:' ttyS0 && ok "$name: a login prompt on ttyS0"
	wait_for 'debian login:' hvc0 && ok "$name: a login prompt on hvc0"
	echo root >&4
	wait_for 'root@debian:~#' "$terminal" && ok "$name: root logs in on $terminal"
}

# File system image $1 must be clean.
is_clean()
{
	if e2fsck -fn "$1" >e2fsck.txt 2>&1; then
		ok "$name: e2fsck finds nothing in ${1##*/}"
	else
		not_ok "$name: e2fsck finds faults in ${1##*/}"
		show e2fsck.txt "e2fsck said"
	fi
}

# Passes on what the guest found.
guest_results()
{
	debugfs -R "rdump /root /output" $root 2>/dev/null
	results=/output/root/results
	cat $results
	failures=$((failures + $(grep -c '^not ok' $results)))
	grep -q '^end of checks' $results || not_ok "$name: the guest's checks did not come to their end"
}

# What the guest's kernel warned of, and put into /root/warnings.txt, is not stet's doing.
no_warnings()
{
	rm -f guest-warnings.txt
	debugfs -R "dump /root/warnings.txt guest-warnings.txt" $root 2>/dev/null
	if [ ! -s guest-warnings.txt ]; then
		not_ok "$name: the guest did not say what its kernel warned of"
	elif grep -vEf allowed.txt guest-warnings.txt >warnings.txt; then
		not_ok "$name: the guest's kernel warns"
		show warnings.txt "lines that are not in tests/lab/allowed-warnings" 20
	else
		ok "$name: the guest's kernel has no warning that stet could be the reason of"
	fi
}

# What the guest wrote on its disk is there, byte for byte.
files_are_there()
{
	for file in known random; do
		debugfs -R "dump /$file $file" "$data" 2>/dev/null
	done
	if sha256sum -c /output/root/known.sha256 >sums.txt 2>&1 && cmp -s known known.original; then
		ok "$name: the files the guest wrote have their checksums, seen from the host"
	else
		not_ok "$name: files the guest wrote are not as they were: $(cat sums.txt)"
	fi
	rm -f known random
}

# Of disk $1 (from 0) the sum of jq expression $2 over stet's own counters must be more than 0.
blk_counted()
{
	[ "$(jq "[.virtio[] | select(.type == \"blk\")][$1] | $2" stats.json)" = true ] ||
		not_ok "$name: disk $1: not so by stet's counters: $2: $(jq -c ".virtio[$1]" stats.json)"
}

# A file system of the host's that knows O_DIRECT and discards, on memory.
mkdir -p /disk
truncate -s 224M /tmp/disk
mkfs.ext4 -q -F -O ^has_journal /tmp/disk && mount -t ext4 -o loop /tmp/disk /disk || not_ok "no ext4 on the host"
truncate -s 192M $data
grep -v '^#' allowed-warnings | cut -f1 >allowed.txt

start work 4 ttyS0
login && echo 'mount -o ro LABEL=checks /mnt && sh /mnt/checks.sh 4 pci; poweroff' >&4
ends_with 0
is_clean $root
is_clean $data
guest_results
no_warnings
files_are_there
if [ "$(du -m $data | cut -f1)" -lt 48 ]; then
	ok "$name: what the guest discarded takes no room on the host"
else
	not_ok "$name: of the data disk $(du -m $data | cut -f1) MiB take room on the host"
fi
blk_counted 1 '.queues == 4 and .errors == 0 and .flushes > 0 and .discards > 0 and .reads > 0 and .writes > 0'
blk_counted 2 '.writes == 0'

start mmio 2 hvc0 --transport mmio
login && echo 'dmesg --level=emerg,alert,crit,err,warn --notime >warnings.txt; sync' >&4 &&
	echo 'mount LABEL=data /mnt && cd /mnt && sha256sum -c /root/known.sha256' >&4 && wait_for 'random: OK' hvc0 &&
	ok "mmio: the files are there in the next guest" && kill -TERM "$pid"
ends_with 0
is_clean $root
is_clean $data
no_warnings
files_are_there

start reboot 1 hvc0
login && echo reboot >&4
ends_with 32
is_clean $root
finish
