#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Debian's kernel boots without an EPT violation: by KVM's counter, and by the log of the emulated processor.
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

make_stage
stage_stet
stage_kernel 6.12-cloud
stage_initrd initrd
${CC:-cc} -O2 -static -s -o "$stage/bochs-note" "$root/tests/lab/bochs-note.c" || die "bochs-note.c does not compile"

output=${LAB_OUTPUT:=$work/output}
status=0
run_inside intel.sh --cpu intel --hugepages 72 --time-limit 3000 || status=$?
[ -f "$output/bochs.log" ] || exit "$status"

for run in hugetlb-2M 4k; do
	count=$(violations $run)
	if [ "$count" = 0 ]; then
		echo "ok - Intel, $run: no EPT violation in the processor's log"
	else
		echo "not ok - Intel, $run: EPT violations in the processor's log: $count"
		status=1
	fi
done
count=$(violations without-prefault)
counted=$(jq -r .stage2_faults "$output/without-prefault.json" || echo 0)
if [ "$count" != nothing ] && [ "$count" -gt 0 ] && [ "$counted" -gt 0 ]; then
	echo "ok - Intel, without prefault: $count EPT violations in the log, $counted faults by KVM's counter"
else
	echo "not ok - Intel, without prefault: $count EPT violations in the log, $counted faults by KVM's counter"
	status=1
fi
exit $status
