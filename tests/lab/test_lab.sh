#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The lab tests itself: statuses are told apart, files come back whole, KVM is real, on AMD and Intel.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# run ARGUMENTS...: runs lab; sets $status, $out and $err (its last line in $last).
run()
{
	"$lab" "$@" >"$scratch/out" 2>"$scratch/err"
	status=$?
	out=$(cat "$scratch/out")
	err=$(cat "$scratch/err")
	last=$(tail -n 1 "$scratch/err")
}

share=$scratch/share
mkdir -p "$share/a directory/.git" "$share/empty"
echo inside >"$share/a directory/a file"
: >"$share/a directory/.git/hidden"
ln -s "a file" "$share/a directory/link"
head -c 1048576 /dev/urandom >"$share/random"
for program in kvm_probe inject_once; do
	static_program "$share/$program" "$top/tests/lab/$program.c" || {
		not_ok "$program.c compiles"
		finish
	}
done
# Dynamically linked: its libraries have to come along.
gcc -O2 -o "$share/dynamic" "$top/tests/lab/kvm_probe.c"

amd_runs()
{
	cat >"$share/script" <<-'END'
		echo to-stdout
		echo to-stderr >&2
		share/kvm_probe
		share/dynamic | sed 's/^/dynamic /'
		echo "cpus $(nproc)"
		echo "svm $(grep -c '^flags.* svm' /proc/cpuinfo)"
		echo "huge $(cat /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages)"
		echo "huge1g $(cat /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages)"
		echo "link $(cat 'share/a directory/link')"
		echo "git $(ls -A 'share/a directory' | grep -c '^.git')"
		echo "empty $(ls -d share/empty)"
		echo "stdin $(wc -c)"
		echo "argument <$1>"
		echo "loop $(ls /sys/module | grep -cx loop)"
		echo "mounts $(grep -cE ' (hugetlbfs|debugfs|tracefs|devpts) ' /proc/mounts)"
		cp share/random /output/copy
		mkdir /output/below
		echo deep >/output/below/file
		echo 'WARNING: invented' >/dev/kmsg
		exit 42
	END
	run --cpus 2 --memory 5G --hugepages 8 --hugepages-1g 1 --kernel-modules loop --share "$share" \
		--tool bash --output "$scratch/output" -- bash share/script "two  words '\$x"
	check_equal "amd: the status passes through" 42 "$status" "$err"
	check_matches "amd: the last line says it" '^lab: the command ended with 42 ' "$last"
	check_matches "amd: a kernel warning is shown" 'WARNING: invented' "$err"
	check_equal "amd: stdout alone is on stdout, first line" to-stdout "$(head -n 1 <<<"$out")"
	check_matches "amd: stderr alone is on stderr" '^to-stderr$' "$err"
	check_equal "amd: no carriage returns" 0 "$(tr -dc '\r' <"$scratch/out" | wc -c)"
	check_equal "amd: nothing of the kernel on stdout" 0 "$(grep -c '^\[ *[0-9]' <<<"$out")"
	for line in 'pre_fault_memory 1' 'hlt_exit 1' 'dynamic pre_fault_memory 1' 'cpus 2' 'svm 2' 'huge 8' \
		'huge1g 1' 'link inside' 'git 0' 'empty share/empty' 'stdin 0' "argument <two  words '\$x>" \
		'loop 1' 'mounts 5'; do
		if grep -qxF -- "$line" <<<"$out"; then
			ok "amd: $line"
		else
			not_ok "amd: $line" "$out"
		fi
	done
	check "amd: 1 MiB comes back intact" cmp "$share/random" "$scratch/output/copy"
	check_equal "amd: directories come back" deep "$(cat "$scratch/output/below/file")"
	check_matches "amd: dmesg comes back" 'Nested Paging enabled' "$(cat "$scratch/output/dmesg.txt")"

	run --icount --share "$share/inject_once" -- sh -c 'date -u +%Y-%m-%d; ./inject_once; kill -9 $$'
	check_equal "icount: a fixed date, and an injected interrupt is delivered once" "2026-01-01 delivered 1" \
		"$(tr '\n' ' ' <<<"$out" | sed 's/ $//')" "$err"
	check_equal "a command killed by a signal is 128+n" 137 "$status" "$err"

	run -- sh -c 'sleep 1000 & echo left one behind'
	check_equal "a background process does not keep the host up" "left one behind 0" "$out $status" "$err"
	run -- nosuchprogram
	check_equal "a missing command is 127" 127 "$status" "$err"
	run -- sh -c 'exit 124'
	check_equal "a command's own 124 is given as 123" 123 "$status" "$err"
	check_matches "and that is said" 'ended with 124, given as 123' "$last"

	run --fail-on-warn -- sh -c 'echo "WARNING: invented" >/dev/kmsg'
	check_equal "a kernel warning is 121 with --fail-on-warn" 121 "$status" "$err"
	run --memory 1G --hugepages-1g 1 --hugepages 32 -- true
	check_equal "huge pages that cannot be had are refused" 2 "$status" "$err"
	run --memory 1300M --hugepages-1g 1 -- true
	check_equal "huge pages that the kernel does not get are 125" 125 "$status" "$err"
	check_matches "and are named" 'reserved 0 of 1 huge pages of 1048576 KiB' "$last"

	run -- sh -c 'echo before; sleep 1; echo c >/proc/sysrq-trigger; sleep 60'
	check_equal "a panic is 126" 126 "$status" "$err"
	check_equal "what was printed before it arrives" before "$out"
	check_matches "the panic is shown" 'Kernel panic' "$err"
	run -- poweroff -f
	check_equal "a host that goes off by itself is 126" 126 "$status" "$err"
	run --output "$scratch/torn" -- \
		sh -c '(while :; do echo noise; usleep 1000; done) >/dev/ttyS3 & head -c 300000 /dev/zero >/output/f'
	check_equal "a torn transfer is 126" 126 "$status" "$err"
	check_matches "and is said" 'did not come back whole' "$last"

	run --time-limit 3 --retry -- sh -c 'echo started; while :; do :; done'
	check_equal "a hang is 124" 124 "$status" "$err"
	check_equal "it was tried twice" 2 "$(grep -c '^started$' <<<"$out")"
	check_matches "the retry is reported" 'trying once more' "$err"
	check_matches "the last line says what was running" 'limit.*while the command ran.*while :' "$last"

	"$lab" -- sh -c 'yes | head -c 1000000; exit 5' 2>/dev/null | head -n 1 >"$scratch/out"
	status=${PIPESTATUS[0]}
	check_equal "output that nobody reads does not stop the host" "y 5" "$(cat "$scratch/out") $status"
}

