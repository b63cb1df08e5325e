#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Measures phases of guests inside an emulated host of one CPU whose clock counts instructions. Run by tools/bench/io.
#
# Each guest is started three times: once with only its marks and idle time traced (time), once with exits (count), once
# with entries and exits (split). The trace's clock is the TSC: one tick is one instruction.
cd /share/stage || exit 1
tracing=/sys/kernel/tracing
cmdline="panic=-1 nokaslr 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd swiotlb=noforce quiet"
mac=52:54:00:12:34:56
ip=$(find /usr/sbin /usr/bin /sbin /bin -name ip | head -n 1) # not busybox's

die()
{
	echo "bench: $*" >&2
	exit 1
}

# Marks and idle time, and the events in the arguments.
trace_on()
{
	echo 0 >$tracing/tracing_on
	echo >$tracing/set_event
	echo x86-tsc >$tracing/trace_clock
	echo 98304 >$tracing/buffer_size_kb
	echo 'port == 0x5e0' >$tracing/events/kvm/kvm_pio/filter
	for event in kvm:kvm_pio power:cpu_idle irq:irq_handler_entry irq_vectors:local_timer_entry "$@"; do
		echo 1 >"$tracing/events/$(echo "$event" | tr : /)/enable"
	done
	echo >$tracing/trace
	echo 1 >$tracing/tracing_on
}

# Runs a guest of VMM $1 for bench $2 to its end.
run()
{
	case $1 in
		pci | mmio)
			pci=noearly
			[ "$1" = pci ] || pci=off
			timeout 300 ./launch ./stet run -k vmlinux -i initrd -m 128M --backing hugetlb-2M --console none -q --transport "$1" \
				--disk /tmp/bench/disk --net "tap=tap0,mac=$mac" -a "$cmdline reboot=k pci=$pci bench=$2 count=$count" \
				>run.txt 2>&1
			expected=32
			;;
		microvm)
			timeout 300 ./launch "$(command -v qemu-system-x86_64)" -L firmware -enable-kvm -cpu host -smp 1 -m 128M -nodefaults \
				-no-user-config -display none -no-reboot -kernel vmlinux -initrd initrd \
				-M microvm,pit=off,pic=off,isa-serial=off,rtc=off,auto-kernel-cmdline=on,memory-backend=memory \
				-global virtio-mmio.force-legacy=off \
				-object memory-backend-memfd,id=memory,size=128M,hugetlb=on,hugetlbsize=2M \
				-drive id=disk,file=/tmp/bench/disk,format=raw,if=none -device virtio-blk-device,drive=disk \
				-netdev tap,id=net,ifname=tap0,script=no,downscript=no,vhost=off \
				-device "virtio-net-device,netdev=net,mac=$mac" \
				-append "$cmdline reboot=t pci=off bench=$2 count=$count" >run.txt 2>&1
			expected=0
			;;
	esac
	echo 0 >$tracing/tracing_on
	grep -q "^status $expected " run.txt || die "$1, $2: $(cat run.txt)"
	lost=$(awk '$1 == "overrun:" { print $2 }' $tracing/per_cpu/cpu0/stats)
	[ "$lost" = 0 ] || die "the trace lost $lost events"
}

# Lines "PHASE BUSY GUEST EXITS TO_USER": 1 is from exec to the first mark. Of the trace as it is.
phases()
{
	awk '
		/^#/ { next }
		!match($0, / [0-9]+: [a-z_]+: /) { next }
		{
			split(substr($0, RSTART, RLENGTH), part, ": ")
			text = substr($0, RSTART + RLENGTH)
			now = part[1] + 0
		}
		part[2] == "tracing_mark_write" { from = now; phase = 0 }
		!from { next }
		idle && (part[2] != "cpu_idle" || text ~ /state=4294967295/) { slept += now - idle; idle = 0 }
		part[2] == "cpu_idle" && text !~ /state=4294967295/ { idle = now }
		part[2] == "kvm_exit" { exits++ }
		part[2] == "kvm_entry" { entry = now }
		part[2] == "kvm_exit" && entry { guest += now - entry; entry = 0 }
		part[2] == "kvm_userspace_exit" { user++ }
		part[2] == "kvm_pio" {
			if (text ~ /val 0xff/)
				exit
			print ++phase, now - from - slept, guest + 0, exits + 0, user + 0
			from = now; slept = guest = exits = user = 0
		}
	' $tracing/trace
}

# What was measured of VMM $1 with bench $2, a line for each phase; $3...: its name (-: not said), and what it is divided by.
measure()
{
	vmm=$1 bench=$2
	shift 2
	trace_on
	run "$vmm" "$bench"
	phases >time.txt
	trace_on kvm:kvm_exit kvm:kvm_userspace_exit
	run "$vmm" "$bench"
	phases >count.txt
	trace_on kvm:kvm_entry kvm:kvm_exit
	run "$vmm" "$bench"
	phases >split.txt
	phase=0
	while [ $# -gt 0 ]; do
		phase=$((phase + 1))
		[ "$1" = - ] && shift 2 && continue
		busy=$(awk -v p=$phase '$1 == p { print $2 }' time.txt)
		guest=$(awk -v p=$phase '$1 == p { print $3 }' split.txt)
		counted=$(awk -v p=$phase '$1 == p { print $4, $5 }' count.txt)
		[ -n "$counted" ] || die "$vmm, $bench: the guest did not get to phase $phase"
		echo "$vmm $1 $2 $busy $guest $counted" | awk '{
			printf "%-8s %-22s %10.1f %10.1f %10.1f %9.2f %8.2f\n", $1, $2, $4 / $3 / 1000, $5 / $3 / 1000,
				($4 - $5) / $3 / 1000, $6 / $3, $7 / $3
		}'
		shift 2
	done
}

count=$1
shift
mkdir /tmp/bench && mount -t tmpfs bench /tmp/bench || die "no tmpfs"
dd if=/dev/zero of=/tmp/bench/disk bs=1M count=64 2>/dev/null
"$ip" tuntap add dev tap0 mode tap && "$ip" addr add 172.16.0.1/24 dev tap0 && "$ip" link set tap0 up || die "no tap"
./peer &
peer=$!
# One VM is there all the time (see kvm_hold.c), and the clock has settled.
./kvm_hold &
kvm_hold=$!
sleep 3
printf "%-8s %-22s %10s %10s %10s %9s %8s\n" "" "" "busy k" "guest k" "host k" exits "to user"
tcp_mib=$(awk "BEGIN { print $count / 64 }")
for vmm in "$@"; do
	run "$vmm" blk >/dev/null # what is read for the first time
	measure "$vmm" blk boot 1 - 1 read_depth_1 "$count" read_depth_32 "$count"
	measure "$vmm" net - 1 - 1 TCP_to_host_MiB "$tcp_mib" TCP_to_guest_MiB "$tcp_mib" UDP_round_trip "$count"
done
kill $peer $kvm_hold
