#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The KVM patch series: built, gated, and run in the emulated AMD host, on stock and on patched modules.
# What is a claim of the series must be seen to be otherwise on the stock modules.
# With --debug, by hand: only on patched modules, of a kernel that has KASAN and lockdep (tools/host-kernel/debug-kernel: half an
# hour the first time, then a quarter).
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

race_seconds=${RACE_SECONDS:-30}
time_limit_s=280
kernel=6.12-cloud
programs="roots fixes prefault_vm fault_around dirty_log stats"

"$top/tools/install-packages" lab host-kernel >&2 || {
	not_ok "packages for the host kernel"
	finish
}

# Builds for each flavour, and has the gate tried on the first.
build_and_gate()
{
	local line
	if ! modules=$("$top/tools/host-kernel/build" 2>"$scratch/build.log"); then
		not_ok "the modules build" "$(cat "$scratch/build.log")"
		finish
	fi
	ok "the modules build and pass the ABI gate"
	check "so they do for the generic flavour" "$top/tools/host-kernel/build" --flavour generic
	while IFS= read -r line; do
		case $line in
		"ok - "*) ok "${line#ok - }" ;;
		"not ok - "*) not_ok "${line#not ok - }" ;;
		*) echo "# $line" ;;
		esac
	done < <("$top/tests/host-kernel/abi_gate.sh" "$modules" 2>&1)
}

case ${1-} in
'') build_and_gate ;;
--debug)
	kernel=$("$top/tools/host-kernel/debug-kernel") || {
		not_ok "the kernel with KASAN and lockdep builds"
		finish
	}
	ok "the kernel with KASAN and lockdep builds"
	modules=
	time_limit_s=1500
	;;
*)
	echo "usage: ${0##*/} [--debug]" >&2
	exit 2
	;;
esac

mkdir "$scratch/bin"
for program in $programs races; do
	static_program "$scratch/bin/$program" -D_GNU_SOURCE -Wshadow -pthread \
		"$top/tests/host-kernel/test_$program.c" "$top/tests/host-kernel/machine.c" || {
		not_ok "test_$program.c compiles"
		finish
	}
done
cat >"$scratch/bin/all" <<-'END'
	cd "${0%/*}" || exit 1
	for program; do
		echo "= $program"
		./${program%:*} ${program#*:} || [ $? -eq 1 ] || echo "not ok - $program ended in the middle"
	done
	echo "= end"
END
# Fault-around once more, without nested paging: the modules were inserted by the host's init.
cat >"$scratch/bin/shadow_fault_around" <<-'END'
	#!/bin/sh
	rmmod kvm_amd && insmod /lab/modules/kvm-amd.ko npt=0 && exec ./fault_around
	echo "not ok - kvm-amd with npt=0"
END
chmod +x "$scratch/bin/all" "$scratch/bin/shadow_fault_around"

# in_lab NAME CPUS MODULES PROGRAM...: runs them and reports each of their lines.
in_lab()
{
	local name=$1 cpus=$2 status=0 program='' line replace=()
	[ -z "$3" ] || replace=(--modules "$3")
	shift 3
	"$lab" --cpus "$cpus" --memory 3G --hugepages 70 --kernel "$kernel" --time-limit $time_limit_s --retry --fail-on-warn "${replace[@]}" \
		--output "$scratch/lab" --share "$scratch/bin" -- bin/all "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
	while IFS= read -r line; do
		case $line in
		"= "*) program=${line#= } ;;
		"ok - "*) ok "$name ${program%:*}: ${line#ok - }" ;;
		"not ok - "*) not_ok "$name ${program%:*}: ${line#not ok - }" ;;
		"# "* | "Bail out!"*) echo "# $name ${program%:*}: $line" ;;
		esac
	done <"$scratch/out"
	check_equal "$name: the run ended and the kernel's log is silent" "0 end" "$status $program" \
		"$(tail -n 12 "$scratch/err"; grep -m 1 -A 60 -E 'WARNING: |BUG: |Oops|INFO: ' "$scratch/lab/dmesg.txt" 2>/dev/null)"
	rm -rf "$scratch/lab"
}

# shellcheck disable=SC2086 # a list
[ $# != 0 ] || in_lab stock 1 "" $programs shadow_fault_around
# shellcheck disable=SC2086
in_lab patched 1 "$modules" $programs shadow_fault_around
in_lab "patched, 2 CPUs" 2 "$modules" "races:$race_seconds"
finish