# These end before an emulator starts.
refusals()
{
	local arguments
	for arguments in '' '--' '--bogus 1 -- true' '--cpu arm -- true' '--cpus 0 -- true' '--cpus x -- true' \
		'--memory 12Q -- true' '--memory 4 -- true' '--hugepages 3000 -- true' '--time-limit 0 -- true' \
		'--icount --cpus 2 -- true' '--cpu intel --cpus 2 -- true' '--cpu intel --nodes 2 -- true' '--share /nonexistent -- true' \
		'--modules /nonexistent -- true' '--output -- true' 'true'; do
		# shellcheck disable=SC2086 # words
		run $arguments
		if [ "$status" = 2 ] && [[ $last == lab:* ]]; then
			ok "usage error: lab $arguments"
		else
			not_ok "usage error: lab $arguments" "status $status: $err"
		fi
	done
	run --kernel 4.2 -- true
	check_equal "an unknown kernel flavour is 125" 125 "$status" "$err"
	run --kernel-modules nosuchmodule -- true
	check_equal "an unknown module is 125" 125 "$status" "$err"
	check_matches "and is named" 'nosuchmodule' "$last"
	run --tool nosuchtool -- true
	check_equal "an unknown tool is 125" 125 "$status" "$err"
}

# A module the kernel refuses: found inside the host, still not the command's fault.
bad_module()
{
	mkdir "$scratch/modules"
	# An ELF file, so that strip accepts it.
	cp "$share/kvm_probe" "$scratch/modules/kvm.ko"
	run --modules "$scratch/modules" -- true
	check_equal "a module the kernel refuses is 125" 125 "$status" "$err"
	check_matches "and is named" 'refuses module kvm.ko' "$last"
}

