#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Runs as root in a Debian guest of stet and looks at its devices: vda the root, vdb an empty disk that is written
# over, vdc this script's own, read-only. Each result is a line "ok - NAME" or "not ok - NAME" in /root/results; what
# it saw is in /root/*.txt. Arguments: number of vCPUs, name of the transport.
cd /root || exit 1
cpus=$1 transport=$2
checks=$(dirname "$0")
exec >results 2>&1

ok()
{
	echo "ok - $*"
}

not_ok()
{
	echo "not ok - $*"
}

# check NAME COMMAND...: holds where the command succeeds; otherwise its output is shown.
check()
{
	name=$1
	shift
	if "$@" >output.txt 2>&1; then
		ok "$name"
	else
		not_ok "$name: $*"
		tail -n 12 output.txt | sed 's/^/# /'
	fi
}

# equal NAME WANTED GOT
equal()
{
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1: '$3', not '$2'"
	fi
}

# Prints attribute $2 of disk $1.
disk()
{
	cat "/sys/block/$1/$2"
}

# What the driver made of disk $1's configuration; $2: serial number, $3: read-only, 0 or 1.
look_at_disk()
{
	equal "$1: serial number" "$2" "$(disk "$1" serial)"
	equal "$1: its link in /dev/disk/by-id" "/dev/$1" "$(readlink -f "/dev/disk/by-id/virtio-$2")"
	equal "$1: read-only" "$3" "$(disk "$1" ro)"
	equal "$1: not removable, logical and physical block" "0 512 4096" \
		"$(disk "$1" removable) $(disk "$1" queue/logical_block_size) $(disk "$1" queue/physical_block_size)"
	equal "$1: a queue for each CPU" "$cpus" "$(find "/sys/block/$1/mq" -mindepth 1 -maxdepth 1 | wc -l)"
	if [ "$3" = 1 ]; then
		equal "$1: no discard" 0 "$(disk "$1" queue/discard_max_bytes)"
		return
	fi
	equal "$1: write cache" "write back" "$(disk "$1" queue/write_cache)"
	equal "$1: discard and write zeroes up to 2 GiB, in pieces of 4 KiB" "2147483648 2147483648 4096" \
		"$(disk "$1" queue/discard_max_hw_bytes) $(disk "$1" queue/write_zeroes_max_bytes) $(disk "$1" queue/discard_granularity)"
}

# 16 MiB at 64 MiB of vdb are random bytes; writes them and says what they are.
scribble()
{
	dd if=/dev/urandom of=pattern bs=1M count=16 status=none
	dd if=pattern of=/dev/vdb bs=1M seek=64 oflag=direct conv=notrunc,fsync status=none
	dd if=/dev/vdb bs=1M skip=64 count=16 iflag=direct status=none | cmp - pattern
}

# Of these the middle 8 MiB read as zeroes after command $@, and what is around them is as it was.
cleared_in_the_middle()
{
	"$@" --offset $((68 << 20)) --length $((8 << 20)) /dev/vdb &&
		dd if=/dev/vdb bs=1M skip=64 count=16 iflag=direct of=after status=none &&
		cmp -n $((4 << 20)) after pattern &&
		cmp -n $((8 << 20)) -i $((4 << 20)):0 after /dev/zero &&
		cmp -i $((12 << 20)) after pattern
}

raw_disk()
{
	check "vdb: random data is written and read past the guest's cache" scribble
	check "vdb: write zeroes" cleared_in_the_middle blkdiscard --zeroout
	check "vdb: random data again" scribble
	check "vdb: discard" cleared_in_the_middle blkdiscard
}

# fio writes, syncs, reads back and compares; $1 names the job, $2 its size; more arguments are fio's.
fio_verifies()
{
	job=$1 size=$2
	shift 2
	check "fio: $job" fio --name="$job" --directory=/data --size="$size" --unlink=1 --verify=crc32c --verify_fatal=1 \
		--do_verify=1 --output="fio-$job.txt" "$@"
}

file_system()
{
	check "mkfs.ext4 (discards the disk)" mkfs.ext4 -q -F -L data /dev/vdb
	mkdir -p /data
	check "mount" mount /dev/vdb /data
	fio_verifies direct 4m --ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite --bsrange=4k-64k --numjobs="$cpus" --group_reporting
	fio_verifies sync 256k --ioengine=psync --direct=1 --sync=1 --rw=randwrite --bs=4k
	fio_verifies flush 1m --ioengine=psync --rw=write --bs=16k --fdatasync=4
	fio_verifies mmap 2m --ioengine=mmap --rw=randwrite --bs=4k
	sync
	check "fstrim" fstrim -v /data
	cp "$checks/known" /data/known && dd if=/dev/urandom of=/data/random bs=1M count=8 conv=fsync status=none
	(cd /data && sha256sum known random) >known.sha256
	check "umount" umount /data
	check "the file system is whole" e2fsck -fn /dev/vdb
}

read_only_disk()
{
	equal "vdc: a write is refused" "1" "$(dd if=/dev/zero of=/dev/vdc bs=4k count=1 oflag=direct 2>&1 | grep -cE 'not permitted|Read-only')"
	check "vdc: known bytes" sh -c "cd $checks && sha256sum -c known.sha256"
}

entropy()
{
	equal "the entropy device is in use" "virtio_rng.0" "$(cat /sys/class/misc/hw_random/rng_current)"
	equal "/dev/hwrng gives bytes" 512 "$(dd if=/dev/hwrng bs=512 count=1 iflag=fullblock 2>/dev/null | wc -c)"
}

# Every queue of vdb had interrupts: its requests spread over the CPUs.
queues_in_use()
{
	device=$(basename "$(readlink -f /sys/block/vdb/device)")
	grep "$device-req" /proc/interrupts >interrupts.txt
	awk -v cpus="$cpus" '
		{ sum = 0; for (i = 2; i < 2 + cpus; i++) sum += $i; if (sum) used++ }
		END { exit used != cpus }' interrupts.txt
}

check "the initial RAM disk checked the root file system" grep clean /run/initramfs/fsck.log
look_at_disk vda root0 0
look_at_disk vdb data0 0
look_at_disk vdc checks 1
read_only_disk
entropy
raw_disk
file_system
if [ "$transport" = pci ]; then
	check "vdb: each of its $cpus queues had interrupts" queues_in_use
	check "lspci -vv" sh -c 'lspci -vv >lspci.txt'
	equal "lspci finds 5 virtio devices and nothing else" "5 5" \
		"$(grep -cE '^[0-9a-f:.]+ .* Virtio' lspci.txt) $(grep -cE '^[0-9a-f:.]+ ' lspci.txt)"
fi
lsblk -o NAME,SIZE,RO,TYPE,SERIAL,DISC-MAX,LOG-SEC,PHY-SEC,ROTA,MOUNTPOINT >lsblk.txt 2>&1
sed 's/^/# /' lsblk.txt
equal "the boot came to its end, and no service failed" running "$(systemctl is-system-running --wait)"
dmesg --level=emerg,alert,crit,err,warn --notime >warnings.txt
cp /proc/interrupts all-interrupts.txt
echo "end of checks"
rm -f pattern after output.txt
sync
