#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_intel.sh [--patched]: Debian's kernel boots without an EPT violation on an Intel host, with stock modules or
# the patched ones: by KVM's counter, and by the log of the emulated processor.
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

# Prints how many EPT violations the processor logged during run $1, or "nothing" where the run is not in the log.
violations()
{
	awk -v begin="stet-test: begin $1" -v end="stet-test: end $1" '
		index($0, begin) { inside = 1; seen++ }
		inside && /EPT violation/ { count++ }
		index($0, end) { inside = 0; seen++ }
		END { if (seen == 2) print count + 0; else print "nothing" }
	' "$output/bochs.log"
}

name=Intel
options=()
runs=(hugetlb-2M 4k devices without-prefault)
make_stage
if [ "${1-}" = --patched ]; then
	stage_modules
	name="Intel, patched KVM"
	# shellcheck disable=SC2154 # set by stage_modules
	options=(--modules "$modules")
	# That faults are seen at all is shown on the stock modules.
	runs=(hugetlb-2M 4k)
fi
stage_stet
stage_kernel 6.12-cloud
small=$("$root/tools/guest-kernel/build") || die "no small kernel (see above)"
cp "$small/vmlinux" "$stage/vmlinux-small"
stage_initrd initrd
${CC:-cc} -O2 -static -s -o "$stage/bochs-note" "$root/tests/lab/bochs-note.c" || die "bochs-note.c does not compile"

output=${LAB_OUTPUT:=$work/output}
status=0
run_inside intel.sh --cpu intel --hugepages 72 --time-limit 1200 "${options[@]}" -- "$name" "${runs[@]}" || status=$?
[ -f "$output/bochs.log" ] || exit "$status"

for run in "${runs[@]}"; do
	count=$(violations "$run")
	[ "$count" != nothing ] || count=-1 # the run is not in the log
	counted=$(jq -r .stage2_faults "$output/$run.json" || echo 0)
	case $run in
		without-prefault) good=$((count > 0 && counted > 0)) ;;
		*) good=$((count == 0 && counted == 0)) ;;
	esac
	if [ "$good" = 1 ]; then
		echo "ok - $name, $run: $count EPT violations in the processor's log, $counted faults by KVM's counter"
	else
		echo "not ok - $name, $run: $count EPT violations in the processor's log, $counted faults by KVM's counter"
		status=1
	fi
done
exit $status