kernels()
{
	local tree first second
	tree=$("$top/tools/lab/fetch-kernel" 6.12-cloud)
	"$top/tools/lab/fetch-kernel" 6.12-cloud >"$scratch/first" &
	"$top/tools/lab/fetch-kernel" --offline 6.12-cloud >"$scratch/second"
	wait $!
	first=$(cat "$scratch/first") second=$(cat "$scratch/second")
	check_equal "fetch-kernel agrees with itself" "$tree $tree" "$first $second"
	check "extract-vmlinux finds the kernel" "$top/tools/lab/extract-vmlinux" "$tree"/boot/vmlinuz-* "$scratch/vmlinux"
	check_matches "it is an x86-64 executable" 'Advanced Micro Devices X86-64' "$(readelf -h "$scratch/vmlinux")"
	head -c 2000000 "$tree"/boot/vmlinuz-* >"$scratch/short"
	check "a truncated kernel is refused" not "$top/tools/lab/extract-vmlinux" "$scratch/short" "$scratch/none"
	check "and leaves nothing" test ! -e "$scratch/none"
	check "install-packages knows no such group" not "$top/tools/install-packages" nosuchgroup
	check "install-packages is content with what is there" "$top/tools/install-packages" --check lab kernel
}

# shellcheck disable=SC2317 # called by check
not()
{
	! "$@"
}

intel_runs()
{
	cat >"$share/script" <<-'END'
		share/kvm_probe
		echo "vmx $(grep -c '^flags.* vmx' /proc/cpuinfo)"
		echo "ept $(cat /sys/module/kvm_intel/parameters/ept)"
		echo "unrestricted $(cat /sys/module/kvm_intel/parameters/unrestricted_guest)"
		echo "huge $(cat /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages)"
		head -c 65536 share/random >/output/copy
		echo to-stderr >&2
		yes 0123456789abcdef | head -n 5000
		exit 7
	END
	run --cpu intel --hugepages 16 --share "$share" --output "$scratch/intel" -- sh share/script
	check_equal "intel: the status passes through" 7 "$status" "$err"
	for line in 'pre_fault_memory 1' 'hlt_exit 1' 'vmx 1' 'ept Y' 'unrestricted Y' 'huge 16'; do
		if grep -qxF -- "$line" <<<"$out"; then
			ok "intel: $line"
		else
			not_ok "intel: $line" "$out"
		fi
	done
	check_matches "intel: stderr arrives" '^to-stderr$' "$err"
	check_equal "intel: 85,000 bytes of output arrive" 5000 "$(grep -cx 0123456789abcdef "$scratch/out")"
	check "intel: 64 KiB come back intact" cmp -n 65536 "$share/random" "$scratch/intel/copy"
	check_equal "intel: of the right size" 65536 "$(stat -c %s "$scratch/intel/copy")"
	# The probe's guest touches one page of memory that was not mapped before.
	check_matches "intel: Bochs' log shows EPT violations" 'EPT violation' "$(cat "$scratch/intel/bochs.log")"
}

# Arguments choose parts; without any, all run.
[ $# -gt 0 ] || set -- refusals kernels modules amd intel
for part in "$@"; do
	case $part in
		refusals) refusals ;;
		kernels) kernels ;;
		modules) bad_module ;;
		amd) amd_runs ;;
		intel)
			if "$top/tools/install-packages" lab-intel; then
				intel_runs
			else
				skip "intel" "Bochs is not installed and cannot be"
			fi
			;;
		*) not_ok "there is no part '$part'" ;;
	esac
done
finish
