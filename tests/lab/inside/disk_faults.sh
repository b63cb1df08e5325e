#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Disks that fail in the host while a guest uses them: a full file system, a truncated image, I/O errors, a device that
# is taken away. Each guest has a disk beside it that stays well. For $1 seconds; stet may have sanitizers.
cd /share/stage || exit 1
seconds=${1:-60}
failures=0
cases=''

ok()
{
	echo "ok - $*"
}

not_ok()
{
	echo "not ok - $*"
	failures=$((failures + 1))
}

# Starts the VM of case $1 on disk $2.
start()
{
	dd if=/dev/zero of="fault-$1.img" bs=1M count=0 seek=8 2>/dev/null
	./stet run -m 64M -k hostile -a "patient seed=1" --console "file:fault-$1.console" --disk "$2" \
		--disk "fault-$1.img" >"fault-$1.out" 2>&1 </dev/null &
	echo $! >"fault-$1.pid"
	cases="$cases $1"
}

# The guest of case $1 said: disk $2 (1, 2) worked, or failed ($3: 1, 2), so often by now. Its last line may still be
# on its way: only one with all of its numbers counts.
count()
{
	tr -d '\r' <"fault-$1.console" |
		sed -n 's,^calm: .* blk:\([0-9]*/[0-9]*/[0-9]\+\) blk:\([0-9]*/[0-9]*/[0-9]\+\)$,\1 \2,p' | tail -n 1 |
		cut -d' ' -f"$2" | cut -d/ -f"$3"
}

wait_for_counts()
{
	for _ in $(seq 120); do
		n=$(count "$1" 2 1)
		[ "${n:-0}" -ge "$2" ] && return 0
		sleep 1
	done
	return 1
}

# A file system of 64 KiB with an image of 16 MiB.
mkdir -p full
mount -t tmpfs -o size=64k full full
dd if=/dev/zero of=full/disk bs=1M count=0 seek=16 2>/dev/null
start full full/disk

mkdir -p cut
dd if=/dev/zero of=cut/disk bs=1M count=0 seek=8 2>/dev/null
start truncated cut/disk

# A RAM disk behind a mapping that becomes one of errors.
sectors=$(cat /sys/block/ram0/size)
dmsetup create failing --noudevsync --table "0 $sectors linear /dev/ram0 0" && dmsetup mknodes
start errors /dev/mapper/failing

# The one disk of scsi_debug.
for gone in /sys/block/sd*; do :; done
start removed "/dev/${gone##*/}"

for name in $cases; do
	if wait_for_counts "$name" 1; then
		echo "$(count "$name" 1 2) $(count "$name" 2 1)" >"fault-$name.before"
	else
		not_ok "$name: the guest did not begin"
	fi
done
dmsetup suspend --noudevsync failing && dmsetup load failing --table "0 $sectors error" &&
	dmsetup resume --noudevsync failing || not_ok "a mapping of errors"
echo 1 >"$gone/device/delete"
# Writes make the image long again: it is cut again and again.
for _ in $(seq "$seconds"); do
	truncate -s 4096 cut/disk
	sleep 1
done
for name in $cases; do
	kill -TERM "$(cat "fault-$name.pid")" 2>/dev/null
done
for name in $cases; do
	wrong=''
	wait "$(cat "fault-$name.pid")"
	status=$?
	read -r failed good <"fault-$name.before"
	[ "$status" = 0 ] || wrong="$wrong; exit code $status"
	[ "$name" = full ] || [ "$failed" = 0 ] || wrong="$wrong; it failed $failed times before there was a fault"
	[ "$(count "$name" 1 2)" -gt 0 ] || wrong="$wrong; the guest saw no error"
	[ "$(count "$name" 2 1)" -gt "$good" ] || wrong="$wrong; the other disk stands still"
	[ "$(count "$name" 2 2)" = 0 ] || wrong="$wrong; the other disk fails too"
	grep -q 'does not answer\|FAILED' "fault-$name.console" && wrong="$wrong; a request was not answered"
	# Once for each kind of error: where a device is gone there are two.
	said=$(grep -c ' disk: ' "fault-$name.out")
	case $said in
	1) ;;
	2) [ "$(grep -o 'failed: .*' "fault-$name.out" | sort -u | wc -l)" = 2 ] || wrong="$wrong; it said one thing twice" ;;
	*) wrong="$wrong; it said it $said times" ;;
	esac
	if [ -z "$wrong" ]; then
		ok "disk fault, $name: $(count "$name" 1 2) errors for the guest, '$(sed -n 's/^stet: .*disk: //p' "fault-$name.out" | head -n 1)'"
	else
		not_ok "disk fault, $name$wrong"
		sed 's/^/# stet: /' "fault-$name.out" | tail -n 20
		tr -d '\r' <"fault-$name.console" | tail -n 4 | sed 's/^/# guest: /'
	fi
done
dmsetup remove --noudevsync failing
umount full
[ "$failures" = 0 ]
