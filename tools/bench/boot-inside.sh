#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Measures boots of guests inside an emulated host of one CPU whose clock counts instructions. Run by tools/bench/boot.
#
# Each kernel is booted four times, so that what is traced does not weigh on what is timed:
#   time   only exec and the guest's mark are traced    exec to user space, memory of the process
#   count  exits, faults, notifier calls                 how many of each, up to the mark
#   split  entries, exits, idle                          exec to the first entry, and who had the processor after it
#   say    nothing, with --stats                         the phases of the start as stet tells them
# The trace's clock is the TSC: one tick is one instruction.
cd /share/stage || exit 1
tracing=/sys/kernel/tracing
guest_mib=128
guest_pci=$2
guest_cmdline="reboot=k panic=-1 nokaslr nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd"
guest_cmdline="$guest_cmdline swiotlb=noforce quiet pci=${guest_pci:?} stet.facts=off stet.end=reboot"
exit_reset=32

die()
{
	echo "bench: $*" >&2
	exit 1
}

# Traces the events in the arguments, and exec and mark.
trace_on()
{
	echo 0 >$tracing/tracing_on
	echo >$tracing/set_event
	echo x86-tsc >$tracing/trace_clock
	echo 65536 >$tracing/buffer_size_kb
	echo 'port == 0x5e0' >$tracing/events/kvm/kvm_pio/filter
	echo 1 >$tracing/events/kvm/kvm_pio/enable
	for event in "$@"; do
		echo 1 >"$tracing/events/$(echo "$event" | tr : /)/enable"
	done
	echo >$tracing/trace
	echo 1 >$tracing/tracing_on
}

# Boots kernel $1; more arguments are stet's. Leaves run.txt of launch.
boot()
{
	kernel=$1
	shift
	./launch ./stet run -k "$kernel" -i initrd -a "$guest_cmdline" -m "${guest_mib}M" --backing "$backing" \
		--console none -q "$@" >run.txt 2>stet.txt || die "stet does not start"
	echo 0 >$tracing/tracing_on
	grep -q "^status $exit_reset " run.txt || die "$kernel: $(cat run.txt stet.txt)"
	lost=$(awk '$1 == "overrun:" { print $2 }' $tracing/per_cpu/cpu0/stats)
	[ "$lost" = 0 ] || die "the trace lost $lost events"
}

# Lines of the trace as "TICKS EVENT TEXT", up to the mark of user space.
events()
{
	awk '
		/^#/ { next }
		match($0, / [0-9]+: [a-z_]+: /) {
			split(substr($0, RSTART, RLENGTH), part, ": ")
			text = substr($0, RSTART + RLENGTH)
			sub(/^ /, "", part[1])
			print part[1], part[2], text
			if (part[2] == "kvm_pio" && text ~ /val 0x7b/)
				exit
		}
	' $tracing/trace
}

time_of_boot()
{
	trace_on
	boot "$1"
	events | awk '
		$2 == "tracing_mark_write" { start = $1 }
		$2 == "kvm_pio" { print ($1 - start) / 1e6 }'
}

counts_of_boot()
{
	trace_on kvm:kvm_exit kvm:kvm_page_fault kvm:kvm_unmap_hva_range kvm:kvm_userspace_exit
	boot "$1"
	events | awk '
		$2 == "kvm_exit" {
			exits++
			if (match($0, /reason [a-z_A-Z0-9]+/))
				reasons[substr($0, RSTART + 7, RLENGTH - 7)]++
		}
		# Bit 3 of the error code: the entry says "device"; everything else would be a fault of RAM.
		$2 == "kvm_page_fault" {
			low = index("0123456789abcdef", substr($0, length($0), 1)) - 1
			if (low >= 8)
				mmio++
			else
				ram++
		}
		$2 == "kvm_unmap_hva_range" { unmaps++ }
		$2 == "kvm_userspace_exit" { user++ }
		END {
			printf "exits %d to_user %d npf %d npf_ram %d npf_mmio %d io %d msr %d cpuid %d hlt %d interrupt %d vintr %d notifier %d\n",
				exits, user, reasons["npf"], ram, mmio, reasons["io"], reasons["msr"], reasons["cpuid"],
				reasons["hlt"], reasons["interrupt"], reasons["vintr"], unmaps
		}'
}

# Who the instructions went to from the first entry on: the guest, an idle processor (its clock runs on), the host.
split_of_boot()
{
	trace_on kvm:kvm_entry kvm:kvm_exit power:cpu_idle
	boot "$1"
	events | awk '
		$2 == "tracing_mark_write" { start = $1 }
		$2 == "kvm_entry" { entry = $1; if (!first) first = $1 }
		$2 == "kvm_exit" && entry { guest += $1 - entry; entry = 0 }
		$2 == "cpu_idle" && first && /state=4294967295/ { if (since) idle += $1 - since; since = 0 }
		$2 == "cpu_idle" && first && !/state=4294967295/ { since = $1 }
		{ last = $1 }
		END {
			printf "before_run %.3f guest %.3f idle %.3f host %.3f\n", (first - start) / 1e6, guest / 1e6, idle / 1e6,
				(last - first - guest - idle) / 1e6
		}'
}

phases_of_boot()
{
	trace_on
	boot "$1" --stats=stats.json --json
	jq -r '.phases as $p | [range(0; $p | length) | "\($p[.].name) \((($p[.].ns_since_exec -
		(if . == 0 then 0 else $p[. - 1].ns_since_exec end)) / 1000 | round) / 1000)"] | join(", ")' stats.json
}

backing=$1
shift 2
for kernel in "$@"; do
	# The first start reads the program from a file that nothing has read yet, and makes what the kernel keeps.
	./stet run -k "$kernel" -i initrd -a "$guest_cmdline" -m "${guest_mib}M" --backing "$backing" --console none -q
	[ $? = $exit_reset ] || die "$kernel does not boot"
	ticks=$(time_of_boot "$kernel")
	rss=$(awk '/^status/ { print $4 }' run.txt)
	echo "kernel $kernel backing $backing user $ticks $(split_of_boot "$kernel") $(counts_of_boot "$kernel") maxrss_kb $rss"
	echo "phases $kernel $(phases_of_boot "$kernel")"
done
