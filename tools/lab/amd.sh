# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The emulated AMD host: QEMU's TCG with SVM and nested paging.
# Sourced by tools/lab/lab; see there for the variables.

amd_vendor_module=kvm-amd
amd_packages=lab
amd_time_limit_s=300

# Makes the plugin $work/once.so, without which -icount delivers some injected interrupts twice (see once.c).
amd_once()
{
	gcc -shared -fPIC -fvisibility=hidden -D_GNU_SOURCE -O2 -o "$work/once.so" "$here/once.c" || die_start "once.c does not compile"
}

# Starts QEMU in the background; its process id goes to $emulator_pid.
# $1: kernel, $2: initrd, $3: kernel command line. Channels: the fifos and files in $work.
# shellcheck disable=SC2034 # emulator_pid is read by lab
amd_start()
{
	local machine=(
		-nodefaults -no-user-config -no-reboot -display none -monitor none
		-M "q35,accel=tcg" -cpu "EPYC,+svm,+npt,+pdpe1gb" -m "$memory_mib"
		-serial "file:$work/console" -serial "file:$work/out"
		-serial "file:$work/err" -serial "file:$work/control"
		-kernel "$1" -initrd "$2" -append "$3"
	)
	if [ "$icount" = yes ]; then
		# One nanosecond of the clock is one instruction, and every run starts at the same moment.
		amd_once
		machine+=(-plugin "$work/once.so" -smp 1 -icount "shift=0,sleep=off" -rtc "base=2026-01-01T00:00:00,clock=vm")
	else
		machine+=(-smp "$cpus")
	fi
	if [ "$nodes" -gt 1 ]; then
		local node cpus_of="cpus=0-$((cpus - 1)),"
		for ((node = 0; node < nodes; node++)); do
			machine+=(-object "memory-backend-ram,id=node$node,size=$((memory_mib / nodes))M"
				-numa "node,nodeid=$node,${cpus_of}memdev=node$node")
			cpus_of=''
		done
		machine+=(-m "$((memory_mib / nodes * nodes))")
	fi
	# 1 vCPU is one thread of the emulator, N vCPUs are N (MTTCG).
	qemu-system-x86_64 "${machine[@]}" </dev/null >"$work/emulator.log" 2>&1 &
	emulator_pid=$!
}
